"""A picture whose pixels stay sharp, as large as its place allows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, QSize
from qtpy.QtGui import QImage, QPainter, QPaintEvent, QPixmap
from qtpy.QtWidgets import QSizePolicy, QWidget

SMALLEST, LARGEST = 160, 480


def to_image(picture: NDArray[np.uint8]) -> QImage:
    """An image that owns its pixels, of shape (H, W, 3), red first."""
    height, width = picture.shape[:2]
    data = np.ascontiguousarray(picture).tobytes()
    return QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()


def to_pixmap(picture: NDArray[np.uint8]) -> QPixmap:
    """The same as a pixmap."""
    return QPixmap.fromImage(to_image(picture))


class PictureView(QWidget):
    """Shows a picture in its own proportions, without smoothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image: QImage | None = None
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setMinimumSize(SMALLEST, SMALLEST)

    def show_picture(self, picture: NDArray[np.uint8]) -> None:
        """Show an array of shape (H, W, 3)."""
        before, self._image = self._proportion, to_image(picture)
        if self._proportion != before:
            self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(300, self.heightForWidth(300))

    def heightForWidth(self, width: int) -> int:
        return max(SMALLEST, min(round(width * self._proportion), LARGEST))

    @property
    def _proportion(self) -> float:
        """Height over width."""
        return self._image.height() / self._image.width() if self._image is not None else 1.0

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._image is None:
            return
        painter = QPainter(self)
        width, height = self._image.width(), self._image.height()
        factor = min(self.width() / width, self.height() / height)
        size = (width * factor, height * factor)
        left, top = (self.width() - size[0]) / 2, (self.height() - size[1]) / 2
        painter.drawImage(QRectF(left, top, *size), self._image)
        painter.end()
