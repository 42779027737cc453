"""One Image layer for the probability of each class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..core.results import Prediction
from .outputs import PROVENANCE, put_output
from .run_plan import RunPlan

if TYPE_CHECKING:
    import napari.viewer


def show_probabilities(
    viewer: napari.viewer.Viewer, plan: RunPlan, result: Prediction
) -> Iterator[None]:
    """Add the probabilities of a prepared result, a layer at every step, so that the window can breathe
    between them. They are hidden at first: laid over the labels, they would only wash them out."""
    from napari.utils.colormaps import Colormap

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
            colormap=Colormap(["#000000", about.colour], name=f"p {about.colour}"),
            contrast_limits=(0.0, 1.0),
            blending="additive",
            visible=False,
        )
        yield
