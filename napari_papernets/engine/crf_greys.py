"""What a CRF compares of an image: grey values of some channels, brought to a scale of 0 to 255."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.crf_settings import CRFSettings
from ..core.errors import InputError
from ..core.image import ImageBlock
from ..core.model import Normalisation
from ..core.tiles import Region
from .far_greys import near_zero
from .normalise import percentile_range, read_sample

STRETCH = Normalisation(low=0.1, high=99.9)
SAMPLED_PLANES = 8
FAR = 1e4  # grey levels: nothing is alike over ten of the largest σ_β
MOST_RAW = 2.0**20  # float32 holds places in the lattice no finer beyond
SEEN = 4.0  # standard deviations of the smoothing Gaussian; it is cut there

Plane = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Greys:
    """How the values that are compared come from an image.

    Attributes
    ----------
    image : ImageBlock
        The image.
    channels : tuple of int
        Whose edges count.
    scale, offset : float
        Values times `scale` plus `offset` are those that σ_β is measured in.
    raw : bool
        Whether they are to be taken as they are, however large.
    denoise : float
        Standard deviation, in pixels, of the Gaussian that smooths each plane; 0 is none.
    """

    image: ImageBlock
    channels: tuple[int, ...]
    scale: float
    offset: float
    raw: bool = False
    denoise: float = 0.0

    def read(self, planes: Sequence[Plane], region: Region) -> NDArray[Any]:
        """Values of a region, (planes, Y, X, C); what is not finite is the darkest.

        They are smoothed as in the whole plane: the Gaussian looks beyond the region.

        Raises
        ------
        InputError
            If none is finite, or raw ones are too large for the lattice.
        """
        y0, y1, x0, x1 = region
        height, width = self.image.plane_shape
        beyond = math.ceil(SEEN * self.denoise)
        top, bottom = max(y0 - beyond, 0), min(y1 + beyond, height)
        left, right = max(x0 - beyond, 0), min(x1 + beyond, width)
        parts = [self.image.read(p, (top, bottom), (left, right), self.channels) for p in planes]
        found = np.moveaxis(np.stack(parts), 1, -1)
        if found.dtype.kind == "f":
            found = _finite(found, self.image, planes)
        if (self.scale, self.offset) != (1.0, 0.0) or found.dtype.kind == "b":
            kind = np.dtype(np.float64 if found.dtype.itemsize > 4 else np.float32)
            with np.errstate(over="ignore"):  # what is too large is far away
                found = found.astype(kind) * kind.type(self.scale) + kind.type(self.offset)
        found = _within_reach(found, self.raw)
        if self.denoise:
            sigma = (0.0, self.denoise, self.denoise, 0.0)
            found = ndimage.gaussian_filter(found.astype(np.float32), sigma, truncate=SEEN)
            found = found[:, y0 - top : y1 - top, x0 - left : x1 - left]
        return np.ascontiguousarray(found)


def open_greys(image: ImageBlock, settings: CRFSettings, planes: Sequence[Plane]) -> Greys:
    """What of an image is compared, by the settings; `planes` tell its scale.

    Raises
    ------
    InputError
        If the image lacks one of the channels.
    """
    channels = pick_channels(image, settings.channels)
    image = image if settings.grey == "raw" else near_zero(image)
    scale, offset = grey_scale(image, channels, settings, planes)
    return Greys(image, channels, scale, offset, settings.grey == "raw", settings.denoise)


def pick_channels(image: ImageBlock, wanted: tuple[int, ...] | None) -> tuple[int, ...]:
    """Channels whose edges count: the wanted ones, or all but an alpha channel.

    Raises
    ------
    InputError
        If the image lacks one of them.
    """
    available = image.channels
    for channel in wanted or ():
        if not 0 <= channel < available:
            mend = f"{image.name} has channels 0 to {available - 1}"
            raise InputError("channels", channel, mend)
    if wanted:
        return tuple(wanted)
    return tuple(range(available - 1 if image.alpha else available))


def grey_scale(
    image: ImageBlock, channels: tuple[int, ...], settings: CRFSettings, planes: Sequence[Plane]
) -> tuple[float, float]:
    """Factor and offset that bring grey values to those that σ_β is measured in."""
    if settings.grey == "raw":
        return 1.0, 0.0
    if image.dtype == bool:
        return 255.0, 0.0
    if settings.grey == "auto" and image.dtype.itemsize == 1:
        return 1.0, 0.0
    step = -(-len(planes) // SAMPLED_PLANES)
    sample = np.concatenate(
        [read_sample(image, p)[list(channels)].ravel() for p in planes[::step]]
    ).astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if settings.grey == "auto" and sample.size and sample.min() >= 0 and sample.max() <= 255:
        return (255.0, 0.0) if image.dtype.kind == "f" and sample.max() <= 1 else (1.0, 0.0)
    low, high = percentile_range(sample, STRETCH, image.name)
    scale = 255.0 / (high - low) if high > low else 1.0
    return scale, -low * scale


def _finite(values: NDArray[Any], image: ImageBlock, planes: Sequence[Plane]) -> NDArray[Any]:
    good = np.isfinite(values)
    if good.all():
        return values
    if not good.any():
        what = image.named_plane(planes[0]) if len(planes) == 1 else "a volume"
        mend = "give it finite values, or leave it out"
        raise InputError(image.name, f"{what} without any finite value", mend)
    return np.where(good, values, values[good].min())


def _within_reach(values: NDArray[Any], raw: bool) -> NDArray[Any]:
    """Grey values that the lattice can hold: far ones come nearer, yet stay unlike all others."""
    most = MOST_RAW if raw else FAR
    low, high = values.min(), values.max()
    if -most <= low and high <= most:
        return values
    if raw:
        mend = "choose stretch, or divide the image by a number"
        raise InputError("grey", f"raw values from {low:.3g} to {high:.3g}", mend)
    return np.clip(values, -most, most).astype(np.float32)
