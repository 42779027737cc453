"""The nuclei images that the bundled model learns from and is judged on (BBBC038, CC0)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.io import imread

from napari_papernets.core.image import ImageBlock

KINDS = ("fluo", "histology", "brightfield")
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "nuclei_dsb2018"


@dataclass(frozen=True, eq=False)
class Example:
    """An image with its nuclei."""

    kind: str
    image: ImageBlock
    objects: NDArray[np.integer]


def is_held_out(file_name: str) -> bool:
    """Whether an image belongs to the third that no training sees, by the hash of its file name."""
    return int(hashlib.sha256(file_name.encode()).hexdigest(), 16) % 3 == 0


def examples(held_out: bool, kinds: tuple[str, ...] = KINDS, folder: Path = DATA) -> Iterator[Example]:
    """The images of one side of the split, in the order of their names."""
    for kind in kinds:
        for path in sorted((folder / kind / "images").iterdir()):
            if is_held_out(path.name) == held_out:
                pixels = imread(path)
                axes = "YXC" if pixels.ndim == 3 else "YX"
                objects = imread(folder / kind / "labels" / path.name)
                yield Example(kind, ImageBlock(pixels, axes, name=f"{kind}/{path.name}"), objects)
