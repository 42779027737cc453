"""The feature maps of a level of the network: what is told of them, and their layer over the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.results import LevelMaps
from .camera import Look, look_at, look_of, steady_view
from .layer_events import LayerEvents
from .outputs import PROVENANCE, is_shown, outputs_of, put_output
from .placement import lay_out
from .run_plan import RESULT, RunPlan

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

SAMPLES = 50_000  # values that the contrast is judged by


@dataclass(frozen=True, eq=False)
class Level:
    """The maps of one level.

    Attributes
    ----------
    name : str
        As in the network.
    maps : ndarray of float32, shape (C, y, x)
        One map for each channel.
    box : (y0, y1, x0, x1)
        Pixels of the image that they cover.
    limits : (float, float)
        Grey values to show as black and white.
    liveliest : int
        The map of the greatest variance: many others are empty.
    """

    name: str
    maps: NDArray[Any]
    box: tuple[float, float, float, float]
    limits: tuple[float, float]
    liveliest: int

    @property
    def title(self) -> str:
        """Name and number of maps."""
        return f"{self.name} ({len(self.maps)})"

    @property
    def account(self) -> str:
        """One line for the user."""
        pixels = (self.box[1] - self.box[0]) / self.maps.shape[1]
        side = f"{pixels:.2g}" if pixels < 10 else f"{pixels:.0f}"
        size = "one pixel each" if pixels == 1 else f"{side} image pixels to a side"
        return (
            f"{self.name}: {len(self.maps)} maps, {size}; map {self.liveliest} varies most. "
            "The slider below the canvas goes through them."
        )


class CoveredResults:
    """Hides the results of an image while feature maps of it are seen, and shows them again afterwards.

    Both over each other could not be told apart.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._maps: napari.layers.Layer | None = None
        self._identity: Any = None  # of the image
        self._hidden: list[napari.layers.Layer] = []
        self._look: Look | None = None
        self._eye = LayerEvents(("visible",), self._on_eye)

    def cover(self, maps: napari.layers.Layer, identity: Any) -> None:
        """These maps, of the image of that unique_id, are shown now."""
        if self._maps != maps:
            self.close_events()
            self._maps, self._identity = maps, identity
            self._eye.follow((maps,))
            self._viewer.layers.events.removing.connect(self._on_removing)
            # After the viewer, which has an axis less then and shows all.
            self._viewer.layers.events.removed.connect(self._on_removed, position="last")
        self._hide()

    def close_events(self) -> None:
        """Let go of the viewer; what is hidden stays so."""
        if self._maps is not None:
            self._eye.follow(())
            self._viewer.layers.events.removing.disconnect(self._on_removing)
            self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._maps, self._hidden = None, []

    def _seen(self) -> list[napari.layers.Layer]:
        return [la for la in outputs_of(self._viewer, (RESULT,), self._identity) if la.visible]

    def _hide(self) -> None:
        for layer in self._seen():
            layer.visible = False
            self._hidden.append(layer)

    def _show(self) -> None:
        """Unless a run has hidden the maps for a result of its own."""
        if not self._seen():
            hidden, self._hidden = self._hidden, []
            for layer in hidden:
                if is_shown(self._viewer, layer):
                    layer.visible = True

    def _on_eye(self, event: object) -> None:
        assert self._maps is not None
        if self._maps.visible:
            self._hide()
        else:
            self._show()

    def _on_removing(self, _: object) -> None:
        self._look = look_of(self._viewer)

    def _on_removed(self, event: Any) -> None:
        if event.value == self._maps:
            if self._look is not None and self._viewer.layers:
                look_at(self._viewer, self._look)
            self._show()
            self.close_events()


def prepare_levels(result: LevelMaps) -> tuple[tuple[Level, ...], dict[str, Any]]:
    """Levels with their contrast, and the provenance; free of Qt and napari."""
    levels = []
    for name, maps in result.maps.items():
        some = maps.ravel()[:: max(1, maps.size // SAMPLES)]
        low, high = (float(v) for v in np.percentile(some, (1, 99.8)))
        limits = (low, high if high > low else low + 1.0)
        liveliest = int(maps.reshape(len(maps), -1).std(axis=1).argmax())
        levels.append(Level(name, maps, result.boxes[name], limits, liveliest))
    return tuple(levels), dict(result.provenance)


def show_level(
    viewer: napari.viewer.Viewer, plan: RunPlan, level: Level, key: str, provenance: dict[str, Any]
) -> napari.layers.Image:
    """Lay the maps of a level over the image, with the number of the map as first axis."""
    axes, like = f"F{plan.axes}", f"F{plan.like}"
    count, height, width = level.maps.shape
    single = (1,) * len(plan.image.stack_axes)
    sizes = {axis: plan.image.size(axis) for axis in plan.like}
    array = level.maps.reshape(count, *single, height, width)
    data, _ = lay_out(array, axes, like, sizes)
    y0, y1, x0, x1 = level.box
    origin = {**dict(zip(plan.axes, plan.origin, strict=True)), "Y": y0, "X": x0}
    step = {"Y": (y1 - y0) / height, "X": (x1 - x0) / width}
    placement = plan.placement.lead().part(
        [origin.get(axis, 0) for axis in like], [step.get(axis, 1) for axis in like]
    )
    with steady_view(viewer):
        layer = put_output(
            viewer, "image", key, f"{plan.image.name} inside", data, placement,
            metadata={PROVENANCE: {**provenance, "level": level.name}},
            axis_labels=("map", *plan.like), colormap="magma", contrast_limits=level.limits, opacity=0.8,
            visible=True,
        )  # fmt: skip
    viewer.dims.set_point(viewer.dims.ndim - layer.ndim, level.liveliest)
    return layer
