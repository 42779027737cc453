"""The look of the table of classes, and the keys that it passes on."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QKeyEvent, QPixmap, QShowEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from .class_keys import HELP

ROWS_IN_SIGHT = 6
SWATCH = 14
KEY, COLOUR, NAME, STROKES, PIXELS = range(5)
HEADERS = {
    KEY: ("", "The number of the class in the layer, and its key."),
    COLOUR: ("", "Click to choose another colour."),
    NAME: ("Class", "Double-click (or F2) to rename."),
    STROKES: ("Strokes", "Connected strokes, over all images."),
    PIXELS: ("Pixels", "Painted pixels, over all images."),
}
_PLAIN = (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)


class ClassRows(QTableWidget):
    """Rows that are selected as a whole; digits and Del are passed on."""

    digitPressed = Signal(int)
    removalPressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(HEADERS), parent)
        self.setAccessibleName("Classes")
        self.setToolTip(f"<p>{HELP}</p>")
        for column, (text, help_) in HEADERS.items():
            header = cell(text, right=column in (STROKES, PIXELS))
            header.setToolTip(f"<p>{help_}</p>")
            self.setHorizontalHeaderItem(column, header)
        self.verticalHeader().hide()
        self.horizontalHeader().setHighlightSections(False)
        self.horizontalHeader().setStyleSheet("QHeaderView::section { border: none; }")
        self.horizontalHeader().setMinimumSectionSize(SWATCH + 8)
        for column in HEADERS:
            mode = QHeaderView.ResizeMode
            self.horizontalHeader().setSectionResizeMode(
                column, mode.Stretch if column == NAME else mode.ResizeToContents
            )
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setIconSize(QSize(SWATCH, SWATCH))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)

    def fit(self) -> None:
        """As high as its rows, up to `ROWS_IN_SIGHT`."""
        rows = min(self.rowCount(), ROWS_IN_SIGHT)
        height = self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth()
        self.setFixedHeight(height + sum(self.rowHeight(row) for row in range(rows)))

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.fit()  # napari's style comes after the table is made

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.removalPressed.emit()
        elif event.text().isdecimal() and event.modifiers() in _PLAIN:
            self.digitPressed.emit(int(event.text()))
        else:
            super().keyPressEvent(event)


def cell(
    text: str, *, right: bool = False, editable: bool = False, icon: QIcon | None = None
) -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
    item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
    flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
    item.setFlags(flags | Qt.ItemFlag.ItemIsEditable if editable else flags)
    if icon is not None:
        item.setIcon(icon)
    return item


def swatch(colour: str) -> QIcon:
    pixels = QPixmap(SWATCH, SWATCH)
    pixels.fill(QColor(colour))
    icon = QIcon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):  # a selected row tints icons otherwise
        icon.addPixmap(pixels, mode)
    return icon
