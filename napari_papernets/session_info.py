"""What a session's JSON files say, as values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .core.errors import InputError
from .core.image import AXES, ImageBlock
from .core.model import ClassInfo
from .files import write_json
from .session_files import INFO, MODEL, VERSION

FORMAT = 2
PACKAGES = ("napari-papernets", "napari", "numpy", "torch")
SAMPLE = 32  # pixels along Y and X of each part that tells images apart

Migration = Callable[[dict[str, Any]], dict[str, Any]]
MIGRATIONS: dict[int, Migration] = {1: lambda values: values}  # images had no place
"""What makes the contents of session.json of a format into those of the next one."""


@dataclass(frozen=True)
class ImageInfo:
    """What a session knows of an image.

    Attributes
    ----------
    number : int
        By which patches name it.
    name, source, axes, unit : str
        As in `ImageBlock`; the source is its file, or empty.
    shape : tuple of int
        Along `axes`.
    scale : tuple of float
        Along `axes`.
    checksum : str
        Of some of its pixels.
    place : mapping
        Where its layer lay, in napari's words; empty where that is not known.
    """

    number: int
    name: str
    source: str
    axes: str
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    unit: str
    checksum: str
    place: Mapping[str, Any] = field(default_factory=dict)

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(Y, X)"""
        return self.shape[self.axes.index("Y")], self.shape[self.axes.index("X")]

    @property
    def annotation_shape(self) -> tuple[int, ...]:
        """(*stack, Y, X)"""
        stack = tuple(n for axis, n in zip(self.axes, self.shape, strict=True) if axis in "TZ")
        return stack + self.plane_shape


@dataclass(frozen=True)
class SessionInfo:
    """The contents of session.json.

    Attributes
    ----------
    images : tuple of ImageInfo
        By number; one that was removed stays, since its strokes do.
    classes : tuple of ClassInfo
        The classes 1…K.
    settings : mapping
        Of the panel, JSON-able.
    start : str
        Name or file of the model that the training started from.
    created : str
        ISO date and time.
    programs : mapping of str to str
        Versions of the packages that made it; filled in when it is made.
    current : tuple of int
        Numbers of the images that are annotated now; the others were taken from the list. Where it is
        empty, all are.
    in_use : int or None
        The version that training goes on from; 0 is none, None the newest.
    """

    images: tuple[ImageInfo, ...] = ()
    classes: tuple[ClassInfo, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""
    created: str = ""
    programs: Mapping[str, str] = field(default_factory=dict, compare=False)
    current: tuple[int, ...] = ()
    in_use: int | None = None


@dataclass(frozen=True)
class VersionRecord:
    """A version: a model, and how it came about.

    Attributes
    ----------
    number : int
        From 1.
    model : Path
        The model file in the session.
    patch : int
        Number of the newest patch that it learnt from.
    strokes : int or None
        How many there were then; None where the program that wrote it did not count them.
    step : int
        Optimiser steps.
    score, before : float or None
        Held-out mean IoU of it, and of the model before its round.
    source : {"quick", "trained"}
        How it was made.
    reason, when, name, note, command : str
        Why its round ended; ISO date and time; of the model; the user's words; what repeats it.
    parent : int
        The version that its round began with; 0 is the start.
    settings : mapping
        `TuneSettings` as JSON.
    """

    number: int
    model: Path
    patch: int
    step: int = 0
    score: float | None = None
    before: float | None = None
    source: Literal["quick", "trained"] = "trained"
    reason: str = ""
    when: str = ""
    name: str = ""
    note: str = ""
    command: str = ""
    parent: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    strokes: int | None = None


def describe_image(number: int, image: ImageBlock, place: Mapping[str, Any] | None = None) -> ImageInfo:
    """What a session keeps of an image, and of where it lies; reads some of its pixels."""
    return ImageInfo(
        number=number,
        name=image.name,
        source=str(image.source or ""),
        axes=image.axes,
        shape=image.shape,
        scale=tuple(float(s) for s in image.scale),
        unit=image.unit,
        checksum=checksum_of(image),
        place=dict(place or {}),
    )


def check_image(info: ImageInfo, image: ImageBlock) -> None:
    """Refuse an image that is not the one that was annotated. The order of its axes does not matter.

    Raises
    ------
    InputError
        If its sizes or some of its pixels differ.
    """
    lengths = dict(zip(info.axes, info.shape, strict=True))
    mend = f"open {info.source or info.name} as it was when it was annotated"
    if any(image.size(axis) != lengths.get(axis, 1) for axis in AXES):
        expected = f"{'×'.join(map(str, info.shape))} ({info.axes})"
        found = f"{image.name}, {'×'.join(map(str, image.shape))} ({image.axes}) and not {expected}"
        raise InputError("image", found, mend)
    if checksum_of(image) != info.checksum:
        raise InputError("image", f"{image.name}, in which other pixels are", mend)


def checksum_of(image: ImageBlock) -> str:
    """Of the sizes and of nine parts of the first, middle and last plane, in hexadecimal.

    It is the same for another order of axes and another type of the same numbers.
    """
    digest = hashlib.sha256(repr([image.size(axis) for axis in AXES]).encode())
    last = [n - 1 for n in image.stack_shape]
    for plane in dict.fromkeys(tuple(int(n * part) for n in last) for part in (0.0, 0.5, 1.0)):
        for y in _parts(image.size("Y")):
            for x in _parts(image.size("X")):
                digest.update(_plain_bytes(image.read(plane, y, x)))
    return digest.hexdigest()[:32]


def read_info(folder: Path) -> SessionInfo:
    """What session.json says, whatever format up to this one it has.

    Raises
    ------
    InputError
        If there is no session in that folder, it is damaged or of a newer format.
    """
    try:
        values = json.loads((folder / INFO).read_text(encoding="utf-8"))
        while (number := check_format(values, "session")) < FORMAT:
            values = {**MIGRATIONS[number](values), "format": number + 1}
        return SessionInfo(
            images=tuple(ImageInfo(**{**i, **_tuples(i)}) for i in values["images"]),
            classes=tuple(ClassInfo(**c) for c in values["classes"]),
            settings=values["settings"],
            start=values["start"],
            created=values["created"],
            programs=values["programs"],
            current=tuple(map(int, values.get("current", ()))),
            in_use=None if values.get("in_use") is None else int(values["in_use"]),
        )
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{folder} ({type(error).__name__}: {error})"
        raise InputError("session", reason, "choose the folder of a session") from error


def write_info(folder: Path, info: SessionInfo) -> None:
    """Replace session.json, whole or not at all."""
    write_json(folder / INFO, {"format": FORMAT, **asdict(info)}, wait=True)


def read_version(folder: Path) -> VersionRecord:
    """The version in a folder.

    Raises
    ------
    InputError
        If it is damaged or of a newer format.
    """
    try:
        values = json.loads((folder / VERSION).read_text(encoding="utf-8"))
        check_format(values, "version")
        del values["format"]
        return VersionRecord(model=folder / MODEL, **values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("version", f"{folder} ({error})", "choose another one") from error


def write_version(folder: Path, record: VersionRecord) -> None:
    """Write or replace version.json, whole or not at all."""
    values = {k: v for k, v in asdict(record).items() if k != "model"}
    write_json(folder / VERSION, {"format": FORMAT, **values}, wait=True)


def check_format(values: Mapping[str, Any], field: str) -> int:
    """The format that a file says it has.

    Raises
    ------
    InputError
        If it is newer than this program.
    """
    number = int(values["format"])
    if number > FORMAT:
        mend = f"this program reads format {FORMAT}; update napari-papernets"
        raise InputError(field, f"format {number}", mend)
    return number


def program_versions() -> dict[str, str]:
    """Versions of the packages that decide what is seen and learnt."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # not there, or run from a source tree
            continue
    return found


def _parts(length: int) -> list[tuple[int, int]]:
    """The first, middle and last pixels of an axis."""
    size = min(length, SAMPLE)
    starts = dict.fromkeys((0, (length - size) // 2, length - size))
    return [(start, start + size) for start in starts]


def _plain_bytes(values: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(values, dtype="<f8").tobytes()


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(values[name]) for name in ("shape", "scale")}
