"""The versions of a session as values, and as a Qt model."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor, QFont
from qtpy.QtWidgets import QWidget

from .theme_colours import ThemeColours

NOWHERE = QModelIndex()
COLUMNS = {
    "No.": "Of the version; the one in use has a dot.",
    "Score": "Mean IoU on annotation that was kept from training; – without any.",
    "Change": "Score after the round, less that of the model before it on the same annotation.",
    "Strokes": "How many there were when its round ended; – where an older program did not count them.",
    "Steps": "Steps of training so far; quick: none, but a head that was fitted to frozen features.",
    "Time": "When the round of training ended.",
    "Note": "Double-click to write one.",
}
CHANGE, NOTE = 2, 6
NONE = "–"


@dataclass(frozen=True)
class VersionRow:
    """One version, as it is shown.

    Attributes
    ----------
    number : int
        From 1.
    when : datetime
        End of its round.
    strokes : int or None
        How many were painted when its round ended; None where that is not known.
    step : int
        Steps of training so far.
    score, before : float or None
        Mean IoU on held-out annotation, of it and of the model before it; None without any.
    source : {"quick", "trained"}
        What made it.
    reason : str
        Why the round ended.
    name : str
        Of the model.
    path : Path
        The model file.
    command : str
        Command line that trains on the strokes of the round again; empty where there is none.
    current : bool
        Whether it is the one in use.
    note : str
        What the person wrote about it.
    """

    number: int
    when: datetime
    strokes: int | None
    step: int
    score: float | None
    before: float | None
    source: Literal["quick", "trained"]
    reason: str
    name: str
    path: Path
    command: str
    current: bool
    note: str = ""

    @property
    def change(self) -> float | None:
        """Score less that before; None where either is missing."""
        return None if self.score is None or self.before is None else self.score - self.before


class VersionsModel(QAbstractTableModel):
    """Versions as a Qt model, newest first.

    Attributes
    ----------
    noted : Signal(int, str)
        The note of a version was edited.
    """

    noted = Signal(int, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.versions: list[VersionRow] = []
        self.colours: ThemeColours | None = None

    def show(self, versions: Sequence[VersionRow]) -> None:
        """Take other versions, in any order."""
        self.beginResetModel()
        self.versions = sorted(versions, key=lambda row: -row.number)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = NOWHERE) -> int:
        return 0 if parent.isValid() else len(self.versions)

    def columnCount(self, parent: QModelIndex = NOWHERE) -> int:
        return 0 if parent.isValid() else len(COLUMNS)

    def flags(self, index: QModelIndex) -> Any:
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == NOTE else flags

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        version, column = self.versions[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole or (role == Qt.ItemDataRole.EditRole and column == NOTE):
            return _cells(version)[column]
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"<p>{_account(version)}</p>"
        if role == Qt.ItemDataRole.ForegroundRole and column == CHANGE:
            return self._change_colour(version.change)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            left, right = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight
            return _alignment(left if column == NOTE else right)
        if role == Qt.ItemDataRole.FontRole and version.current:
            font = QFont()
            font.setBold(True)
            return font
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role != Qt.ItemDataRole.EditRole or index.column() != NOTE:
            return False
        row, text = index.row(), str(value).strip()
        if text != self.versions[row].note:
            self.versions[row] = replace(self.versions[row], note=text)
            self.dataChanged.emit(index, index)
            self.noted.emit(self.versions[row].number, text)
        return True

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        name = list(COLUMNS)[section]
        return {
            Qt.ItemDataRole.DisplayRole: name,
            Qt.ItemDataRole.ToolTipRole: COLUMNS[name],
        }.get(role)

    def _change_colour(self, change: float | None) -> QColor | None:
        if change is None or self.colours is None or signed(change) == signed(0.0):
            return None
        return QColor(self.colours.good if change > 0 else self.colours.bad)


def signed(value: float | None) -> str:
    """Three digits with a sign; a dash where there is no number."""
    if value is None or math.isnan(value):
        return NONE
    return f"{value:+.3f}".replace("-0.000", "+0.000").replace("+0.000", "±0.000").replace("-", "−")


def _cells(version: VersionRow) -> tuple[str, ...]:
    now = datetime.now(version.when.tzinfo).date()
    when = version.when.strftime("%H:%M" if version.when.date() == now else "%d %b %H:%M")
    score = NONE if version.score is None else f"{version.score:.3f}"
    strokes = NONE if version.strokes is None else f"{version.strokes:,}"
    steps = "quick" if version.source == "quick" else f"{version.step:,}"
    dot = "● " if version.current else ""
    return (
        f"{dot}{version.number}", score, signed(version.change), strokes, steps, when, version.note,
    )  # fmt: skip


def _account(version: VersionRow) -> str:
    """What the tooltip says, beyond the columns."""
    use = "In use. " if version.current else ""
    scores = ""
    if version.before is not None and version.score is not None:
        scores = f"Score {version.before:.3f} → {version.score:.3f}. "
    return html.escape(f"{version.name}: {use}{scores}{version.reason}")


def _alignment(horizontal: Any) -> int:
    """A number, which every binding takes for the role."""
    both = horizontal | Qt.AlignmentFlag.AlignVCenter
    return int(getattr(both, "value", both))
