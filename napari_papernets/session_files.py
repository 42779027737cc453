"""The files of a session: their names, and how they come and go."""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
from contextlib import suppress
from pathlib import Path

from .atomic import TEMPORARY, sync
from .core.errors import InputError

INFO, JOURNAL, LOCK = "session.json", "journal", "open"
VERSION, MODEL = "version.json", "model.safetensors"
ALL = (INFO, JOURNAL, LOCK, "versions", "images", "rounds")


def copy_to_disk(source: Path, path: Path) -> Path:
    """Copy a file to `path`, and wait until the copy is on the disk; `path` again."""
    shutil.copyfile(source, path)
    sync(path)
    return path


def moved_command(command: str, old: Path, new: Path) -> str:
    """A command line that names files of another folder, with those of the new one."""
    return shlex.join(_moved(word, old, new) for word in shlex.split(command))


def move_links(copy: Path, old: Path, new: Path) -> None:
    """Let links in a copy that point into the old folder point into the new one, where it will be."""
    for path in copy.rglob("*"):
        if path.is_symlink() and (target := os.readlink(path)) != (moved := _moved(target, old, new)):
            path.unlink()
            path.symlink_to(moved)


def _moved(word: str, old: Path, new: Path) -> str:
    for folder in (old, old.resolve()):
        if Path(word).is_relative_to(folder):
            return str(new.absolute() / Path(word).relative_to(folder))
    return word


def refuse_filled(folder: Path) -> None:
    """Refuse a folder with something in it.

    Raises
    ------
    InputError
        If it is not empty, or a file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("folder", str(folder), "choose a new or an empty folder")


def new_folder(parent: Path, name: str) -> Path:
    """A folder of that name, made now, or of one like it where that is taken."""
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name} ({number})")
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


def version_folders(folder: Path) -> list[Path]:
    """The folders of the versions, by number."""
    found = [f for f in (folder / "versions").glob("[0-9]*") if f.name.isdecimal()]
    return sorted(found, key=lambda f: int(f.name))


def not_copied(folder: str, names: list[str]) -> list[str]:
    """The names that a copy of a session goes without."""
    return [name for name in names if name == LOCK or TEMPORARY.fullmatch(name)]


def remove_leftovers(folder: Path) -> None:
    """Remove what was half written when a program was killed; nobody may be writing."""
    for path in list(folder.rglob(".*-*")):
        if TEMPORARY.fullmatch(path.name):
            _remove(path)


def delete(folder: Path) -> None:
    """Delete what is of the session, and the folder if that was all."""
    remove_leftovers(folder)
    for name in ALL:
        _remove(folder / name)
    with suppress(OSError):
        folder.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
