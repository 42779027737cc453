"""Follows what happens to some layers, and lets go of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari.layers

# New data; data written in place, or another plane; a stroke; a dab of the brush, or one undone.
DATA_EVENTS = ("data", "set_data", "paint", "labels_update")


class LayerEvents:
    """Calls back when one of some events of some layers happens.

    Parameters
    ----------
    names : iterable of str
        Of the events; those that a layer does not have are left out.
    call : callable
        A bound method that takes the event; napari holds it weakly.
    """

    def __init__(self, names: Iterable[str], call: Callable[[Any], None]) -> None:
        self._names, self._call = tuple(names), call
        self._followed: dict[Any, napari.layers.Layer] = {}

    def follow(self, layers: Iterable[napari.layers.Layer]) -> None:
        """Follow these layers and no others."""
        wanted = {layer.unique_id: layer for layer in layers}
        for key in self._followed.keys() - wanted.keys():
            for emitter in self._emitters(self._followed[key]):
                emitter.disconnect(self._call)
        for key in wanted.keys() - self._followed.keys():
            for emitter in self._emitters(wanted[key]):
                emitter.connect(self._call)
        self._followed = wanted

    def _emitters(self, layer: napari.layers.Layer) -> list[Any]:
        found = (getattr(layer.events, name, None) for name in self._names)
        return [emitter for emitter in found if emitter is not None]
