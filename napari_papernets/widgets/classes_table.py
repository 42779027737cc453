"""The classes of a session: number, colour, name, and how much of each is painted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import QPoint, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QColorDialog,
    QHBoxLayout,
    QMenu,
    QMessageBox,
    QPushButton,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ..core.errors import InputError
from ..core.model import PALETTE, ClassInfo, class_infos
from .annotation_layer import MOST_CLASSES
from .class_rows import COLOUR, HEADERS, KEY, NAME, PIXELS, STROKES, ClassRows, cell, swatch
from .run_bar import counted

FIRST = ("background", "object")
FEWEST = 2


class ClassesTable(QWidget):
    """Edits the classes, and chooses the one to paint.

    Attributes
    ----------
    classesChanged : Signal()
        By the person: one was added, renamed, recoloured or removed.
    armed : Signal(int)
        The brush of this class is wanted, 0 for the eraser; again where it was chosen before.
    removed : Signal(int)
        This class is gone, and the higher ones moved down by one; before `classesChanged`.
    problem : Signal(object)
        Why a name was not taken, an InputError.
    """

    classesChanged = Signal()
    armed = Signal(int)
    removed = Signal(int)
    problem = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._classes: list[ClassInfo] = []
        self._counts: dict[int, tuple[int, int]] = {}
        self.table = ClassRows()
        self.add = _button("Add", "Add a class (it gets the next number key).")
        self.remove = _button("Remove", "Remove the selected class and erase its strokes (Del).")
        self.eraser = _button("Eraser", "Erase strokes: what is erased counts as not annotated (key 0).")
        self.eraser.setCheckable(True)
        self._lay_out()
        self._connect()
        self.set_classes(class_infos(FIRST))

    def classes(self) -> tuple[ClassInfo, ...]:
        """Names and colours of the classes 1…K."""
        return tuple(self._classes)

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Show other classes; no signal."""
        self._classes = list(classes)
        self._fill(min(max(self.table.currentRow(), 0), len(self._classes) - 1))

    def set_counts(self, counts: Mapping[int, tuple[int, int]]) -> None:
        """Show (strokes, pixels) of each class; what is left out has none."""
        self._counts = dict(counts)
        self.table.blockSignals(True)
        for row in range(self.table.rowCount()):
            strokes, pixels = self._counts.get(row + 1, (0, 0))
            self.table.item(row, STROKES).setText(f"{strokes:,}" if strokes else "–")
            self.table.item(row, PIXELS).setText(f"{pixels:,}" if pixels else "–")
        self.table.blockSignals(False)

    def current(self) -> int:
        """The class that is shown as chosen, from 1; 0 while the eraser is."""
        return 0 if self.eraser.isChecked() else self.table.currentRow() + 1

    def choose(self, number: int) -> None:
        """Show a class (0: the eraser) as chosen, and emit `armed`; nothing where there is no such."""
        if 0 <= number <= len(self._classes):
            self.show_class(number)
            self.armed.emit(number)

    def show_class(self, number: int) -> None:
        """Show a class (0: the eraser) as chosen, because it is in the layer; no signal."""
        self.eraser.setChecked(number == 0)
        self.table.blockSignals(True)
        if number == 0:
            self.table.clearSelection()
        elif number <= len(self._classes):
            self.table.setCurrentCell(number - 1, NAME)
            self.table.selectRow(number - 1)
        self.table.blockSignals(False)
        self._offer_removal()

    def add_class(self) -> None:
        """Add a class with a free name and colour, and choose it."""
        names, used = {c.name for c in self._classes}, {c.colour.upper() for c in self._classes}
        n = len(self._classes)
        name = next(f"class {i}" for i in range(n + 1, 2 * n + 3) if f"class {i}" not in names)
        colour = next((c for c in PALETTE if c not in used), PALETTE[n % len(PALETTE)])
        self._classes.append(ClassInfo(name, colour))
        self._fill(n)
        self.classesChanged.emit()
        self.choose(n + 1)

    def remove_class(self, number: int) -> None:
        """Remove a class, after asking where strokes would be lost."""
        if not 1 <= number <= len(self._classes) or len(self._classes) <= FEWEST:
            return
        if self._counts.get(number, (0, 0))[1] and not self._ask_to_remove(number):
            return
        del self._classes[number - 1]
        self._counts = {k - (k > number): v for k, v in self._counts.items() if k != number}
        self._fill(min(number, len(self._classes)) - 1)
        self.removed.emit(number)
        self.classesChanged.emit()

    def recolour(self, number: int, colour: str) -> None:
        """Give a class another colour ("#RRGGBB")."""
        self._classes[number - 1] = ClassInfo(self._classes[number - 1].name, colour)
        self.table.item(number - 1, COLOUR).setIcon(swatch(colour))
        self.classesChanged.emit()

    def _fill(self, current: int) -> None:
        self.table.blockSignals(True)
        self.table.setRowCount(len(self._classes))
        for row, one in enumerate(self._classes):
            key = str(row + 1)
            self.table.setItem(row, KEY, cell(key, right=True))
            self.table.setItem(row, COLOUR, cell("", icon=swatch(one.colour)))
            self.table.setItem(row, NAME, cell(one.name, editable=True))
            self.table.setItem(row, STROKES, cell("", right=True))
            self.table.setItem(row, PIXELS, cell("", right=True))
            pressed = f"Key {key}: paint {one.name}." if row < 9 else f"Paint {one.name}."
            for column, (_, help_) in HEADERS.items():
                self.table.item(row, column).setToolTip(f"<p>{pressed} {help_}</p>")
        self.table.setCurrentCell(current, NAME)
        self.table.blockSignals(False)
        self._offer_removal()
        self.add.setEnabled(len(self._classes) < MOST_CLASSES)
        self.table.fit()
        self.set_counts(self._counts)

    def _offer_removal(self) -> None:
        self.remove.setEnabled(len(self._classes) > FEWEST and self.current() > 0)

    def _on_item(self, item: QTableWidgetItem) -> None:
        row, name = item.row(), item.text().strip()
        if item.column() != NAME or name == self._classes[row].name:
            return
        others = [c.name for i, c in enumerate(self._classes) if i != row]
        if name and name not in others:
            self._classes[row] = ClassInfo(name, self._classes[row].colour)
            self._fill(row)
            self.classesChanged.emit()
            return
        self._fill(row)
        self.problem.emit(InputError("class name", repr(name), "give each class a name of its own"))

    def _on_row(self, row: int, column: int, before: int, column_before: int) -> None:
        if row >= 0 and row != before:
            self.choose(row + 1)

    def _on_click(self, row: int, column: int) -> None:
        self.choose(row + 1)
        if column == COLOUR:
            self._ask_colour(row + 1)

    def _ask_colour(self, number: int) -> None:
        one = self._classes[number - 1]
        chosen = QColorDialog.getColor(QColor(one.colour), self, f"Colour of {one.name}")
        if chosen.isValid():
            self.recolour(number, chosen.name().upper())

    def _ask_to_remove(self, number: int) -> bool:
        strokes, pixels = self._counts[number]
        some = counted(strokes, "stroke")
        answer = QMessageBox.question(
            self,
            "Remove class",
            f"Remove “{self._classes[number - 1].name}” and erase its {some} ({pixels:,} pixels) "
            "in all images? Undo does not bring them back.",
        )
        return answer == QMessageBox.StandardButton.Yes

    def _open_menu(self, at: QPoint) -> None:
        item = self.table.itemAt(at) or self.table.currentItem()
        row = item.row()
        menu = QMenu(self)
        menu.addAction("Rename", lambda: self.table.editItem(self.table.item(row, NAME)))
        menu.addAction("Colour…", lambda: self._ask_colour(row + 1))
        removal = menu.addAction("Remove", lambda: self.remove_class(row + 1))
        removal.setEnabled(len(self._classes) > FEWEST)
        menu.exec(self.table.viewport().mapToGlobal(at))

    def _connect(self) -> None:
        self.table.itemChanged.connect(self._on_item)
        self.table.currentCellChanged.connect(self._on_row)
        self.table.cellClicked.connect(self._on_click)
        self.table.digitPressed.connect(self.choose)
        self.table.removalPressed.connect(lambda: self.remove_class(self.current()))
        self.table.customContextMenuRequested.connect(self._open_menu)
        self.add.clicked.connect(lambda: self.add_class())
        self.remove.clicked.connect(lambda: self.remove_class(self.current()))
        self.eraser.clicked.connect(lambda: self.choose(0))

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        for button in (self.add, self.remove, self.eraser):
            buttons.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        layout.addLayout(buttons)


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(f"<p>{tooltip}</p>")
    # napari draws a frame of one pixel around a disabled button: this keeps its size.
    button.setStyleSheet("QPushButton:disabled { padding: 3px; }")
    return button
