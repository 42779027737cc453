"""A simulated annotator: a few short strokes in each class, then more where the answer is most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LENGTH, WIDTH = 40, 3  # pixels of a stroke
FIRST, CORRECTIONS = 3, 4  # strokes of each class at first; in each later round
TURN = 0.35  # standard deviation in radians of the direction, for each pixel of the way


@dataclass(eq=False)
class Annotator:
    """Paints on images whose truth it knows.

    Parameters
    ----------
    truths : sequence of ndarray of uint8, shape (Y, X)
        The class 1…K of every pixel, 0 where it is not known.
    seed : int
        Another seed paints elsewhere.

    Attributes
    ----------
    strokes : list of ndarray of uint8, shape (Y, X)
        What is painted so far.
    count : int
        Number of strokes so far.
    """

    truths: Sequence[NDArray[np.uint8]]
    seed: int = 0
    strokes: list[NDArray[np.uint8]] = field(init=False)
    count: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.strokes = [np.zeros(t.shape, np.uint8) for t in self.truths]

    def begin(self) -> None:
        """A few strokes in each class, on images taken in turn."""
        classes = int(max(t.max() for t in self.truths))
        for c in range(1, classes + 1):
            holders = [i for i, t in enumerate(self.truths) if (t == c).any()]
            for n in range(FIRST):
                image = holders[n % len(holders)]
                self._paint(image, c, self.truths[image] == c)

    def correct(self, labels: Sequence[NDArray[np.integer]]) -> None:
        """Strokes in the largest regions where `labels` (1…K) are wrong, over all images."""
        regions = []
        for image, (truth, found) in enumerate(zip(self.truths, labels, strict=True)):
            for c in range(1, int(truth.max()) + 1):
                wrong, _ = ndimage.label((truth == c) & (found != c))
                sizes = np.bincount(wrong.ravel())[1:]
                regions += [(int(s), image, c, i + 1, wrong) for i, s in enumerate(sizes)]
        regions.sort(key=lambda r: -r[0])
        for _, image, c, number, wrong in regions[:CORRECTIONS]:
            self._paint(image, c, wrong == number)

    def _paint(self, image: int, c: int, region: NDArray[np.bool_]) -> None:
        truth = self.truths[image] == c
        path = draw_path(self.rng, region, truth)
        mark = np.zeros(region.shape, bool)
        mark[tuple(np.array(path).T)] = True
        mark = ndimage.binary_dilation(mark, np.ones((WIDTH, WIDTH))) & truth
        self.strokes[image][mark] = c
        self.count += 1


def draw_path(
    rng: np.random.Generator, region: NDArray[np.bool_], allowed: NDArray[np.bool_]
) -> list[tuple[int, int]]:
    """A wandering way of up to `LENGTH` pixels that starts in `region` and stays on `allowed`."""
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    inner = np.argwhere(depth >= 0.7 * depth.max()) if rng.random() < 0.5 else np.argwhere(region)
    y, x = (float(v) for v in inner[rng.integers(len(inner))])
    path, angle = [(int(y), int(x))], rng.uniform(0, 2 * np.pi)
    for _ in range(LENGTH - 1):
        for turn in (0.0, 0.5, -0.5, 1.0, -1.0, 1.8, -1.8):
            a = angle + turn + rng.normal(0, TURN)
            ny, nx = y + np.sin(a), x + np.cos(a)
            row, column = round(ny), round(nx)
            inside = 0 <= row < region.shape[0] and 0 <= column < region.shape[1]
            if inside and allowed[row, column]:
                y, x, angle = ny, nx, a
                path.append((row, column))
                break
        else:
            break
    return path
