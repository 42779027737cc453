"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write a file or folder to; on success it takes the place of `path`.

    After a failure nothing is left of it, and what was at `path` is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last, since libraries choose the format by it.
    temporary = path.with_name(f".{secrets.token_hex(6)}-{path.name}")
    try:
        yield temporary
        _take_place(temporary, path)
    finally:
        _remove(temporary)


def _take_place(temporary: Path, path: Path) -> None:
    if not path.is_dir():
        os.replace(temporary, path)
        return
    # A folder cannot be replaced in one step: set the old one aside until the new one is there.
    aside = path.with_name(f".{secrets.token_hex(6)}-{path.name}")
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
