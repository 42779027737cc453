"""Labels layers as annotation: made for an image, or adopted; 0 is not annotated, 1…K are classes."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.image import check_axes
from ..core.model import ClassInfo, class_infos
from .camera import camera_of
from .image_layers import full_data, layer_axes
from .outputs import EDITED, is_output, undisturbed_selection
from .placement import lay_out, placement_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

ANNOTATION = "papernets_annotation"  # metadata key: the unique id of the annotated image
SESSION = "papernets_session"  # metadata key: folder of the session that keeps them, number there
BRUSH = 5, 40  # pixels, from and to: the most that napari offers
BROAD = 6  # pixels of the screen, at least
OPACITY = 0.7
IN_MEMORY = 2_000_000_000  # bytes; more lies in a temporary file, of which only painted parts take space
MOST_CLASSES = 255


def annotation_axes(image: napari.layers.Image, axes: str) -> str:
    """Axes of an annotation of an image with `axes`: those of the stack, then Y and X."""
    return "".join(axis for axis in axes if axis in "TZ") + "YX"


def annotation_shape(image: napari.layers.Image, axes: str) -> tuple[int, ...]:
    """Sizes along `annotation_axes` at full resolution.

    Raises
    ------
    InputError
        If the axes do not fit the image.
    """
    sizes = _sizes(image, axes)
    return tuple(sizes[axis] for axis in annotation_axes(image, axes))


def new_annotation(
    viewer: napari.viewer.Viewer,
    image: napari.layers.Image,
    axes: str,
    classes: Sequence[ClassInfo],
    labels: NDArray[Any] | None = None,
) -> napari.layers.Labels:
    """Add a layer to paint on, exactly over an image.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where to add it; the selection stays.
    image : napari.layers.Image
        RGB, multiscale (the annotation has its full resolution) or a stack.
    axes : str
        One letter of TZCYX for each axis of its array.
    classes : sequence of ClassInfo
        Names and colours of 1…K.
    labels : ndarray of uint8, shape (*stack, Y, X), optional
        What was painted before; it becomes the layer's own. Empty by default.

    Raises
    ------
    InputError
        If the axes do not fit the image, or `labels` does not.
    """
    shape = annotation_shape(image, axes)
    if labels is None:
        labels = empty_labels(shape)
    if labels.shape != shape or labels.dtype != np.uint8:
        mend = f"give uint8 of shape {shape}"
        raise InputError("labels", f"{labels.dtype} of shape {labels.shape}", mend)
    like, sizes = layer_axes(image, axes), _sizes(image, axes)
    shown, dims = lay_out(labels, annotation_axes(image, axes), like, sizes)
    place = placement_of(image).keep(dims)
    with undisturbed_selection(viewer):
        layer = viewer.add_labels(
            shown, name=f"{image.name} strokes", opacity=OPACITY, **place.options()
        )
    layer.brush_size = brush_of(viewer, image, axes)
    _make_ours(layer, image, classes)
    return layer


def brush_of(viewer: napari.viewer.Viewer, image: napari.layers.Image, axes: str) -> int:
    """Size of a brush, in pixels of the image, that is seen at the zoom of now."""
    across = float(image.scale[layer_axes(image, axes).index("X")])
    shown = camera_of(viewer).zoom * across  # pixels of the screen for each
    return int(np.clip(np.ceil(BROAD / max(shown, 1e-6)), *BRUSH))


def adopt_annotation(
    layer: napari.layers.Labels,
    image: napari.layers.Image,
    axes: str,
    classes: Sequence[ClassInfo],
) -> None:
    """Take a layer that exists as annotation of an image; its data become uint8.

    Raises
    ------
    InputError
        If it does not fit: see `check_annotation`.
    """
    check_annotation(layer, image, axes, len(classes))
    if layer.data.dtype != np.uint8:
        layer.data = layer.data.astype(np.uint8)
        forget_history(layer)  # it would write the old values of another array
    if is_output(layer):
        layer.metadata[EDITED] = True  # the next prediction gets a layer of its own
    _make_ours(layer, image, classes)


def check_annotation(
    layer: napari.layers.Labels, image: napari.layers.Image, axes: str, classes: int
) -> None:
    """Refuse a layer that cannot be the annotation of an image.

    Raises
    ------
    InputError
        If it is multiscale, cannot be written in place, has another shape, or labels above the number
        of classes.
    """
    check_shape(layer, image, axes)
    if not layer.data.size:
        return
    low, high = int(layer.data.min()), int(layer.data.max())
    if low < 0 or high > classes:
        mend = f"add classes, or choose a layer of strokes with labels 0 to {classes} (0: not annotated)"
        raise InputError("annotation", f"{layer.name}, with labels {low} to {high}", mend)


def check_shape(layer: napari.layers.Labels, image: napari.layers.Image, axes: str) -> None:
    """The part of `check_annotation` that does not read the labels."""
    fresh = "choose “new layer” instead"
    if layer.multiscale:
        mend = f"napari cannot edit multiscale labels; {fresh}"
        raise InputError("annotation", f"{layer.name}, a multiscale layer", mend)
    if not isinstance(layer.data, np.ndarray):
        mend = f"its data are read piece by piece and cannot be painted on; {fresh}"
        raise InputError("annotation", f"{layer.name}, a {type(layer.data).__name__}", mend)
    if not layer.data.flags.writeable:
        mend = "right-click on it, choose Duplicate layer, and take the copy"
        raise InputError("annotation", f"{layer.name}, which is read-only", mend)
    wanted = _layer_shape(image, axes)
    if layer.data.shape != wanted:
        mend = f"{image.name} needs {wanted}: correct the axes of the image, or {fresh}"
        raise InputError("annotation", f"{layer.name}, of shape {layer.data.shape}", mend)
    for axis, size, stride in zip(_shown(layer, image, axes), wanted, layer.data.strides, strict=True):
        if axis not in annotation_axes(image, axes) and size > 1 and stride:
            mend = f"channels share their strokes; {fresh}"
            raise InputError("annotation", f"{layer.name}, with labels for each channel", mend)


def annotation_array(layer: napari.layers.Labels, image: napari.layers.Image, axes: str) -> NDArray[Any]:
    """What is painted, as a view of the layer's data with `annotation_axes`.

    Raises
    ------
    InputError
        If the layer does not fit the image any more.
    """
    check_shape(layer, image, axes)
    there, wanted = _shown(layer, image, axes), annotation_axes(image, axes)
    index = tuple(slice(None) if axis in wanted else 0 for axis in there)
    order = [axis for axis in there if axis in wanted]
    return layer.data[index].transpose([order.index(axis) for axis in wanted])


def show_classes(layer: napari.layers.Labels, classes: Sequence[ClassInfo]) -> None:
    """Give a layer the colours of the classes, and their names (for the status bar, and
    for `classes_of`)."""
    from napari.utils.colormaps import DirectLabelColormap

    colours: dict[int | None, str] = {None: "#00000000", 0: "#00000000"}
    colours |= {number: one.colour for number, one in enumerate(classes, 1)}
    layer.colormap = DirectLabelColormap(color_dict=colours)
    names = [one.name for one in classes]
    layer.features = {"index": list(range(1, len(names) + 1)), "class": names}
    layer.metadata.update(class_names=names, class_colours=[one.colour for one in classes])


def arm(viewer: napari.viewer.Viewer, layer: napari.layers.Labels, number: int) -> None:
    """Make a layer the active one, with the brush of a class in hand; 0 is the eraser."""
    viewer.layers.selection.active = layer
    layer.visible = True
    if number:
        layer.selected_label = number
    layer.mode = "paint" if number else "erase"


def classes_of(layer: napari.layers.Layer) -> tuple[ClassInfo, ...]:
    """The classes 1…K that a layer tells (samples and sessions do); none where it does not."""
    usual = class_infos([str(name) for name in layer.metadata.get("class_names", ())])
    colours = layer.metadata.get("class_colours", ())
    if len(colours) != len(usual):
        return usual
    return tuple(ClassInfo(one.name, str(colour)) for one, colour in zip(usual, colours, strict=True))


def annotated_id(layer: napari.layers.Layer) -> str:
    """The unique id of the image that a layer annotates; empty where it is no annotation of ours."""
    return str(layer.metadata.get(ANNOTATION, ""))


def forget_history(layer: napari.layers.Labels) -> None:
    """Empty the undo history, after a change that is not in it: undo would write over that change."""
    if not layer.editable:
        return
    mode = layer.mode
    layer.editable = False
    layer.editable = True
    layer.mode = mode


def empty_labels(shape: Sequence[int]) -> NDArray[np.uint8]:
    """Zeros that take memory where they are written to only; in a temporary file if there are many."""
    if math.prod(shape) <= IN_MEMORY:
        return np.zeros(tuple(shape), np.uint8)
    with tempfile.TemporaryFile(prefix="papernets-strokes-") as file:
        return np.memmap(file, np.uint8, "w+", shape=tuple(shape))


def _make_ours(
    layer: napari.layers.Labels, image: napari.layers.Image, classes: Sequence[ClassInfo]
) -> None:
    layer.metadata[ANNOTATION] = str(image.unique_id)
    show_classes(layer, classes)


def _sizes(image: napari.layers.Image, axes: str) -> dict[str, int]:
    shape = full_data(image).shape
    check_axes(axes, shape, str(image.name))
    if image.rgb and not axes.endswith("C"):
        mend = "the colours of an RGB layer are its last axis: end with C"
        raise InputError("axes", repr(axes), mend)
    return {axis: int(size) for axis, size in zip(axes, shape, strict=True)}


def _shown(layer: napari.layers.Labels, image: napari.layers.Image, axes: str) -> str:
    """The axes of an annotation layer: the last ones of its image."""
    return layer_axes(image, axes)[-layer.data.ndim :]


def _layer_shape(image: napari.layers.Image, axes: str) -> tuple[int, ...]:
    """Shape of the layer's data: those of the image, without leading axes that the annotation lacks."""
    sizes, like = _sizes(image, axes), layer_axes(image, axes)
    first = min(like.index(axis) for axis in annotation_axes(image, axes))
    return tuple(sizes[axis] for axis in like[first:])
