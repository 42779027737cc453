"""A 2-D map of patches: click on one, or draw around several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, Qt, Signal
from qtpy.QtGui import QPolygonF
from qtpy.QtWidgets import QVBoxLayout, QWidget

from .calm_wheel import CalmWheel
from .curve_plots import import_pyqtgraph
from .theme_colours import theme_colours

SIZE = 6  # pixels of a dot
HELP = (
    "Each dot is a patch; similar patches lie close together. Click on a dot to look it up; drag with "
    "the left button to draw around several, which are then marked in the image."
)


class PatchScatter(QWidget):
    """Shows points and lets the person choose among them.

    Attributes
    ----------
    picked : Signal(int)
        A dot was clicked.
    surrounded : Signal(object)
        Numbers of the dots that were drawn around, an int64 array.
    """

    picked = Signal(int)
    surrounded = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pg: Any = import_pyqtgraph()
        self._points: NDArray[np.float32] = np.zeros((0, 2), np.float32)
        self._marked: dict[str, NDArray[np.int64]] = {}
        self.view = self._pg.GraphicsLayoutWidget()
        self.view.setMinimumHeight(200)
        self._box = make_lasso_box(self._pg, self._on_lasso)
        self.plot = self.view.addPlot(viewBox=self._box)
        self.plot.hideButtons()
        for side in ("left", "bottom"):
            self.plot.getAxis(side).enableAutoSIPrefix(False)
        self.dots = self._pg.ScatterPlotItem(pxMode=True, size=SIZE)
        self.chosen = self._pg.ScatterPlotItem(pxMode=True, size=SIZE + 4)
        for item in (self.dots, self.chosen):
            self.plot.addItem(item)
        self.dots.sigClicked.connect(self._on_click)
        self._wheel = CalmWheel(self.view.viewport(), self.view)
        self.setToolTip(f"<p>{HELP}</p>")
        self.setAccessibleName("Map of patches")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)

    def set_points(self, points: NDArray[np.float32], labels: tuple[str, str]) -> None:
        """Show other points (N, 2)."""
        self._points = points
        self.dots.setData(points[:, 0], points[:, 1], data=np.arange(len(points)))
        self.chosen.setData([], [])
        for side, label in zip(("bottom", "left"), labels, strict=True):
            self.plot.setLabel(side, label)
        self.plot.autoRange()
        self._recolour()

    def mark(self, numbers: Sequence[int] | NDArray[np.int64]) -> None:
        """Emphasise some of them."""
        at = self._points[np.asarray(numbers, np.int64)] if len(numbers) else self._points[:0]
        self.chosen.setData(at[:, 0], at[:, 1])

    def inside(self, polygon: Sequence[tuple[float, float]]) -> NDArray[np.int64]:
        """Numbers of the points within a polygon, in the map's coordinates."""
        shape = QPolygonF([QPointF(x, y) for x, y in polygon])
        rule = Qt.FillRule.OddEvenFill
        hit = [shape.containsPoint(QPointF(float(x), float(y)), rule) for x, y in self._points]
        return np.flatnonzero(hit).astype(np.int64)

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self._recolour()

    def _recolour(self) -> None:
        colours = theme_colours(self)
        self.view.setBackground(colours.background)
        faint = self._pg.mkColor(colours.first)
        faint.setAlpha(130)
        self.dots.setBrush(faint)
        self.dots.setPen(None)
        self.chosen.setBrush(self._pg.mkBrush(colours.second))
        for side in ("left", "bottom"):
            self.plot.getAxis(side).setPen(self._pg.mkPen(colours.faint))
            self.plot.getAxis(side).setTextPen(self._pg.mkPen(colours.text))
        self._box.line.setPen(self._pg.mkPen(colours.second))

    def _on_click(self, _: object, spots: Sequence[Any], *more: object) -> None:
        if len(spots):
            self.picked.emit(int(spots[0].data()))

    def _on_lasso(self, polygon: list[tuple[float, float]]) -> None:
        numbers = self.inside(polygon)
        self.mark(numbers)
        self.surrounded.emit(numbers)


def make_lasso_box(pyqtgraph: Any, on_drawn: Any) -> Any:
    """A view box in which dragging draws a line around points; `on_drawn` gets its corners."""

    class LassoBox(pyqtgraph.ViewBox):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.line = pyqtgraph.PlotCurveItem()
            self.addItem(self.line, ignoreBounds=True)
            self.way: list[tuple[float, float]] = []

        def mouseDragEvent(self, event: Any, axis: Any = None) -> None:
            if event.button() != Qt.MouseButton.LeftButton:
                super().mouseDragEvent(event, axis)
                return
            event.accept()
            at = self.mapSceneToView(event.scenePos())
            self.way = [] if event.isStart() else self.way
            self.way.append((at.x(), at.y()))
            self.line.setData([x for x, _ in self.way], [y for _, y in self.way])
            if event.isFinish():
                on_drawn(self.way)
                self.line.setData([], [])

    return LassoBox()
