"""The images of a session with their annotation layers, numbered for good."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from ..core.annotation import Patch, View
from ..core.errors import InputError
from ..core.image import ImageBlock
from .annotated_image import AnnotatedImage
from .annotation_layer import forget_history
from .image_layers import current_plane, guess_layer_axes, visible_region

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

MOVES = "scale", "translate", "rotate", "shear", "affine", "units"  # events of napari
SETTLE = 300  # ms without another, after which an image lies where it lies


class AnnotatedImages(QObject):
    """The list of them, which follows what happens to the layers.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.

    Attributes
    ----------
    changed : Signal()
        An image came, went, was renamed or lies elsewhere.
    removed : Signal(int)
        The image of that number is no longer annotated: one of its layers was deleted or got data that
        do not fit (`problem` says so), or `remove` was called. A remaining layer stays in the viewer.
    currentChanged : Signal()
        Another image, or none, is the current one.
    rewritten : Signal(int, object)
        Number of an image whose labels were changed by no brush, and a set of planes (None: all).
    problem : Signal(object)
        Why an image was taken from the list, an InputError.
    """

    changed = Signal()
    removed = Signal(int)
    currentChanged = Signal()
    rewritten = Signal(int, object)
    problem = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._pairs: dict[int, AnnotatedImage] = {}
        self._next = 0
        self._current: int | None = None
        self._settle = QTimer(self, singleShot=True, interval=SETTLE)
        self._settle.timeout.connect(self.changed)
        viewer.layers.events.removed.connect(self._on_layer_removed)
        viewer.layers.selection.events.active.connect(self._follow_active)

    def add(
        self,
        image: napari.layers.Image,
        labels: napari.layers.Labels,
        axes: str = "",
        number: int | None = None,
    ) -> AnnotatedImage:
        """Add a pair, and make it the current one.

        Parameters
        ----------
        image, labels : layers of napari
            From `new_annotation`, or after `adopt_annotation`.
        axes : str
            Axes of the image; guessed where empty.
        number : int, optional
            Its number in a session that is opened again; the next free one by default.

        Raises
        ------
        InputError
            If a layer is in the list already, the layers do not fit, or the number was given before.
        """
        pair = AnnotatedImage(
            self._next if number is None else number, image, labels, axes or guess_layer_axes(image)
        )
        for other in self._pairs.values():
            if _same(other.image, image) or _same(other.labels, labels):
                mend = "remove it from the session first"
                raise InputError("image", f"{image.name} with {labels.name}, in use already", mend)
        if pair.number < self._next:
            raise InputError("number", pair.number, f"numbers from {self._next} are free")
        pair.array()
        self._next = pair.number + 1
        self._pairs[pair.number] = pair
        for emitter, slot in self._listened(pair):
            emitter.connect(slot)
        self._set_current(pair.number)
        self.changed.emit()
        return pair

    def remove(self, number: int) -> None:
        """Take an image from the list; its layers stay."""
        pair = self._pairs.pop(number)
        for emitter, slot in self._listened(pair):
            emitter.disconnect(slot)
        if self._current == number:
            self._set_current(next(iter(self._pairs), None))
        self.removed.emit(number)
        self.changed.emit()

    def pairs(self) -> tuple[AnnotatedImage, ...]:
        """In the order of their numbers."""
        return tuple(self._pairs.values())

    def pair(self, number: int) -> AnnotatedImage:
        """The pair of that number; KeyError where it was removed."""
        return self._pairs[number]

    def numbers(self) -> tuple[int, ...]:
        """Numbers of the pairs: where images were removed they are not 0, 1, 2…, but the positions in
        `blocks` and `annotations` always are."""
        return tuple(self._pairs)

    def find(self, layer: napari.layers.Layer) -> AnnotatedImage | None:
        """The pair that a layer belongs to."""
        for pair in self._pairs.values():
            if _same(pair.image, layer) or _same(pair.labels, layer):
                return pair
        return None

    def current(self) -> AnnotatedImage | None:
        """The pair of the active layer, or of the last one that was active."""
        return None if self._current is None else self._pairs[self._current]

    def blocks(self) -> list[ImageBlock]:
        """The images, in the order of `numbers`."""
        return [pair.block() for pair in self._pairs.values()]

    def annotations(self) -> list[NDArray[Any]]:
        """What is painted, in the order of `numbers`: live views with axes (*stack, Y, X), uint8."""
        return [pair.array() for pair in self._pairs.values()]

    def view(self) -> View | None:
        """What is in view of the current pair; None where that is nothing, or no flat Y-X plane."""
        pair = self.current()
        return None if pair is None else self._look(pair)

    def views(self) -> list[View]:
        """Where the person may be painting: one for each pair, whole planes where it cannot be told."""
        found = []
        for pair in self._pairs.values():
            with contextlib.suppress(InputError):  # replaced data that do not fit: on its way out
                sizes = pair.array().shape[-2:]
                plane = current_plane(self._viewer, pair.image, pair.axes)
                whole = View(pair.number, plane, (0, sizes[0], 0, sizes[1]))
                found.append(self._look(pair) or whole)
        return found

    def show_plane(self, number: int, plane: tuple[int, ...]) -> None:
        """Move the sliders to a plane of an image."""
        pair, dims = self._pairs[number], self._viewer.dims
        first = dims.ndim - pair.image.ndim
        position = np.array(pair.image.world_to_data(np.asarray(dims.point, dtype=float)[first:]))
        stack = [i for i, axis in enumerate(pair.axes) if axis in "TZ"]
        position[stack] = plane
        world = pair.image.data_to_world(position)
        dims.set_point([first + i for i in stack], [float(world[i]) for i in stack])

    def write(self, patches: Iterable[Patch]) -> None:
        """Change what is painted (a version is restored), outside of napari's undo history, which is
        emptied. `rewritten` lets a `StrokeWatcher` make patches of it."""
        planes: dict[int, set[tuple[int, ...]]] = {}
        for patch in patches:
            height, width = patch.labels.shape
            box = slice(patch.y, patch.y + height), slice(patch.x, patch.x + width)
            self._pairs[patch.image].array()[patch.plane][box] = patch.labels
            planes.setdefault(patch.image, set()).add(patch.plane)
        self._tell_rewritten(planes)

    def remove_class(self, number: int) -> None:
        """Erase the strokes of a class everywhere, and let the higher classes move down by one."""
        lookup = np.arange(256)
        lookup[number] = 0
        lookup[number + 1 :] -= 1
        planes: dict[int, set[tuple[int, ...]]] = {}
        for pair in self._pairs.values():
            array = pair.array()
            for plane in np.ndindex(array.shape[:-2]):
                if array[plane].max(initial=0) >= number:
                    array[plane] = lookup.astype(array.dtype)[array[plane]]
                    planes.setdefault(pair.number, set()).add(plane)
        self._tell_rewritten(planes)

    def close_events(self) -> None:
        """Let go of the viewer and the layers."""
        self._viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self._viewer.layers.selection.events.active.disconnect(self._follow_active)
        with contextlib.suppress(RuntimeError):  # its half in C++ is gone
            self._settle.stop()
        for pair in self._pairs.values():
            for emitter, slot in self._listened(pair):
                emitter.disconnect(slot)

    def _listened(self, pair: AnnotatedImage) -> Iterator[tuple[Any, Callable[[Any], None]]]:
        """Emitters of napari, and what follows them."""
        for events in (pair.image.events, pair.labels.events):
            yield events.data, self._on_data
            yield events.name, self._on_name
        for move in MOVES:
            yield pair.image.events[move], self._on_moved

    def _tell_rewritten(self, planes: dict[int, set[tuple[int, ...]]]) -> None:
        for number, some in planes.items():
            forget_history(self._pairs[number].labels)
            self._pairs[number].labels.refresh()
            self.rewritten.emit(number, some)

    def _look(self, pair: AnnotatedImage) -> View | None:
        try:
            region = visible_region(self._viewer, pair.image, pair.axes)
        except InputError:
            return None
        if region is None:
            return None
        return View(pair.number, current_plane(self._viewer, pair.image, pair.axes), region)

    def _touching(self, layer: napari.layers.Layer) -> Iterator[AnnotatedImage]:
        yield from [p for p in self._pairs.values() if _same(p.image, layer) or _same(p.labels, layer)]

    def _on_layer_removed(self, event: Any) -> None:
        for pair in self._touching(event.value):
            self.remove(pair.number)

    def _on_name(self, event: Any) -> None:
        self.changed.emit()

    def _on_moved(self, event: Any) -> None:
        self._settle.start()

    def _on_data(self, event: Any) -> None:
        for pair in self._touching(event.source):
            try:
                pair.array()
            except InputError as error:
                self.remove(pair.number)
                self.problem.emit(error)
            else:
                if _same(pair.labels, event.source):
                    forget_history(pair.labels)
                    self.rewritten.emit(pair.number, None)

    def _follow_active(self, event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        pair = None if active is None else self.find(active)
        if pair is not None:
            self._set_current(pair.number)

    def _set_current(self, number: int | None) -> None:
        if number != self._current:
            self._current = number
            self.currentChanged.emit()


def _same(one: napari.layers.Layer, other: napari.layers.Layer) -> bool:
    """Proxies of a layer are not the layer."""
    return one.unique_id == other.unique_id
