"""The CRF's settings: sliders for the paper's parameters, a form for the others."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider

from ..core.crf_settings import CRFSettings
from .settings_form import SettingsForm, add_row, aligned_rows
from .sliders import field_slider, show_value

# Range, step and decimals of each slider; the range grows for a value beyond.
SLIDERS: dict[str, tuple[float, float, float, int]] = {
    "w1": (0.0, 20.0, 0.5, 1),
    "sigma_alpha": (1.0, 150.0, 5.0, 0),
    "sigma_beta": (1.0, 50.0, 1.0, 1),
    "w2": (0.0, 20.0, 0.5, 1),
    "sigma_gamma": (0.5, 20.0, 0.5, 1),
    "denoise": (0.0, 5.0, 0.5, 1),
    "iterations": (0.0, 30.0, 1.0, 0),
}


class CRFForm(QWidget):
    """Edits one `CRFSettings`, but for the channels, which are chosen with the image.

    Attributes
    ----------
    sliders : dict of str to QLabeledDoubleSlider
        By the name of the setting.
    rows : QFormLayout
        Below the sliders; a panel may add rows of its own.
    others : SettingsForm
        What has no slider, folded away.
    valueChanged : Signal(object)
        With the new settings, while a slider moves too.
    """

    valueChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = aligned_rows()
        infos = {info.name: info for info in CRFSettings.fields()}
        self.sliders: dict[str, QLabeledDoubleSlider] = {}
        for name, about in SLIDERS.items():
            self.sliders[name] = slider = field_slider(infos[name], *about)
            slider.valueChanged.connect(self._tell)
            add_row(self.rows, infos[name].label, slider, infos[name].tooltip)
        hidden = ("channels", *SLIDERS)
        self.others = SettingsForm(CRFSettings, basic=(), leave_out=hidden, starts={"tile": 1024})
        self.others.valueChanged.connect(self._tell)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self.rows)
        layout.addWidget(self.others)

    def value(self) -> CRFSettings:
        """The settings that are shown."""
        shown = {name: round(slider.value(), 3) for name, slider in self.sliders.items()}
        return self.others.value().replace(**{**shown, "iterations": round(shown["iterations"])})

    def setValue(self, settings: CRFSettings) -> None:
        """Show other settings; `valueChanged` is emitted once."""
        for name, slider in self.sliders.items():
            show_value(slider, getattr(settings, name))
        self.others.setValue(settings)

    def _tell(self, *_: object) -> None:
        self.valueChanged.emit(self.value())
