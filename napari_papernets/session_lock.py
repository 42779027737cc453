"""Which program has a session open: a small file with its process number and start time."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from .atomic import replacing
from .core.errors import InputError
from .session_files import LOCK

# Seconds by which two readings of a start time may differ: clocks are set, numbers come again.
SAME = 30.0
LOCKS = 16


def lock(folder: Path) -> None:
    """Say that this program has the session open.

    Raises
    ------
    InputError
        If a program that lives has, this one included.
    """
    path, me = folder / LOCK, psutil.Process()
    holder = {"process": me.pid, "started": me.create_time(), "computer": platform.node()}
    with _one_at_a_time(folder), replacing(path) as fresh:
        _refuse_if_alive(path)
        fresh.write_text(json.dumps(holder), encoding="utf-8")


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """No other program of this user on this computer looks at, or changes, who has the session open.

    The files that see to it stay, so there are a few for all sessions.
    """
    user = "" if sys.platform == "win32" else f"-{os.getuid()}"  # Windows has a folder for each user
    number = zlib.crc32(str(folder.resolve()).encode()) % LOCKS
    name = f"papernets-sessions{user}-{number}.lock"
    with (Path(tempfile.gettempdir()) / name).open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # given back when the file is closed
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def unlock(folder: Path) -> None:
    """Say that nobody has it open."""
    (folder / LOCK).unlink(missing_ok=True)


def is_held(folder: Path) -> bool:
    """Whether the program that opened the session still lives, or runs on another computer."""
    return _is_alive(_read(folder / LOCK))


def _refuse_if_alive(path: Path) -> None:
    holder = _read(path)
    if not _is_alive(holder):
        return
    mend = "close it there first"
    where = "this program" if holder["process"] == os.getpid() else f"process {holder['process']}"
    if not _is_here(holder):
        where = holder["computer"]
        mend += f", or delete the file {path.parent / LOCK} if it is not open there any more"
    raise InputError("session", f"{path.parent}, open already in {where}", mend)


def _is_alive(holder: Mapping[str, Any]) -> bool:
    if holder and not _is_here(holder):
        return True  # nobody can tell
    try:
        process = psutil.Process(int(holder["process"]))
        # A process number comes again; the start time then differs.
        same = abs(process.create_time() - float(holder["started"])) < SAME
        return same and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.AccessDenied:
        return True
    except (psutil.Error, ValueError, KeyError, TypeError):
        return False


def _is_here(holder: Mapping[str, Any]) -> bool:
    return holder.get("computer", platform.node()) == platform.node()


def _read(path: Path) -> Mapping[str, Any]:
    """Who holds it; empty where nobody does or it cannot be told."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
