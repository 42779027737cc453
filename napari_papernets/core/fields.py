"""The machinery of settings: frozen values whose annotations make form, tooltip and checks."""

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

S = TypeVar("S", bound="Settings")

LONGEST = 80  # letters of a value in a message

# Choices that several settings have.
Precision = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda", "mps"]


def described(
    label: str,
    tooltip: str,
    *,
    min: float | None = None,
    max: float | None = None,
    step: float | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Metadata of one field, in the words of magicgui's options; `min` and `max` are checked too."""
    bounds = {"min": min, "max": max, "step": step}
    told = {name: value for name, value in bounds.items() if value is not None}
    return {"label": label, "tooltip": tooltip} | told | more


# Settings that several verbs have.
Channels = Annotated[
    tuple[int, ...] | None,
    described(
        "Channels",
        "Channels of the image to use, counted from 0, in the order the model takes them. "
        "Automatic: all of them (without an alpha channel).",
    ),
]
CheckpointEvery = Annotated[
    int, described("Checkpoint every", "Steps between checkpoints.", min=1, max=10**6, step=50)
]
TrainingPrecision = Annotated[
    Precision, described("Precision", "bfloat16 is faster where the processor supports it.")
]
Seed = Annotated[
    int, described("Seed", "The same seed gives the same weights.", min=0, max=2**31 - 1, step=1)
]


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
        if cls not in _KNOWN:
            hints = typing.get_type_hints(cls, include_extras=True)
            _KNOWN[cls] = tuple(_field_info(f, hints[f.name]) for f in dataclasses.fields(cls))
        return _KNOWN[cls]

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

    @classmethod
    def of(cls, given: Any) -> Self:
        """The settings that were given; the defaults for None.

        Raises
        ------
        InputError
            If it is something else, a mapping or the settings of another verb, say.
        """
        if given is None:
            return cls()
        if not isinstance(given, cls):
            raise InputError("settings", repr(given), f"give {cls.__name__}(…)")
        return given

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self.changed().items())
        return f"{type(self).__name__}({inside})"


# Kept, since they take 2 ms, and a form asks at every move of a slider.
_KNOWN: dict[type, tuple[FieldInfo, ...]] = {}


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
        if not isinstance(value, str) or value not in info.choices:
            raise InputError(info.name, _shown(value), f"choose one of {', '.join(info.choices)}")
        return value
    if info.type is tuple:
        return _whole_numbers(info, value)
    try:
        fitting = _converted(info, value)
    except (TypeError, ValueError, OverflowError):
        fitting = None
    if fitting is None:
        raise InputError(info.name, _shown(value), f"give {_expected(info)}")
    return fitting


def _converted(info: FieldInfo, value: Any) -> Any:
    """A single value in the field's own type; None where it is none, or out of range."""
    number = info.type in (int, float)
    truth = isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")  # numpy's too
    if truth != (info.type is bool):
        return None
    if number and not isinstance(value, int | float) and not _is_scalar(value):
        return None
    if info.type is int and not (math.isfinite(value) and int(value) == value):
        return None
    value = info.type(value)
    return None if number and not _in_range(info, value) else value


def _whole_numbers(info: FieldInfo, value: Any) -> tuple[int, ...]:
    try:
        numbers = tuple(int(v) for v in value)
        fits = all(n == v for n, v in zip(numbers, value, strict=True))
    except (TypeError, ValueError, OverflowError):
        fits = False
    if isinstance(value, str) or not fits or not numbers:
        raise InputError(info.name, _shown(value), f"give {_expected(info)}")
    return numbers


def _shown(value: Any) -> str:
    try:
        return repr(value)[:LONGEST]
    except ValueError:  # Python writes no number of thousands of digits
        return f"a very long {type(value).__name__}"


def _is_scalar(value: Any) -> bool:
    return hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0


def _in_range(info: FieldInfo, value: float) -> bool:
    if not math.isfinite(value):
        return False
    return (info.min is None or value >= info.min) and (info.max is None or value <= info.max)


def _expected(info: FieldInfo) -> str:
    if info.type is bool:
        return "true or false"
    if info.type is tuple:
        return "whole numbers, such as (0, 2)"
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
