"""Layers of what the model in training says: classes, and how uncertain it is of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer

from ..core.events import Preview
from ..core.model import ClassInfo
from .annotated_image import AnnotatedImage
from .annotation_layer import annotation_axes, annotation_shape, empty_labels
from .image_layers import full_data, layer_axes
from .label_sink import INTERVAL, class_colours
from .outputs import OUTPUT, find_output, is_shown, output_key, put_output
from .part_refresh import refresh_boxes
from .placement import lay_out, placement_of
from .run import SOON

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

OPACITY = 0.45
LIVE = "live "  # how the keys of these layers begin
ROLES = ("prediction", "uncertainty")
Plane = tuple[int, ...]


@dataclass(eq=False)
class Shown:
    """What is shown of one image.

    Attributes
    ----------
    labels, doubt : ndarray of uint8, shape (*stack, Y, X)
        Classes 1…K and uncertainty 0…255 where there was a preview, else 0.
    layers : dict of str to layer
        By role; those that the user deleted too.
    planes : set of tuple of int
        With a preview.
    """

    labels: NDArray[np.uint8]
    doubt: NDArray[np.uint8]
    layers: dict[str, napari.layers.Layer] = field(default_factory=dict)
    planes: set[Plane] = field(default_factory=set)


class LiveLayers(QObject):
    """Two layers for each image, filled in place; opacity and visibility are the user's.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where they are.
    pair : callable
        The AnnotatedImage of a number; KeyError where it was removed.
    interval : int
        Milliseconds between updates.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        pair: Callable[[int], AnnotatedImage],
        parent: QObject | None = None,
        interval: int = INTERVAL,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._pair, self._interval = viewer, pair, interval
        self._classes: Sequence[ClassInfo] = ()
        self._shown: dict[int, Shown] = {}
        self._newest: dict[tuple[int, Plane], Preview] = {}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._on_time)
        self._leaving: list[napari.layers.Layer] = []
        # Not at once: where an image is deleted, others are still to hear of that.
        self._leave = QTimer(self, singleShot=True, interval=0)
        self._leave.timeout.connect(self._on_leave)
        self._awaited: list[int] = []  # numbers of images whose layers come, one at a time
        self._come = QTimer(self, singleShot=True, interval=SOON)
        self._come.timeout.connect(self._on_come)

    def begin(self, classes: Sequence[ClassInfo]) -> None:
        """A training starts: layers that the user deleted may come again."""
        for shown in self._shown.values():
            shown.layers = {r: la for r, la in shown.layers.items() if is_shown(self._viewer, la)}
        self.set_classes(classes)

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Other names or colours."""
        self._classes = classes
        for shown in self._shown.values():
            layer = shown.layers.get("prediction")
            if layer is not None and is_shown(self._viewer, layer):
                for name, value in class_colours(classes).items():
                    setattr(layer, name, value)

    def prepare(self, pair: AnnotatedImage) -> None:
        """Add the layers of an image soon, while nobody paints, and one at a time: adding one stops the
        window for a moment."""
        self._awaited.append(pair.number)
        self._come.start()

    def show(self, preview: Preview) -> None:
        """Show a preview, by the session's number of its image; soon, with others that come."""
        self._newest[preview.view.image, preview.view.plane] = preview
        if not self._timer.isActive():
            self._on_time()

    def forget(self, number: int) -> None:
        """The image is no longer annotated: its layers go, soon."""
        shown = self._shown.pop(number, None)
        if shown is not None:
            self._leaving += shown.layers.values()
            self._leave.start()

    def forget_all(self) -> None:
        """Another session begins."""
        self._newest.clear()
        self._awaited.clear()
        for number in tuple(self._shown):
            self.forget(number)
        self._on_leave()

    def doubts(self, number: int) -> dict[Plane, NDArray[np.uint8]]:
        """Uncertainty of every plane of an image that was previewed, shape (Y, X)."""
        shown = self._shown.get(number)
        return {} if shown is None else {plane: shown.doubt[plane] for plane in shown.planes}

    def _on_time(self) -> None:
        newest, self._newest = self._newest, {}
        if not newest:
            return
        self._timer.start(self._interval)
        for (number, _), preview in newest.items():
            try:
                pair = self._pair(number)
            except KeyError:
                continue
            self._write(pair, preview)

    def _on_come(self) -> None:
        while self._awaited:
            try:
                pair = self._pair(self._awaited[0])
            except KeyError:  # it is no longer annotated
                pair = None
            if pair is not None and self._add_next(pair, self._begin(pair)):
                self._come.start()
                return
            del self._awaited[0]

    def _on_leave(self) -> None:
        self._leave.stop()
        leaving, self._leaving = self._leaving, []
        for layer in leaving:
            if is_shown(self._viewer, layer):
                self._viewer.layers.remove(layer)

    def _write(self, pair: AnnotatedImage, preview: Preview) -> None:
        shown = self._of(pair)
        plane, (y0, y1, x0, x1) = preview.view.plane, preview.view.region
        shown.labels[plane][y0:y1, x0:x1] = preview.labels
        shown.doubt[plane][y0:y1, x0:x1] = preview.uncertainty
        shown.planes.add(plane)
        lies = layer_axes(pair.image, pair.axes).endswith("YX")
        boxes = [(slice(y0, y1), slice(x0, x1))] if lies else None
        for layer in shown.layers.values():
            if layer.visible and is_shown(self._viewer, layer):
                refresh_boxes(self._viewer, layer, boxes)

    def _of(self, pair: AnnotatedImage) -> Shown:
        """What is shown of an image, with its layers."""
        shown = self._begin(pair)
        while self._add_next(pair, shown):
            pass
        return shown

    def _begin(self, pair: AnnotatedImage) -> Shown:
        """What is shown of an image, with the layers that are there."""
        shown = self._shown.get(pair.number)
        if shown is None:
            self._on_leave()
            shape = annotation_shape(pair.image, pair.axes)
            shown = self._shown[pair.number] = Shown(empty_labels(shape), empty_labels(shape))
        return shown

    def _add_next(self, pair: AnnotatedImage, shown: Shown) -> bool:
        """Add one layer that an image lacks; whether there was one."""
        for role, data in zip(ROLES, (shown.labels, shown.doubt), strict=True):
            if role not in shown.layers:
                shown.layers[role] = self._add(pair, role, data)
                return True
        return False

    def _add(self, pair: AnnotatedImage, role: str, data: NDArray[np.uint8]) -> napari.layers.Layer:
        like = layer_axes(pair.image, pair.axes)
        sizes = dict(zip(pair.axes, full_data(pair.image).shape, strict=True))
        laid, dims = lay_out(data, annotation_axes(pair.image, pair.axes), like, sizes)
        key = output_key(f"{LIVE}{role}", pair.image)
        options, kind = _options(role, self._classes)
        if find_output(self._viewer, key) is None:
            options |= dict(opacity=OPACITY) if role == "prediction" else dict(visible=False)
        place = placement_of(pair.image).keep(dims)
        layer = put_output(self._viewer, kind, key, f"{pair.image.name} {role}", laid, place, **options)
        if role == "prediction":
            layer.editable = False
        put_below(self._viewer, layer, pair.labels)
        return layer


def _options(role: str, classes: Sequence[ClassInfo]) -> tuple[dict[str, Any], str]:
    if role == "prediction":
        return class_colours(classes), "labels"
    look = dict(colormap="magma", contrast_limits=(0, 255), blending="additive")
    return look, "image"


def is_preview(layer: napari.layers.Layer) -> bool:
    """Whether a live training renews the layer."""
    return str(layer.metadata.get(OUTPUT, {}).get("key", "")).startswith(LIVE)


def live_layers_of(
    viewer: napari.viewer.Viewer, image: napari.layers.Image
) -> list[napari.layers.Layer]:
    """Prediction and uncertainty of an image, as far as they are in the viewer."""
    found = (find_output(viewer, output_key(f"{LIVE}{role}", image)) for role in ROLES)
    return [layer for layer in found if layer is not None]


def put_below(
    viewer: napari.viewer.Viewer, layer: napari.layers.Layer, strokes: napari.layers.Layer
) -> None:
    """Strokes stay on top of what is learnt from them."""
    names = [la.unique_id for la in viewer.layers]
    if strokes.unique_id in names and names.index(layer.unique_id) > names.index(strokes.unique_id):
        viewer.layers.move(names.index(layer.unique_id), names.index(strokes.unique_id))
