"""Sends to the screen only what changed of a layer whose array was written in place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

Box = tuple[slice, slice]
"""Rows and columns, in pixels of the layer."""

BAND = 2_000_000  # bytes that go to the screen at once
MOST_BOXES = 16  # together; of more, all is sent


def refresh_boxes(
    viewer: napari.viewer.Viewer, layer: napari.layers.Layer, boxes: list[Box] | None
) -> None:
    """Show what is in some boxes of a flat layer; all of it where napari cannot show a part.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layer is.
    layer : napari.layers.Layer
        Its array was written in place: nothing enters the undo history.
    boxes : list of (slice, slice), or None
        Rows and columns; None is everything.
    """
    if boxes is None or len(boxes) > MOST_BOXES or not shows_parts(viewer, layer):
        layer.refresh(thumbnail=False, highlight=False, extent=False)
        return
    for rows, columns in boxes:
        part = layer.data[rows, columns]
        if part.size:
            layer.events.labels_update(data=part, offset=[rows.start, columns.start])


def shows_parts(viewer: napari.viewer.Viewer, layer: napari.layers.Layer) -> bool:
    """Whether a part of the array, as it is, is a part of what napari holds of the layer on the screen:
    so it is with flat labels of small integers that are drawn as they lie, without contours."""
    from napari.layers import Labels

    order = viewer.dims.order[-2:]
    return (
        isinstance(layer, Labels)
        and layer.visible
        and layer.ndim == 2
        and layer.contour == 0
        and layer.data.dtype.kind == "u"
        and layer.data.dtype.itemsize <= 2
        and viewer.dims.ndisplay == 2
        and order[0] < order[1]
    )


def in_bands(viewer: napari.viewer.Viewer, layer: napari.layers.Labels) -> Iterator[None]:
    """Show all of a layer whose array was written in place, a band of rows at every step, so that the
    window can live between them; the thumbnail comes last."""
    if shows_parts(viewer, layer):
        height, width = layer.data.shape
        step = max(1, BAND // (width * layer.data.itemsize))
        for start in range(0, height, step):
            refresh_boxes(viewer, layer, [(slice(start, min(start + step, height)), slice(0, width))])
            yield
    else:
        refresh_boxes(viewer, layer, None)
        yield
    layer.refresh(thumbnail=True, data_displayed=False, highlight=False, extent=False)
