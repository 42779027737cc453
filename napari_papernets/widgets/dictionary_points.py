"""The dictionary's patches as points on the images, in both directions: shown there and chosen there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ..core.errors import InputError
from ..core.patches import PatchMap
from .image_layers import current_plane, full_data, guess_layer_axes, layer_axes
from .moco_sources import Sources
from .outputs import OUTPUT, is_renamed, sign, undisturbed_selection
from .patch_painting import paint_patches, painted
from .placement import placement_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

NAME = "dictionary"
PLAIN, QUERY, NEAR, CHOSEN = "#56B4E9", "#D55E00", "#E69F00", "#F0E442"
SHARE = 0.12  # of a patch's side that a point takes


class DictionaryPoints(QObject):
    """A points layer for each image of a dictionary.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are added, and clicks are heard.

    Attributes
    ----------
    picked : Signal(int)
        A place of an image was clicked: the number of the nearest patch.
    chosen : Signal(object)
        Numbers of the patches whose points were selected.
    """

    picked = Signal(int)
    chosen = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._map: PatchMap | None = None
        self._images: list[Any] = []
        self._shown: list[tuple[napari.layers.Points, NDArray[np.int64]]] = []
        self._image_of: dict[Any, Any] = {}
        self._listens = False
        self._quiet = False

    def show(self, found: PatchMap, sources: Sources) -> None:
        """Show the patches of a new dictionary."""
        self.clear()
        self._map, self._images = found, list(sources.layers)
        for number, image in enumerate(sources.layers):
            here = np.flatnonzero(found.places[:, 0] == number)
            if len(here) and image in self._viewer.layers:
                self._shown.append((self._add(image, found, here, sources), here))
                self._image_of[self._shown[-1][0]] = image
        if self._shown:  # in which a click looks a place up
            self._viewer.layers.selection.active = self._shown[-1][0]
        if not self._listens:
            self._viewer.mouse_drag_callbacks.append(self._on_press)
            self._listens = True

    def mark(self, query: int, nearest: NDArray[np.int64]) -> None:
        """Colour the patch that was looked up, and its nearest keys."""
        for layer, numbers in self._shown:
            colours = np.where(np.isin(numbers, nearest), NEAR, PLAIN).astype("<U7")
            colours[numbers == query] = QUERY
            layer.face_color = list(colours)

    def select(self, numbers: NDArray[np.int64]) -> int:
        """Select the points of these patches, colour them alone, and say how many there are.

        Raises
        ------
        InputError
            If the layers of points were deleted.
        """
        count = 0
        self._quiet = True
        for layer, own in self._there():
            chosen = np.flatnonzero(np.isin(own, numbers)).tolist()
            layer.face_color = np.where(np.isin(own, numbers), CHOSEN, PLAIN).tolist()
            layer.selected_data = set(chosen)
            layer.refresh()
            count += len(chosen)
        self._quiet = False
        return count

    def paint(self) -> tuple[int, int]:
        """Paint the middles of the patches whose points are selected with a label of their own.

        Returns
        -------
        count, label : int
            How many, and which; 0 where none is selected.

        Raises
        ------
        InputError
            If an image is too large for labels, or the layers of points were deleted.
        """
        found = self._map
        shown = self._there() if found is not None else []
        chosen = [(layer, sorted(layer.selected_data)) for layer, _ in shown if layer.selected_data]
        if found is None or not chosen:
            return 0, 0
        there = [painted(self._viewer, image) for image in self._images]
        label = 1 + max((int(layer.data.max()) for layer in there if layer is not None), default=0)
        for layer, numbers in chosen:
            image = self._image_of[layer]
            new = painted(self._viewer, image) is None
            paint_patches(self._viewer, image, layer.data[numbers], found.side // 2, label)
            if new:
                self._lift(layer, image)
        return sum(len(numbers) for _, numbers in chosen), label

    def _lift(self, points: napari.layers.Points, image: Any) -> None:
        """Put new squares below the points: they would cover them."""
        layers, squares = self._viewer.layers, painted(self._viewer, image)
        if squares is not None:
            layers.move(layers.index(squares), layers.index(points))

    def leave(self) -> None:
        """Let go of the viewer; the layers stay."""
        if self._listens and self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
        self._listens = False
        for layer, _ in self._shown:
            layer.selected_data.events.items_changed.disconnect(self._on_selected)
        self._shown = []

    def _there(self) -> list[tuple[napari.layers.Points, NDArray[np.int64]]]:
        """The layers of points that nobody deleted, nor their images."""
        there = self._viewer.layers
        kept = [(la, own) for la, own in self._shown if la in there and self._image_of[la] in there]
        if not kept:
            raise InputError(NAME, "a layer that was deleted", "make the dictionary again")
        return kept

    def clear(self) -> None:
        """Take the layers away, but for those that the user gave a name of their own."""
        for layer, _ in self._shown:
            layer.selected_data.events.items_changed.disconnect(self._on_selected)
            if layer in self._viewer.layers and not is_renamed(layer):
                self._viewer.layers.remove(layer)
        self._shown, self._images, self._map = [], [], None
        self._image_of.clear()

    def _add(
        self, image: Any, found: PatchMap, here: NDArray[np.int64], sources: Sources
    ) -> napari.layers.Points:
        axes = guess_layer_axes(image)
        shown = layer_axes(image, axes)
        block = sources.images[sources.layers.index(image)]
        keep = [i for i, axis in enumerate(shown) if axis in "TZYX"]
        at = dict(zip("YX", found.places[here, 2:].T, strict=True))
        planes = np.unravel_index(found.places[here, 1], block.stack_shape or (1,))
        at |= dict(zip(block.stack_axes, planes, strict=False))
        points = np.stack([at[shown[i]] for i in keep], axis=1).astype(float)
        with undisturbed_selection(self._viewer):
            layer = self._viewer.add_points(
                points,
                name=NAME if len(sources.layers) == 1 else f"{NAME} {image.name}",
                size=found.side * SHARE,
                face_color=PLAIN,
                border_width=0,
                metadata={OUTPUT: {"key": f"{NAME} {image.unique_id}", "name": NAME}},
                **placement_of(image).keep(keep).options(),
            )
        sign(layer)
        layer.selected_data.events.items_changed.connect(self._on_selected)
        return layer

    def _on_selected(self, event: object = None) -> None:
        if self._quiet:
            return
        parts = [numbers[sorted(layer.selected_data)] for layer, numbers in self._shown]
        numbers = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        self.chosen.emit(numbers)
        if len(numbers) == 1:
            self.picked.emit(int(numbers[0]))

    def _on_press(self, viewer: napari.viewer.Viewer, event: Any) -> Iterator[None]:
        """A click that moves nothing, on the images or our points, looks the place up.

        With another layer selected, or in another mode, clicks paint or select and are none of ours.
        """
        active = viewer.layers.selection.active
        ours = [*self._images, *(layer for layer, _ in self._shown)]
        if not any(active == layer for layer in ours) or str(active.mode) != "pan_zoom":
            return
        yield
        if event.type == "mouse_move":
            return
        found = self._patch_at(event.position)
        if found is not None:
            self.picked.emit(found)

    def _patch_at(self, position: Sequence[float]) -> int | None:
        """The patch nearest to a place of the world, on the topmost visible image that has one there."""
        if self._map is None:
            return None
        for number, image in reversed(list(enumerate(self._images))):
            if image not in self._viewer.layers or not image.visible:
                continue
            axes = guess_layer_axes(image)
            shown = layer_axes(image, axes)
            point = np.asarray(image.world_to_data(np.asarray(position)[-image.ndim :]))
            y, x = (float(point[shown.index(a)]) for a in "YX")
            index = current_plane(self._viewer, image, axes)
            shape = tuple(full_data(image).shape[shown.index(a)] for a in shown if a in "TZ")
            plane = int(np.ravel_multi_index(index, shape)) if index else 0
            found = self._map.at(number, plane, y, x)
            if found is not None:
                return found
        return None
