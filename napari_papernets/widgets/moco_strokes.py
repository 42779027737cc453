"""Which image a layer of strokes belongs to, where several have its size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..core.errors import InputError
from .annotation_layer import annotated_id
from .image_layers import full_data, guess_layer_axes, layer_axes
from .placement import placement_of

if TYPE_CHECKING:
    import napari.layers

    Images: TypeAlias = Sequence[napari.layers.Image]

NUMBER = re.compile(r" \[\d+\]$")  # napari puts it behind a name that is taken
AGREE = 1e-6  # relative difference of two placements that are the same


def image_of_strokes(strokes: napari.layers.Labels, images: Images, ticked: Images) -> Any:
    """The one image that a layer of strokes was painted on.

    What tells, in this order: the link of an annotation of ours, the sample that both come from, the
    name of the image within that of the strokes, and where both lie. All images are asked, so that
    strokes of one that is not ticked are not taken for those of another.

    Parameters
    ----------
    strokes : napari.layers.Labels
    images : sequence of napari.layers.Image
        All that are offered.
    ticked : sequence of napari.layers.Image
        Those that are learnt from, some of `images`.

    Raises
    ------
    InputError
        If none of the ticked images fits, or more than one does.
    """
    shape = tuple(strokes.data.shape)
    fitting = [image for image in images if _shape_of(image) == shape]
    for belongs in (_is_linked, _is_same_sample, _is_named, _lies_on):
        fitting = [image for image in fitting if belongs(strokes, image, fitting)] or fitting
    found = [image for image in fitting if image in ticked]
    if len(found) == 1:
        return found[0]
    if found:
        names = _listed(found)
        mend = (
            f"{names} have its size: tick only the one that was painted on, or put its name into "
            "that of the strokes"
        )
        raise InputError("strokes", f"{strokes.name}, which may belong to {len(found)} images", mend)
    if fitting:
        mend = f"tick {_listed(fitting)}, or choose other strokes"
        raise InputError("strokes", f"{strokes.name}, painted on an image that is not ticked", mend)
    mend = "tick the image that was painted on, or choose no strokes"
    raise InputError("strokes", f"{strokes.name}, of shape {shape}", mend)


def _shape_of(image: napari.layers.Image) -> tuple[int, ...]:
    """Sizes along stack axes, Y and X; none where the axes cannot be told."""
    try:
        axes = guess_layer_axes(image)
    except InputError:
        return ()
    sizes = dict(zip(axes, full_data(image).shape, strict=True))
    order = [*(axis for axis in axes if axis in "TZ"), "Y", "X"]
    return tuple(int(sizes[axis]) for axis in order)


def _is_linked(strokes: Any, image: Any, images: Images) -> bool:
    return annotated_id(strokes) == str(image.unique_id)


def _is_same_sample(strokes: Any, image: Any, images: Images) -> bool:
    sample = strokes.metadata.get("sample")
    return sample is not None and sample == image.metadata.get("sample")


def _is_named(strokes: Any, image: Any, images: Images) -> bool:
    """Whether the image's name stands in that of the strokes, and no longer name of another does."""
    lengths = [_named_length(str(strokes.name), str(other.name)) for other in images]
    own = _named_length(str(strokes.name), str(image.name))
    return own > 0 and own == max(lengths)


def _named_length(strokes: str, image: str) -> int:
    """Letters of an image's name that stand as a word in that of strokes; 0 where they do not.

    "frame [1]" stands in "frame strokes [1]" too.
    """
    (label, number), (name, own) = _split(strokes), _split(image)
    within = _holds(strokes, image) or (number == own and _holds(label, name))
    return len(image) if within else 0


def _split(name: str) -> tuple[str, str]:
    """A name without napari's number, and the number with its brackets."""
    number = NUMBER.search(name)
    return (name, "") if number is None else (name[: number.start()], number.group())


def _holds(text: str, word: str) -> bool:
    return bool(word) and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


def _lies_on(strokes: Any, image: Any, images: Images) -> bool:
    """Whether the pixels of both lie on each other."""
    axes = guess_layer_axes(image)
    keep = [i for i, axis in enumerate(layer_axes(image, axes)) if axis in "TZYX"]
    one, other = placement_of(strokes), placement_of(image).keep(keep)
    names = ("scale", "translate", "rotate", "shear", "affine")
    return all(np.allclose(getattr(one, n), getattr(other, n), rtol=AGREE) for n in names)


def _listed(images: Images) -> str:
    return " and ".join(f"“{image.name}”" for image in images)
