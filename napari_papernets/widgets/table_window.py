"""A window with a table that can be sorted, copied and saved; it does not stop the work behind it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from .run_bar import counted

Columns = Mapping[str, NDArray[Any]]
NOWHERE = QModelIndex()
LINKED = "Select a row to see its object, or pick an object (L) to see its row."


class ColumnsModel(QAbstractTableModel):
    """Equal-length columns as a Qt model; sorts by value, shows four digits."""

    def __init__(self, columns: Columns, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.columns = columns
        self._names = list(columns)

    def rowCount(self, parent: QModelIndex = NOWHERE) -> int:
        return len(self.columns[self._names[0]]) if self._names and not parent.isValid() else 0

    def columnCount(self, parent: QModelIndex = NOWHERE) -> int:
        return 0 if parent.isValid() else len(self._names)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        value = self.columns[self._names[index.column()]][index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
        if role == Qt.ItemDataRole.UserRole:
            return float(value) if isinstance(value, int | float | np.number) else str(value)
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return self._names[section] if orientation == Qt.Orientation.Horizontal else section + 1


class TableWindow(QDialog):
    """Shows columns.

    Parameters
    ----------
    columns : mapping of str to ndarray
        Equal lengths.
    title, name : str
        Of the window; of the file that is proposed, without its suffix.

    Attributes
    ----------
    about : QLabel
        What the table holds, or why its rows show nothing any more.
    rowChosen : Signal(int)
        A row of `columns` was selected, or clicked again.
    saved : Signal(str)
        The path of the CSV file.
    problem : Signal(object)
        It could not be written.
    """

    rowChosen = Signal(int)
    saved = Signal(str)
    problem = Signal(object)

    def __init__(self, columns: Columns, title: str, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.resize(760, 420)
        self._columns, self._name = columns, name
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSourceModel(ColumnsModel(columns, self))
        self._sorted.setSortRole(Qt.ItemDataRole.UserRole)
        self.about = QLabel()
        self.view = QTableView()
        self.view.setModel(self._sorted)
        self.view.setSortingEnabled(True)
        self.view.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.verticalHeader().hide()
        self._told: int | None = None  # row of `columns` that is chosen
        # Qt makes the first row the current one when the table gets the focus; only a selection chooses.
        self.view.selectionModel().currentRowChanged.connect(self._on_chosen)
        self.view.selectionModel().selectionChanged.connect(self._on_chosen)
        self.view.clicked.connect(self._on_clicked)
        self._lay_out()

    def show_row(self, row: int | None) -> None:
        """Select a row of `columns` and scroll to it, or none; `rowChosen` stays silent."""
        source = self._sorted.sourceModel()
        index = self._sorted.mapFromSource(NOWHERE if row is None else source.index(row, 0))
        with signals_blocked(self):
            if index.isValid():
                self.view.setCurrentIndex(index)
                self.view.scrollTo(index)
            else:
                self.view.selectionModel().clear()

    def text(self) -> str:
        """The table with tabs, as spreadsheets take it from the clipboard."""
        rows = zip(*self._columns.values(), strict=True)
        lines = ["\t".join(self._columns), *("\t".join(str(v) for v in row) for row in rows)]
        return "\n".join(lines)

    def save(self, path: str | Path) -> None:
        """Write the table as CSV."""
        from ..files import write_table

        try:
            write_table(path, self._columns)
        except OSError as error:
            self.problem.emit(error)
        else:
            self.saved.emit(str(path))

    def _on_chosen(self, *_: object) -> None:
        """The current row or the selection changed: one of them after the other, in either order."""
        row = self._chosen()
        if row != self._told:
            self._told = row
            if row is not None:
                self.rowChosen.emit(row)

    def _on_clicked(self, index: QModelIndex) -> None:
        """Tells the first click on a row a second time, which shows the same."""
        row = self._chosen()
        if row is not None:
            self.rowChosen.emit(row)

    def _chosen(self) -> int | None:
        """The current row of `columns` where it is selected, too."""
        index = self.view.currentIndex()
        chosen = index.isValid() and self.view.selectionModel().isSelected(index)
        return self._sorted.mapToSource(index).row() if chosen else None

    def _ask_where(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save table", f"{self._name}.csv", "CSV (*.csv)")
        if path:
            self.save(path)

    def _lay_out(self) -> None:
        count = self._sorted.rowCount()
        save, copy = QPushButton("Save CSV…"), QPushButton("Copy")
        copy.setToolTip("Copy the table, to be pasted into a spreadsheet.")
        save.setToolTip(
            "Write the table, with all digits, to a file that spreadsheets and scripts read."
        )
        save.clicked.connect(self._ask_where)
        copy.clicked.connect(lambda: QApplication.clipboard().setText(self.text()))
        foot = QHBoxLayout()
        self.about.setText(f"{counted(count, 'object')}. {LINKED}")
        self.about.setWordWrap(True)
        foot.addWidget(self.about, 1)
        foot.addWidget(copy)
        foot.addWidget(save)
        layout = QVBoxLayout(self)
        layout.addWidget(self.view)
        layout.addLayout(foot)
