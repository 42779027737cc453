"""One Image layer for the probability of each class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..core.model import ClassInfo
from ..core.results import Prediction
from .outputs import PROVENANCE, companions_of, put_output, rename_output
from .run_plan import RunPlan

if TYPE_CHECKING:
    import napari.viewer

CLASSES = "papernets_classes"  # metadata key of the names of all classes of the result
RAMP = "p "  # begins the name of our colormaps


def show_probabilities(
    viewer: napari.viewer.Viewer, plan: RunPlan, result: Prediction
) -> Iterator[None]:
    """Add the probabilities of a prepared result, a layer at every step, so that the window can breathe
    between them. They are hidden at first: laid over the labels, they would only wash them out."""
    if result.probabilities is None:
        return
    classes = [about.name for about in plan.model.spec.classes]
    for about, chances in zip(plan.model.spec.classes, result.probabilities, strict=True):
        data, placement = plan.place(chances)
        name = f"{plan.name} p({about.name})"
        layer = put_output(
            viewer,
            "image",
            f"{plan.key} {about.name}",
            name,
            data,
            placement,
            metadata={PROVENANCE: dict(result.provenance), CLASSES: classes},
            **map_options(about),
        )
        rename_output(layer, name)  # which an earlier run may have left behind
        yield


def set_earlier_apart(viewer: napari.viewer.Viewer, plan: RunPlan, result: Prediction) -> None:
    """Name those probabilities of an earlier run that the labels of this one do not bring anew, so that
    they are not taken for those of the labels beside them."""
    fresh = () if result.probabilities is None else [c.name for c in plan.model.spec.classes]
    for name, layer in companions_of(viewer, plan.key).items():
        if name not in fresh:
            rename_output(layer, f"{plan.name} (earlier) p({name})")


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
