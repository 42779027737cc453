"""Writing files whole or not at all, where an error of the disk tells which file was being written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .atomic import replacing


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, as `replacing` gives it.

    Raises
    ------
    OSError
        As the system's, of a full disk and the like, but naming `path`: the system names the file beside
        it, or none.
    """
    temporary: Path | None = None
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        beside = temporary is not None and str(error.filename).startswith(str(temporary))
        if error.filename is not None and not beside:
            raise
        if error.errno is None:  # numpy's, which only counts what it could not write
            raise OSError(f"{path}: {error}") from error
        raise OSError(error.errno, error.strerror, str(path)) from error
