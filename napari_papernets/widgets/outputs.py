"""Layers that belong to this plugin: made once, updated afterwards, never mixed with the user's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .placement import Placement, placement_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

PROVENANCE = "papernets"  # metadata key of the account of how a result was made
OUTPUT = "papernets_output"  # metadata key by which a layer of ours is known again
EDITED = "papernets_edited"  # metadata key that protects what the user painted


def output_key(role: str, image: napari.layers.Layer) -> str:
    """Names one output of one image layer."""
    return f"{role} of {image.unique_id}"


def key_of(layer: napari.layers.Layer) -> str:
    """By which `put_output` made a layer; empty where it did not."""
    return str(layer.metadata.get(OUTPUT, {}).get("key", ""))


def is_output(layer: napari.layers.Layer) -> bool:
    """Whether this plugin made the layer."""
    return OUTPUT in layer.metadata


def find_output(viewer: napari.viewer.Viewer, key: str) -> napari.layers.Layer | None:
    """The layer to update: it has this key, and the user neither renamed it nor painted on it."""
    for layer in viewer.layers:
        if key_of(layer) == key and not is_renamed(layer) and not layer.metadata.get(EDITED):
            return layer
    return None


def is_renamed(layer: napari.layers.Layer) -> bool:
    """Whether the user gave an output another name: it is theirs then."""
    return layer.metadata.get(OUTPUT, {}).get("name") != str(layer.name)


def outputs_of(
    viewer: napari.viewer.Viewer, roles: tuple[str, ...], identity: Any
) -> list[napari.layers.Layer]:
    """The outputs of the image of that unique_id whose role begins with one of these, and those that
    came with them (`companions_of`), lowest first."""
    end = f" of {identity} "
    return [la for la in viewer.layers if key_of(la).startswith(roles) and end in f"{key_of(la)} "]


def companions_of(viewer: napari.viewer.Viewer, key: str) -> dict[str, napari.layers.Layer]:
    """The outputs that came with the one of that key, by what their own keys add to it."""
    start = f"{key} "
    return {
        key_of(layer).removeprefix(start): layer
        for layer in viewer.layers
        if key_of(layer).startswith(start) and not is_renamed(layer)
    }


def put_output(
    viewer: napari.viewer.Viewer,
    kind: str,
    key: str,
    name: str,
    data: Any,
    placement: Placement,
    *,
    metadata: Mapping[str, Any] | None = None,
    **options: Any,
) -> napari.layers.Layer:
    """Show `data` in the output layer of that key, making it where there is none.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where to look and to add.
    kind : {"labels", "image", "shapes", "points"}
        Type of the layer.
    key, name : str
        See `find_output`; the name of a new layer.
    data : object
        What the layer holds.
    placement : Placement
        Where it lies.
    metadata : mapping, optional
        Added to the layer's.
    **options
        Further attributes of the layer.
    """
    layer = find_output(viewer, key)
    if layer is not None and (kind == "shapes" or np.ndim(layer.data) != np.ndim(data)):
        viewer.layers.remove(layer)
        layer = None
    if layer is None:
        return _add(viewer, kind, key, name, data, placement, metadata or {}, options)
    layer.metadata.update(metadata or {})  # first: who hears of new data may look at it
    update_layer(layer, data, placement)
    for attribute, value in options.items():
        if attribute != "visible" or layer.visible != value:  # setting it, too, draws all again
            setattr(layer, attribute, value)
    return layer


def rename_output(layer: napari.layers.Layer, name: str) -> None:
    """Another name for an output that now shows something else; a number behind its name stays."""
    if not str(layer.name).startswith(name):
        layer.metadata[OUTPUT] = {**layer.metadata[OUTPUT], "name": name}  # who hears of it may ask
        layer.name = name
        sign(layer)


def update_layer(layer: napari.layers.Layer, data: Any, placement: Placement) -> None:
    """New data and place for a layer of the same number of axes."""
    # Every change costs a refresh, and that of large data is dear: what stays is left, data comes last.
    before = placement_of(layer).options()
    for attribute, value in placement.options().items():
        if not np.array_equal(before[attribute], value):
            setattr(layer, attribute, value)
    layer.data = data


def refill_layer(layer: napari.layers.Layer, data: NDArray[Any], placement: Placement) -> None:
    """`update_layer` for an array that nobody but the layer holds: where the new one fits, it is written
    into the old one, which takes half the time. The thumbnail stays behind.
    """
    old, lies, wanted = layer.data, placement_of(layer).options(), placement.options()
    same = isinstance(old, np.ndarray) and (old.shape, old.dtype) == (data.shape, data.dtype)
    if same and all(np.array_equal(lies[name], wanted[name]) for name in wanted):
        old[...] = data
        layer.refresh(thumbnail=False, highlight=False, extent=False)
    else:
        update_layer(layer, data, placement)


@contextlib.contextmanager
def undisturbed_selection(viewer: napari.viewer.Viewer) -> Iterator[None]:
    """Keep the layer that the user works on selected while layers are added.

    Nobody hears that they are selected for a moment: napari would lay out the controls of one and then
    of the other again, which takes a third of the time of adding a layer.
    """
    selection, active = viewer.layers.selection, viewer.layers.selection.active
    if active is None:
        yield
        return
    with selection.events.active.blocker():
        yield
        if kept := is_shown(viewer, active):
            selection.active = active
    if not kept:
        selection.events.active(value=selection.active)


def is_shown(viewer: napari.viewer.Viewer, layer: napari.layers.Layer) -> bool:
    """Whether the layer is (still) in the viewer."""
    return has_layer(viewer, layer.unique_id)


def has_layer(viewer: napari.viewer.Viewer, identity: Any) -> bool:
    """Whether a layer of that unique_id is in the viewer."""
    return any(layer.unique_id == identity for layer in viewer.layers)


def make_labels(
    key: str, name: str, data: Any, placement: Placement, **options: Any
) -> napari.layers.Labels:
    """A new labels layer of that key, for `show_labels`."""
    from napari.layers import Labels

    metadata = {OUTPUT: {"key": key, "name": name}}
    return Labels(data, name=name, metadata=metadata, **options, **placement.options())


def show_labels(viewer: napari.viewer.Viewer, layer: napari.layers.Labels) -> None:
    """Add what `make_labels` made to a viewer."""
    with undisturbed_selection(viewer):
        viewer.add_layer(layer)
    sign(layer)
    _mark_when_painted(layer)


def _add(
    viewer: napari.viewer.Viewer,
    kind: str,
    key: str,
    name: str,
    data: Any,
    placement: Placement,
    about: Mapping[str, Any],
    options: Mapping[str, Any],
) -> napari.layers.Layer:
    if kind == "labels":
        labels = make_labels(key, name, data, placement, **options)
        labels.metadata.update(about)
        show_labels(viewer, labels)
        return labels
    adders = {"image": viewer.add_image, "shapes": viewer.add_shapes, "points": viewer.add_points}
    add = adders[kind]
    if kind == "image":  # three planes are no colours, unless one says so
        options = {"rgb": False, **options}
    metadata = {**about, OUTPUT: {"key": key, "name": name}}
    with undisturbed_selection(viewer):
        layer = add(data, name=name, metadata=metadata, **options, **placement.options())
    sign(layer)
    return layer


def sign(layer: napari.layers.Layer) -> None:
    """Remember the name that the viewer gave it: another where that was taken."""
    layer.metadata[OUTPUT] = {**layer.metadata[OUTPUT], "name": str(layer.name)}


def _mark_when_painted(layer: napari.layers.Labels) -> None:
    """Remember that the user corrected a result: it is then never overwritten."""

    def mark(_: object = None) -> None:
        layer.metadata[EDITED] = True

    layer.events.paint.connect(mark)
