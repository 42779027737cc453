"""An old model beside a new one on the annotations so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QLabel, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from .table_window import TableWindow
from .theme_colours import theme_colours
from .versions_model import NONE, signed

DIFFERENCE = 4


@dataclass(frozen=True)
class ComparisonRow:
    """One class of one image.

    Attributes
    ----------
    image, name : str
        Of the image; of the class.
    old, new : float or None
        IoU of the two models on what is annotated there; None where neither it nor the model knows
        the class.
    pixels : int
        Annotated as the class.
    """

    image: str
    name: str
    old: float | None
    new: float | None
    pixels: int


class ComparisonDialog(TableWindow):
    """A table of one row per image and class: IoU of both models and their difference.

    Parameters
    ----------
    rows : sequence of ComparisonRow
        What was measured.
    old, new : str
        What the models are called, as in "version 3".
    """

    def __init__(
        self, rows: Sequence[ComparisonRow], old: str, new: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(_columns(rows, old, new), f"{old} and {new}", "comparison", parent)
        delegate = _Numbers(self)
        for column in range(2, DIFFERENCE + 1):
            self.view.setItemDelegateForColumn(column, delegate)
        self.view.setAccessibleName("IoU of both models for every image and class")
        self.view.resizeColumnsToContents()
        self.view.horizontalHeader().setStretchLastSection(True)
        self.summary = summary(rows, old, new)
        # The line at the foot: there are no objects to count here.
        foot = self.findChild(QLabel)
        foot.setText(self.summary)
        foot.setWordWrap(True)


def summary(rows: Sequence[ComparisonRow], old: str, new: str) -> str:
    """One line: how many rows rose and fell, and both means."""
    both = [(row.old, row.new) for row in rows if row.old is not None and row.new is not None]
    if not both:
        return "Nothing is annotated that both models can be judged by."
    before, after = (float(np.mean(values)) for values in zip(*both, strict=True))
    better = sum(signed(b - a).startswith("+") for a, b in both)
    worse = sum(signed(b - a).startswith("−") for a, b in both)
    means = f"Mean IoU {before:.3f} ({old}) → {after:.3f} ({new}), {signed(after - before)}"
    counts = f"{better} of {len(both)} better, {worse} worse"
    return f"{means}; {counts}. Judged on annotation that {new} has learnt from."


class _Numbers(QStyledItemDelegate):
    """Three digits; differences signed and coloured."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        super().initStyleOption(option, index)
        value: Any = index.data(Qt.ItemDataRole.UserRole)
        if math.isnan(value):
            option.text = NONE
            return
        if index.column() != DIFFERENCE:
            option.text = f"{value:.3f}"
            return
        option.text = signed(value)
        colours = theme_colours(self.parent())
        for sign, colour in (("+", colours.good), ("−", colours.bad)):
            if option.text.startswith(sign):
                option.palette.setColor(QPalette.ColorRole.Text, QColor(colour))


def _columns(rows: Sequence[ComparisonRow], old: str, new: str) -> dict[str, Any]:
    before, after = (
        np.array([math.nan if v is None else v for v in values], float)
        for values in ([row.old for row in rows], [row.new for row in rows])
    )
    return {
        "image": np.array([row.image for row in rows], object),
        "class": np.array([row.name for row in rows], object),
        f"IoU {old}": before,
        f"IoU {new}": after,
        "difference": after - before,
        "annotated pixels": np.array([row.pixels for row in rows], int),
    }
