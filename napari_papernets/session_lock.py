"""Which program has a session open: a small file with its process number and start time."""

from __future__ import annotations

import json
from pathlib import Path

import psutil

from .core.errors import InputError
from .files import write_json

NAME = "open"
SAME = 1.0  # seconds by which two readings of a start time may differ


def lock(folder: Path) -> None:
    """Say that this program has the session open.

    Raises
    ------
    InputError
        If a program that lives has, this one included.
    """
    if is_held(folder):
        raise InputError("session", str(folder), "it is open already; close it there first")
    me = psutil.Process()
    write_json(folder / NAME, {"process": me.pid, "started": me.create_time()})


def unlock(folder: Path) -> None:
    """Say that nobody has it open."""
    (folder / NAME).unlink(missing_ok=True)


def is_held(folder: Path) -> bool:
    """Whether the program that opened the session still lives."""
    try:
        values = json.loads((folder / NAME).read_text(encoding="utf-8"))
        process = psutil.Process(int(values["process"]))
        # A process number comes again; the start time then differs.
        return process.is_running() and abs(process.create_time() - float(values["started"])) < SAME
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return False
