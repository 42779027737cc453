"""One Image layer for the probability of each class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..core.model import ClassInfo
from ..core.results import Prediction
from .outputs import PROVENANCE, put_output
from .run_plan import RunPlan

if TYPE_CHECKING:
    import napari.viewer

RAMP = "p "  # begins the name of our colormaps


def show_probabilities(
    viewer: napari.viewer.Viewer, plan: RunPlan, result: Prediction
) -> Iterator[None]:
    """Add the probabilities of a prepared result, a layer at every step, so that the window can breathe
    between them. They are hidden at first: laid over the labels, they would only wash them out."""
    if result.probabilities is None:
        return
    for about, chances in zip(plan.model.spec.classes, result.probabilities, strict=True):
        data, placement = plan.place(chances)
        put_output(
            viewer,
            "image",
            f"{plan.key} {about.name}",
            f"{plan.name} p({about.name})",
            data,
            placement,
            metadata={PROVENANCE: dict(result.provenance)},
            **map_options(about),
        )
        yield


def map_options(about: ClassInfo) -> dict[str, Any]:
    """Options of an image layer of the probability of a class: from black to its colour, hidden."""
    from napari.utils.colormaps import Colormap

    return dict(
        colormap=Colormap(["#000000", about.colour], name=f"{RAMP}{about.colour}"),
        contrast_limits=(0.0, 1.0),
        blending="additive",
        visible=False,
    )


def class_of_ramp(name: str, colormap: Any) -> ClassInfo | None:
    """The class that `map_options` were made of, by the layer's colormap; None where it has another."""
    given = str(colormap.name)
    return ClassInfo(name, given.removeprefix(RAMP)) if given.startswith(f"{RAMP}#") else None
