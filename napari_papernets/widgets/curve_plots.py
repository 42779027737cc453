"""Two plots over a shared axis of steps, drawn by pyqtgraph, which is imported when they are made."""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import Any

import qtpy
from qtpy.QtCore import QPointF, QRectF, QSizeF, Qt, Signal
from qtpy.QtGui import QImage, QPainter, QTextOption
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..core.errors import EngineError
from .calm_wheel import CalmWheel
from .curve_data import CurveData, Mark
from .theme_colours import ThemeColours

BINDING = "PYQTGRAPH_QT_LIB"
AXIS_WIDTH = 58  # px, the same for both plots, so that their steps line up
FINE = 2  # pixels of a saved picture for each pixel on the screen
NO_SCORE = "no held-out score yet: it comes with training, and needs five strokes of a class"
TEXT_HEIGHTS = 0.94, 0.87, 0.8  # of the texts of marks in turn, so that close ones are both read
EMPTY_STEPS = 100  # of the axis before there is a step


def import_pyqtgraph() -> ModuleType:
    """pyqtgraph, on the Qt binding that qtpy chose, whatever the environment says.

    Raises
    ------
    EngineError
        If another plugin has brought it up on another binding.
    """
    before = os.environ.get(BINDING)
    os.environ[BINDING] = qtpy.API_NAME
    try:
        pyqtgraph = importlib.import_module("pyqtgraph")
    finally:
        if before is None:
            del os.environ[BINDING]
        else:
            os.environ[BINDING] = before
    if pyqtgraph.Qt.QT_LIB != qtpy.API_NAME:
        raise EngineError(f"pyqtgraph runs on {pyqtgraph.Qt.QT_LIB}, napari on {qtpy.API_NAME}")
    return pyqtgraph


class CurvePlots(QWidget):
    """Loss above, held-out score below; wheel and mouse zoom once it was clicked.

    Attributes
    ----------
    menuRequested : Signal(object)
        The context menu is wanted at this global point.
    """

    menuRequested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pg: Any = import_pyqtgraph()
        self._colours: ThemeColours | None = None
        self._any = False
        self._lines: list[tuple[Mark, tuple[Any, ...]]] = []
        self.view = self._pg.GraphicsLayoutWidget()
        self.view.setMinimumHeight(230)
        self.view.setAccessibleName("Loss above, held-out score below, over the steps of the training")
        self.view.ci.setContentsMargins(0, 4, 6, 4)
        self.view.ci.setSpacing(2)
        self.loss, self.score = self._plot(0, "loss"), self._plot(1, "held-out IoU")
        self.score.setXLink(self.loss)
        self.score.setLabel("bottom", "step")
        self.score.setLimits(yMin=-0.1, yMax=1.1)
        self.loss.getAxis("bottom").setStyle(showValues=False)
        self.view.ci.layout.setRowStretchFactor(0, 3)
        self.view.ci.layout.setRowStretchFactor(1, 2)
        self._raw, self._mean = self.loss.plot(), self.loss.plot()
        self._scores, self._best = self.score.plot(), self.score.plot()
        for curve in (self._raw, self._mean):
            curve.setDownsampling(auto=True, method="peak")
            curve.setClipToView(True)
        self._why = self._pg.TextItem(NO_SCORE, anchor=(0.5, 0.5))
        self._why.textItem.document().setDefaultTextOption(QTextOption(Qt.AlignmentFlag.AlignHCenter))
        self._why.setParentItem(self.score.getViewBox())
        self.score.getViewBox().sigResized.connect(self._centre_why)
        self._wheel = CalmWheel(self.view.viewport(), self.view)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.customContextMenuRequested.connect(
            lambda point: self.menuRequested.emit(self.view.mapToGlobal(point))
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)

    def draw(self, data: CurveData) -> None:
        """Show the data as they are now."""
        self._raw.setData(*data.losses())
        self._mean.setData(*data.means())
        self._scores.setData(*data.score_points())
        self._best.setData(*([[v] for v in data.best] if data.best else [[], []]))
        self._why.setVisible(not data.scores)
        self._draw_marks(data.marks)
        self._follow(bool(data))

    def fit(self) -> None:
        """Show everything, and follow what comes."""
        for plot in (self.loss, self.score):
            plot.enableAutoRange()

    def recolour(self, colours: ThemeColours) -> None:
        """Follow a theme."""
        self._colours, pen = colours, self._pg.mkPen
        self.view.setBackground(colours.background)
        for plot in (self.loss, self.score):
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(pen(colours.faint))
                plot.getAxis(side).setTextPen(pen(colours.text))
        thin = self._pg.mkColor(colours.first)
        thin.setAlpha(90)
        self._raw.setPen(pen(thin))
        self._mean.setPen(pen(colours.first, width=2))
        self._scores.setPen(pen(colours.second, width=2))
        self._dots(self._scores, colours.second, 5)
        self._dots(self._best, colours.second, 10)
        self._why.setColor(colours.text)
        for mark, lines in self._lines:
            for line in lines:
                self._paint_mark(mark, line)

    def picture(self) -> QImage:
        """What is shown, twice as fine as on the screen."""
        size = self.view.size()
        image = QImage(size * FINE, QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(FINE)
        image.fill(self.view.backgroundBrush().color())
        painter = QPainter(image)
        self.view.render(painter, QRectF(QPointF(), QSizeF(size)))
        painter.end()
        return image

    def _plot(self, row: int, label: str) -> Any:
        plot = self.view.addPlot(row=row, col=0)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.showGrid(x=True, y=True, alpha=0.15)
        plot.setLabel("left", label)
        plot.getAxis("left").setWidth(AXIS_WIDTH)
        plot.getAxis("left").enableAutoSIPrefix(False)
        plot.getAxis("bottom").enableAutoSIPrefix(False)
        return plot

    def _dots(self, curve: Any, colour: str, size: int) -> None:
        curve.setSymbol("o")
        curve.setSymbolSize(size)
        curve.setSymbolBrush(colour)
        curve.setSymbolPen(colour)

    def _draw_marks(self, marks: list[Mark]) -> None:
        if len(marks) < len(self._lines):
            for _, lines in self._lines:
                for plot, line in zip((self.loss, self.score), lines, strict=True):
                    plot.removeItem(line)
            self._lines = []
        for mark in marks[len(self._lines) :]:
            height = TEXT_HEIGHTS[len(self._lines) % len(TEXT_HEIGHTS)]
            lines = tuple(self._line(plot, mark, height) for plot in (self.loss, self.score))
            self._lines.append((mark, lines))

    def _line(self, plot: Any, mark: Mark, height: float) -> Any:
        about = dict(position=height, movable=False)
        text = mark.text if plot is self.loss else None
        line = self._pg.InfiniteLine(mark.step, angle=90, label=text, labelOpts=about)
        line.setZValue(-10)
        self._paint_mark(mark, line)
        plot.addItem(line, ignoreBounds=True)
        return line

    def _paint_mark(self, mark: Mark, line: Any) -> None:
        if self._colours is None:
            return
        colour = self._colours.bad if mark.kind == "not finite" else self._colours.faint
        dots = Qt.PenStyle.SolidLine if mark.kind == "version" else Qt.PenStyle.DashLine
        line.setPen(self._pg.mkPen(colour, style=dots))
        if hasattr(line, "label"):
            line.label.setColor(colour if mark.kind == "not finite" else self._colours.text)

    def _follow(self, anything: bool) -> None:
        """Fit the axes when the first data come; without any they count from 0."""
        if anything and not self._any:
            self.fit()
        elif not anything:
            self.loss.setRange(xRange=(0, EMPTY_STEPS), yRange=(0, 1), padding=0)
            self.score.setYRange(0, 1, padding=0)
        self._any = anything

    def _centre_why(self, *_: object) -> None:
        box = self.score.getViewBox().boundingRect()
        self._why.setTextWidth(0.9 * box.width())
        self._why.setPos(QPointF(box.center()))
