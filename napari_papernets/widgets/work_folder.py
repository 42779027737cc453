"""A folder for what a session has not taken in yet; what a killed program left behind is cleared."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import psutil

PREFIX = "papernets-live-"
OLD = 24 * 3600  # seconds: whoever shares the folder but not the numbers of processes keeps its own


def make_work_folder() -> Path:
    """A new folder of this process among the system's temporary files."""
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))


def clear_old_folders() -> None:
    """Remove those that belong to no process any more and were not touched for a day."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        process = folder.name.removeprefix(PREFIX).split("-")[0]
        if process.isdecimal() and psutil.pid_exists(int(process)):
            continue
        try:
            untouched = time.time() - folder.stat().st_mtime
        except OSError:  # gone meanwhile
            continue
        if untouched > OLD:
            shutil.rmtree(folder, ignore_errors=True)
