"""Which names models are trained under: a lock beside the models, which dies with who holds it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

TRIES, PAUSE = 5, 0.05  # seconds between them: who only looks has the lock for a moment


def is_trained(folder: Path, name: str) -> bool:
    """Whether a training that lives, here or in another program, will write the model `name`. To the
    further processes of `torchrun` none does: they take the name that the first one has kept."""
    if _is_further():
        return False
    try:
        with _path(folder, name).open("rb") as file:
            return not _try_lock(file, shared=True)
    except OSError:  # no such file, as a rule
        return False


@contextmanager
def training(folder: Path, name: str) -> Iterator[bool]:
    """Keep the name from others; gives whether that could be, or another training lives that has it.

    The first process of `torchrun` does it for all. A folder that is made for it goes again if nothing
    else came into it.
    """
    if _is_further():
        yield True
        return
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = _path(folder, name)
    file = _open_locked(path)
    try:
        yield file is not None
    finally:
        if file is not None:
            _let_go(file, path)
        with suppress(OSError):
            for place in made:
                place.rmdir()


def _path(folder: Path, name: str) -> Path:
    return folder / f".{name}.training"


def _is_further() -> bool:
    """Whether this is one of several processes of a training, and not the first."""
    return os.environ.get("RANK", "0") != "0"


def _open_locked(path: Path) -> BinaryIO | None:
    tries = 0
    while True:
        file = path.open("a+b")
        if not _try_lock(file):
            file.close()
            tries += 1
            if tries == TRIES:
                return None
            time.sleep(PAUSE)
            continue
        with suppress(FileNotFoundError):  # who had it took it away before it was let go
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _let_go(file: BinaryIO, path: Path) -> None:
    if sys.platform == "win32":  # where an open file cannot be taken away
        file.close()
        with suppress(OSError):
            path.unlink()
    else:
        path.unlink(missing_ok=True)
        file.close()


def _try_lock(file: BinaryIO, shared: bool = False) -> bool:
    """Whether nobody else has the file; it is given back when the file is closed, and by any end of
    the program. On a disk without locks nobody has."""
    if sys.platform == "win32":
        import msvcrt

        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
