"""Which program has a session open: a small file with its process number and start time."""

from __future__ import annotations

import json
import os
import platform
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from .core.errors import InputError
from .session_files import LOCK

SAME = (
    30.0  # seconds by which two readings of a start time may differ: clocks are set, numbers come again
)
ATTEMPTS = 3


def lock(folder: Path) -> None:
    """Say that this program has the session open.

    Raises
    ------
    InputError
        If a program that lives has, this one included.
    """
    path, me = folder / LOCK, psutil.Process()
    holder = {"process": me.pid, "started": me.create_time(), "computer": platform.node()}
    fresh = _beside(path)
    try:
        fresh.write_text(json.dumps(holder), encoding="utf-8")
        for _ in range(ATTEMPTS):
            if _put(fresh, path):
                return
            _refuse_if_alive(path)
            _take_away(path)
        raise InputError("session", f"{folder}, which others open too", "try again")
    finally:
        fresh.unlink(missing_ok=True)


def unlock(folder: Path) -> None:
    """Say that nobody has it open."""
    (folder / LOCK).unlink(missing_ok=True)


def is_held(folder: Path) -> bool:
    """Whether the program that opened the session still lives, or runs on another computer."""
    return _is_alive(_read(folder / LOCK))


def _put(fresh: Path, path: Path) -> bool:
    """Put `fresh` at `path`, whole; whether there was nothing."""
    try:
        os.link(fresh, path)
    except FileExistsError:
        return False
    except OSError:  # a disk without hard links
        if path.exists():
            return False
        os.replace(fresh, path)
    return True


def _take_away(path: Path) -> None:
    """Remove the file of a program that is dead, unless another one has just replaced it."""
    aside = _beside(path)
    with suppress(FileNotFoundError):
        os.rename(path, aside)
        try:
            _refuse_if_alive(aside)
        except InputError:
            _put(aside, path)
            raise
        finally:
            aside.unlink(missing_ok=True)


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


def _beside(path: Path) -> Path:
    return path.with_name(f".{secrets.token_hex(6)}-{path.name}")
