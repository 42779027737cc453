"""Images with the class of every pixel: which are annotated, and which are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.io import imread
from skimage.segmentation import find_boundaries

from napari_papernets.core.image import ImageBlock

from ..nuclei.data import is_held_out

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SIDE = 512  # images are cut to this


@dataclass(frozen=True, eq=False)
class Task:
    """A person's job: annotate the first images, get the others segmented.

    Attributes
    ----------
    name : str
        What is seen.
    images : tuple of ImageBlock
        Grey or RGB.
    truths : tuple of ndarray of uint8, shape (Y, X)
        The class 1…K of every pixel; 0 where it is not known.
    annotated : int
        How many of the images, from the first, are annotated; the others are judged.
    """

    name: str
    images: tuple[ImageBlock, ...]
    truths: tuple[NDArray[np.uint8], ...]
    annotated: int

    @property
    def classes(self) -> int:
        return int(max(t.max() for t in self.truths))


def load_tasks(names: Sequence[str] = (), folder: Path = DATA) -> list[Task]:
    """The tasks of those names, all by default."""
    return [TASKS[name](folder) for name in names or TASKS]


def _make(name: str, pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]], annotated: int) -> Task:
    images, truths = [], []
    for number, (pixels, truth) in enumerate(pairs):
        pixels, truth = pixels[:SIDE, :SIDE], truth[:SIDE, :SIDE]
        axes = "YXC" if pixels.ndim == 3 else "YX"
        images.append(ImageBlock(np.ascontiguousarray(pixels), axes, name=f"{name} {number}"))
        truths.append(truth.astype(np.uint8))
    return Task(name, tuple(images), tuple(truths), annotated)


def _pairs(folder: Path, names: Sequence[str]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    return [(imread(folder / "images" / n), imread(folder / "labels" / n)) for n in names]


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / "labels").iterdir())


def _objects(pairs: Sequence[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Background is class 1, any object class 2."""
    return [(image[..., :3] if image.ndim == 3 else image, 1 + (truth > 0)) for image, truth in pairs]


def _nuclei(kind: str, annotated: int, judged: int, least: int = 256) -> Callable[[Path], Task]:
    def load(folder: Path) -> Task:
        here = folder / "nuclei_dsb2018" / kind
        names = [n for n in _names(here) if is_held_out(n)] if kind != "brightfield" else _names(here)
        pairs = [p for p in _pairs(here, names) if min(p[1].shape) >= least and p[1].max() >= 5]
        first = pairs[0][0].shape
        same = [p for p in pairs if p[0].shape == first]
        chosen = (same if len(same) >= annotated + judged else pairs)[: annotated + judged]
        return _make(kind, _objects(chosen), annotated)

    return load


def _sequence(
    name: str, data: str, annotated: int, judged: int, partly: Sequence[str] = ()
) -> Callable[[Path], Task]:
    """Frames far apart in a film: annotated early ones, judged on late ones; those that are annotated
    in part are left out."""

    def load(folder: Path) -> Task:
        names = [n for n in _names(folder / data) if n not in partly]
        chosen = names[:annotated] + names[-judged:]
        return _make(name, _objects(_pairs(folder / data, chosen)), annotated)

    return load


def _membranes(folder: Path) -> Task:
    here = folder / "em_membranes_isbi2012"
    names = _names(here)
    pairs = [(i, np.where(t > 0, 1, 2)) for i, t in _pairs(here, [names[0], names[6], *names[12::4]])]
    return _make("EM membranes", pairs, 2)


def _sandstone(folder: Path) -> Task:
    here = folder / "microct_sandstone"
    return _make("micro-CT", [(i, t + 1) for i, t in _pairs(here, _names(here))], 2)


def _bacteria(folder: Path) -> Task:
    """Two phase-contrast images, cut in halves: the left ones are annotated."""
    here = folder / "bacteria_omnipose"
    pairs = _objects(_pairs(here, ["Sample000193.tif", "Sample000252.tif"]))
    halves = [
        (image[:, s], truth[:, s])
        for side in (slice(None, 280), slice(281, None))
        for image, truth in pairs
        for s in (side,)
    ]
    grey = [(i.mean(-1) if i.ndim == 3 else i, t) for i, t in halves]
    return _make("bacteria", grey, 2)


def _walls(folder: Path) -> Task:
    here = folder / "volumes"
    import tifffile

    raw = tifffile.imread(here / "sample_ovule__raw.tif")
    cells = tifffile.imread(here / "sample_ovule__label.tif")
    planes = (8, 12, 20, 24, 28)
    pairs = [(raw[z], 1 + (find_boundaries(cells[z]) | (cells[z] == 0))) for z in planes]
    return _make("cell walls", pairs, 2)


TASKS: Mapping[str, Callable[[Path], Task]] = {
    "fluo": _nuclei("fluo", 2, 5),
    "histology": _nuclei("histology", 2, 4),
    "brightfield": _nuclei("brightfield", 2, 4),
    "phase contrast": _sequence("phase contrast", "phase_contrast_u373", 2, 4),
    "DIC": _sequence("DIC", "dic_hela", 2, 4, partly=["t067.png"]),
    "EM membranes": _membranes,
    "micro-CT": _sandstone,
    "bacteria": _bacteria,
    "cell walls": _walls,
}
