"""Windows of images, stacks and lazy arrays, for training without annotation; none is loaded whole."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.errors import InputError
from ..core.image import ImageBlock
from ..core.model import ModelSpec, Normalisation
from .augment import keyed_generator
from .far_greys import near_zero
from .normalise import (
    LIMIT,
    is_small,
    normalisation_range,
    normalise,
    percentile_range,
    zero_and_factor,
)

PURPOSE_WINDOW, PURPOSE_RANGE = 12, 13
WHOLE = 2**22  # pixels of a plane up to which all of it is looked at for its grey values
LOOKS, LOOK_SIDE = 16, 256  # windows that are looked at otherwise
REMEMBERED = 4096  # planes whose grey values are known
BLANK, TRIES = 0.02, 4  # standard deviation of a window with nothing in it; how often another is drawn

GreyRange: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Window:
    """A square of an image.

    Attributes
    ----------
    pixels : ndarray, shape (C, side, side)
        Grey values in the type of the image.
    low, high : ndarray, shape (C,)
        Which become 0 and 1.
    grey : bool
        Its channels are copies of one.
    """

    pixels: NDArray[Any]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    grey: bool

    def normalised(self, every: int = 1) -> NDArray[np.float32]:
        """About 0…1, (C, side, side), or every so manyth pixel of them along rows and columns."""
        return normalise(self.pixels[:, ::every, ::every], self.low, self.high)


class WindowSource:
    """Draws square windows from images.

    Parameters
    ----------
    images : sequence of ImageBlock
        Of any size and type; read window by window.
    spec : ModelSpec
        Tells the channels and the normalisation.
    side : int
        Of a window, in pixels.
    inner : int
        Side of its middle that is to lie within the image where that is large enough.
    seed : int
        With step and item it determines a window.
    shares : sequence of float, optional
        How often each image is drawn, relative to the others; all alike by default.

    Raises
    ------
    InputError
        If there is no image, the shares do not fit, or an image cannot be fed to the network.
    """

    def __init__(
        self,
        images: Sequence[ImageBlock],
        spec: ModelSpec,
        side: int,
        inner: int,
        seed: int = 0,
        shares: Sequence[float] | None = None,
    ) -> None:
        if not images:
            raise InputError("images", "none", "give at least one image")
        given = np.ones(len(images)) if shares is None else np.asarray(shares, np.float64)
        if given.shape != (len(images),) or given.min(initial=0) < 0 or not given.sum() > 0:
            mend = f"give {len(images)} numbers of at least 0, not all of them 0"
            raise InputError("shares", shares, mend)
        self.images = [near_zero(image) for image in images]
        self.spec, self.side, self.inner, self.seed = spec, side, inner, seed
        self._upto = np.cumsum(given) / given.sum()
        self._channels = [spec.pick_channels(image) for image in images]
        self._ranges: OrderedDict[tuple[int, tuple[int, ...]], GreyRange] = OrderedDict()
        self._lock = Lock()

    def draw(self, step: int, item: int) -> Window:
        """The window number `item` of a step."""
        rng = keyed_generator(self.seed, PURPOSE_WINDOW, step, item)
        for _ in range(TRIES):
            number = int(np.searchsorted(self._upto, rng.random(), side="right"))
            image = self.images[number]
            plane = tuple(int(rng.integers(n)) for n in image.stack_shape)
            y, x = (self._start(rng, n) for n in image.plane_shape)
            window = self.read(number, plane, y, x)
            if window.normalised(every=2).std() > BLANK:
                break
        return window

    def read(self, number: int, plane: tuple[int, ...], y: int, x: int) -> Window:
        """The window of a plane of an image whose first row and column are y and x."""
        image, channels = self.images[number], self._channels[number]
        distinct = sorted(set(channels))
        low, high = self.grey_range(number, plane)
        pixels = image.read(plane, (y, y + self.side), (x, x + self.side), distinct)
        if distinct != list(channels):
            order = [distinct.index(c) for c in channels]
            pixels, low, high = pixels[order], low[order], high[order]
        return Window(pixels, low, high, len(distinct) == 1)

    def _start(self, rng: np.random.Generator, length: int) -> int:
        """First row or column of a window."""
        low, high = self.inner / 2, length - self.inner / 2
        centre = rng.uniform(low, high) if low < high else length / 2
        return round(centre - self.side / 2)

    def grey_range(self, number: int, plane: tuple[int, ...]) -> GreyRange:
        """Grey values of the distinct channels of a plane that become 0 and 1; remembered."""
        key = number, plane
        with self._lock:
            if key not in self._ranges:
                self._ranges[key] = self._look(number, plane)
                while len(self._ranges) > REMEMBERED:
                    self._ranges.popitem(last=False)
            return self._ranges[key]

    def _look(self, number: int, plane: tuple[int, ...]) -> GreyRange:
        image, distinct = self.images[number], sorted(set(self._channels[number]))
        how = self.spec.normalisation
        if int(np.prod(image.plane_shape)) <= WHOLE:
            return normalisation_range(image, plane, distinct, how)
        blocks = list(self._looks(image, number, plane, distinct))
        together = np.concatenate(blocks, axis=1)  # (C, pixels)
        values, what = [together] if how.joint else together, image.named_plane(plane)
        ranges = [percentile_range(v, how, image.name, what) for v in values]
        pairs = np.array(ranges * (len(distinct) if how.joint else 1), np.float64)
        return pairs[:, 0], pairs[:, 1]

    def _looks(
        self, image: ImageBlock, number: int, plane: tuple[int, ...], distinct: list[int]
    ) -> Iterator[NDArray[Any]]:
        rng = keyed_generator(self.seed, PURPOSE_RANGE, number, sum(plane))
        for _ in range(LOOKS):
            y, x = (int(rng.integers(max(1, n - LOOK_SIDE))) for n in image.plane_shape)
            window = image.read(plane, (y, y + LOOK_SIDE), (x, x + LOOK_SIDE), distinct)
            yield window.reshape(len(distinct), -1)


@dataclass(frozen=True, eq=False)
class WindowBatch:
    """Windows side by side, of the smallest type that holds them; normalised where they are needed.

    Attributes
    ----------
    pixels : Tensor, shape (B, C, side, side), uint8 or float32
        Grey values; those that float32 does not hold are normalised already.
    zero, factor : Tensor, shape (B, C, 1, 1), float32
        What is taken from them, and what is left is multiplied by.
    grey : ndarray of bool, shape (B,)
        Windows whose channels are copies of one.
    """

    pixels: Tensor
    zero: Tensor
    factor: Tensor
    grey: NDArray[np.bool_]

    def on(self, device: torch.device) -> Tensor:
        """Normalised grey values on the device, float32; a GPU is not waited for."""

        def put(values: Tensor) -> Tensor:
            if device.type == "cuda":
                return values.pin_memory().to(device, non_blocking=True)
            return values.to(device)

        values = put(self.pixels).to(torch.float32, copy=True)
        return values.sub_(put(self.zero)).mul_(put(self.factor)).clamp_(-LIMIT, LIMIT)


def batch_of(windows: Sequence[Window]) -> WindowBatch:
    """Windows of one size, as they are drawn or read."""
    pixels, scales = [], []
    for window in windows:
        if is_small(window.pixels.dtype):
            pixels.append(window.pixels)
            scales.append(zero_and_factor(window.low, window.high, window.pixels.dtype))
        else:
            pixels.append(window.normalised())
            scales.append((np.zeros_like(window.low), np.ones_like(window.low)))
    one_byte = all(p.dtype == np.uint8 for p in pixels)
    stacked = np.stack(pixels, dtype=np.uint8 if one_byte else np.float32)
    zero, factor = (np.array(s, np.float32)[..., None, None] for s in zip(*scales, strict=True))
    grey = np.array([window.grey for window in windows])
    return WindowBatch(torch.from_numpy(stacked), torch.from_numpy(zero), torch.from_numpy(factor), grey)


def channels_of(images: Sequence[ImageBlock]) -> tuple[int, Normalisation]:
    """Channels of a network that takes all of these images, and how they are normalised.

    3 where one is RGB, otherwise as many as the image with most.

    Raises
    ------
    InputError
        If there is no image.
    """
    if not images:
        raise InputError("images", "none", "give at least one image")
    signals = [image.channels - image.alpha for image in images]
    colour = any(i.axes[-1] == "C" and n == 3 for i, n in zip(images, signals, strict=True))
    channels = 3 if colour else max(signals)
    return channels, Normalisation(joint=colour or channels == 1)
