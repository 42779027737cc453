"""An image layer with the Labels layer that annotates it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.image import ImageBlock
from .annotation_layer import annotation_array
from .image_layers import block_of, layer_axes

if TYPE_CHECKING:
    import napari.layers


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image layer and the Labels layer that annotates it.

    Attributes
    ----------
    number : int
        Of the image in its session, from 0; never given to another.
    image, labels : layers of napari
        They may be renamed.
    axes : str
        One letter of TZCYX for each axis of the image's array.
    """

    number: int
    image: napari.layers.Image
    labels: napari.layers.Labels
    axes: str

    def block(self) -> ImageBlock:
        """The image as the engine takes it.

        Raises
        ------
        InputError
            If the layer's array changed and the axes do not fit any more.
        """
        return block_of(self.image, self.axes)

    def array(self) -> NDArray[Any]:
        """What is painted: a live view of the layer's data, axes (*stack, Y, X).

        Raises
        ------
        InputError
            If the data of either layer were replaced and do not fit each other.
        """
        return annotation_array(self.labels, self.image, self.axes)

    def painted_planes(self, event_value: Iterable[Any]) -> set[tuple[int, ...]]:
        """The planes that a paint event of napari names.

        Parameters
        ----------
        event_value : iterable of history atoms
            With slices for each axis of the layer (napari ≥ 0.9) or index arrays as their first item.
        """
        like = layer_axes(self.image, self.axes)[-self.labels.data.ndim :]
        stack = [i for i, axis in enumerate(like) if axis in "TZ"]
        planes: set[tuple[int, ...]] = set()
        for atom in event_value:
            slices = getattr(atom, "slice_key", None)
            if slices is not None:
                ranges = [range(slices[i].start, slices[i].stop) for i in stack]
                starts = [r.start for r in ranges]
                steps = np.ndindex(tuple(len(r) for r in ranges))
                planes.update(tuple(a + b for a, b in zip(starts, s, strict=True)) for s in steps)
            else:
                rows = [np.ravel(atom[0][i]).tolist() for i in stack]
                planes.update(zip(*rows, strict=True) if stack else [()])
        return planes
