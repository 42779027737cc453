"""A folder for what a session has not taken in yet; what a killed program left behind is cleared."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from pathlib import Path

import psutil

PREFIX = f"papernets-live-{platform.node()}@"  # several computers may share the folder
OLD = 24 * 3600  # seconds


def make_work_folder() -> Path:
    """A new folder of this process among the system's temporary files."""
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))


def clear_old_folders() -> None:
    """Remove those that belong to no process any more and were not touched for a day."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        process = folder.name.removeprefix(PREFIX).split("-")[0]
        if not process.isdecimal() or _lives(int(process)):
            continue
        try:
            untouched = time.time() - folder.stat().st_mtime
        except OSError:  # gone meanwhile
            continue
        if untouched > OLD:
            shutil.rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        return psutil.pid_exists(process)
    except OverflowError:  # no system has such a number
        return False
