"""Where the viewer looks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari.viewer

TINY = 16  # pixels of the screen; what is smaller is hardly seen
SEEN = 80  # pixels of the screen, to which it grows
COARSE = 12  # pixels of the screen for one of the image, at most: beyond, nothing around is seen
FILLED = 0.9  # of the canvas that a thing may fill

Look = tuple[tuple[float, ...], float]
"""Centre and zoom."""


def camera_of(viewer: napari.viewer.Viewer) -> Any:
    """The camera, which napari 0.9 moved from the viewer to its scene."""
    return getattr(viewer, "scene", viewer).camera


def look_of(viewer: napari.viewer.Viewer) -> Look:
    """Where it looks now."""
    camera = camera_of(viewer)
    return tuple(camera.center), float(camera.zoom)


def look_at(viewer: napari.viewer.Viewer, look: Look) -> None:
    """Look there again."""
    camera = camera_of(viewer)
    camera.center, camera.zoom = look


def zoom_to_see(
    viewer: napari.viewer.Viewer, size: tuple[float, float], pixel: tuple[float, float]
) -> None:
    """Zoom so that what is in the middle is seen as a whole and is more than a dot; where it is so
    already, the zoom stays.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose canvas is flat.
    size, pixel : (y, x)
        Of the thing and of a pixel of its image, in world units.
    """
    camera = camera_of(viewer)
    zoom = wanted = float(camera.zoom)  # pixels of the screen for a world unit
    if max(size) * zoom < TINY:
        wanted = max(zoom, min(SEEN / max(size), COARSE / max(pixel)))
    canvas = getattr(viewer, "canvas", None)  # napari 0.9
    if canvas is not None:
        most = min(n / s for n, s in zip(canvas.size, size, strict=True))
        wanted = wanted if wanted <= most else FILLED * most
    if wanted != zoom:
        camera.zoom = wanted


@contextlib.contextmanager
def steady_view(viewer: napari.viewer.Viewer) -> Iterator[None]:
    """Keep the view in place while a layer comes that has more axes than the others: napari would then
    show all."""
    look = look_of(viewer)
    yield
    look_at(viewer, look)
