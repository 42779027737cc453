"""Image layers that were meant as probabilities, and why they cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.image import ImageBlock, kind_of
from ..core.probabilities import check_shape
from .image_layers import block_of, full_data, guess_layer_axes
from .label_numbers import MOST_LABELS
from .layer_parts import Target, fit_layer
from .outputs import is_output

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

LOOKS = 16  # pixels along each axis that are looked at
NEARLY = 0.01  # by which a sum may differ from 1


def why_unfit(viewer: napari.viewer.Viewer, layer: napari.layers.Image) -> str:
    """Why a layer that looks like probabilities of another image cannot be used as such, and the mend;
    empty for any other layer. Looks at some pixels of what is in memory.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the other images are.
    layer : napari.layers.Image
        Which was taken for an image.
    """
    data = full_data(layer)
    held = isinstance(data, np.ndarray) and data.size > 0
    if is_output(layer) or not held or data.dtype.kind not in "fu":
        return ""
    targets = list(_other_images(viewer, layer))
    floats = data.dtype.kind == "f"
    if not targets or (floats and not layer.rgb and any(_fits(layer, target) for target in targets)):
        return ""
    alike = [t for t in targets if set(t.block.plane_shape) <= set(data.shape)]
    if any(_sums_to_all(data, axis) for axis in (0, -1) if data.shape[axis] > 1):
        meant = alike or targets
    else:
        meant = [t for t in alike if floats and _is_one_map(data, t.block)]
    return _told(layer, data, meant[0].block) if meant else ""


def _other_images(viewer: napari.viewer.Viewer, layer: napari.layers.Image) -> Iterator[Target]:
    from napari.layers import Image

    for other in viewer.layers:
        if isinstance(other, Image) and not is_output(other) and other != layer:
            try:
                yield Target(other, block_of(other, guess_layer_axes(other)))
            except InputError:
                continue


def _fits(layer: napari.layers.Image, target: Target) -> bool:
    """Whether it is offered as probabilities of that image."""
    count = full_data(layer).shape[0]
    return 2 <= count <= MOST_LABELS and fit_layer(layer, target, lead=1) is not None


def _sums_to_all(data: NDArray[Any], axis: int) -> bool:
    """Whether the numbers along an axis sum to 1, or to the most that a whole number may be."""
    some = _some_of(np.moveaxis(data, axis, 0), kept=1)
    whole = _whole(data)
    rounded = min(len(some), MOST_LABELS) if whole > 1 else 0  # by up to 1 each
    with np.errstate(invalid="ignore", over="ignore"):
        sums = some.sum(0, dtype=float) / whole
        return bool(some.min() >= -NEARLY and np.allclose(sums, 1, atol=NEARLY + rounded / whole))


def _whole(data: NDArray[Any]) -> int:
    """What stands for a probability of 1."""
    return 1 if data.dtype.kind == "f" else int(np.iinfo(data.dtype).max)


def _is_one_map(data: NDArray[Any], image: ImageBlock) -> bool:
    """Whether it has but one number from 0 to 1 where the image has whole numbers; beside an image of
    such numbers it is more likely another stain."""
    some = _some_of(data)
    shape = tuple(n for n in data.shape if n > 1)
    same = shape == tuple(n for n in (*image.stack_shape, *image.plane_shape) if n > 1)
    return bool(same and kind_of(image.data.dtype) in "iu" and some.min() >= 0 and some.max() <= 1)


def _some_of(data: NDArray[Any], kept: int = 0) -> NDArray[Any]:
    """Some pixels of an array, with all of its first axes."""
    steps = [1] * kept + [max(1, n // LOOKS) for n in data.shape[kept:]]
    return data[tuple(slice(None, None, step) for step in steps)]


def _told(layer: napari.layers.Image, data: NDArray[Any], image: ImageBlock) -> str:
    problem = _problem(data, image)
    return (
        f"“{layer.name}” is taken for an image: as probabilities of “{image.name}” it has "
        f"{problem.received}; {problem.mend}."
    )


def _problem(data: NDArray[Any], image: ImageBlock) -> InputError:
    """In the words of Python and the command line, where these refuse it too."""
    wanted = (*image.stack_shape, *image.plane_shape)
    if tuple(n for n in data.shape if n > 1) == tuple(n for n in wanted if n > 1):
        mend = f"put the map of the rest, 1 − p, before it: shape {(2, *wanted)}"
        return InputError("probabilities", "one class alone", mend)
    whole, whole_mend = _whole(data), ""
    if whole > 1:
        whole_mend = f"divide them by {whole}, as numbers with a fraction"
    try:
        check_shape(data, image, None)
    except InputError as error:
        received, mend = error.received, error.mend
        if data.ndim == len(wanted) + 1 and data.shape[0] > 1 and _sums_to_all(data, 0):
            mend = f"make them as large as the image: shape {(data.shape[0], *wanted)}"
            received = f"maps of shape {data.shape[1:]}"
        return InputError("probabilities", received, ", and ".join(filter(None, (mend, whole_mend))))
    if data.shape[0] > MOST_LABELS:
        mend = f"join some of them: the panel takes 2 to {MOST_LABELS}"
        return InputError("probabilities", f"{data.shape[0]} classes", mend)
    return InputError("probabilities", f"whole numbers up to {whole}", whole_mend)
