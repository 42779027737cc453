"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .core.errors import InputError
from .image_folders import is_zarr

TEMPORARY = re.compile(r"\.[0-9a-f]{12}-(.+)")  # what is half-written, and the name that it will have
LONGEST_NAME = 255  # bytes, of the usual file systems
LONGEST_WRITTEN = 240  # bytes of a file's name: half-written it has 14 more
FORGOTTEN = 24 * 3600.0  # seconds after which what is half-written is nobody's


def check_folder(folder: Path, field: str = "folder") -> None:
    """Refuse a folder that cannot be written to, before the work for it is done; nothing is made yet.

    Raises
    ------
    InputError
        If its name is too long, or it, or the nearest folder above it that is there, is a file or takes
        no new ones.
    """
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in folder.parts):
        received = f"a name of more than {LONGEST_NAME} bytes"
        raise InputError(field, received, "give the folder a shorter one")
    there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), folder)
    if there.exists() and not there.is_dir():
        raise InputError(field, repr(str(folder)), f"{there} is a file: name another folder")
    try:  # permissions alone do not tell of folders such as /proc
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        mend = f"nothing may be written to {there} ({error.strerror}): name another"
        raise InputError(field, repr(str(folder)), mend) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write a file or folder to; on success it takes the place of `path`.

    After a failure nothing is left of it, and what was at `path` is still there. What a process that was
    killed left beside `path` is cleared away, a day after.

    Raises
    ------
    InputError
        If its name is too long, or a folder of something else is at `path`: only an empty or a Zarr
        folder is replaced.
    OSError
        As the system's, of a full disk and the like, but naming `path`: the system names the file beside
        it, or none.
    """
    if len(os.fsencode(path.name)) > LONGEST_WRITTEN:
        mend = f"use at most {LONGEST_WRITTEN} bytes"
        raise InputError("path", f"a name of {len(path.name)} letters", mend)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and any(path.iterdir()) and not is_zarr(path):
        mend = "a folder is called so: move it away, or give another name or folder"
        raise InputError("path", str(path), mend)
    temporary = _beside(path)
    try:
        yield temporary
        _take_place(temporary, path)
        _clear(path)
    except OSError as error:
        if error.filename is not None and not str(error.filename).startswith(str(temporary)):
            raise
        if error.errno is None:  # numpy's, which only counts what it could not write
            raise OSError(f"{path}: {error}") from error
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        _remove(temporary)


def write_atomically(path: Path, content: bytes, wait: bool = True) -> None:
    """Write a file, whole or not at all; `wait` until it is on the disk, if the power may fail."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        if wait:
            sync(temporary)


def sync(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _beside(path: Path) -> Path:
    # The suffix stays last, since libraries choose the format by it.
    return path.with_name(f".{secrets.token_hex(6)}-{path.name}")


def _clear(path: Path) -> None:
    """Remove what was left half-written of `path` long ago."""
    with suppress(OSError):  # a folder that may not be listed, or somebody else's file
        for entry in path.parent.iterdir():
            left = TEMPORARY.fullmatch(entry.name)
            if left and left[1] == path.name and time.time() - entry.lstat().st_mtime > FORGOTTEN:
                _remove(entry)


def _take_place(temporary: Path, path: Path) -> None:
    if not path.is_dir():
        os.replace(temporary, path)
        return
    # A folder cannot be replaced in one step: set the old one aside until the new one is there.
    aside = _beside(path)
    os.replace(path, aside)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(aside, path)
        raise
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
