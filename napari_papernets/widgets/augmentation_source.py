"""What the augmentation preview is drawn from: the strokes of an image, or a layer of its objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.annotation import View
from ..core.errors import InputError
from ..core.model import ClassInfo
from ..core.tune_settings import TuneSettings
from .annotated_image import AnnotatedImage
from .augmentation_job import Example
from .live_layers import is_preview
from .placement import placement_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer


@dataclass(frozen=True, eq=False)
class Source:
    """An entry of the list; without a layer it is the strokes."""

    layer: napari.layers.Labels | None = None

    @property
    def name(self) -> str:
        return "strokes" if self.layer is None else f"objects of {self.layer.name}"

    @property
    def key(self) -> Any:
        return None if self.layer is None else self.layer.unique_id


def sources_of(
    viewer: napari.viewer.Viewer, pairs: Sequence[AnnotatedImage], current: AnnotatedImage | None
) -> list[Source]:
    """The strokes, and the layers of labels of the size of the current image that may hold objects."""
    from napari.layers import Labels

    found = [Source()]
    if current is not None:
        strokes = [pair.labels for pair in pairs]
        shape = current.array().shape
        found += [
            Source(layer)
            for layer in viewer.layers
            if isinstance(layer, Labels) and tuple(layer.data.shape) == shape
            if layer not in strokes and not is_preview(layer)
        ]
    return found


def example_of(
    pair: AnnotatedImage,
    source: Source | None,
    view: View | None,
    settings: TuneSettings,
    classes: tuple[ClassInfo, ...],
) -> Example:
    """The plane in view, or the first one that is annotated.

    Raises
    ------
    InputError
        If none is.
    """
    layer = None if source is None else source.layer
    array = pair.array() if layer is None else layer.data
    block = pair.block()
    plane = _annotated_plane(array, view.plane if view is not None else None)
    if plane is None:
        raise InputError("strokes", "none yet", f"paint on {(layer or pair.labels).name}")
    part = replace(block, data=block.read(plane), axes="CYX", scale=(1.0, *block.plane_scale))
    dims = [i for i, axis in enumerate(pair.axes) if axis in "YX"]
    return Example(
        part,
        np.array(array[plane]),
        settings.replace(kind="strokes" if layer is None else "instances"),
        classes if layer is None else (),
        placement_of(pair.image).keep(dims),
    )


def _annotated_plane(array: Any, seen: tuple[int, ...] | None) -> tuple[int, ...] | None:
    planes = np.ndindex(tuple(array.shape[:-2]))
    for plane in planes if seen is None else (seen, *planes):
        if np.asarray(array[plane]).any():
            return plane
    return None
