"""Units of length and time as microscopes' files write them."""

from __future__ import annotations

from collections.abc import Mapping

from .core.image import is_size
from .core.part import Grid

MICRO = "µm"
PIXEL = "pixel"

ABBREVIATION = 3  # letters at most: "ms" is no plural

# Micrometres in one of each.
_LENGTHS = {
    "m": 1e6, "meter": 1e6, "metre": 1e6,
    "cm": 1e4, "centimeter": 1e4, "centimetre": 1e4,
    "mm": 1e3, "millimeter": 1e3, "millimetre": 1e3,
    "µm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0,
    "nm": 1e-3, "nanometer": 1e-3, "nanometre": 1e-3,
    "å": 1e-4, "angstrom": 1e-4,
    "pm": 1e-6, "picometer": 1e-6, "picometre": 1e-6,
    "in": 25400.0, "inch": 25400.0,
}  # fmt: skip
_TIMES = {
    "day": 86400.0, "h": 3600.0, "hour": 3600.0, "min": 60.0, "minute": 60.0,
    "s": 1.0, "sec": 1.0, "second": 1.0,
    "ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3, "µs": 1e-6, "microsecond": 1e-6,
}  # fmt: skip


def in_seconds(time: float, unit: str) -> float:
    """A time in seconds; as it is where `unit` is no time.

    >>> in_seconds(500, "ms"), in_seconds(2, "minutes")
    (0.5, 120.0)
    """
    name = _plain(unit)
    return time * _TIMES.get(name, _TIMES.get(name.removesuffix("s"), 1.0))


def is_time(unit: str) -> bool:
    """Whether a unit is one of time.

    >>> is_time("milliseconds"), is_time("µm")
    (True, False)
    """
    name = _plain(unit)
    return name in _TIMES or name.removesuffix("s") in _TIMES


def is_length(unit: str) -> bool:
    """Whether a unit is one of length.

    >>> is_length("nm"), is_length("pixel")
    (True, False)
    """
    return in_micrometres(1.0, unit)[1] == MICRO


def in_micrometres(size: float, unit: str) -> tuple[float, str]:
    """A length as (micrometres, "µm"), or (size, "pixel") where `unit` is no length.

    >>> in_micrometres(65, "nm")
    (0.065, 'µm')
    >>> in_micrometres(1.0, "")
    (1.0, 'pixel')
    """
    name = _plain(unit)
    spelt_out = name.removesuffix("s") if len(name) > ABBREVIATION else name
    factor = _LENGTHS.get(name, _LENGTHS.get(spelt_out))
    return (size, PIXEL) if factor is None else (size * factor, MICRO)


def in_one_unit(told: Mapping[str, tuple[float, str]]) -> tuple[dict[str, float], str]:
    """Pixel sizes in one unit, from what a file tells of its axes.

    Parameters
    ----------
    told : mapping of str to (float, str)
        Size and unit by axis ("Z", "Y", "X").

    Returns
    -------
    dict of str to float
        In micrometres, or else in pixels. Sizes that are not positive and finite count as not told, and
        those in another unit than X. Where only one of Y and X is told, a pixel is a square; where
        neither is, nothing is known.
    str
        "µm" or "pixel".

    >>> in_one_unit({"X": (65, "nm"), "Y": (0, "nm")})
    ({'Y': 0.065, 'X': 0.065}, 'µm')
    """
    found = {axis: in_micrometres(size, unit) for axis, (size, unit) in told.items()}
    found = {axis: size for axis, size in found.items() if is_size(size[0])}
    side = found.get("X") or found.get("Y")
    if side is None:
        return {}, PIXEL
    sizes = {axis: size for axis, (size, unit) in found.items() if unit == side[1]}
    return {"Y": side[0], "X": side[0]} | sizes, side[1]


def sized_axes(sizes: Mapping[str, float], unit: str) -> str:
    """Axes whose size is known where a file tells these; all of space where it is counted in pixels."""
    return "".join({*"CYX", *sizes, *("Z" if unit == PIXEL else "")})


def _plain(unit: str) -> str:
    # Greek mu and micro sign look alike; ImageJ writes the escape sequence out.
    return unit.strip().replace("\\u00B5", "µ").casefold().replace("μ", "µ")


def in_micrometres_all(grid: Grid) -> Grid:
    """The same grid in the one unit of length that all kinds of files know; pixels stay pixels."""
    factor, unit = in_micrometres(1.0, grid.unit)
    factors = dict.fromkeys("ZYX", factor)
    scale = tuple(
        None if size is None else size * factors.get(axis, 1.0)
        for axis, size in zip(grid.axes, grid.scale, strict=True)
    )
    positions = {axis: [factors.get(axis, 1.0) * p for p in at] for axis, at in grid.positions.items()}
    return Grid(grid.axes, scale, unit, positions)
