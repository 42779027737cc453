"""Colours that fit the theme at hand, read from the widget itself: from its style sheet or palette."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QWidget


@dataclass(frozen=True)
class ThemeColours:
    """Colours as "#rrggbb".

    Attributes
    ----------
    text, background : str
        Of the widget.
    faint : str
        Between the two: lines of a grid, what matters less.
    good, bad : str
        Green and red with a contrast of at least 4.5 on the background.
    first, second : str
        Blue and orange of Okabe & Ito's palette, for curves.
    """

    text: str
    background: str
    faint: str
    good: str
    bad: str
    first: str
    second: str


def theme_colours(widget: QWidget) -> ThemeColours:
    """The colours of a widget in the theme that it is shown in."""
    widget.ensurePolished()
    palette = widget.palette()
    text = palette.color(QPalette.ColorRole.WindowText)
    background = palette.color(QPalette.ColorRole.Window)
    faint = _between(text, background).name()
    if text.lightness() > background.lightness():
        accents = "#3fb950", "#ff7b72", "#56b4e9", "#e69f00"
    else:
        accents = "#136c2e", "#b3261e", "#0072b2", "#b34a00"
    return ThemeColours(text.name(), background.name(), faint, *accents)


def _between(one: QColor, other: QColor) -> QColor:
    """Two fifths of `one`."""
    pairs = zip(one.getRgb()[:3], other.getRgb()[:3], strict=True)
    return QColor(*(round(0.4 * a + 0.6 * b) for a, b in pairs))
