"""How a panel is laid out: groups that scroll in a narrow dock, and a foot that stays in sight."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QFrame, QGroupBox, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

MARGIN = 6


class ColumnArea(QScrollArea):
    """Scrolls up and down only: it is never narrower than what it holds."""

    def minimumSizeHint(self) -> QSize:
        hint = super().minimumSizeHint()
        width = self.widget().minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width()
        return QSize(width, hint.height())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Qt watches the content for us; what it needs changes with the style and the form."""
        if watched is self.widget() and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)


def group(title: str, *parts: QWidget) -> QGroupBox:
    """A titled group of widgets, one below the other."""
    box = QGroupBox(title)
    layout = QVBoxLayout(box)
    layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
    layout.setSpacing(MARGIN)
    for part in parts:
        layout.addWidget(part)
    return box


def column(parts: Sequence[QWidget]) -> ColumnArea:
    """Widgets one below the other, which scroll when there is too little room."""
    inside = QWidget()
    layout = QVBoxLayout(inside)
    layout.setContentsMargins(0, MARGIN, MARGIN, 0)
    layout.setSpacing(MARGIN)
    for part in parts:
        layout.addWidget(part)
    layout.addStretch(1)
    area = ColumnArea()
    area.setWidget(inside)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
    return area


def fill_panel(panel: QWidget, groups: Sequence[QWidget], foot: Sequence[QWidget]) -> None:
    """Give `panel` its layout.

    Parameters
    ----------
    panel : QWidget
        Empty.
    groups : sequence of QWidget
        They scroll when the dock is too low for them.
    foot : sequence of QWidget
        Always in sight.
    """
    layout = QVBoxLayout(panel)
    layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
    layout.setSpacing(MARGIN)
    layout.addWidget(column(groups), 1)
    for part in foot:
        layout.addWidget(part)
