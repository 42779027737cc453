"""A session of annotation: one folder with images' names, classes, settings, strokes and versions.

<folder>/session.json        what is annotated, the classes, the settings of the panel
<folder>/journal             every stroke (`journal`)
<folder>/versions/0001/      model.safetensors and version.json; never changed again but for its note
<folder>/images/0.tif        an image that has no file of its own, where that was wished
<folder>/open                there while a program has it open: process number and start time
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import platformdirs
from numpy.typing import ArrayLike, NDArray

from ._version import __version__
from .atomic import replacing
from .core.annotation import Patch
from .core.errors import InputError
from .core.image import ImageBlock
from .core.model import ClassInfo
from .files import write_image, write_json
from .journal import HEAD, Journal, Place
from .session_lock import is_held, lock, unlock

FORMAT = 1
SAMPLES = 64  # pixels along each plane axis that tell images apart


def sessions_folder() -> Path:
    """Where sessions are kept unless the user says otherwise."""
    return Path(platformdirs.user_data_dir("napari-papernets", appauthor=False)) / "sessions"


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
    """

    number: int
    name: str
    source: str
    axes: str
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    unit: str
    checksum: str

    @property
    def plane_shape(self) -> tuple[int, int]:
        return self.shape[self.axes.index("Y")], self.shape[self.axes.index("X")]


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
    """

    images: tuple[ImageInfo, ...] = ()
    classes: tuple[ClassInfo, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""
    created: str = ""


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


class Session:
    """An open session; made by `create_session` and `open_session`.

    Attributes
    ----------
    folder : Path
        Where it lies.
    info : SessionInfo
        Change it with `save_info`.
    journal : Journal
        Its strokes.
    """

    def __init__(self, folder: Path, info: SessionInfo) -> None:
        self.folder, self.info = folder, info
        lock(folder)
        try:
            self.journal = Journal(folder / "journal")
        except BaseException:
            unlock(folder)
            raise

    def append_patch(self, patch: Patch) -> None:
        """Keep a stroke; any thread may call this."""
        self.journal.append(patch)

    def save_info(self, info: SessionInfo) -> None:
        """Replace session.json, whole or not at all."""
        write_json(self.folder / "session.json", _info_to_dict(info))
        self.info = info

    def annotation(self, upto: int | None = None) -> dict[Place, NDArray[Any]]:
        """Labels of every plane that was painted on, as of a patch (the newest by default)."""
        return self.journal.replay({i.number: i.plane_shape for i in self.info.images}, upto)

    def keep_image(self, number: int, array: ArrayLike) -> Path:
        """Write an image that has no file, so that the session can be opened without its layer."""
        info = next(i for i in self.info.images if i.number == number)
        path = self.folder / "images" / f"{number}.tif"
        write_image(path, array, info.axes, info.scale, info.unit)
        return path

    def versions(self) -> tuple[VersionRecord, ...]:
        """The versions, by number."""
        files = sorted((self.folder / "versions").glob("[0-9]*/version.json"))
        return tuple(_read_version(path) for path in files)

    def add_version(self, model: Path, record: VersionRecord) -> VersionRecord:
        """Keep a model as the next version.

        Parameters
        ----------
        model : Path
            A model file; it is copied.
        record : VersionRecord
            Its `number`, `model` and `when` are filled in.

        Returns
        -------
        VersionRecord
            As it was written.
        """
        numbers = [v.number for v in self.versions()]
        number = max(numbers, default=0) + 1
        folder = self.folder / "versions" / f"{number:04}"
        record = replace(
            record,
            number=number,
            model=folder / "model.safetensors",
            when=record.when or datetime.now().isoformat(timespec="seconds"),
        )
        with replacing(folder) as temporary:
            temporary.mkdir()
            shutil.copyfile(model, temporary / "model.safetensors")
            write_json(temporary / "version.json", _version_to_dict(record))
        return record

    def set_note(self, number: int, note: str) -> None:
        """Change the user's words on a version."""
        path = self.folder / "versions" / f"{number:04}" / "version.json"
        write_json(path, _version_to_dict(replace(_read_version(path), note=note)))

    def save_as(self, folder: Path) -> None:
        """Write a complete copy that can be opened.

        Raises
        ------
        InputError
            If there is something in that folder.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError("folder", str(folder), "choose a new or an empty folder")
        with replacing(folder) as temporary:
            shutil.copytree(self.folder, temporary, ignore=shutil.ignore_patterns("open", ".*"))

    def close(self) -> None:
        """Let go of it; one in which nothing was painted is deleted."""
        self.journal.close()
        unlock(self.folder)
        if self.journal.newest == 0 and not self.versions():
            shutil.rmtree(self.folder, ignore_errors=True)


def create_session(
    images: Sequence[ImageInfo] = (), classes: Sequence[ClassInfo] = (), folder: Path | None = None
) -> Session:
    """Begin a session, by default in a new folder named by date and time.

    Raises
    ------
    InputError
        If `folder` exists and is not empty.
    """
    now = datetime.now()
    folder = folder or _free_folder(f"{now:%Y-%m-%d %H.%M.%S}")
    if folder.exists() and any(folder.iterdir()):
        raise InputError("folder", str(folder), "choose a new or an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    session = Session(folder, SessionInfo(created=now.isoformat(timespec="seconds")))
    session.save_info(replace(session.info, images=tuple(images), classes=tuple(classes)))
    return session


def open_session(folder: Path) -> Session:
    """Open a session again.

    Raises
    ------
    InputError
        If there is none in that folder, it is damaged, of a newer format, or open in another program.
    """
    return Session(folder, read_info(folder))


def read_info(folder: Path) -> SessionInfo:
    """What session.json says; see `open_session` for the errors."""
    mend = "choose the folder of a session"
    try:
        values = json.loads((folder / "session.json").read_text(encoding="utf-8"))
        if values["format"] > FORMAT:
            raise InputError("session", f"format {values['format']}", "update napari-papernets")
        return SessionInfo(
            images=tuple(ImageInfo(**{**i, **_tuples(i)}) for i in values["images"]),
            classes=tuple(ClassInfo(**c) for c in values["classes"]),
            settings=values["settings"],
            start=values["start"],
            created=values["created"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("session", f"{folder} ({error})", mend) from error


def unfinished_sessions(folder: Path | None = None) -> list[Path]:
    """Sessions with strokes that were not closed and that no program has open, the newest first."""
    found = []
    for lock_file in (folder or sessions_folder()).glob("*/open"):
        place = lock_file.parent
        journal = place / "journal"
        painted = journal.exists() and journal.stat().st_size > HEAD.size
        if painted and (place / "session.json").exists() and not is_held(place):
            found.append((journal.stat().st_mtime, place))
    return [place for _, place in sorted(found, reverse=True)]


def discard_session(folder: Path) -> None:
    """Delete a session that no program has open.

    Raises
    ------
    InputError
        If one has, or the folder holds no session.
    """
    read_info(folder)
    if is_held(folder):
        raise InputError("session", str(folder), "it is open in another window; close it there first")
    shutil.rmtree(folder)


def describe_image(number: int, image: ImageBlock) -> ImageInfo:
    """What a session keeps of an image; reads some of its pixels."""
    return ImageInfo(
        number=number,
        name=image.name,
        source=str(image.source or ""),
        axes=image.axes,
        shape=tuple(int(n) for n in image.shape),
        scale=tuple(float(s) for s in image.scale),
        unit=image.unit,
        checksum=_checksum(image),
    )


def _checksum(image: ImageBlock) -> str:
    first = next(image.planes())
    height, width = image.plane_shape
    y, x = (n // 2 - min(n, SAMPLES) // 2 for n in (height, width))
    some = image.read(first, (y, y + min(height, SAMPLES)), (x, x + min(width, SAMPLES)))
    return f"{zlib.crc32(np.ascontiguousarray(some).view(np.uint8).data):08x}"


def _free_folder(name: str) -> Path:
    folder, number = sessions_folder() / name, 2
    while folder.exists():
        folder, number = sessions_folder() / f"{name} ({number})", number + 1
    return folder


def _info_to_dict(info: SessionInfo) -> dict[str, Any]:
    return {"format": FORMAT, "program": __version__, **asdict(info)}


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(values[name]) for name in ("shape", "scale")}


def _version_to_dict(record: VersionRecord) -> dict[str, Any]:
    values = asdict(record)
    return {"format": FORMAT, **{k: v for k, v in values.items() if k != "model"}}


def _read_version(path: Path) -> VersionRecord:
    values = json.loads(path.read_text(encoding="utf-8"))
    values.pop("format")
    return VersionRecord(model=path.parent / "model.safetensors", **values)
