"""Units of length and time as microscopes' files write them."""

from __future__ import annotations

MICRO = "µm"
PIXEL = "pixel"

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
    "h": 3600.0, "hour": 3600.0, "min": 60.0, "minute": 60.0,
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


def in_micrometres(size: float, unit: str) -> tuple[float, str]:
    """A length as (micrometres, "µm"), or (size, "pixel") where `unit` is no length.

    >>> in_micrometres(65, "nm")
    (0.065, 'µm')
    >>> in_micrometres(1.0, "")
    (1.0, 'pixel')
    """
    factor = _LENGTHS.get(_plain(unit))
    return (size, PIXEL) if factor is None else (size * factor, MICRO)


def _plain(unit: str) -> str:
    # Greek mu and micro sign look alike; ImageJ writes the escape sequence out.
    return unit.strip().replace("\\u00B5", "µ").casefold().replace("μ", "µ")
