"""The unlabelled pool: frames without annotation, and images whose labels are not looked at.

Every image that the probe annotates or judges is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from skimage.io import imread

from napari_papernets.core.image import ImageBlock

from ..annotate.tasks import DATA
from ..nuclei.data import is_held_out

FREE = ("fluo", "histology", "mixed")  # CC0 and BSD-3: weights trained on these may ship


def pool(free: bool = False, folder: Path = DATA) -> tuple[list[ImageBlock], list[float]]:
    """Images and how often each is drawn: all kinds alike.

    Parameters
    ----------
    free : bool
        Only kinds whose licence lets weights ship.
    folder : Path
        Where the images lie.
    """
    found = [(kind, path) for kind, path in _paths(folder) if not free or kind in FREE]
    kinds = [kind for kind, _ in found]
    shares = [1 / kinds.count(kind) for kind in kinds]
    return [_read(path) for _, path in found], shares


def _read(path: Path) -> ImageBlock:
    pixels = imread(path)
    if pixels.ndim == 3:
        return ImageBlock(np.ascontiguousarray(pixels[..., :3]), "YXC", name=path.name)
    return ImageBlock(pixels, "YX", name=path.name)


def _paths(folder: Path) -> Iterator[tuple[str, Path]]:
    for kind in ("fluo", "histology"):
        images = folder / "nuclei_dsb2018" / kind / "images"
        yield from ((kind, p) for p in sorted(images.iterdir()) if not is_held_out(p.name))
    for kind, name in (("phase contrast", "phase_contrast_u373"), ("DIC", "dic_hela")):
        yield from ((kind, p) for p in sorted((folder / name / "unlabelled").iterdir()))
    slices = sorted((folder / "em_membranes_isbi2012" / "images").iterdir())
    judged = {slices[0], slices[6], *slices[12::4]}  # see annotate/tasks.py
    yield from (("EM", p) for p in slices if p not in judged)
    yield from (("mixed", p) for p in sorted((folder / "unlabelled_mixed").iterdir()))
