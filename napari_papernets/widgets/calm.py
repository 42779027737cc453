"""Boxes that scroll with their panel: the wheel changes them only where they have the focus."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QPaintEvent, QWheelEvent
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QSizePolicy,
    QSpinBox,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

DECIMALS = 6


class CalmComboBox(QComboBox):
    """Takes the wheel only with the focus, so that scrolling a panel changes nothing in it; and it
    shrinks with its panel instead of asking for the width of its longest entry, or of what stands there
    without one: what does not fit ends in an ellipsis."""

    _placeholder = ""  # of Qt's own it asks for the whole width

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(4)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def setPlaceholderText(self, text: str) -> None:
        self._placeholder = text
        self.update()

    def placeholderText(self) -> str:
        return self._placeholder

    def paintEvent(self, event: QPaintEvent) -> None:
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        control, field = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
        room = self.style().subControlRect(control, option, field, self).width()
        text = option.currentText if self.currentIndex() >= 0 else self.placeholderText()
        option.currentText = elided(self, text, room)
        painter = QStylePainter(self)
        painter.drawComplexControl(control, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


def elided(widget: QWidget, text: str, room: int) -> str:
    """The text, with an ellipsis at its end where it is wider than so many pixels."""
    return widget.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room)


class CalmSpinBox(QSpinBox):
    """A whole number, or a word in its place; takes the wheel only with the focus."""

    _word = ""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # their own lets the wheel give them the focus

    def set_word(self, word: str) -> None:
        """Show a word in place of the number, which stays; the number again where it is empty."""
        self._word = word
        self.setValue(self.value())  # which writes the text anew

    def textFromValue(self, value: int) -> str:
        return self._word or super().textFromValue(value)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class CalmDoubleSpinBox(QDoubleSpinBox):
    """A number shown without trailing zeros, or a word in its place; takes the wheel only with the
    focus."""

    _word = ""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # their own lets the wheel give them the focus

    def set_word(self, word: str) -> None:
        """Show a word in place of the number, which stays; the number again where it is empty."""
        self._word = word
        self.setValue(self.value())  # which writes the text anew

    def textFromValue(self, value: float) -> str:
        return self._word or f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()
