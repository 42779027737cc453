"""Settings as frozen values whose annotations make the form, the tooltip, ``--help`` and the checks."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeVar

from .errors import InputError

Encoding = Literal["border", "ridge"]
Kind = Literal["strokes", "classes", "instances"]
Output = Literal["auto", "instances", "semantic"]
Precision = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda", "mps"]

S = TypeVar("S", bound="Settings")


def described(
    label: str,
    tooltip: str,
    *,
    min: float | None = None,
    max: float | None = None,
    step: float | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Metadata of one field, in magicgui's words; `min` and `max` are checked too."""
    bounds = {"min": min, "max": max, "step": step}
    return {"label": label, "tooltip": tooltip} | bounds | more


@dataclass(frozen=True)
class FieldInfo:
    """What a form or a command line needs to know of one setting.

    Attributes
    ----------
    name, label, tooltip : str
        Field name, its short label, and one sentence of help.
    type : type
        int, float, bool, str or tuple (of int).
    optional : bool
        Whether None (automatic) is allowed.
    default : object
        Default value.
    choices : tuple of str
        The values of a Literal field; empty for others.
    min, max, step : float or None
        Bounds and spin step.
    """

    name: str
    label: str
    tooltip: str
    type: type
    optional: bool
    default: Any
    choices: tuple[str, ...]
    min: float | None
    max: float | None
    step: float | None

    @property
    def option(self) -> str:
        """Name of the command line option."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True, repr=False)
class Settings:
    """Base of every settings class: validated when made, JSON in and out, short repr."""

    def __post_init__(self) -> None:
        for info in self.fields():
            value = check_value(info, getattr(self, info.name))
            object.__setattr__(self, info.name, value)

    @classmethod
    def fields(cls) -> tuple[FieldInfo, ...]:
        """Description of every field, in order."""
        hints = typing.get_type_hints(cls, include_extras=True)
        return tuple(_field_info(f, hints[f.name]) for f in dataclasses.fields(cls))

    def changed(self) -> dict[str, Any]:
        """The fields that differ from their defaults."""
        return {
            info.name: getattr(self, info.name)
            for info in self.fields()
            if getattr(self, info.name) != info.default
        }

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, validated anew."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able mapping of all fields."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls: type[S], values: Mapping[str, Any]) -> S:
        """Settings from a mapping.

        Raises
        ------
        InputError
            For an unknown field or a bad value.
        """
        known = {f.name: f for f in cls.fields()}
        for name in values:
            if name not in known:
                raise InputError(name, values[name], f"known settings are {', '.join(known)}")
        return cls(**values)

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self.changed().items())
        return f"{type(self).__name__}({inside})"


def check_value(info: FieldInfo, value: Any) -> Any:
    """Return `value` in the field's own type.

    Raises
    ------
    InputError
        If it is of another type, not one of the choices, or out of range.
    """
    if value is None:
        if info.optional:
            return None
        raise InputError(info.name, None, f"give {_expected(info)}")
    if info.choices:
        if value not in info.choices:
            raise InputError(info.name, repr(value), f"choose one of {', '.join(info.choices)}")
        return value
    if info.type is tuple:
        return tuple(int(v) for v in value)
    number = info.type in (int, float)
    wrong_bool = isinstance(value, bool) != (info.type is bool)
    if wrong_bool or (number and not isinstance(value, int | float) and not _is_scalar(value)):
        raise InputError(info.name, repr(value), f"give {_expected(info)}")
    if info.type is int and int(value) != value:
        raise InputError(info.name, repr(value), f"give {_expected(info)}")
    value = info.type(value)
    if number and not _in_range(info, value):
        raise InputError(info.name, value, f"give {_expected(info)}")
    return value


def _is_scalar(value: Any) -> bool:
    return hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0


def _in_range(info: FieldInfo, value: float) -> bool:
    if not math.isfinite(value):
        return False
    return (info.min is None or value >= info.min) and (info.max is None or value <= info.max)


def _expected(info: FieldInfo) -> str:
    if info.type is bool:
        return "true or false"
    kind = {int: "a whole number", float: "a number", str: "a text"}.get(info.type, "a value")
    if info.min is not None and info.max is not None:
        return f"{kind} from {info.min:g} to {info.max:g}"
    if info.min is not None:
        return f"{kind} of at least {info.min:g}"
    return kind


def _field_info(field: dataclasses.Field[Any], hint: Any) -> FieldInfo:
    base, *metadata = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
    about: dict[str, Any] = metadata[0] if metadata else {}
    optional = False
    if typing.get_origin(base) in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(base) if a is not type(None)]
        base, optional = inner[0], True
    choices: tuple[str, ...] = ()
    if typing.get_origin(base) is Literal:
        choices, base = typing.get_args(base), str
    base = tuple if typing.get_origin(base) is tuple else base
    return FieldInfo(
        name=field.name,
        label=about.get("label", field.name),
        tooltip=about.get("tooltip", ""),
        type=base,
        optional=optional,
        default=field.default,
        choices=choices,
        min=about.get("min"),
        max=about.get("max"),
        step=about.get("step"),
    )


@dataclass(frozen=True, repr=False)
class PredictSettings(Settings):
    """How to predict; the defaults suit a first look at any image."""

    zoom: Annotated[
        float | None,
        described(
            "Zoom",
            "Factor by which the image is resized before the network sees it. Use it when your "
            "objects are much larger (< 1) or smaller (> 1) than those the model was trained on. "
            "Automatic: estimated from the objects found at a few zooms.",
            min=0.1,
            max=8.0,
            step=0.05,
        ),
    ] = None
    output: Annotated[
        Output,
        described(
            "Labels are",
            "instances: one number for each object; semantic: the class of each pixel, "
            "1 to K; auto: what the model was trained for.",
        ),
    ] = "auto"
    threshold: Annotated[
        float,
        described(
            "Threshold",
            "Foreground probability above which a pixel belongs to an object (instances only). "
            "Lower it if objects come out too small.",
            min=0.01,
            max=0.99,
            step=0.05,
        ),
    ] = 0.5
    min_size: Annotated[
        int,
        described(
            "Smallest object",
            "Objects with fewer pixels than this are dropped (instances only).",
            min=0,
            max=1_000_000,
            step=5,
        ),
    ] = 15
    turns: Annotated[
        int,
        described(
            "Turns",
            "Average the probabilities over so many turned and mirrored versions of the image (8: all "
            "quarter turns and their mirror images). A little better, and so many times slower; the "
            "paper averages over 7 rotations.",
            min=1,
            max=8,
            step=1,
        ),
    ] = 1
    tile: Annotated[
        int | None,
        described(
            "Tile",
            "Side of the square window that the network sees at once, in pixels. It changes speed "
            "and memory, not the result. Automatic: few large tiles that fit the memory.",
            min=1,
            max=16384,
            step=16,
        ),
    ] = None
    precision: Annotated[
        Precision,
        described(
            "Precision",
            "bfloat16 is about twice as fast where the processor supports it and changes "
            "probabilities by about 0.01; auto uses it only there, and reports the difference.",
        ),
    ] = "auto"
    memory: Annotated[
        float | None,
        described(
            "Memory (GB)",
            "Memory that the network's maps may take while it predicts. Automatic: 0.85 GB of main "
            "memory, or 60 % of what is free on the GPU.",
            min=0.05,
            max=1024.0,
            step=0.1,
        ),
    ] = None
    channels: Annotated[
        tuple[int, ...] | None,
        described(
            "Channels",
            "Channels of the image to use, counted from 0, in the order the model takes them. "
            "Automatic: all of them (without an alpha channel).",
        ),
    ] = None


@dataclass(frozen=True, repr=False)
class TuneSettings(Settings):
    """How to train from annotations (Ronneberger et al. 2015, section 3, and its extensions)."""

    kind: Annotated[
        Kind,
        described(
            "Annotations are",
            "strokes: 0 is not annotated, 1 to K are classes; classes: every number is a class, "
            "0 too; instances: 0 is background, every other number is one object.",
        ),
    ] = "strokes"
    seconds: Annotated[
        float | None,
        described(
            "Seconds",
            "Stop after this time. Leave it out to train for a number of steps, which can be "
            "repeated exactly.",
            min=0.0,
            max=1e7,
            step=5.0,
        ),
    ] = None
    steps: Annotated[
        int | None,
        described(
            "Steps",
            "Stop after this many optimiser steps. Without seconds and steps: 500.",
            min=0,
            max=10_000_000,
            step=50,
        ),
    ] = None
    train: Annotated[
        Literal["all", "decoder", "head"],
        described(
            "Train",
            "all: every weight; decoder: the expanding path and the head; head: only the last "
            "1×1 convolution.",
        ),
    ] = "all"
    width: Annotated[
        int,
        described("Width", "Channels at the first level (from scratch).", min=1, max=256, step=8),
    ] = 16
    depth: Annotated[
        int, described("Depth", "Number of poolings (from scratch).", min=1, max=6, step=1)
    ] = 4
    padding: Annotated[
        Literal["same", "valid"],
        described("Padding", "valid: the paper's unpadded convolutions (from scratch)."),
    ] = "same"
    norm: Annotated[
        Literal["batch", "none"],
        described("Normalisation", "none: as in the paper; batch: learns faster (from scratch)."),
    ] = "batch"
    encoding: Annotated[
        Encoding,
        described(
            "Objects as",
            "border: background, inside and border classes; ridge: the paper's foreground with a "
            "1-pixel ridge of background between touching objects (instances only).",
        ),
    ] = "border"
    optimiser: Annotated[
        Literal["adamw", "sgd"],
        described("Optimiser", "sgd: the paper's, with momentum 0.99; adamw: learns faster."),
    ] = "adamw"
    learning_rate: Annotated[
        float, described("Learning rate", "Largest step size.", min=0.0, max=10.0, step=1e-4)
    ] = 2e-3
    schedule: Annotated[
        Literal["constant", "cosine"],
        described("Schedule", "cosine: the learning rate falls to 0 over the run."),
    ] = "constant"
    weight_decay: Annotated[
        float, described("Weight decay", "Of AdamW.", min=0.0, max=1.0, step=1e-4)
    ] = 1e-4
    batch: Annotated[
        int, described("Batch", "Crops in each step (the paper uses 1).", min=1, max=256, step=1)
    ] = 4
    crop: Annotated[
        int,
        described("Crop", "Side of a training crop in pixels.", min=16, max=4096, step=16),
    ] = 192
    w0: Annotated[
        float,
        described(
            "Border weight w₀",
            "Extra weight of background pixels between close objects (paper: 10; 0 is off).",
            min=0.0,
            max=100.0,
            step=1.0,
        ),
    ] = 10.0
    sigma: Annotated[
        float,
        described(
            "Border width σ",
            "Distance in pixels over which the border weight falls (paper: 5).",
            min=0.1,
            max=100.0,
            step=0.5,
        ),
    ] = 5.0
    balance: Annotated[
        bool, described("Balance classes", "Weight classes by the inverse of their frequency.")
    ] = True
    elastic: Annotated[
        float,
        described(
            "Elastic σ",
            "Standard deviation in pixels of the displacements on a 3×3 grid (paper: 10; 0 off).",
            min=0.0,
            max=100.0,
            step=1.0,
        ),
    ] = 10.0
    rotate: Annotated[
        bool, described("Rotate and flip", "Any angle, and mirror images, while training.")
    ] = True
    zoom_range: Annotated[
        float,
        described(
            "Zoom range",
            "Crops are resized by a random factor from 1/range to range (1: off).",
            min=1.0,
            max=8.0,
            step=0.1,
        ),
    ] = 1.25
    grey: Annotated[
        float,
        described(
            "Grey values",
            "Strength of random brightness, contrast, gamma, blur and noise (0: off).",
            min=0.0,
            max=2.0,
            step=0.1,
        ),
    ] = 0.5
    invert: Annotated[
        float,
        described(
            "Invert",
            "Share of crops whose grey values are inverted, so that light and dark backgrounds "
            "are both learnt.",
            min=0.0,
            max=1.0,
            step=0.1,
        ),
    ] = 0.0
    held_out: Annotated[
        float,
        described(
            "Held out",
            "Share of the annotation, by image, object or stroke, that is kept to judge the model.",
            min=0.0,
            max=0.9,
            step=0.05,
        ),
    ] = 0.2
    checkpoint_every: Annotated[
        int, described("Checkpoint every", "Steps between checkpoints.", min=1, max=10**6, step=50)
    ] = 200
    precision: Annotated[
        Precision, described("Precision", "bfloat16 is faster where the processor supports it.")
    ] = "auto"
    seed: Annotated[
        int,
        described("Seed", "The same seed gives the same weights.", min=0, max=2**31 - 1, step=1),
    ] = 0
