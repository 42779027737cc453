"""napari's colormaps as arrays; free of Qt."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray


@cache
def colour_table(name: str) -> NDArray[np.uint8]:
    """The 256 colours of a colormap, shape (256, 3)."""
    from napari.utils.colormaps import ensure_colormap

    colours = ensure_colormap(name).map(np.linspace(0, 1, 256))[:, :3]
    return np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8)
