"""Probabilities that layers offer: of our own results, of any image layer, or of softened labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.model import ClassInfo, class_infos
from ..core.tiles import Region
from .annotation_layer import annotated_id, classes_of
from .beliefs import Beliefs, soften
from .image_layers import full_data
from .label_numbers import MOST_LABELS, OBJECTS, Numbers
from .layer_parts import Index, LaterArray, NothingToRefine, Target, fit_layer, part_of
from .live_layers import is_preview
from .outputs import OUTPUT, PROVENANCE, key_of
from .probability_layers import CLASSES, class_of_ramp

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

Kind = Literal["result", "image", "labels"]
RESULT = re.compile(r"(?P<stem>.+) p\((?P<name>.+)\)(?P<copy> \[\d+\])?")  # as napari numbers copies
DEEPLAB_STEP = 8  # pixels between the scores of a DeepLab


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
    layers : tuple of layer
        Which those are; their data are looked up when they are read.
    target : Target
        The image that they fit.
    names : tuple of str
        Of the classes; empty for labels, whose classes are their numbers.
    confidence : float
        Of labels.
    numbers : tuple of int or None
        The different ones of the whole labels layer; None while they are not known.
    """

    name: str
    key: Any
    kind: Kind
    layers: tuple[Any, ...]
    target: Target
    names: tuple[str, ...] = ()
    confidence: float = 0.7
    numbers: Numbers | None = None

    @property
    def identity(self) -> Any:
        """Tells it from other sources, and labels from the same ones of another confidence."""
        return self.key, self.confidence if self.kind == "labels" else None

    @property
    def values(self) -> tuple[int, ...]:
        """The number of each class in a labels layer; empty while it is not known."""
        if self.kind != "labels":
            return values_of(self.names)
        return (0, 1) if self.numbers == OBJECTS else self.numbers or ()

    @property
    def window(self) -> Region | None:
        """The part of each plane that it covers, as a preview does; None where it covers all."""
        height, width = self.target.block.plane_shape
        fit = fit_layer(self.layers[0], self.target, 1 if self.kind == "image" else 0)
        return None if fit is None or fit.window == (0, height, 0, width) else fit.window

    def sure(self, confidence: float, numbers: Numbers | None) -> BeliefSource:
        """The same with labels so sure, of these numbers; 0 is none of them where it is no class."""
        if numbers and numbers != (0,) and zero_is_unknown(self.layers[0]):
            numbers = tuple(number for number in numbers if number)
        return replace(self, confidence=confidence, numbers=numbers)

    def beliefs(
        self, plane: tuple[int, ...] | None, region: Region | None = None, keep: bool = False
    ) -> Beliefs:
        """Probabilities of (a region of) a plane, or of all where that is None; nothing is read yet.

        Raises
        ------
        NothingToRefine
            If labels have but one class, the plane has no probabilities, or they are just changing.
        InputError
            If all planes are wanted, but some have no probabilities.
        """
        if self.kind == "labels":
            return self._soft(plane, region, keep)
        lead = 1 if self.kind == "image" else 0
        parts = [part_of(layer, self.target, plane, region, lead) for layer in self.layers]
        if self.kind == "image":
            maps = LaterArray(parts[0].shape, np.float32, parts[0].read, keep)
            return Beliefs(maps, self.values, class_infos(self.names))
        accounts = [layer.metadata.get(PROVENANCE) for layer in self.layers]
        if any(account != accounts[0] for account in accounts):
            raise NothingToRefine("probabilities", "maps of two results", "wait for the new one")

        def read(index: Index) -> NDArray[Any]:
            return np.stack([np.asarray(part.read(index[1:]), np.float32) for part in parts])[index[0]]

        maps = LaterArray((len(parts), *parts[0].shape), np.float32, read, keep)
        return Beliefs(maps, self.values, self._colours(), step_of(accounts[0] or {}))

    def _soft(self, plane: tuple[int, ...] | None, region: Region | None, keep: bool) -> Beliefs:
        """Of labels."""
        if self.numbers is None:
            raise NothingToRefine("probabilities", "labels that are still being counted", "wait")
        numbers, confidence, layer = self.numbers, self.confidence, self.layers[0]
        if len(numbers) == 1:
            mend = "choose or paint labels with at least two different numbers"
            raise NothingToRefine("probabilities", f"labels that are all {numbers[0]}", mend)
        part = part_of(layer, self.target, plane, region)

        def read(index: Index) -> NDArray[Any]:
            return soften(part.read(index[1:]), numbers, confidence)[index[0]]

        maps = LaterArray((len(self.values), *part.shape), np.float32, read, keep)
        return Beliefs(maps, self.values, label_classes(layer, numbers), gaps=0 not in self.values)

    def _colours(self) -> tuple[ClassInfo, ...]:
        """The classes of a result, in the colours that it gave its layers."""
        spare = class_infos(self.names)
        found = (class_of_ramp(name, layer.colormap) for name, layer in
                 zip(self.names, self.layers, strict=True))  # fmt: skip
        return tuple(own or other for own, other in zip(found, spare, strict=True))


def find_sources(viewer: napari.viewer.Viewer, target: Target) -> list[BeliefSource]:
    """What the layers of a viewer offer for an image, our own results first."""
    return [*_results(viewer, target), *_images(viewer, target), *_labels(viewer, target)]


def values_of(names: tuple[str, ...]) -> tuple[int, ...]:
    """1…K, or from 0 where the first class is what nothing is drawn for."""
    first = 0 if names and names[0] == "background" else 1
    return tuple(range(first, first + len(names)))


def step_of(account: Any) -> int:
    """Pixels from one score to the next, by the account of a prediction."""
    coarse = account.get("architecture") == "deeplab" and account.get("zoom") == 1
    return DEEPLAB_STEP if coarse else 1


def label_classes(layer: napari.layers.Labels, numbers: Numbers) -> tuple[ClassInfo, ...]:
    """Names and colours that a labels layer gives its numbers."""
    if numbers == OBJECTS:
        return class_infos(("background", "foreground"))
    named = _names(layer)
    zero = "unlabelled" if "background" in named.values() else "background"
    names = [named.get(n) or (zero if n == 0 else f"label {n}") for n in numbers]
    colours = [_hex(layer.get_color(number)) for number in numbers]
    return tuple(ClassInfo(name, colour) for name, colour in zip(names, colours, strict=True))


def zero_is_unknown(layer: napari.layers.Labels) -> bool:
    """Whether 0 is no class: not annotated in strokes, not predicted yet by a live training."""
    named = _names(layer)
    named_otherwise = 0 not in named and "background" in named.values()
    return named_otherwise or is_preview(layer) or bool(annotated_id(layer) or classes_of(layer))


def _names(layer: napari.layers.Labels) -> dict[int, str]:
    """What a labels layer calls its numbers."""
    if not {"index", "class"} <= set(layer.features):
        return {number: one.name for number, one in enumerate(classes_of(layer), start=1)}
    pairs = zip(layer.features["index"], layer.features["class"], strict=True)
    return {int(number): str(name) for number, name in pairs}


def _results(viewer: napari.viewer.Viewer, target: Target) -> Iterator[BeliefSource]:
    """Layers named “… p(class)” that this plugin made, together, where all of a result are there.

    They are known by their keys: while a new result replaces them, or they become “(earlier)” ones,
    their names change one after the other.
    """
    found: dict[Any, dict[str, Any]] = {}
    for layer in viewer.layers:
        match, classes = _result_name(layer), layer.metadata.get(CLASSES)
        if match and classes and fit_layer(layer, target) is not None:
            stem = key_of(layer).removesuffix(f" {match['name']}")
            found.setdefault((stem, tuple(classes)), {})[match["name"]] = layer
    for (stem, names), maps in found.items():
        if set(maps) == set(names) and len(names) > 1:
            layers = tuple(maps[name] for name in names)
            called = _result_name(layers[0])
            name = f"{called['stem']}{called['copy'] or ''} (probabilities)" if called else stem
            yield BeliefSource(name, ("result", stem, names), "result", layers, target, names)


def _result_name(layer: napari.layers.Layer) -> re.Match[str] | None:
    """What the name of a map of a result tells; None for others, also for those that were renamed."""
    given, now = str(layer.metadata.get(OUTPUT, {}).get("name", "")), str(layer.name)
    numbered = now.startswith(f"{given} [")  # by napari, just now
    return RESULT.fullmatch(now) if now == given or numbered else None


def _images(viewer: napari.viewer.Viewer, target: Target) -> Iterator[BeliefSource]:
    from napari.layers import Image

    for layer in viewer.layers:
        if not isinstance(layer, Image) or layer.rgb or layer == target.layer:
            continue
        count = int(full_data(layer).shape[0])
        fits = 2 <= count <= MOST_LABELS and fit_layer(layer, target, lead=1) is not None
        if fits and layer.dtype.kind == "f":
            names = tuple(f"class {k + 1}" for k in range(count))
            yield BeliefSource(str(layer.name), layer.unique_id, "image", (layer,), target, names)


def _labels(viewer: napari.viewer.Viewer, target: Target) -> Iterator[BeliefSource]:
    from napari.layers import Labels

    for layer in viewer.layers:
        ours = str(layer.metadata.get(OUTPUT, {}).get("key", "")).startswith("refined ")
        if isinstance(layer, Labels) and not ours and fit_layer(layer, target) is not None:
            yield BeliefSource(f"{layer.name} (labels)", layer.unique_id, "labels", (layer,), target)


def _hex(colour: Any) -> str:
    """ "#RRGGBB" of what napari paints a label with, which is None for a clear one."""
    if colour is None:
        return "#000000"
    return "#" + "".join(f"{round(255 * float(part)):02X}" for part in colour[:3])
