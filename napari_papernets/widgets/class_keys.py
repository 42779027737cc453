"""Keys on annotation layers only: 1…9 choose a class, 0 the eraser; undo goes where its stroke was."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from ..core.annotation import Patch
from .annotated_images import AnnotatedImages
from .image_layers import current_plane
from .stroke_watcher import StrokeWatcher

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

DIGITS = "0123456789"
UNDO, REDO = "Control-Z", "Control-Shift-Z"
PAINTING = ("paint", "fill", "polygon")  # napari's modes that put down the selected label
UNDO_TIME = 2.0  # s in which the patch of an undo is expected
HELP = (
    "On annotation layers the keys 1 to 9 take the brush of a class and 0 takes the eraser (in place of "
    "napari's modes 1 to 7, which keep their other keys: P paint, E erase, F fill, L pick, Z move; hold "
    "Space to move while painting). [ and ] change the size of the brush, Ctrl+Z undoes a stroke in any "
    "plane and goes there."
)
STATUS = "use <1> … <9> for a class, <0> for the eraser, <[> <]> for the size, hold <space> to move"


class ClassKeys(QObject):
    """Binds the keys, and tells what is chosen in the layer by other means.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where undo moves the sliders.
    images : AnnotatedImages
        The session.
    watcher : StrokeWatcher
        It finds out what an undo changed.
    count : callable
        Number of classes now.

    Attributes
    ----------
    chosen : Signal(int)
        A key asked for the brush of this class; 0 for the eraser.
    followed : Signal(int)
        The layer itself has another label selected (napari's spin box, its picker, X), or its brush or
        eraser was taken (napari's buttons, P, E).
    """

    chosen = Signal(int)
    followed = Signal(int)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        images: AnnotatedImages,
        watcher: StrokeWatcher,
        count: Callable[[], int],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._images, self._watcher, self._count = viewer, images, watcher, count
        self._undone: tuple[int, int, float] | None = None
        self._bound: dict[Any, napari.layers.Labels] = {}
        watcher.painted.connect(self._on_painted)

    def bind(self, layer: napari.layers.Labels) -> None:
        """Take the keys of an annotation layer."""
        if layer.unique_id in self._bound:
            return
        for digit in DIGITS:
            layer.bind_key(digit, self._choose(int(digit)), overwrite=True)
        layer.bind_key(UNDO, lambda of: self._undo(of, of.undo), overwrite=True)
        layer.bind_key(REDO, lambda of: self._undo(of, of.redo), overwrite=True)
        layer.events.selected_label.connect(self._on_selected)
        layer.events.mode.connect(self._on_mode)
        layer.events.help.connect(self._on_help)
        self._bound[layer.unique_id] = layer

    def unbind(self, layer: napari.layers.Labels) -> None:
        """Give the keys back to napari."""
        if self._bound.pop(layer.unique_id, None) is None:
            return
        for key in (*DIGITS, UNDO, REDO):
            layer.bind_key(key, None)
        layer.events.selected_label.disconnect(self._on_selected)
        layer.events.mode.disconnect(self._on_mode)
        layer.events.help.disconnect(self._on_help)

    def close_events(self) -> None:
        """Unbind everything."""
        for layer in tuple(self._bound.values()):
            self.unbind(layer)
        self._watcher.painted.disconnect(self._on_painted)

    def _choose(self, number: int) -> Callable[[Any], None]:
        def choose(_: napari.layers.Labels) -> None:
            if number <= self._count():
                self.chosen.emit(number)

        return choose

    def _on_selected(self, event: Any) -> None:
        layer, count = event.source, self._count()
        if layer.selected_label > count:  # napari's M or +: there is no such class
            layer.selected_label = count
        elif layer.mode != "erase":
            self.followed.emit(int(layer.selected_label))

    def _on_mode(self, event: Any) -> None:
        layer = event.source
        if layer.mode == "erase":
            self.followed.emit(0)
        elif layer.mode in PAINTING:
            self._on_selected(event)

    def _on_help(self, event: Any) -> None:
        """napari's status bar would tell of keys that mean something else here."""
        event.source.help = STATUS

    def _undo(self, layer: napari.layers.Labels, step: Callable[[], None]) -> None:
        pair, newest = self._images.find(layer), self._watcher.newest
        step()
        if pair is not None:
            self._undone = pair.number, newest, time.monotonic()
            self._watcher.look_again()

    def _on_painted(self, patch: Patch) -> None:
        """Go where an undo changed something; what is in view is delivered first."""
        if self._undone is None or patch.number <= self._undone[1]:
            return
        (number, _, since), self._undone = self._undone, None
        if patch.image != number or time.monotonic() - since > UNDO_TIME:
            return
        pair = self._images.pair(number)
        if current_plane(self._viewer, pair.image, pair.axes) != patch.plane:
            self._images.show_plane(number, patch.plane)
