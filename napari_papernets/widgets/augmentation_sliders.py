"""Sliders for the weight map and the deformation."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget
from superqt import QLabeledDoubleSlider

from ..core.tune_settings import TuneSettings
from .settings_form import add_row, aligned_rows
from .sliders import field_slider, show_value

# The range of a slider, within that of its setting; it grows for a value beyond.
RANGES = {"w0": (0.0, 30.0), "sigma": (0.5, 20.0), "elastic": (0.0, 40.0)}
OF_OBJECTS = ("w0", "sigma")
ONLY_OBJECTS = "It needs annotation of single objects: strokes and classes have class weights only."


class AugmentationSliders(QWidget):
    """Border weight, border width and elastic deformation.

    Attributes
    ----------
    changed : Signal()
        The person moved a slider.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        rows = aligned_rows()
        self._infos = {info.name: info for info in TuneSettings.fields() if info.name in RANGES}
        self._touched = False
        self._kind = ""
        self.sliders: dict[str, QLabeledDoubleSlider] = {}
        for name, info in self._infos.items():
            self.sliders[name] = slider = field_slider(info, *RANGES[name])
            slider.valueChanged.connect(self._on_moved)
            add_row(rows, info.label, slider, info.tooltip)
        self.setLayout(rows)

    def set_settings(self, settings: TuneSettings) -> None:
        """Show the values of these settings; `changed` is not emitted."""
        self._touched = True
        for name, slider in self.sliders.items():
            show_value(slider, getattr(settings, name))

    def apply(self, settings: TuneSettings) -> TuneSettings:
        """The settings with the values shown; the first ones are shown as they are."""
        if not self._touched:
            self.set_settings(settings)
        values = {name: round(slider.value(), 3) for name, slider in self.sliders.items()}
        return settings.replace(**values)

    def set_kind(self, kind: str) -> None:
        """Border weights are for objects only."""
        if kind == self._kind:
            return
        self._kind = kind
        for name in OF_OBJECTS:
            fits = kind == "instances"
            tooltip = self._infos[name].tooltip + ("" if fits else f" {ONLY_OBJECTS}")
            self.sliders[name].setEnabled(fits)
            self.sliders[name].setToolTip(f"<p>{tooltip}</p>")

    def _on_moved(self, *_: object) -> None:
        self._touched = True
        self.changed.emit()
