"""The layers of the ViT panel: every picture of tokens overlays the image exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.feature_maps import FeatureMaps, Patch
from ..core.model import ModelRef
from .outputs import (
    PROVENANCE,
    find_output,
    put_output,
    refill_layer,
    rename_output,
    update_layer,
)
from .placement import lay_out
from .vit_pictures import Looks
from .vit_plan import FeaturePlan

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

# What pictures are called, in the names of their layers too.
COLOURS, CLUSTERS, SIMILAR = "tokens as colour", "token clusters", "similarity"
ATTENTION, ROLLOUT = "attention", "attention rollout"
PICTURES = COLOURS, CLUSTERS, SIMILAR, ATTENTION, ROLLOUT
PLACES, LEARNT = "similar places", "labels from strokes"
GREEN, RED = "#009E73", "#D55E00"
CLICK_SIZE = 1.2  # patches
OPACITY = 0.7
LIMITS = 0.0, 99.5  # percentiles of a map: what is dark and what is bright


class VitLayers:
    """Shows pictures of one reading as layers.

    Of the pictures of an image one is seen, since all lie on the same pixels: that which was asked for
    last, as soon as there is something of it to see. What a person shows or hides afterwards stays so.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where they are shown.
    beside : callable
        Whether those of random weights are wanted beside them.
    """

    def __init__(self, viewer: napari.viewer.Viewer, beside: Callable[[], bool]) -> None:
        self._viewer, self._beside = viewer, beside
        self._asked = [COLOURS]  # pictures that are wanted, the newest wish at the end
        self._away: set[str] = set()  # keys of pictures that are to come back with the next reading

    def show_colours(self, plan: FeaturePlan, looks: Looks, random: bool = False) -> None:
        """Tokens as colours."""
        data, placement = plan.place_colours(looks.colours, looks.maps, looks.maps.cell, random)
        self._put(plan, looks.maps, "image", COLOURS, random, data, placement, rgb=True)

    def show_clusters(self, plan: FeaturePlan, looks: Looks, random: bool = False) -> None:
        """Groups of tokens."""
        clusters = looks.clusters.astype(np.uint8)
        data, placement = plan.place(clusters, looks.maps, looks.maps.cell, random)
        layer = self._put(plan, looks.maps, "labels", CLUSTERS, random, data, placement)
        account = layer.metadata[PROVENANCE]
        if "command" in account:
            account["command"] += f" --clusters {looks.count}"

    def show_map(
        self,
        plan: FeaturePlan,
        maps: FeatureMaps,
        role: str,
        values: NDArray[np.float32],
        random: bool = False,
    ) -> None:
        """A map on the grid of the tokens, or of the whole patches."""
        cell = maps.patch * maps.patch_grid[0] / values.shape[0]
        data, placement = plan.place(np.array(values, np.float32), maps, cell, random)
        # One token that outshines all others, as networks without registers have some, hides them.
        low, high = (float(v) for v in np.percentile(values, LIMITS))
        self._put(
            plan, maps, "image", role, random, data, placement, colormap="viridis",
            contrast_limits=(low, high if high > low else low + 1e-6), interpolation2d="nearest",
        )  # fmt: skip

    def show_clicks(
        self, plan: FeaturePlan, maps: FeatureMaps, positive: Sequence[Patch], negative: Sequence[Patch]
    ) -> None:
        """What was clicked: a green plus is wanted, a red minus is not."""
        clicks = [*positive, *negative]
        if not clicks:
            layer = find_output(self._viewer, plan.key("clicks"))
            if layer is not None:
                self._viewer.layers.remove(layer)
            return
        blank = np.zeros(maps.grid, np.uint8)
        _, placement = plan.place(blank, maps, maps.cell)
        lead = [0] * (placement.ndim - 2)
        points = np.array([[*lead, *click] for click in clicks], float)
        colours = [GREEN] * len(positive) + [RED] * len(negative)
        symbols = ["cross"] * len(positive) + ["hbar"] * len(negative)
        key, name = plan.key("clicks"), f"clicks on {plan.image.name}"
        size, layer = CLICK_SIZE * maps.density, find_output(self._viewer, key)
        if layer is None or layer.ndim != placement.ndim or (layer.size != size).any():
            layer = put_output(
                self._viewer, "points", key, name, points, placement, size=size,
                face_color=colours, symbol=symbols, border_color="white",
            )  # fmt: skip
        else:
            with layer.events.blocker_all():  # each of these would be drawn by itself
                update_layer(layer, points, placement)
                layer.face_color, layer.symbol = colours, symbols
            layer.refresh()
        rename_output(layer, name)
        if self._viewer.layers[-1] != layer:  # maps that came later would hide it
            self._viewer.layers.move(self._viewer.layers.index(layer), len(self._viewer.layers))

    def ask(self, role: str, wanted: bool) -> None:
        """Remember that a picture is wanted, or not any more."""
        self._asked = [name for name in self._asked if name != role] + [role] * wanted

    def drop(self, plan: FeaturePlan, role: str) -> None:
        """Hide a picture that is not wanted any more; what was asked for before it is seen instead."""
        layer = find_output(self._viewer, plan.key(role))
        was_seen = layer is not None and layer.visible
        self._hide(plan, role)
        there = [name for name in self._asked if find_output(self._viewer, plan.key(name)) is not None]
        if was_seen and there and not self._seen(plan):
            self.stand_alone(plan, there[-1])

    def stand_alone(self, plan: FeaturePlan, role: str) -> None:
        """Show a picture that is there, and hide the others of its image."""
        layer = find_output(self._viewer, plan.key(role))
        if layer is None:
            return
        for other in (*PICTURES, PLACES, LEARNT):
            if other != role:
                self._hide(plan, other)
                self._away -= {plan.key(other), plan.key(f"random {other}")}
        layer.visible = True
        self.show_beside(plan, role)

    def show_beside(self, plan: FeaturePlan, role: str) -> None:
        """Show the picture of random weights beside one that is seen, where it is wanted."""
        random = find_output(self._viewer, plan.key(f"random {role}"))
        if random is not None:
            random.visible = role in self._seen(plan) and self._beside()

    def _seen(self, plan: FeaturePlan) -> list[str]:
        """The pictures of an image that are visible."""
        layers = {r: find_output(self._viewer, plan.key(r)) for r in (*PICTURES, PLACES, LEARNT)}
        return [role for role, layer in layers.items() if layer is not None and layer.visible]

    def _hide(self, plan: FeaturePlan, role: str) -> None:
        for name in (role, f"random {role}"):
            layer = find_output(self._viewer, plan.key(name))
            if layer is not None and layer.visible:
                layer.visible = False

    def put_away(self, plan: FeaturePlan, pictures: Sequence[str] = PICTURES) -> None:
        """Hide pictures of an image, all of them or some; each comes back when it is drawn again."""
        for role in (name for picture in pictures for name in (picture, f"random {picture}")):
            layer = find_output(self._viewer, plan.key(role))
            if layer is not None and layer.visible:
                layer.visible = False
                self._away.add(plan.key(role))

    def show_labels(
        self, plan: FeaturePlan, role: str, labels: NDArray[Any], provenance: dict[str, Any]
    ) -> napari.layers.Layer:
        """Classes of the pixels of a whole plane, shape (Y, X), seen alone."""
        axes = plan.image.stack_axes + "YX"
        single = (1,) * len(plan.image.stack_axes)
        sizes = {axis: plan.image.size(axis) for axis in plan.like}
        laid, dims = lay_out(labels.reshape(*single, *labels.shape), axes, plan.like, sizes)
        origin = dict(zip(axes, (*plan.plane, 0, 0), strict=True))
        placement = plan.placement.keep(dims).part([origin.get(plan.like[d], 0) for d in dims])
        name = _title(plan, role)
        layer = put_output(
            self._viewer, "labels", plan.key(role), name, laid, placement,
            metadata={PROVENANCE: provenance},
        )  # fmt: skip
        rename_output(layer, name)
        self.stand_alone(plan, role)
        return layer

    def _put(
        self,
        plan: FeaturePlan,
        maps: FeatureMaps,
        kind: str,
        role: str,
        random: bool,
        data: NDArray[Any],
        placement: Any,
        **options: Any,
    ) -> napari.layers.Layer:
        name, picture = _title(plan, role, random), f"random {role}" if random else role
        key = plan.key(picture)
        known = find_output(self._viewer, key)
        comes = known is None or key in self._away
        if known is not None and key in self._away:
            known.visible = True
        self._away.discard(key)
        if known is None:
            seen = self._seen(plan)
            options |= dict(opacity=OPACITY, visible=role in seen if random else not seen)
        elif "contrast_limits" in options and known.ndim == placement.ndim:
            # what a person changed afterwards stays
            refill_layer(known, data, placement)
            known.contrast_limits = options["contrast_limits"]
            known.metadata[PROVENANCE] = {**maps.provenance, "picture": picture}
            rename_output(known, name)
            if comes and not random and self._asked[-1:] == [role]:
                self.stand_alone(plan, role)
            return known
        else:
            options = {}
        layer = put_output(
            self._viewer, kind, key, name, data, placement,
            metadata={PROVENANCE: {**maps.provenance, "picture": picture}}, **options,
        )  # fmt: skip
        rename_output(layer, name)
        if comes and not random and self._asked[-1:] == [role]:
            self.stand_alone(plan, role)
        if random and known is None and plan.region is None:
            self._viewer.reset_view()  # it lies beside the image, where nobody looks yet
        return layer


def _title(plan: FeaturePlan, role: str, random: bool = False) -> str:
    """Name of a picture's layer: whether the weights have learnt, and whether it lies on the image or
    beside it."""
    learnt = isinstance(plan.model, ModelRef) and not random
    return f"{'' if learnt else 'random '}{role} {'beside' if random else 'of'} {plan.image.name}"
