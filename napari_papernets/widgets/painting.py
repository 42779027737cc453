"""What a person paints, put together: images with their layers, classes, brush and keys, patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from ..core.errors import InputError
from ..core.model import ClassInfo, class_infos
from .annotated_image import AnnotatedImage
from .annotated_images import AnnotatedImages
from .annotation_layer import (
    SESSION,
    adopt_annotation,
    annotated_id,
    arm,
    brush_of,
    check_shape,
    classes_of,
    new_annotation,
    show_classes,
)
from .class_keys import ClassKeys
from .classes_table import ClassesTable
from .stroke_feed import Sink
from .stroke_watcher import StrokeWatcher

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

MOST_GUESSED = 9  # classes that are added by themselves for a layer that has higher labels


class Painting(QObject):
    """The annotation of one session.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.

    Attributes
    ----------
    table : ClassesTable
        Names, colours and counts.
    images : AnnotatedImages
        The images and their layers; another object after `restart`.
    watcher : StrokeWatcher
        Likewise.
    imagesChanged : Signal()
        An image came, went, was renamed or lies elsewhere.
    currentChanged : Signal()
        Another one is painted on.
    removed : Signal(int)
        The image of that number is no longer annotated.
    classRemoving : Signal(int)
        The strokes of this class are about to be erased; before `classesChanged`.
    classesChanged : Signal()
        By the person.
    painted : Signal(object)
        Every Patch, on the thread of the window.
    problem : Signal(object)
        The error.
    """

    imagesChanged = Signal()
    currentChanged = Signal()
    removed = Signal(int)
    classRemoving = Signal(int)
    classesChanged = Signal()
    painted = Signal(object)
    problem = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._sinks: list[Sink] = []
        self._layers: dict[int, napari.layers.Labels] = {}
        self.table = ClassesTable()
        self.table.armed.connect(self.arm)
        self.table.removed.connect(self._on_class_removed)
        self.table.classesChanged.connect(self._on_classes)
        self.table.problem.connect(self.problem)
        self._open(start=1)

    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes 1…K."""
        return self.table.classes()

    def set_classes(self, classes: tuple[ClassInfo, ...]) -> None:
        """Take other classes; no signal."""
        self.table.set_classes(classes)
        self._show_classes()

    def add_sink(self, sink: Sink) -> None:
        """Call `sink` with every patch to come, on the thread of the watcher, also after `restart`."""
        self._sinks.append(sink)
        self.watcher.add_sink(sink)

    def annotate(
        self, image: napari.layers.Image, labels: napari.layers.Labels | None, axes: str
    ) -> AnnotatedImage:
        """Annotate an image, on a new layer where `labels` is None.

        Raises
        ------
        InputError
            If the layers do not fit, or are in use already.
        """
        if labels is None:
            labels = new_annotation(self._viewer, image, axes, self.classes())
        else:
            self._learn_classes(labels, image, axes)
            known = bool(annotated_id(labels))
            adopt_annotation(labels, image, axes, self.classes())
            if not known:
                labels.brush_size = brush_of(self._viewer, image, axes)
        return self.add(image, labels, axes)

    def add(
        self,
        image: napari.layers.Image,
        labels: napari.layers.Labels,
        axes: str,
        number: int | None = None,
        delivered: bool = False,
    ) -> AnnotatedImage:
        """Take up a pair whose layers fit; see `AnnotatedImages.add` and `StrokeWatcher.watch`."""
        pair = self.images.add(image, labels, axes, number)
        self._layers[pair.number] = pair.labels
        self.watcher.watch(pair.number, delivered)
        self.keys.bind(pair.labels)
        return pair

    def arm(self, number: int) -> None:
        """Take the brush of a class (0: the eraser) on the layer of the current image."""
        pair = self.images.current()
        if pair is not None:
            arm(self._viewer, pair.labels, number)

    def restart(self, start: int) -> None:
        """Let go of all images (their layers stay); the next patch has the number `start`."""
        self.close()
        self._open(start)
        self.imagesChanged.emit()

    def close(self) -> None:
        """Deliver what was painted, and let go of the layers and the viewer."""
        self.keys.close_events()
        self.watcher.close()
        self.images.close_events()
        self._layers.clear()

    def _open(self, start: int) -> None:
        self.images = AnnotatedImages(self._viewer, self)
        self.watcher = StrokeWatcher(self.images, self, start=start)
        self.keys = ClassKeys(self._viewer, self.images, self.watcher, lambda: len(self.classes()), self)
        for sink in self._sinks:
            self.watcher.add_sink(sink)
        self.images.changed.connect(self.imagesChanged)
        self.images.currentChanged.connect(self.currentChanged)
        self.images.removed.connect(self._on_removed)
        self.images.problem.connect(self.problem)
        self.watcher.painted.connect(self.painted)
        self.watcher.counted.connect(self.table.set_counts)
        self.watcher.problem.connect(self.problem)
        self.keys.chosen.connect(self.table.choose)
        self.keys.followed.connect(self.table.show_class)
        self.table.set_counts({})

    def _learn_classes(
        self, labels: napari.layers.Labels, image: napari.layers.Image, axes: str
    ) -> None:
        """The first layer may bring its classes; others only more of them."""
        check_shape(labels, image, axes)
        known = classes_of(labels)
        if known and not self.images.pairs():
            self.table.set_classes(known)
        highest, count = int(labels.data.max(initial=0)), len(self.classes())
        if count < highest <= MOST_GUESSED and not annotated_id(labels):
            more = class_infos([f"class {n}" for n in range(1, highest + 1)])[count:]
            self.table.set_classes((*self.classes(), *more))
        if len(self.classes()) != count:
            self._show_classes()

    def _on_class_removed(self, number: int) -> None:
        self.classRemoving.emit(number)
        self.images.remove_class(number)

    def _on_classes(self) -> None:
        self._show_classes()
        self.classesChanged.emit()

    def _show_classes(self) -> None:
        for pair in self.images.pairs():
            show_classes(pair.labels, self.classes())

    def _on_removed(self, number: int) -> None:
        labels = self._layers.pop(number, None)
        if labels is not None:
            labels.metadata.pop(SESSION, None)
            self.keys.unbind(labels)
        self.removed.emit(number)


def fitting_layers(
    viewer: napari.viewer.Viewer, image: napari.layers.Image, axes: str
) -> list[napari.layers.Labels]:
    """Labels layers that could be painted on as annotation of an image, the likeliest first."""
    from napari.layers import Labels

    from .outputs import is_output

    found = []
    for layer in viewer.layers:
        if not isinstance(layer, Labels) or is_output(layer):
            continue
        try:
            check_shape(layer, image, axes)
        except InputError:
            continue
        found.append(layer)
    return sorted(found, key=lambda layer: not is_strokes_of(layer, image))


def is_strokes_of(layer: napari.layers.Labels, image: napari.layers.Image) -> bool:
    """Whether a layer says that it annotates an image: one of ours, or of a sample."""
    about, of = layer.metadata, image.metadata
    sample = about.get("kind") == "strokes" and about.get("sample") == of.get("sample")
    return sample or annotated_id(layer) == str(image.unique_id)
