"""A session of annotation: one folder with images' names, classes, settings, strokes and versions.

<folder>/session.json        what is annotated, the classes, the settings of the panel
<folder>/journal             every stroke (`journal`)
<folder>/versions/0001/      model.safetensors and version.json; never changed again but for its note
<folder>/images/0.tif        an image that has no file of its own, where that was wished
<folder>/rounds/             what repeats the training of a version; of the panel
<folder>/open                there while a program has it open: process number and start time
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import ArrayLike, NDArray

from .atomic import replacing
from .core.annotation import Patch
from .core.errors import InputError
from .core.image import ImageBlock
from .core.model import ClassInfo
from .files import write_image
from .journal import Journal, Place
from .journal_records import read_journal
from .session_files import (
    INFO,
    JOURNAL,
    LOCK,
    MODEL,
    copy_to_disk,
    delete,
    move_links,
    moved_command,
    new_folder,
    not_copied,
    refuse_filled,
    remove_leftovers,
    version_folders,
)
from .session_image import read_again, storable
from .session_info import (
    ImageInfo,
    SessionInfo,
    VersionRecord,
    check_image,
    describe_image,
    program_versions,
    read_info,
    read_version,
    write_info,
    write_version,
)
from .session_lock import is_held, lock, unlock

__all__ = [
    "ImageInfo", "Session", "SessionInfo", "VersionRecord", "check_image", "create_session",
    "describe_image", "discard_session", "open_session", "read_info", "sessions_folder",
    "unfinished_sessions",
]  # fmt: skip


def sessions_folder() -> Path:
    """Where sessions are kept unless the user says otherwise."""
    return Path(platformdirs.user_data_dir("napari-papernets", appauthor=False)) / "sessions"


class Session:
    """An open session; made by `create_session` and `open_session`.

    All methods may be called from any thread; those that write wait for the disk.

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
        self._writing, self._is_open = threading.RLock(), True
        lock(folder)
        try:
            remove_leftovers(folder)
            self.journal = Journal(folder / JOURNAL)
        except BaseException:
            unlock(folder)
            raise

    def append_patch(self, patch: Patch) -> None:
        """Keep a stroke; see `Journal.append`."""
        self.journal.append(patch)

    def save_info(self, info: SessionInfo) -> None:
        """Replace session.json, whole or not at all."""
        with self._open():
            info = replace(info, programs=info.programs or self.info.programs)
            write_info(self.folder, info)
            self.info = info

    def annotation(self, upto: int | None = None) -> dict[Place, NDArray[Any]]:
        """Labels of every plane that was ever painted on, as of a patch (the newest by default).

        See `Journal.replay`. Strokes as of a version are ``annotation(version.patch)``.
        """
        return self.journal.replay({i.number: i.plane_shape for i in self.info.images}, upto)

    def image_info(self, number: int) -> ImageInfo:
        """What is known of the image of that number.

        Raises
        ------
        InputError
            If there is none.
        """
        for info in self.info.images:
            if info.number == number:
                return info
        known = ", ".join(str(info.number) for info in self.info.images) or "none"
        raise InputError("image", f"number {number}", f"the session has: {known}")

    def kept_image(self, number: int) -> Path | None:
        """The file that `keep_image` wrote; None where there is none."""
        path = self.folder / "images" / f"{number}.tif"
        return path if path.exists() else None

    def keep_image(self, number: int, array: ArrayLike) -> Path:
        """Write an image that has no file, so that the session can be opened without its layer.

        Parameters
        ----------
        number : int
            Of the image.
        array : array
            Its pixels, along the axes that the session knows. Nothing is written where they are kept
            already.

        Raises
        ------
        InputError
            If it is another image than the session knows, or TIFF cannot hold it.
        """
        info = self.image_info(number)
        data = storable(np.asarray(array))
        block = ImageBlock(data, info.axes, info.scale, info.name, info.unit)
        check_image(info, block)
        path = self.folder / "images" / f"{number}.tif"
        with self._open():
            if not path.exists():
                write_image(path, data, info.axes, block.known_scale, info.unit)
        return path

    def image(self, number: int) -> ImageBlock:
        """The image again, as it was annotated, from the session or from its own file.

        Raises
        ------
        InputError
            If there is no such file, this program cannot read it, or it is another image now.
        """
        info = self.image_info(number)
        return read_again(info, self.kept_image(number))

    def versions(self) -> tuple[VersionRecord, ...]:
        """The versions, by number; damaged ones are left out."""
        found = []
        for folder in version_folders(self.folder):
            with suppress(InputError):
                found.append(read_version(folder))
        return tuple(found)

    def next_number(self) -> int:
        """The number of the version that is added next; damaged ones keep theirs."""
        return 1 + max((int(f.name) for f in version_folders(self.folder)), default=0)

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
            As it was written. It is on the disk, whole, when this returns.
        """
        with self._open():
            number = self.next_number()
            folder = self._version_folder(number)
            when = record.when or datetime.now().isoformat(timespec="seconds")
            record = replace(record, number=number, model=folder / MODEL, when=when)
            self.journal.sync()  # a version never names strokes that are not on the disk
            with replacing(folder) as temporary:
                temporary.mkdir()
                copy_to_disk(model, temporary / MODEL)
                write_version(temporary, record)
        return record

    def set_note(self, number: int, note: str) -> None:
        """Change the user's words on a version."""
        with self._open():
            folder = self._version_folder(number)
            write_version(folder, replace(read_version(folder), note=note))

    def save_as(self, folder: Path) -> None:
        """Write a complete copy that can be opened; this session stays the open one.

        Raises
        ------
        InputError
            If there is something in that folder, or it lies in the session's own.
        """
        refuse_filled(folder)
        if self.folder.resolve() in folder.resolve().parents:
            raise InputError("folder", str(folder), "choose one outside of the session's own")
        with self._open(), replacing(folder) as temporary:
            self.journal.sync()
            shutil.copytree(self.folder, temporary, symlinks=True, ignore=not_copied)
            for version in version_folders(temporary):
                with suppress(InputError):
                    record = read_version(version)
                    command = moved_command(record.command, self.folder, folder)
                    write_version(version, replace(record, command=command))
            move_links(temporary, self.folder, folder)

    def close(self) -> None:
        """Let go of it; one in which nothing was painted is deleted. May be called again.

        Raises
        ------
        InputError
            If strokes wait for room on the disk; it stays open then.
        """
        with self._writing:
            if not self._is_open:
                return
            self.journal.close()
            self._is_open = False
            if not (self.journal.newest or self.journal.damaged or version_folders(self.folder)):
                delete(self.folder)
            unlock(self.folder)

    def delete(self) -> None:
        """Close it and delete it with all strokes and versions."""
        self.close()
        if (self.folder / INFO).exists():
            discard_session(self.folder)

    def _version_folder(self, number: int) -> Path:
        return self.folder / "versions" / f"{number:04}"

    @contextmanager
    def _open(self) -> Iterator[None]:
        """One writer at a time, and none after the session was closed: another program may have it."""
        with self._writing:
            if not self._is_open:
                raise InputError("session", f"{self.folder}, which was closed", "open it again")
            yield


def create_session(
    images: Sequence[ImageInfo] = (),
    classes: Sequence[ClassInfo] = (),
    folder: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    start: str = "",
) -> Session:
    """Begin a session, by default in a new folder named by date, time and first image.

    Raises
    ------
    InputError
        If `folder` exists and is not empty.
    """
    now = datetime.now()
    if folder is None:
        name = re.sub(r"[^\w. -]", "_", images[0].name)[:40].rstrip(". ") if images else ""
        folder = new_folder(sessions_folder(), f"{now:%Y-%m-%d %H.%M.%S} {name}".strip())
    refuse_filled(folder)
    folder.mkdir(parents=True, exist_ok=True)
    info = SessionInfo(
        tuple(images), tuple(classes), dict(settings or {}), start,
        now.isoformat(timespec="seconds"), program_versions(),
    )  # fmt: skip
    write_info(folder, info)
    return Session(folder, info)


def open_session(folder: Path) -> Session:
    """Open a session again.

    Raises
    ------
    InputError
        If there is none in that folder, it is damaged, of a newer format, or open in another program.
    """
    return Session(folder, read_info(folder))


def unfinished_sessions(folder: Path | None = None) -> list[Path]:
    """Sessions with strokes that were not closed and that no program has open, the newest first."""
    found = []
    for lock_file in (folder or sessions_folder()).glob(f"*/{LOCK}"):
        place = lock_file.parent
        with suppress(OSError, InputError):
            painted = next(read_journal(place / JOURNAL), None) is not None
            if painted and (place / INFO).exists() and not is_held(place):
                found.append(((place / JOURNAL).stat().st_mtime, place))
    return [place for _, place in sorted(found, reverse=True)]


def discard_session(folder: Path) -> None:
    """Delete a session that no program has open; files that are not of the session stay.

    Raises
    ------
    InputError
        If one has, or the folder holds no session.
    """
    if not (folder / INFO).exists():
        raise InputError("session", str(folder), "choose the folder of a session")
    lock(folder)
    delete(folder)
    unlock(folder)
