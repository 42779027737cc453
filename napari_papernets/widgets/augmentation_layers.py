"""An augmented crop as napari layers, beside the image that it was cut from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.model import ClassInfo
from ..core.results import AugmentedCrop
from .augmentation_pictures import GRID_COLOUR, target_window
from .outputs import put_output
from .placement import Placement

if TYPE_CHECKING:
    import napari.viewer

GAP = 16  # pixels between the image and the crop


def pixel_placement(scale: Sequence[float] = (1.0, 1.0)) -> Placement:
    """The place of a plane whose layer is not known: at the origin, with pixels of that size."""
    return Placement(
        np.array(scale, float), np.zeros(2), np.eye(2), np.eye(2), np.eye(3), ("pixel", "pixel")
    )


def add_crop_layers(
    viewer: napari.viewer.Viewer,
    crop: AugmentedCrop,
    infos: Sequence[ClassInfo],
    placement: Placement,
    width: int,
    grid: bool,
) -> None:
    """Show image, weight map, target and grid as layers; a crop shown before is replaced.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where to add.
    crop : AugmentedCrop
        What to show.
    infos : sequence of ClassInfo
        Names and colours of the classes from 0.
    placement : Placement
        Of the plane that the crop was cut from, two axes.
    width : int
        Of that plane in pixels: the crop lies to its right.
    grid : bool
        Whether the grid is visible.
    """
    rows, columns = target_window(crop)
    place = placement.part((0, width + GAP))
    inner = placement.part((rows.start, width + GAP + columns.start))
    colour = len(crop.image) == 3
    shown = np.moveaxis(crop.image, 0, -1).clip(0, 1) if colour else crop.image[0]
    grey: dict[str, Any] = {} if colour else dict(contrast_limits=(0.0, 1.0))
    _put(viewer, "image", f"image {'rgb' if colour else 'grey'}", "image", shown, place, **grey)
    _put(
        viewer, "image", "weights", "weights", crop.weights, inner,
        colormap="magma", contrast_limits=(0.0, float(crop.weights.max()) or 1.0), visible=False,
    )  # fmt: skip
    names = [info.name for info in infos]
    _put(
        viewer, "labels", "target", "target", (crop.classes + 1).astype(np.uint8), inner,
        colormap=_colormap([info.colour for info in infos]), opacity=0.6,
        features={"index": list(range(1, len(names) + 1)), "class": names},
    )  # fmt: skip
    white = "#{:02x}{:02x}{:02x}".format(*GRID_COLOUR)
    _put(
        viewer, "labels", "grid", "grid", crop.grid.astype(np.uint8), place,
        colormap=_colormap([white]), visible=grid, opacity=0.5,
    )  # fmt: skip


def _put(
    viewer: napari.viewer.Viewer,
    kind: str,
    key: str,
    name: str,
    data: Any,
    place: Placement,
    **more: Any,
) -> None:
    put_output(viewer, kind, f"augmented {key}", f"augmented {name}", data, place, **more)


def _colormap(colours: Sequence[str]) -> Any:
    """Labels 1…K in these colours, 0 clear."""
    from napari.utils.colormaps import DirectLabelColormap

    table: dict[int | None, str] = {None: "#00000000", 0: "#00000000"}
    table.update(enumerate(colours, 1))
    return DirectLabelColormap(color_dict=table)
