"""The versions of a session: what each learnt from and how good it is, and the way back to any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QEvent, QItemSelectionModel, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QFileDialog,
    QGridLayout,
    QHeaderView,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from ..model_files import SUFFIX
from .class_scores import ClassScores
from .offered import offer
from .theme_colours import theme_colours
from .versions_model import NOTE, VersionRow, VersionsModel

__all__ = ["VersionRow", "VersionsTable"]

ROOM = 10  # pixels of a row around its text
HELP = {
    "back": "Use the selected version again. The newer ones stay in the list.",
    "compare": "Two selected versions, or the selected one and the one in use, on all annotations so "
    "far. Select a second row with Ctrl.",
    "save": "Save the model of the selected version as a file of its own.",
    "command": "Copy the command line that repeats the training of the selected version, stroke by "
    "stroke as they were painted. On a CPU like this one it gives the same weights; a GPU adds in any "
    "order.",
    "like it": "Copy the command line that trains on the same strokes as the selected version, from the "
    "same start, for as many steps. Its weights will not be quite the same, since nothing tells how "
    "they were painted.",
}
NO_VERSION = "There is no version yet: a round of learning ends with one, and Keep makes one."
ONE, TWO = "Select one version.", "Select two versions, or one that is not in use."
IN_USE, NO_COMMAND = "It is in use already.", "It was made by no training of its own."


class VersionsTable(QWidget):
    """Lists versions; what is asked of them is told by signals.

    Attributes
    ----------
    scores : ClassScores
        How the newest did beside the one before it.
    goBack : Signal(int)
        Use this version again.
    compare : Signal(int, int)
        Compare an older version with a newer one.
    exported : Signal(int, str)
        Save the model of this version at this path.
    noteChanged : Signal(int, str)
        The note of a version was edited.
    told : Signal(str)
        What was done, one line.
    """

    goBack = Signal(int)
    compare = Signal(int, int)
    exported = Signal(int, str)
    noteChanged = Signal(int, str)
    told = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = VersionsModel(self)
        self.model.noted.connect(self.noteChanged)
        self.view = QTableView()
        self.view.setModel(self.model)
        self.view.setAccessibleName("Versions of this session")
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.view.setWordWrap(False)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + ROOM)
        self.view.selectionModel().selectionChanged.connect(self._on_selection)
        self.scores = ClassScores()
        self._offered = 0  # the version that is selected since nobody has chosen one
        self._make_buttons()
        self._lay_out()
        self.set_rows(())

    def set_rows(self, versions: Sequence[VersionRow]) -> None:
        """Show these versions; what was selected stays so."""
        chosen = {version.number for version in self.selected()} - {self._offered}
        self.model.show(versions)
        picked = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        for row, version in enumerate(self.model.versions):
            if version.number in chosen:
                self.view.selectionModel().select(self.model.index(row, 0), picked)
        self._offered = 0
        if not self.selected() and self.model.versions:
            self._offered = self.model.versions[0].number
            self.view.selectionModel().select(self.model.index(0, 0), picked)
        for column in range(NOTE):  # which takes what is left
            self.view.resizeColumnToContents(column)
        self._on_selection()

    def selected(self) -> list[VersionRow]:
        """The selected versions, newest first."""
        rows = sorted(index.row() for index in self.view.selectionModel().selectedRows())
        return [self.model.versions[row] for row in rows]

    def current(self) -> VersionRow | None:
        """The one in use."""
        return next((version for version in self.model.versions if version.current), None)

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self._recolour()

    def changeEvent(self, event: QEvent) -> None:
        """The theme may have changed."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and self.isVisible():
            self._recolour()

    def _recolour(self) -> None:
        self.model.colours = theme_colours(self)
        self.view.viewport().update()

    def _pair(self) -> tuple[int, int] | None:
        """The versions to compare, older first."""
        chosen, current = self.selected(), self.current()
        if len(chosen) == 1 and current is not None and not chosen[0].current:
            chosen.append(current)
        numbers = sorted(version.number for version in chosen)
        return (numbers[0], numbers[1]) if len(numbers) == 2 else None

    def _on_selection(self, *_: object) -> None:
        chosen = self.selected()
        one = chosen[0] if len(chosen) == 1 else None
        none = NO_VERSION if not self.model.versions else ""
        missing = none or ("" if one is not None else ONE)
        in_use = one is not None and one.current
        offer(self.back, HELP["back"], missing or (IN_USE if in_use else ""))
        offer(self.against, HELP["compare"], none or ("" if self._pair() is not None else TWO))
        offer(self.save, HELP["save"], missing)
        told = one is None or bool(one.command)
        exact = one is None or "--course" in one.command
        help_ = HELP["command" if exact else "like it"]
        offer(self.command, help_, missing or ("" if told else NO_COMMAND))

    def _on_back(self) -> None:
        self.goBack.emit(self.selected()[0].number)

    def _on_compare(self) -> None:
        pair = self._pair()
        if pair is not None:
            self.compare.emit(*pair)

    def _on_save(self) -> None:
        version = self.selected()[0]
        kinds = f"Models (*{SUFFIX})"
        path, _ = QFileDialog.getSaveFileName(self, "Save model as", version.name + SUFFIX, kinds)
        if path:
            self.exported.emit(version.number, path if path.endswith(SUFFIX) else path + SUFFIX)

    def _on_command(self) -> None:
        command = self.selected()[0].command
        QApplication.clipboard().setText(command)
        self.told.emit(f"Copied: {command}")

    def _make_buttons(self) -> None:
        self.back = self._button("Go back", "back", self._on_back)
        self.against = self._button("Compare", "compare", self._on_compare)
        self.save = self._button("Save model as…", "save", self._on_save)
        self.command = self._button("Copy command", "command", self._on_command)

    def _button(self, text: str, help_: str, pressed: Any) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(f"<p>{HELP[help_]}</p>")
        button.clicked.connect(lambda: pressed())
        return button

    def _lay_out(self) -> None:
        header = self.view.horizontalHeader()
        header.setSectionResizeMode(NOTE, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(24)
        self.view.setMinimumHeight(120)
        buttons = QGridLayout()
        for place, button in enumerate((self.back, self.against, self.save, self.command)):
            buttons.addWidget(button, place // 2, place % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.scores)
        layout.addLayout(buttons)
