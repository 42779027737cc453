"""Draws what was read: keeps the newest tokens, the clicked places, and their layers up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from ..core.errors import InputError
from ..core.feature_maps import Patch
from .image_layers import current_plane, shows_plane
from .vit_clicks import pixel_at
from .vit_controls import VitControls
from .vit_extras import VitExtras
from .vit_layers import ATTENTION, PICTURES, PLACES, ROLLOUT, SIMILAR, VitLayers
from .vit_pictures import Looks, attention_picture, heads_picture, similarity_picture
from .vit_plan import FeaturePlan

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

LATER = 30  # ms


class VitBoard:
    """What is shown of the last reading.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where layers go.
    controls : VitControls
        What is to be shown.
    extras : VitExtras
        Where pictures go that do not lie on the image.
    """

    def __init__(self, viewer: napari.viewer.Viewer, controls: VitControls, extras: VitExtras) -> None:
        self._viewer = viewer
        self._layers = VitLayers(viewer, controls.wants_control)
        self._controls, self._extras = controls, extras
        self._read: dict[bool, tuple[FeaturePlan, Looks]] = {}
        self._pixels: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        self._image: tuple[Any, str] | None = None  # that the places are of
        # What was clicked comes after what it tells: together they would stop the window for longer.
        self._later = QTimer(controls, singleShot=True, interval=LATER)
        self._later.timeout.connect(self._draw_clicks)

    @property
    def plan(self) -> FeaturePlan | None:
        """Of the last reading."""
        return self._read[False][0] if False in self._read else None

    def take(self, plan: FeaturePlan, looks: Looks, random: bool) -> None:
        """Show a new reading."""
        if not random:
            self._read = {}
        self._read[random] = plan, looks
        self._image = plan.layer.unique_id, plan.image.axes
        self._draw(random)
        self._extras.show_distances(looks.maps, plan.network, random, f" · {plan.image.name}")

    def click(self, y: float, x: float, negative: bool) -> None:
        """Remember a pixel of the plane, and draw what depends on it.

        Raises
        ------
        InputError
            If nothing was read yet, or the pixel lies outside of it.
        """
        try:
            self._newest()[1].maps.patch_at(y, x)
        except InputError as error:
            if error.field != "patch":
                raise
            raise InputError("click", "no token there", "click on what was read") from error
        self._pixels[negative].append((y, x))
        self.redraw_places()

    def pixel_at(self, position: Any) -> tuple[float, float]:
        """Pixel (y, x), in the plane that was read, of a world position.

        Raises
        ------
        InputError
            If nothing was read yet, or the canvas shows something else than the plane that was read.
        """
        plan, _ = self._newest()
        axes = plan.image.axes
        if not shows_plane(self._viewer, plan.layer, axes):
            mend = "switch to 2-D display, with Y and X on the canvas"
            raise InputError("click", "a view that is not of the plane", mend)
        if current_plane(self._viewer, plan.layer, axes) != plan.plane:
            mend = "press Read the plane, or check Follow the slice"
            raise InputError("click", "a slice that was not read", mend)
        return pixel_at(plan.layer, position, plan.like)

    def forget(self, image: tuple[Any, str] | None) -> None:
        """Other pixels are chosen: put the pictures away, and drop what was read.

        Parameters
        ----------
        image : (id of the layer, axes), optional
            What is chosen now; the clicked places stay where they are of it.
        """
        if image != self._image:
            for pixels in self._pixels.values():
                pixels.clear()
            self._draw_clicks()
        self._later.stop()
        if self.plan is not None:
            self._layers.put_away(self.plan)
        self._read = {}

    def leave(self) -> None:
        """The panel goes away."""
        self._later.stop()

    def clear(self) -> None:
        """Drop all clicked places."""
        for pixels in self._pixels.values():
            pixels.clear()
        self.redraw_places()

    def ask(self, role: str, wanted: bool) -> None:
        """A picture is wanted, or not any more."""
        self._layers.ask(role, wanted)
        if self.plan is None:
            return
        if not wanted:
            self._layers.drop(self.plan, role)
        elif role != SIMILAR or self._patches(False)[0]:  # else what is there is of other places
            self._layers.stand_alone(self.plan, role)

    def show_beside(self) -> None:
        """Pictures of random weights are wanted, or not any more."""
        if self.plan is not None:
            for role in PICTURES:
                self._layers.show_beside(self.plan, role)

    def redraw(self) -> None:
        """Draw everything again, as is now wanted."""
        for random in list(self._read):
            self._draw(random)

    def redraw_places(self) -> None:
        """Draw again what depends on the clicked places."""
        for random in list(self._read):
            self._draw_places(random)

    def threshold(self, value: float) -> napari.layers.Layer:
        """Similarity above a threshold as labels, in the layer that is returned.

        Raises
        ------
        InputError
            If no place was clicked.
        """
        positive, negative = self._patches(False)
        if not positive:
            raise InputError("clicks", "none", "click a place that the labels shall be like")
        plan, looks = self._read[False]
        similar = similarity_picture(looks.maps, positive, negative)
        y0, x0 = looks.maps.origin
        rows, columns = (np.arange(n) for n in plan.image.plane_shape)
        cells = [((r - o) // looks.maps.cell).astype(int) for r, o in ((rows, y0), (columns, x0))]
        inside = [(c >= 0) & (c < n) for c, n in zip(cells, looks.maps.grid, strict=True)]
        labels = np.zeros(plan.image.plane_shape, np.uint8)
        found = similar[np.ix_(cells[0][inside[0]], cells[1][inside[1]])] > value
        labels[np.ix_(inside[0], inside[1])] = found
        provenance = {**looks.maps.provenance, "threshold": value, "clicks": dict(
            positive=positive, negative=negative)}  # fmt: skip
        return self._layers.show_labels(plan, PLACES, labels, provenance)

    @property
    def layers(self) -> VitLayers:
        """Where pictures become layers."""
        return self._layers

    def _newest(self) -> tuple[FeaturePlan, Looks]:
        if False not in self._read:
            raise InputError("click", "no tokens yet", "press Read the view or Read the plane first")
        return self._read[False]

    def _patches(self, random: bool) -> tuple[list[Patch], list[Patch]]:
        """Tokens of the clicked pixels that this reading has, positive and negative."""
        found: tuple[list[Patch], list[Patch]] = ([], [])
        if random not in self._read:
            return found
        maps = self._read[random][1].maps
        for patches, negative in zip(found, (False, True), strict=True):
            for pixel in self._pixels[negative]:
                try:
                    patches.append(maps.patch_at(*pixel))
                except InputError:
                    continue  # clicked where another part was in view
        return found

    def _draw(self, random: bool) -> None:
        plan, looks = self._read[random]
        if self._controls.colours.isChecked():
            self._layers.show_colours(plan, looks, random)
        if self._controls.clusters.isChecked():
            self._layers.show_clusters(plan, looks, random)
        if looks.maps.rollout is not None and self._controls.rollout.isChecked():
            rollout = looks.maps.rollout.reshape(looks.maps.patch_grid)
            self._layers.show_map(plan, looks.maps, ROLLOUT, rollout, random)
        self._draw_places(random)

    def _draw_places(self, random: bool) -> None:
        plan, looks = self._read[random]
        positive, negative = self._patches(random)
        maps = looks.maps
        if not positive:  # what was shown is like a place that nobody asks for any more
            self._layers.put_away(plan, (SIMILAR,))
        elif self._controls.similarity.isChecked():
            similar = similarity_picture(maps, positive, negative)
            self._layers.show_map(plan, maps, SIMILAR, similar, random)
        if maps.windows and self._controls.attention.isChecked():
            place = positive[-1] if positive else None
            head = self._controls.chosen_head()
            picture = attention_picture(maps, place, head)
            self._layers.show_map(plan, maps, ATTENTION, picture, random)
            if not random:
                caption = f"{plan.network} · {plan.image.name}"
                self._extras.show_picture("heads", heads_picture(maps, place), caption)
        if not random:
            self._later.start()

    def _draw_clicks(self) -> None:
        if False in self._read:
            plan, looks = self._read[False]
            self._layers.show_clicks(plan, looks.maps, *self._patches(False))
