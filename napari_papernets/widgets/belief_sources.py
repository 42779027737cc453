"""Probabilities that layers offer: of our own results, of any image layer, or of softened labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.image import ImageBlock
from ..core.tiles import Region
from .image_layers import full_data
from .outputs import OUTPUT

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

MOST_LABELS = 20  # different numbers up to which labels are classes; more are objects
Kind = Literal["result", "image", "labels"]


@dataclass(frozen=True, eq=False)
class BeliefSource:
    """Probabilities that a layer, or several, stand for.

    Attributes
    ----------
    name : str
        For the person.
    key : object
        Tells it from others.
    kind : {"result", "image", "labels"}
        A layer for each class, one layer with all, or labels.
    arrays : tuple of array
        The data of those layers.
    names : tuple of str
        Of the classes; empty for labels, whose classes are read when they are needed.
    confidence : float
        Of labels.
    """

    name: str
    key: Any
    kind: Kind
    arrays: tuple[Any, ...]
    names: tuple[str, ...] = ()
    confidence: float = 0.7

    @property
    def identity(self) -> Any:
        """Tells it from other sources, and labels from the same ones of another confidence."""
        return self.key, self.confidence if self.kind == "labels" else None

    def with_confidence(self, confidence: float) -> BeliefSource:
        """The same with labels so sure."""
        return replace(self, confidence=confidence)

    def read(self, plane: tuple[int, ...] | None, region: Region | None = None) -> Beliefs:
        """Probabilities of (a region of) a plane, or of all where that is None.

        Raises
        ------
        InputError
            If labels have but one class.
        """
        index: tuple[Any, ...] = (*(plane or ()), ...)
        if region is not None:
            index = (*index, slice(region[0], region[1]), slice(region[2], region[3]))
        if self.kind == "result":
            maps = np.stack([np.asarray(a[index], np.float32) for a in self.arrays])
            return Beliefs(maps, _values(self.names), self.names)
        if self.kind == "image":
            maps = np.asarray(self.arrays[0][(slice(None), *index)], np.float32)
            return Beliefs(maps, _values(self.names), self.names)
        return soften(np.asarray(self.arrays[0][index]), self.confidence)


@dataclass(frozen=True, eq=False)
class Beliefs:
    """Probabilities, and what their classes are called.

    Attributes
    ----------
    probabilities : ndarray of float32, shape (K, *stack, Y, X)
        As they are; the engine checks them.
    values : tuple of int
        The number of each class in a labels layer.
    names : tuple of str
        The name of each class.
    """

    probabilities: NDArray[np.float32]
    values: tuple[int, ...]
    names: tuple[str, ...]

    def labels(self, classes: NDArray[Any]) -> NDArray[np.uint8]:
        """Numbers of a labels layer for classes 1…K."""
        return np.array((0, *self.values), np.uint8)[classes]


def soften(labels: NDArray[Any], confidence: float) -> Beliefs:
    """Probabilities of labels that are right with a probability of `confidence`.

    Up to 20 different numbers are classes; more are objects, which become foreground and background.

    Raises
    ------
    InputError
        If there are fewer than two different numbers.
    """
    numbers = _numbers(labels)
    if numbers is None:
        labels, numbers = (labels > 0).astype(np.uint8), np.array([0, 1])
    if len(numbers) < 2:
        mend = "choose labels with at least two different numbers in view"
        raise InputError("probabilities", f"labels that are all {int(numbers[0])}", mend)
    rest = (1 - confidence) / (len(numbers) - 1)
    maps = np.where(labels[None] == numbers.reshape(-1, *[1] * labels.ndim), confidence, rest)
    values = tuple(int(n) for n in numbers)
    names = tuple("background" if v == 0 else f"label {v}" for v in values)
    return Beliefs(maps.astype(np.float32), values, names)


def _numbers(labels: NDArray[Any]) -> NDArray[np.intp] | None:
    """The different numbers of labels; None where they are more than classes."""
    if labels.size == 0 or labels.min() < 0 or labels.max() > np.iinfo(np.uint8).max:
        return None
    found = np.flatnonzero(np.bincount(labels.ravel(), minlength=1))
    return found if len(found) <= MOST_LABELS else None


def find_sources(viewer: napari.viewer.Viewer, block: ImageBlock) -> list[BeliefSource]:
    """What the layers of a viewer offer for an image, our own results first."""
    shape = (*block.stack_shape, *block.plane_shape)
    return [*_results(viewer, shape), *_images(viewer, block, shape), *_labels(viewer, shape)]


def _results(viewer: napari.viewer.Viewer, shape: tuple[int, ...]) -> Iterator[BeliefSource]:
    """Layers named “… p(class)” that this plugin made, together."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for layer in viewer.layers:
        stem, mark, rest = str(layer.metadata.get(OUTPUT, {}).get("name", "")).rpartition(" p(")
        if mark and rest.endswith(")") and tuple(full_data(layer).shape) == shape:
            found.setdefault(stem, []).append((rest[:-1], full_data(layer)))
    for stem, maps in found.items():
        if len(maps) > 1:
            names, arrays = zip(*maps, strict=True)
            yield BeliefSource(f"{stem} (probabilities)", ("result", stem), "result", arrays, names)


def _images(
    viewer: napari.viewer.Viewer, block: ImageBlock, shape: tuple[int, ...]
) -> Iterator[BeliefSource]:
    from napari.layers import Image

    for layer in viewer.layers:
        if not isinstance(layer, Image) or layer.rgb or full_data(layer) is block.data:
            continue
        size = tuple(full_data(layer).shape)
        if size[1:] == shape and 2 <= size[0] <= MOST_LABELS and layer.dtype.kind == "f":
            names = tuple(f"class {k + 1}" for k in range(size[0]))
            yield BeliefSource(str(layer.name), layer.unique_id, "image", (full_data(layer),), names)


def _labels(viewer: napari.viewer.Viewer, shape: tuple[int, ...]) -> Iterator[BeliefSource]:
    from napari.layers import Labels

    for layer in viewer.layers:
        ours = str(layer.metadata.get(OUTPUT, {}).get("key", "")).startswith("refined ")
        if isinstance(layer, Labels) and not ours and tuple(full_data(layer).shape) == shape:
            yield BeliefSource(f"{layer.name} (labels)", layer.unique_id, "labels", (full_data(layer),))


def _values(names: tuple[str, ...]) -> tuple[int, ...]:
    """1…K, or from 0 where the first class is what nothing is drawn for."""
    first = 0 if names and names[0] == "background" else 1
    return tuple(range(first, first + len(names)))
