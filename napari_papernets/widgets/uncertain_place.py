"""Where to paint next: the place that the model is most uncertain of, away from what is painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .camera import camera_of
from .image_layers import layer_axes

if TYPE_CHECKING:
    import napari.viewer

    from .annotated_image import AnnotatedImage

BLOCK = 8  # pixels to a side: what is finer than a brush is no place
SMOOTH = 5  # blocks
AWAY = 2  # blocks around strokes that do not count
LOOK = 320  # pixels to a side of what is then in view, at most


def most_uncertain(
    doubt: NDArray[np.uint8], painted: NDArray[np.bool_]
) -> tuple[float, tuple[int, int]] | None:
    """The smoothed maximum of the uncertainty of a plane.

    Parameters
    ----------
    doubt : ndarray of uint8, shape (Y, X)
        0 where it is certain, or unknown.
    painted : ndarray of bool, shape (Y, X)
        Strokes; places beside them are passed over.

    Returns
    -------
    (float, (y, x)) or None
        How uncertain, 0…255, and the middle of the place in pixels; None where nothing is.
    """
    from scipy import ndimage

    coarse = ndimage.uniform_filter(_block_means(doubt), SMOOTH, mode="constant")
    near = ndimage.binary_dilation(_block_means(painted) > 0, np.ones((3, 3)), iterations=AWAY)
    coarse[near] = 0
    best = np.unravel_index(int(coarse.argmax()), coarse.shape)
    if coarse[best] <= 0:
        return None
    y, x = (min(int(i) * BLOCK + BLOCK // 2, n - 1) for i, n in zip(best, doubt.shape, strict=True))
    return float(coarse[best]), (y, x)


def move_camera(
    viewer: napari.viewer.Viewer, pair: AnnotatedImage, place: tuple[int, int], in_view: float
) -> None:
    """Bring a pixel of the plane in view to the middle, and closer where much is in view.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose camera moves.
    pair : AnnotatedImage
        The image.
    place : (y, x)
        In pixels.
    in_view : float
        Pixels to a side that are in view now.
    """
    shown = layer_axes(pair.image, pair.axes)
    offset = viewer.dims.ndim - pair.image.ndim
    point = np.array(pair.image.world_to_data(np.asarray(viewer.dims.point, float)[offset:]))
    point[[shown.index("Y"), shown.index("X")]] = place
    world = pair.image.data_to_world(point)
    camera = camera_of(viewer)
    camera.center = (0.0, world[shown.index("Y")], world[shown.index("X")])
    camera.zoom = camera.zoom * max(1.0, in_view / LOOK)


def _block_means(plane: NDArray[np.generic]) -> NDArray[np.float32]:
    """Means of blocks of `BLOCK`² pixels, zeros beyond the border."""
    rows, columns = (-n % BLOCK for n in plane.shape)
    padded = np.pad(plane, ((0, rows), (0, columns)))
    blocks = padded.reshape(padded.shape[0] // BLOCK, BLOCK, padded.shape[1] // BLOCK, BLOCK)
    return blocks.mean(axis=(1, 3), dtype=np.float32)
