"""What the colours of a picture of an augmented crop mean."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from ..core.model import ClassInfo
from ..core.results import AugmentedCrop
from ..core.tune_settings import TuneSettings
from .colour_tables import colour_table
from .picture import to_pixmap

BAR_HEIGHT = 10
LINES = 3  # kept free, so that little moves when another picture is chosen


class Legend(QWidget):
    """A few words, and for weights a bar of colours with its range in numbers."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.text.setMinimumHeight(LINES * self.text.fontMetrics().lineSpacing())
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.text.setAccessibleName("Legend")
        self.low, self.high, self._bar = QLabel(), QLabel(), QLabel()
        self._bar.setScaledContents(True)
        self._bar.setFixedHeight(BAR_HEIGHT)
        self._bar.setMinimumWidth(40)
        self._bar.setPixmap(to_pixmap(np.repeat(colour_table("magma")[None], 4, axis=0)))
        self._scale = QWidget()
        scale = QHBoxLayout(self._scale)
        scale.setContentsMargins(0, 0, 0, 0)
        for part, stretch in ((self.low, 0), (self._bar, 1), (self.high, 0)):
            scale.addWidget(part, stretch)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._scale)
        layout.addWidget(self.text)
        self._scale.hide()

    def explain(
        self,
        name: str,
        crop: AugmentedCrop,
        infos: Sequence[ClassInfo],
        settings: TuneSettings,
        number: int,
    ) -> None:
        """Say what "Image", "Target" or "Weights" shows of a crop."""
        self._scale.setVisible(name == "Weights")
        if name == "Weights":
            self.low.setText("0")
            self.high.setText(f"{crop.weights.max():.3g}")
            self.text.setText(_weights_text(crop, infos, settings))
        elif name == "Target":
            self.text.setText(_target_text(crop, infos))
        else:
            height, width = crop.image.shape[1:]
            self.text.setText(f"Crop {number + 1}, {height} × {width} pixels, after augmentation.")


def _target_text(crop: AugmentedCrop, infos: Sequence[ClassInfo]) -> str:
    counts = np.bincount(crop.classes[crop.classes >= 0], minlength=len(infos))
    parts = [f"{_swatch(info)}&nbsp;{n:,}" for info, n in zip(infos, counts, strict=False)]
    unknown = int((crop.classes < 0).sum())
    parts += [f"not&nbsp;annotated&nbsp;{unknown:,}"] if unknown else []
    return " &nbsp; ".join(parts) + " pixels"


def _weights_text(crop: AugmentedCrop, infos: Sequence[ClassInfo], settings: TuneSettings) -> str:
    known = crop.weights[crop.weights > 0]
    if not len(known):
        return "Nothing is annotated in this crop."
    weights = " &nbsp; ".join(
        f"{_swatch(info)}&nbsp;{w:.2g}" for info, w in zip(infos, crop.class_weights, strict=False)
    )
    span = f"w(x) from {known.min():.2g} to {known.max():.3g} where annotated."
    if settings.kind == "instances":
        border = f"up to {settings.w0:g} more between objects closer than about {2 * settings.sigma:g}"
        return f"{span} Weight of the class: {weights}; {border} pixels."
    return (
        f"{span} Weight of the class: {weights}. There is no border term: it needs annotation of "
        "single objects."
    )


def _swatch(info: ClassInfo) -> str:
    return f'<span style="color:{html.escape(info.colour)}">■</span>&nbsp;{html.escape(info.name)}'
