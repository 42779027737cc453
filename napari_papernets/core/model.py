"""What a model is, without its weights: the value that the screen, the files and the engine share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from .errors import InputError, ModelError
from .image import ImageBlock
from .tiles import SizeRule

# 2: grey values on a shared scale; 3: a threshold; 4: solidity of objects; 5: tokens without positions;
# 6: tokens apart from their neighbours; 7: channels of the images that were learnt from
SPEC_VERSION = 7

# Okabe & Ito's palette, told apart with every common colour vision and on grey images; the first class,
# usually background, is sky blue.
PALETTE = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999")

DAMAGED = "its header is damaged; save or download the model again"

Task = Literal["semantic", "instances", "features"]


@dataclass(frozen=True)
class ClassInfo:
    """Name and colour ("#RRGGBB") of a class."""

    name: str
    colour: str


@dataclass(frozen=True)
class Normalisation:
    """Linear map of grey values: percentiles `low` and `high` of a plane become 0 and 1.

    Attributes
    ----------
    low, high : float
        Percentiles in 0…100.
    joint : bool
        All channels together, which keeps colours, rather than each on its own.
    shared : tuple of (float, float)
        For each channel of the network the grey values that become 0 and 1 in every image alike: windows
        then hold each channel a second time, on this scale, for what tells absolute grey values apart.
        Empty where every plane stands for itself.
    """

    low: float = 1.0
    high: float = 99.8
    joint: bool = True
    shared: tuple[tuple[float, float], ...] = ()

    @property
    def alone(self) -> Normalisation:
        """The same for a network beside which there is no forest: every plane stands for itself."""
        return dataclasses.replace(self, shared=())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Normalisation:
        """From what `dataclasses.asdict` made, perhaps by way of JSON."""
        pairs = tuple((float(low), float(high)) for low, high in values.get("shared", ()))
        return cls(**{**values, "shared": pairs})


@dataclass(frozen=True)
class ModelSpec:
    """All that must be known to build, feed and read a network.

    Attributes
    ----------
    name : str
        Short name, used in files and lists.
    architecture : str
        A name that ``networks.build`` knows.
    options : mapping
        Keyword arguments of the network beside channels and classes.
    in_channels : int
        Channels that the network takes.
    classes : tuple of ClassInfo
        One for each output channel.
    size_rule : SizeRule
        Valid input sizes and context.
    normalisation : Normalisation
        How grey values are brought to 0…1.
    task : {"semantic", "instances", "features"}
        What ``predict`` returns as labels; a model of "features" has no classes yet and is a start for
        training only.
    encoding : {"border", "ridge", ""}
        How objects were turned into classes for training ("instances" only).
    grey_to_colour : bool
        A single channel may be repeated to `in_channels`.
    values_per_pixel : float
        Numbers held at the peak of a forward pass for each pixel of the window (memory planning).
    exact_tiles : bool
        False where an answer depends on the whole tile, as in a ViT, where tokens attend to tokens.
    channels, channels_of : tuple of int, int
        The channels that it was trained on, counted from 0, of images with so many. Of others with as
        many they are taken by default; (), 0 where all were.
    object_diameter : float or None
        Median diameter in pixels of the objects that it was trained on, at zoom 1.
    object_solidity : float or None
        Solidity (area over that of the convex hull) that three of four of these objects reach, where it
        helps to take what has two lobes and does not reach it for two objects.
    threshold : float
        Foreground probability at which objects come out as they were annotated ("instances" only).
    paper, description, licence : str
        What to cite, what it is good for, and on what terms.
    provenance : mapping
        Training data, settings, scores, versions: JSON-able.
    """

    name: str
    architecture: str
    options: Mapping[str, Any]
    in_channels: int
    classes: tuple[ClassInfo, ...]
    size_rule: SizeRule
    normalisation: Normalisation = Normalisation()
    task: Task = "semantic"
    encoding: str = ""
    grey_to_colour: bool = True
    values_per_pixel: float = 512.0
    exact_tiles: bool = True
    channels: tuple[int, ...] = ()
    channels_of: int = 0
    object_diameter: float | None = None
    object_solidity: float | None = None
    threshold: float = 0.5
    paper: str = ""
    description: str = ""
    licence: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    version: int = SPEC_VERSION

    def to_dict(self) -> dict[str, Any]:
        """JSON-able mapping."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "model") -> ModelSpec:
        """A spec from what `to_dict` made.

        Raises
        ------
        ModelError
            If fields are missing or unknown, or the format is newer than this program.
        """
        if not isinstance(values, Mapping):
            raise ModelError(source, f"a bad model description ({type(values).__name__})", DAMAGED)
        version = values.get("version")
        if not isinstance(version, int):
            mend = "it is not a model of napari-papernets, or damaged; choose one made by it"
            raise ModelError(source, f"a model description of format {version!r}", mend)
        if version > SPEC_VERSION:
            mend = f"this program reads model format {SPEC_VERSION}; update napari-papernets"
            raise ModelError(source, f"model format {version!r}", mend)
        try:
            spec = cls(
                **{
                    **values,
                    "version": SPEC_VERSION,
                    "classes": tuple(ClassInfo(**c) for c in values["classes"]),
                    "size_rule": SizeRule(**values["size_rule"]),
                    "normalisation": Normalisation.from_dict(values["normalisation"]),
                    "channels": tuple(values.get("channels", ())),
                }
            )
            wrong = [name for name, fits in spec._checks().items() if not fits]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(source, f"a bad model description ({error})", DAMAGED) from error
        if wrong:
            received = f"a bad model description ({wrong[0]} {getattr(spec, wrong[0])!r})"
            raise ModelError(source, received, DAMAGED)
        return spec

    def _checks(self) -> dict[str, bool]:
        """For each field that a file may hold wrongly, whether it can be used."""
        rule, names = self.size_rule, [c.name for c in self.classes]
        whole = all(isinstance(n, int) for n in (rule.step, rule.minimum, rule.context))
        return {
            "name": isinstance(self.name, str),
            "classes": all(isinstance(name, str) for name in names),
            "in_channels": isinstance(self.in_channels, int) and self.in_channels >= 1,
            "size_rule": whole and rule.step >= 1 and rule.minimum >= 1 and rule.context >= 0,
            "channels": all(isinstance(n, int) and 0 <= n < self.channels_of for n in self.channels),
            "normalisation": 0 <= self.normalisation.low < self.normalisation.high <= 100,
            "task": self.task in get_args(Task),
            "values_per_pixel": self.values_per_pixel > 0,
            "object_diameter": self.object_diameter is None or self.object_diameter > 0,
            "object_solidity": self.object_solidity is None or 0 < self.object_solidity <= 1,
            "threshold": 0 < self.threshold < 1,
        }

    def window_pixels(self, memory_gb: float) -> int:
        """Pixels of the largest window whose maps fit `memory_gb` (float32)."""
        return int(memory_gb * 1e9 / (self.values_per_pixel * 4))

    def trained_on(self, channels: Sequence[int] | None, image: ImageBlock) -> ModelSpec:
        """The same, of a network that has learnt from these channels of images like one; None for those
        that it takes by itself."""
        if not channels or "C" not in image.axes:
            return self
        return dataclasses.replace(self, channels=tuple(channels), channels_of=image.channels)

    @property
    def takes(self) -> str:
        """How many channels, as in "1 or 3"."""
        either = self.grey_to_colour and self.in_channels > 1
        return f"1 or {self.in_channels}" if either else f"{self.in_channels}"

    def pick_channels(self, image: ImageBlock, wanted: Sequence[int] | None = None) -> tuple[int, ...]:
        """Channels of `image` to feed, as many as the network takes (one may be repeated).

        Parameters
        ----------
        image : ImageBlock
            Any image.
        wanted : sequence of int, optional
            The user's choice, counted from 0.

        Raises
        ------
        ModelError
            If the model cannot take that many channels.
        InputError
            If a wanted channel does not exist.
        """
        available = image.channels
        known = self.channels if available == self.channels_of else ()
        chosen = tuple(wanted or known or range(available))
        for channel in chosen:
            if not 0 <= channel < available:
                mend = f"{image.name} has channels 0 to {available - 1}"
                raise InputError("channels", channel, mend)
        if not (wanted or known) and image.alpha and available != self.in_channels:
            chosen = chosen[:-1]
        if len(chosen) == self.in_channels:
            return chosen
        if len(chosen) == 1 and self.grey_to_colour:
            return chosen * self.in_channels
        mend = (
            f"model {self.name!r} takes {self.takes}; choose which with "
            "channels, or correct the axes if C is not the channel axis"
        )
        raise ModelError("image", f"{len(chosen)} channels (axes {image.axes})", mend)


def class_infos(names: Sequence[str]) -> tuple[ClassInfo, ...]:
    """Classes with colours of the palette."""
    return tuple(ClassInfo(n, PALETTE[i % len(PALETTE)]) for i, n in enumerate(names))


@dataclass(frozen=True)
class ModelRef:
    """A model on disk: what it is and where it lies; weights are only ever loaded in the engine."""

    spec: ModelSpec
    path: Path

    @property
    def name(self) -> str:
        return self.spec.name
