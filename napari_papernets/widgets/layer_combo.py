"""A combo box of things that layers offer, which follows the layer list and keeps its choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from ..core.errors import InputError
from .calm import CalmComboBox
from .layer_events import LayerEvents

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer


class Offer(Protocol):
    """What can be chosen."""

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> Any: ...


class LayerCombo(CalmComboBox):
    """Chooses one of what `find` gives; it is asked again when layers come, go, or get another name or
    other data.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers are followed.
    find : callable
        What there is now; InputError stands for nothing.
    best_first : bool
        Choose the first of them until another one is chosen by hand.

    Attributes
    ----------
    offers : sequence
        What there is.
    changed : Signal()
        Something else is chosen.
    looked : Signal()
        It has looked again, whether or not there is something else.
    """

    changed = Signal()
    looked = Signal()

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        find: Callable[[], Sequence[Any]],
        parent: QWidget | None = None,
        best_first: bool = False,
    ) -> None:
        super().__init__(parent)
        self._find, self._free = find, best_first  # whether the choice is still ours
        self.offers: Sequence[Any] = ()
        self._viewer, events = viewer, viewer.layers.events
        self._happenings = (events.inserted, events.removed)
        self._layers = LayerEvents(("data", "name"), self.refresh)
        for event in self._happenings:
            event.connect(self.refresh)
        self.currentIndexChanged.connect(self._on_choice)
        self.refresh()

    def current(self) -> Any:
        """What is chosen; None where there is nothing."""
        index = self.currentIndex()
        return self.offers[index] if 0 <= index < len(self.offers) else None

    def refresh(self, event: object = None) -> None:
        """Look again; `changed` is emitted where the choice is not there any more."""
        self._look()
        self.looked.emit()

    def _look(self) -> None:
        before = self.current()
        listed = [(offer.key, offer.name) for offer in self.offers]
        self._layers.follow(_with_pixels(self._viewer))
        try:
            self.offers = tuple(self._find())
        except InputError:
            self.offers = ()
        keys = [offer.key for offer in self.offers]
        if listed == [(offer.key, offer.name) for offer in self.offers]:
            return
        self.blockSignals(True)
        self.clear()
        self.addItems([offer.name for offer in self.offers])
        kept = before is not None and before.key in keys and not self._free
        if keys:
            self.setCurrentIndex(keys.index(before.key) if kept else 0)
        self.blockSignals(False)
        after = self.current()
        if (before and before.key) != (after and after.key):
            self.changed.emit()

    def _on_choice(self, index: int) -> None:
        self._free = False
        self.changed.emit()

    def close_events(self) -> None:
        """Let go of the viewer."""
        for event in self._happenings:
            event.disconnect(self.refresh)
        self._layers.follow(())


def _with_pixels(viewer: napari.viewer.Viewer) -> list[napari.layers.Layer]:
    from napari.layers import Image, Labels

    return [layer for layer in viewer.layers if isinstance(layer, Image | Labels)]
