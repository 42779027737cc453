"""Made-up objects for the tests of this folder."""

from __future__ import annotations

import numpy as np

from napari_papernets.engine.targets import number_objects


def random_discs(seed: int, shape: tuple[int, int] = (90, 110), count: int = 14) -> np.ndarray:
    """Discs at random places, later ones over earlier ones, so that many touch."""
    rng = np.random.default_rng(seed)
    ids = np.zeros(shape, np.int32)
    y, x = np.ogrid[: shape[0], : shape[1]]
    for n in range(1, count + 1):
        cy, cx, r = rng.integers(shape[0]), rng.integers(shape[1]), rng.integers(4, 12)
        ids[(y - cy) ** 2 + (x - cx) ** 2 <= r**2] = n
    return number_objects(ids)
