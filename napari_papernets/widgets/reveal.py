"""Brings one annotated image into sight where several lie on each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .live_layers import live_layers_of
from .outputs import is_output

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from .annotated_image import AnnotatedImage

COVERING = ("opaque", "translucent", "translucent_no_depth")  # blending of what lies below is unseen


class Reveal:
    """Shows an image with its strokes and its prediction, and hides what lies over them.

    Layers that it hid come back with the image that they belong to; what the person hid stays hidden.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Of all layers.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._hidden: set[Any] = set()  # unique ids

    def show(self, pair: AnnotatedImage, others: list[AnnotatedImage]) -> None:
        """Bring a pair into sight; `others` are annotated too."""
        shown = {layer.unique_id for layer in self._viewer.layers if layer.visible}
        self._hidden -= shown  # the person showed them meanwhile
        own = [pair.image, pair.labels, *live_layers_of(self._viewer, pair.image)]
        for other in others:
            if _overlap(other.image, pair.image):
                for layer in (other.labels, *live_layers_of(self._viewer, other.image)):
                    self._hide(layer)
        for layer in self._above(pair.image):
            if layer not in own and _covers(layer) and _overlap(layer, pair.image):
                self._hide(layer)
        for layer in own:
            if layer in (pair.image, pair.labels) or layer.unique_id in self._hidden:
                layer.visible = True
            self._hidden.discard(layer.unique_id)

    def _hide(self, layer: napari.layers.Layer) -> None:
        if layer.visible:
            layer.visible = False
            self._hidden.add(layer.unique_id)

    def _above(self, image: napari.layers.Layer) -> list[napari.layers.Layer]:
        layers = list(self._viewer.layers)
        return layers[layers.index(image) + 1 :] if image in layers else []


def _covers(layer: napari.layers.Layer) -> bool:
    """Whether nothing is seen of what lies below: an image, but no result, and no channel of many."""
    from napari.layers import Image

    dense = layer.opacity == 1 and str(layer.blending) in COVERING
    return isinstance(layer, Image) and not is_output(layer) and dense


def _overlap(one: napari.layers.Layer, other: napari.layers.Layer) -> bool:
    """Whether two layers share a part of the plane, by the boxes around them."""
    first, second = (np.asarray(layer.extent.world)[:, -2:] for layer in (one, other))
    return bool(np.all(first[0] < second[1]) and np.all(second[0] < first[1]))
