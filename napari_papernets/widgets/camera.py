"""Where the viewer looks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari.viewer

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


@contextlib.contextmanager
def steady_view(viewer: napari.viewer.Viewer) -> Iterator[None]:
    """Keep the view in place while a layer comes that has more axes than the others: napari would then
    show all."""
    look = look_of(viewer)
    yield
    look_at(viewer, look)
