"""A strip of small pictures with a caption each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QWidget

from .picture import to_pixmap

MARGIN = 6  # pixels left and right of a picture, together
SMALLEST = 24  # pixels of a picture that still shows something
ROOM = 20  # pixels below a picture for its caption


class ThumbnailStrip(QListWidget):
    """Pictures side by side; the person may choose one. Where many stand beside each other, they are
    drawn smaller, so that all are in sight.

    Parameters
    ----------
    name : str
        For assistive technology.
    side : int
        Of a picture on the screen, in pixels, where there is room for it.

    Attributes
    ----------
    chosen : Signal(int)
        The number of the picture that was clicked.
    """

    chosen = Signal(int)

    def __init__(self, name: str, side: int = 48, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._side = side
        self._numbers: list[int] = []
        self.setViewMode(QListWidget.ViewMode.IconMode)
        self.setFlow(QListWidget.Flow.LeftToRight)
        self.setWrapping(False)
        self.setMovement(QListWidget.Movement.Static)
        self.setIconSize(QSize(side, side))
        self.setFixedHeight(side + ROOM + 20)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setAccessibleName(name)
        self.itemClicked.connect(lambda item: self.chosen.emit(self._numbers[self.row(item)]))

    def show_pictures(
        self, pictures: NDArray[np.uint8], captions: Sequence[str], numbers: Sequence[int]
    ) -> None:
        """Show pictures (N, h, w, 3) with their captions; `numbers` are what `chosen` gives."""
        self._numbers = [int(n) for n in numbers]
        self.clear()
        for picture, caption in zip(pictures, captions, strict=True):
            item = QListWidgetItem(QIcon(self._scaled(picture)), caption)
            item.setTextAlignment(Qt.AlignmentFlag.AlignHCenter)
            self.addItem(item)
        self._fit()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room = (self.viewport().width() - 1) // max(1, self.count())
        cell = min(self._side + MARGIN, max(SMALLEST + MARGIN, room))
        self.setIconSize(QSize(cell - MARGIN, cell - MARGIN))
        self.setGridSize(QSize(cell, cell + ROOM))

    def _scaled(self, picture: NDArray[np.uint8]) -> QPixmap:
        return to_pixmap(picture).scaled(
            self._side, self._side, Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )  # fmt: skip
