"""The real sets on which DeepLab is fine-tuned. Of each, some images are learnt from, on some the CRF's
parameters are searched, and some are seen by neither: on those both are judged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from skimage.io import imread

from napari_papernets.core.image import ImageBlock

SHARED = Path(__file__).resolve().parents[3] / "shared"
CLASSES = ("background", "object")
# Of the seen images, the last ones: on those the CRF is tuned, and nothing learns from them.
TUNED = 1 / 3

Part = Literal["learn", "tune", "judge"]


@dataclass(frozen=True, eq=False)
class Example:
    """An image with the class of every pixel: 0 background, 1 object."""

    image: ImageBlock
    classes: NDArray[np.uint8]


def in_later_half(name: str, names: list[str]) -> bool:
    """Of a sequence: neighbours in time look alike, so it is cut once, in the middle."""
    return names.index(name) >= (len(names) + 1) // 2


def in_last_quarter(name: str, names: list[str]) -> bool:
    """Of a short sequence whose frames come in pairs of neighbours: the cut is between two pairs."""
    return names.index(name) >= len(names) * 3 // 4


def in_hashed_third(name: str, names: list[str]) -> bool:
    """Of single images: a third by the hash of the file name, as for the bundled model."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 3 == 0


@dataclass(frozen=True)
class ImageSet:
    """Where a set lies, which of its images are unseen, and which have objects without annotation."""

    folder: str
    is_unseen: Callable[[str, list[str]], bool]
    partly: tuple[str, ...] = ()

    def examples(self, part: Part, shared: Path = SHARED) -> list[Example]:
        """The images of one part, in the order of their names."""
        folder = shared / "data" / self.folder
        names = sorted(p.name for p in (folder / "labels").iterdir() if p.name not in self.partly)
        unseen = [name for name in names if self.is_unseen(name, names)]
        seen = [name for name in names if name not in unseen]
        cut = round(len(seen) * (1 - TUNED))  # neighbours in time look alike: no tuning on those
        parts = dict(judge=unseen, tune=seen[cut:], learn=seen[:cut])
        return [_read(folder, name) for name in parts[part]]


SETS: Mapping[str, ImageSet] = {
    "hela": ImageSet("dic_hela", in_last_quarter, partly=("t067.png",)),
    "u373": ImageSet("phase_contrast_u373", in_later_half),
    "histology": ImageSet("nuclei_dsb2018/histology", in_hashed_third),
}


def _read(folder: Path, name: str) -> Example:
    pixels, objects = imread(folder / "images" / name), imread(folder / "labels" / name)
    axes = "YXC" if pixels.ndim == 3 else "YX"
    return Example(ImageBlock(pixels, axes, name=name), (objects > 0).astype(np.uint8))
