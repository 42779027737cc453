"""Units of length as microscopes' files write them."""

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


def in_micrometres(size: float, unit: str) -> tuple[float, str]:
    """A length as (micrometres, "µm"), or (size, "pixel") where `unit` is no length.

    >>> in_micrometres(65, "nm")
    (0.065, 'µm')
    >>> in_micrometres(1.0, "")
    (1.0, 'pixel')
    """
    # Greek mu and micro sign look alike; ImageJ writes the escape sequence out.
    name = unit.strip().replace("μ", "µ").replace("\\u00B5", "µ").casefold()
    factor = _LENGTHS.get(name.replace("μ", "µ"))
    return (size, PIXEL) if factor is None else (size * factor, MICRO)
