"""Shows a tile plan: what each tile writes, and the larger window, with its halo, that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.predict_settings import CPU_MEMORY
from ..core.tiles import Tile, TilePlan, plan_tiles
from .outputs import output_key, put_output
from .run_plan import RunPlan

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

READ_COLOUR, WRITE_COLOUR = "#E69F00", "#56B4E9"
MOST_TILES = 150  # napari needs about 3 ms for each rectangle


def plan_of(plan: RunPlan, last: Mapping[str, Any] | None) -> tuple[TilePlan, float, str]:
    """The tiles of a run.

    Parameters
    ----------
    plan : RunPlan
        The run that would be asked for now.
    last : mapping or None
        Provenance of the last run of this image and model, which knows the zoom and the tiles.

    Returns
    -------
    TilePlan
        On the zoomed image.
    float
        The zoom.
    str
        Where the plan comes from, one line.
    """
    spec, settings = plan.model.spec, plan.settings
    same = last is not None and last.get("settings") == settings.to_dict()
    zoom = settings.zoom or (float(last["zoom"]) if last is not None and same else 1.0)
    height, width = (max(1, round(n * zoom)) for n in plan.image.plane_shape)
    tile: Any = settings.tile
    source = "Plan for these settings"
    if tile is None and settings.memory is None:
        source += " on the processor"  # what is free on a GPU only the engine knows
    if same and last is not None and last["region"] is None:
        tile, source = tuple(last["tiles"]["window"]), "Plan of the last run"
    pixels = spec.window_pixels(settings.memory or CPU_MEMORY)
    tiles = plan_tiles((height, width), spec.size_rule, tile, pixels)
    unsure = "" if settings.zoom or same else ", at zoom 1"
    return tiles, zoom, source + unsure


def show_tiles(
    viewer: napari.viewer.Viewer,
    layer: napari.layers.Image,
    plan: RunPlan,
    tiles: TilePlan,
    zoom: float,
) -> str:
    """Draw a tile plan over its image; the tile nearest to the middle of the view is filled.

    Returns
    -------
    str
        One line that says what is drawn.

    Raises
    ------
    InputError
        If Y and X are not the last axes of the layer.
    """
    if not plan.like.endswith("YX"):
        mend = "tiles can be drawn where Y and X are the last axes of the layer"
        raise InputError("axes", repr(plan.image.axes), mend)
    centre = plan.focus or tuple(n / 2 for n in plan.image.plane_shape)
    nearest = tiles.nearest_first(centre[0] * zoom, centre[1] * zoom)[:MOST_TILES]
    shapes = [_rectangle(t.y.read, t.x.read, zoom) for t in nearest]
    shapes += [_rectangle(t.y.write, t.x.write, zoom) for t in nearest]
    n = len(nearest)
    line, clear = max(plan.image.plane_shape) / 500, ["#00000000"] * (n - 1)
    dims = (len(plan.like) - 2, len(plan.like) - 1)
    put_output(
        viewer, "shapes", output_key("tiles", layer), f"{plan.image.name} tiles",
        shapes, plan.placement.keep(dims),
        shape_type="rectangle",
        edge_color=[READ_COLOUR] * n + [WRITE_COLOUR] * n,
        edge_width=([2 * line] + [line] * (n - 1)) * 2,
        face_color=[READ_COLOUR + "30", *clear, WRITE_COLOUR + "60", *clear],
        features={"part": ["read"] * n + ["write"] * n, "tile": [*range(n), *range(n)]},
    )  # fmt: skip
    return _describe(tiles, nearest)


def _describe(tiles: TilePlan, drawn: tuple[Tile, ...]) -> str:
    y, x = tiles.window
    count = f"{len(tiles)} tile" + "s" * (len(tiles) != 1)
    part = "" if len(drawn) == len(tiles) else f", the {len(drawn)} nearest to the view drawn"
    return (
        f"{count} of {y}×{x}{part}; orange is read, blue is written "
        f"(filled for the middle one); "
        f"{tiles.overhead:.2f} times the work of one pass"
    )


def _rectangle(y: tuple[int, int], x: tuple[int, int], zoom: float) -> NDArray[np.float64]:
    """Corners in image pixels; napari puts the centre of the first pixel at 0."""
    corners = np.array([(y[0], x[0]), (y[0], x[1]), (y[1], x[1]), (y[1], x[0])], dtype=float)
    return corners / zoom - 0.5
