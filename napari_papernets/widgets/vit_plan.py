"""What the ViT panel asks of the engine, and where pictures of tokens belong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.feature_maps import FeatureMaps
from ..core.feature_settings import FeatureSettings
from ..core.image import ImageBlock
from ..core.model import ModelRef
from ..core.tiles import Region
from .image_layers import current_plane, layer_axes, visible_region
from .outputs import output_key
from .placement import Placement, lay_out, placement_of
from .run_plan import check_channels

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

Extent = Literal["view", "plane"]
BESIDE = 1.04  # widths of the image from it to what lies beside it


@dataclass(frozen=True, eq=False)
class FeaturePlan:
    """A reading of tokens, as values: what the viewer does meanwhile does not change it.

    Attributes
    ----------
    image : ImageBlock
        The image.
    model : ModelRef or str
        The network.
    settings : FeatureSettings
        The settings.
    device : str
        "auto", "cpu", "cuda" or "mps".
    region : (y0, y1, x0, x1) or None
        The pixels to do; None for all.
    plane : tuple of int
        Index along the stack axes.
    like : str
        Axes of the image layer (of an RGB layer without the colours).
    placement : Placement
        Of the image layer.
    layer : napari.layers.Image
        The image layer, which the keys of outputs tell: see `key`.
    """

    image: ImageBlock
    model: ModelRef | str
    settings: FeatureSettings
    device: str
    region: Region | None
    plane: tuple[int, ...]
    like: str
    placement: Placement
    layer: Any

    @property
    def network(self) -> str:
        """What pictures call the network."""
        return network_name(self.model)

    def arguments(self, random_weights: bool = False) -> dict[str, Any]:
        """Keyword arguments of the verb ``features``."""
        return dict(
            image=self.image,
            model=self.model,
            settings=self.settings,
            device=self.device,
            region=self.region,
            planes=(self.plane,) if self.image.stack_axes else None,
            random_weights=random_weights,
        )

    def key(self, role: str) -> str:
        """Names one output of the image layer."""
        return output_key(f"vit {role}", self.layer)

    def place(
        self, grid: NDArray[Any], maps: FeatureMaps, cell: float, beside: bool = False
    ) -> tuple[NDArray[Any], Placement]:
        """A grid of tokens as its layer takes it, and where that layer lies.

        Parameters
        ----------
        grid : ndarray, shape (gy, gx)
            Squares of `cell` pixels each, the first at the origin of `maps`.
        maps : FeatureMaps
            Where they come from.
        cell : float
            Side of a square in pixels.
        beside : bool
            To the right of the image instead of on it.
        """
        axes = self.image.stack_axes + "YX"
        single = (1,) * len(self.image.stack_axes)
        sizes = {axis: self.image.size(axis) for axis in self.like}
        laid, dims = lay_out(grid.reshape(*single, *grid.shape), axes, self.like, sizes)
        origin: dict[str, float] = dict(zip(axes, (*self.plane, *maps.origin), strict=True))
        origin["X"] += BESIDE * self.image.size("X") if beside else 0
        names = [self.like[d] for d in dims]
        steps = [cell if axis in "YX" else 1 for axis in names]
        return laid, self.placement.keep(dims).part([origin.get(a, 0) for a in names], steps)

    def place_colours(
        self, grid: NDArray[Any], maps: FeatureMaps, cell: float, beside: bool = False
    ) -> tuple[NDArray[Any], Placement]:
        """The same for colours (gy, gx, 3)."""
        laid = [self.place(grid[..., c], maps, cell, beside) for c in range(3)]
        return np.stack([data for data, _ in laid], axis=-1), laid[0][1]


def network_name(model: ModelRef | str) -> str:
    """What pictures call a network: by its name, or by that it has learnt nothing."""
    return model.name if isinstance(model, ModelRef) else "random weights"


def plan_features(
    viewer: napari.viewer.Viewer,
    layer: napari.layers.Image,
    image: ImageBlock,
    model: ModelRef | str,
    settings: FeatureSettings,
    extent: Extent,
    device: str = "auto",
) -> FeaturePlan:
    """Work out a reading from the state of the viewer.

    Raises
    ------
    InputError, ModelError
        If the channels do not fit, or nothing of the image is in view.
    """
    if isinstance(model, ModelRef):
        check_channels(model, image, settings.channels)
    region = visible_region(viewer, layer, image.axes) if extent == "view" else None
    if region == (0, image.plane_shape[0], 0, image.plane_shape[1]):
        region = None
    return FeaturePlan(
        image=image,
        model=model,
        settings=settings,
        device=device,
        region=region,
        plane=current_plane(viewer, layer, image.axes),
        like=layer_axes(layer, image.axes),
        placement=placement_of(layer),
        layer=layer,
    )
