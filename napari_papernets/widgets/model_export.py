"""Copies a model file under another name, without reading its weights into memory."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

from ..atomic import replacing
from ..model_files import HEADER_KEY, read_header, user_folder


def export_model(source: Path, target: Path) -> Path:
    """Write a copy whose name in lists is that of its file; whole or not at all.

    Parameters
    ----------
    source : Path
        A model file.
    target : Path
        Where to; a bare file name means the user's own models.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    ModelError
        If `source` is no model file.
    """
    if target.parent == Path("."):
        target = user_folder() / target
    header = dict(read_header(source))
    about = dict(header["__metadata__"])
    about[HEADER_KEY] = json.dumps({**json.loads(about[HEADER_KEY]), "name": target.stem})
    text = json.dumps({**header, "__metadata__": about}, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the weights begin at a multiple of 8 bytes
    with source.open("rb") as old, replacing(target) as temporary, temporary.open("wb") as new:
        old.seek(8 + struct.unpack("<Q", old.read(8))[0])
        new.write(struct.pack("<Q", len(text)) + text)
        shutil.copyfileobj(old, new, 1 << 20)
    return target
