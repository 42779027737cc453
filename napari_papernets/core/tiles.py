"""Overlap-tile geometry: which windows to read, and which part of each answer to keep.

One axis of a plan for a ``same`` network, four windows of equal length::

    canvas  0                                                              N
            |------------ read 0 ------------|
                       |------------ read 1 ------------|
                                  |------------ read 2 ------------|
                                             |------------ read 3 ------------|
    write   |------- 0 -------|--- 1 ---|--- 2 ---|---------- 3 ----------|
                               ^ at least `context` away from the ends of its window,
                                 except at the ends of the canvas

Every window starts at a multiple of ``step`` (2**depth), so that pooling meets the same pixels as in
one pass over the whole image; without that the stitched result differs (Ronneberger et al. 2015,
fig. 2, with its 388-pixel stride, is seamless but not equal to one pass).
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from math import ceil
from typing import Literal

import numpy as np

from .errors import InputError
from .image import Range

Padding = Literal["valid", "same"]
Region = tuple[int, int, int, int]


@dataclass(frozen=True)
class SizeRule:
    """Which input sizes a network takes, and how much context a correct output pixel needs.

    Parameters
    ----------
    padding : {"valid", "same"}
        Whether convolutions are unpadded (the output is smaller) or padded with zeros.
    step : int
        Window starts, and differences between valid sizes, are multiples of this (2**depth).
    context : int
        Pixels on each side: cut off the output ("valid"), or needed around a block of `step` output
        pixels for it to equal that of the whole image ("same"; a multiple of `step`).
    minimum : int
        Smallest valid input side.
    """

    padding: Padding
    step: int
    context: int
    minimum: int

    def round_up(self, size: int) -> int:
        """Smallest valid input side that is at least `size`."""
        return self.minimum + self.step * max(0, ceil((size - self.minimum) / self.step))

    def whole(self, length: int) -> int:
        """Input side of one pass over an axis of `length` pixels."""
        return self.round_up(length + 2 * self.context if self.padding == "valid" else length)

    def smallest_tile(self, length: int) -> int:
        """Smallest window that can tile an axis of `length` pixels."""
        return min(self.round_up(2 * self.context + self.step), self.whole(length))


@dataclass(frozen=True)
class Span:
    """One axis of one tile.

    Attributes
    ----------
    read : (start, stop)
        Input window in image coordinates; it may leave the image, where the image is mirrored.
    write : (start, stop)
        Part of the image that this tile answers for.
    crop : (start, stop)
        Where that part lies in the network's output for the window.
    """

    read: Range
    write: Range
    crop: Range


@dataclass(frozen=True)
class Tile:
    """One window of a plan: a span along Y and a span along X."""

    y: Span
    x: Span

    @property
    def write(self) -> tuple[slice, slice]:
        return slice(*self.y.write), slice(*self.x.write)

    @property
    def crop(self) -> tuple[slice, slice]:
        return slice(*self.y.crop), slice(*self.x.crop)


@dataclass(frozen=True)
class TilePlan:
    """Windows of equal size whose inner parts cover an image exactly once.

    Attributes
    ----------
    shape : (Y, X)
        The image.
    region : (y0, y1, x0, x1)
        The part of it that is covered; usually all.
    window : (Y, X)
        Input size of every tile.
    tiles : tuple of Tile
        In reading order.
    rule : SizeRule
        The rule that the plan obeys.
    """

    shape: tuple[int, int]
    region: Region
    window: tuple[int, int]
    tiles: tuple[Tile, ...]
    rule: SizeRule

    def __iter__(self) -> Iterator[Tile]:
        return iter(self.tiles)

    def __len__(self) -> int:
        return len(self.tiles)

    @property
    def overhead(self) -> float:
        """Pixels computed for each pixel of one pass over the whole region (1 is ideal)."""
        y0, y1, x0, x1 = self.region
        whole = self.rule.whole(y1 - y0) * self.rule.whole(x1 - x0)
        return len(self.tiles) * self.window[0] * self.window[1] / whole

    def nearest_first(self, y: float, x: float) -> tuple[Tile, ...]:
        """The tiles, those nearest to the point (y, x) first."""

        def distance(tile: Tile) -> float:
            return _distance(y, tile.y.write) ** 2 + _distance(x, tile.x.write) ** 2

        return tuple(sorted(self.tiles, key=distance))


def plan_tiles(
    shape: tuple[int, int],
    rule: SizeRule,
    tile: int | tuple[int, int] | None = None,
    max_pixels: int | None = None,
    region: Region | None = None,
) -> TilePlan:
    """Cover an image of `shape`, or a region of it, with few large tiles of equal size.

    Parameters
    ----------
    shape : (Y, X)
        Image size in pixels, from 1×1 up.
    rule : SizeRule
        From the network.
    tile : int or (int, int), optional
        Input side of a tile; rounded up to the next size that the network can tile with. By default
        the planner chooses.
    max_pixels : int, optional
        Largest window in pixels when the planner chooses; among the plans that fit, the one that
        computes the fewest pixels wins. Without it (and without `tile`) one window covers all.
    region : (y0, y1, x0, x1), optional
        Cover only these pixels; the answers there are those of the whole image.

    Raises
    ------
    InputError
        If `shape` is empty, `tile` is not positive or `region` lies outside the image.
    """
    if min(shape) < 1:
        raise InputError("image", f"{shape[0]}×{shape[1]} pixels", "give an image with pixels in it")
    region = check_region(region, shape)
    frames = _frame(region[:2], shape[0], rule), _frame(region[2:], shape[1], rule)
    lengths = frames[0][1] - frames[0][0], frames[1][1] - frames[1][0]
    if tile is not None:
        sides = (tile, tile) if isinstance(tile, int | np.integer) else tile
        window = (_fit(int(sides[0]), lengths[0], rule), _fit(int(sides[1]), lengths[1], rule))
    else:
        window = _choose_window(lengths, rule, max_pixels)
    spans = [
        _place(_spans(length, side, rule), frame[0], wanted)
        for length, side, frame, wanted in zip(
            lengths, window, frames, (region[:2], region[2:]), strict=True
        )
    ]
    tiles = tuple(Tile(y, x) for y, x in product(*spans))
    return TilePlan(shape, region, window, tiles, rule)


def halve_tiles(plan: TilePlan) -> TilePlan | None:
    """The same image with windows of about half the pixels; None if they cannot be smaller."""
    half = plan.window[0] * plan.window[1] // 2
    smaller = plan_tiles(plan.shape, plan.rule, max_pixels=half, region=plan.region)
    return smaller if smaller.window != plan.window else None


def check_region(region: Region | None, shape: tuple[int, int]) -> Region:
    """The region; all of a plane of `shape` for None.

    Raises
    ------
    InputError
        If it is not four whole numbers, or leaves the plane.
    """
    if region is None:
        return 0, shape[0], 0, shape[1]
    mend = f"give y0, y1, x0, x1 within {shape[0]}×{shape[1]} pixels"
    try:
        y0, y1, x0, x1 = map(operator.index, region)
    except (TypeError, ValueError) as error:
        raise InputError("region", repr(region), mend) from error
    if not (0 <= y0 < y1 <= shape[0] and 0 <= x0 < x1 <= shape[1]):
        raise InputError("region", region, mend)
    return y0, y1, x0, x1


def _frame(wanted: Range, length: int, rule: SizeRule) -> Range:
    """The stretch to cover for `wanted`: it starts at a multiple of step, so that pooling meets the
    same pixels, and for "same" it has context on both sides where the image goes on."""
    margin = rule.context if rule.padding == "same" else 0
    start = max(0, wanted[0] // rule.step * rule.step - margin)
    stop = ceil(wanted[1] / rule.step) * rule.step + margin
    return start, min(stop, length)


def _place(spans: list[Span], origin: int, wanted: Range) -> list[Span]:
    """Move spans to `origin` and keep what they have of `wanted`."""
    placed = []
    for span in spans:
        low = max(span.write[0] + origin, wanted[0])
        high = min(span.write[1] + origin, wanted[1])
        if low < high:
            shift = span.crop[0] - span.write[0] - origin
            read = span.read[0] + origin, span.read[1] + origin
            placed.append(Span(read, (low, high), (low + shift, high + shift)))
    return placed


def _fit(side: int, length: int, rule: SizeRule) -> int:
    if side < 1:
        raise InputError("tile", side, "give a tile side of at least 1 pixel, or leave it to auto")
    return min(max(rule.round_up(side), rule.smallest_tile(length)), rule.whole(length))


def _choose_window(shape: tuple[int, int], rule: SizeRule, max_pixels: int | None) -> tuple[int, int]:
    y, x = ({side: _count(length, side, rule) for side in _windows(length, rule)} for length in shape)

    def cost(window: tuple[int, int]) -> tuple[int, int]:
        tiles = y[window[0]] * x[window[1]]
        return tiles * window[0] * window[1], tiles

    candidates = list(product(y, x))
    if max_pixels is None:
        return candidates[0]
    fitting = [w for w in candidates if w[0] * w[1] <= max_pixels]
    return min(fitting, key=cost) if fitting else candidates[-1]


def _windows(length: int, rule: SizeRule) -> list[int]:
    """Candidate window sides, from one window down: the smallest that does with 1, 2, 3 … of them."""
    smallest = rule.smallest_tile(length)
    sides = [rule.whole(length)]
    count = 1
    while sides[-1] > smallest:
        count += 1
        if rule.padding == "valid":
            rest = (rule.minimum - 2 * rule.context) % rule.step
            output = ceil((length - rest) / (rule.step * count)) * rule.step + rest
            side = rule.round_up(output + 2 * rule.context)
        else:
            inner = ceil((rule.whole(length) - 2 * rule.context) / count)
            side = rule.round_up(inner + 2 * rule.context)
        sides.append(min(sides[-1], max(side, smallest)))
    return list(dict.fromkeys(sides))


def _count(length: int, window: int, rule: SizeRule) -> int:
    """How many windows cover a line."""
    last, stride = _reach(length, window, rule)
    return 1 + ceil(last / stride)


def _starts(length: int, window: int, rule: SizeRule) -> list[int]:
    """Starts of the windows: "same" on the canvas, "valid" of their outputs; multiples of step."""
    last, gaps = _reach(length, window, rule)[0], _count(length, window, rule) - 1
    return [i * last // gaps * rule.step for i in range(gaps + 1)] if gaps else [0]


def _reach(length: int, window: int, rule: SizeRule) -> tuple[int, int]:
    """Start of the last window and the farthest from one start to the next, both in steps."""
    if window >= rule.whole(length):
        return 0, 1
    if rule.padding == "valid":
        output = window - 2 * rule.context
        return ceil((length - output) / rule.step), output // rule.step
    return (rule.whole(length) - window) // rule.step, (window - 2 * rule.context) // rule.step


def _spans(length: int, window: int, rule: SizeRule) -> list[Span]:
    starts = _starts(length, window, rule)
    valid = rule.padding == "valid"
    output = window - 2 * rule.context if valid else window
    trust = 0 if valid else rule.context
    cuts = [0]
    for first, second in pairwise(starts):
        middle = (first + output + second) // 2 // rule.step * rule.step
        cuts.append(second if valid else middle)
        assert second + trust <= cuts[-1] <= first + output - trust
    cuts.append(length)
    spans = []
    for start, low, high in zip(starts, cuts, cuts[1:], strict=False):
        read = start - rule.context if valid else start
        spans.append(Span((read, read + window), (low, high), (low - start, high - start)))
    return spans


def _distance(point: float, span: Range) -> float:
    return max(span[0] - point, 0.0, point - span[1])
