"""Sliders for settings whose useful range is smaller than what is allowed."""

from __future__ import annotations

from qtpy.QtCore import Qt
from superqt import QLabeledDoubleSlider

from ..core.fields import FieldInfo
from .calm_wheel import CalmWheel


def field_slider(
    info: FieldInfo, low: float, high: float, step: float = 0.5, decimals: int = 1
) -> QLabeledDoubleSlider:
    """A slider for a field, from `low` to `high` at first; it shows the default."""
    slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setRange(low, high)
    slider.setValue(info.default)
    slider.setDecimals(decimals)
    slider.setSingleStep(step)
    slider.setAccessibleName(info.label)
    slider.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    CalmWheel(slider)
    return slider


def show_value(slider: QLabeledDoubleSlider, value: float) -> None:
    """Show a value without a signal; the range grows for one beyond it."""
    slider.blockSignals(True)
    slider.setRange(min(slider.minimum(), value), max(slider.maximum(), value))
    slider.setValue(value)
    slider.blockSignals(False)
