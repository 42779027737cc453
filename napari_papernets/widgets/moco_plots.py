"""What a contrastive training looks like: loss, look-ups, similarities, and whether it helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from ..core.events import Event, LookUps, Step, StrokeProbe
from .calm_wheel import CalmWheel
from .curve_plots import import_pyqtgraph
from .theme_colours import ThemeColours, theme_colours

PAUSE = 250  # ms between two repaints, at least
HELP = (
    "Loss of each step. Look-up: share of the queries whose positive key was the most similar of all. "
    "Similarities (cosines) of queries to their positive key and to all others: training draws them "
    "apart. Strokes: mean IoU of a linear layer on the frozen encoder, on the weights it started from, "
    "and on random weights."
)
RESTYLED = (QEvent.Type.StyleChange, QEvent.Type.PaletteChange)
LEFT_WIDTH = 58  # pixels for "0.945" beside the name of an axis
HEIGHT = 480  # pixels of all four
EDGES = 22  # pixels left and right of the plots
PROBED = "score", "start", "random"  # curves of what a probe tells
DOT = 5  # pixels of one probe
KEY_SIZE = "9pt"
LINE, DASHED = "▬", "╍"  # of a key
MARGIN = 0.02  # a difference of mean IoU that is called one
FEWEST_STEPS = 20  # before, an encoder differs from its start by chance


class MoCoPlots(QWidget):
    """Follows the events of a pre-training."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pg: Any = import_pyqtgraph()
        self.view = self._pg.GraphicsLayoutWidget()
        self.view.setMinimumHeight(HEIGHT)
        self.view.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.loss = self._plot(0, "loss", "")
        self.loss.getAxis("bottom").setStyle(showValues=False)
        self.accuracy = self._plot(1, "look-up", "step")
        self.similar = self._plot(2, "similarity", "cosine")
        self.probe = self._plot(3, "strokes", "step")
        for plot in (self.accuracy, self.probe):
            plot.setXLink(self.loss)
        self.helps, self.numbers = QLabel(), QLabel()
        self._curves = {name: plot.plot() for name, plot in self._named_plots()}
        self._wheel = CalmWheel(self.view.viewport(), self.view)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._repaint)
        self.setToolTip(f"<p>{HELP}</p>")
        self.setAccessibleName("Curves of the pre-training")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view, 1)
        for label in (self.helps, self.numbers):
            label.setWordWrap(True)
            layout.addWidget(label)
        self.clear()

    def clear(self) -> None:
        """Start from empty plots."""
        self._losses: list[tuple[int, float]] = []
        self._accuracies: list[tuple[int, float]] = []
        self._probes: list[StrokeProbe] = []
        self._look_ups: LookUps | None = None
        self.helps.setText("")
        self._repaint()

    def take_up(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Begin with the steps of a training that goes on."""
        self._losses = [(int(row["step"]), float(row["loss"])) for row in history]
        self._accuracies = [(int(row["step"]), float(row["accuracy"])) for row in history]
        self._repaint()

    def add(self, event: Event) -> None:
        """Take in a Step, LookUps or StrokeProbe; others are passed over."""
        if isinstance(event, Step):
            self._losses.append((event.step, event.loss))
        elif isinstance(event, LookUps):
            self._accuracies.append((event.step, event.accuracy))
            self._look_ups = event
        elif isinstance(event, StrokeProbe):
            self._probes.append(event)
            self.helps.setText(verdict(event))
        else:
            return
        if not self._timer.isActive():
            self._timer.start(PAUSE)

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self._recolour()

    def changeEvent(self, event: QEvent) -> None:
        """The theme may have changed."""
        super().changeEvent(event)
        if event.type() in RESTYLED and self.isVisible():
            self._recolour()

    def _repaint(self) -> None:
        set_ = {name: curve.setData for name, curve in self._curves.items()}
        set_["loss"](*_columns(self._losses))
        set_["accuracy"](*_columns(self._accuracies))
        for name in PROBED:
            set_[name](*_columns([(p.step, getattr(p, name)) for p in self._probes]))
        self.numbers.setText(_numbers(self._look_ups))
        if self._look_ups is None:
            for name in ("positives", "negatives"):
                set_[name]([], [])
            return
        for name in ("positives", "negatives"):
            counts = getattr(self._look_ups, name)
            centres = (np.arange(len(counts)) + 0.5) / len(counts) * 2 - 1
            set_[name](centres, counts / max(1, counts.max()))

    def _recolour(self) -> None:
        colours, pen = theme_colours(self), self._pg.mkPen
        self.view.setBackground(colours.background)
        for plot in (self.loss, self.accuracy, self.similar, self.probe):
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(pen(colours.faint))
                plot.getAxis(side).setTextPen(pen(colours.text))
        first, second = pen(colours.first, width=2), pen(colours.second, width=2)
        dashed = pen(colours.text, width=1, style=Qt.PenStyle.DashLine)
        for name, chosen in dict(
            loss=first, accuracy=first, positives=first, negatives=second, score=first, start=second,
            random=dashed,
        ).items():  # fmt: skip
            self._curves[name].setPen(chosen)
        for name in PROBED:  # of the first one there is no line yet
            curve, colour = self._curves[name], self._curves[name].opts["pen"].color()
            curve.setSymbol("o")
            curve.setSymbolSize(DOT)
            curve.setSymbolBrush(colour)
            curve.setSymbolPen(None)
        for plot, key in zip((self.similar, self.probe), _keys(colours), strict=True):
            plot.setTitle(key, size=KEY_SIZE)
        widest = max(plot.titleLabel.minimumWidth() for plot in (self.similar, self.probe))
        self.view.setMinimumWidth(round(widest) + LEFT_WIDTH + EDGES)

    def _named_plots(self) -> list[tuple[str, Any]]:
        return [
            ("loss", self.loss),
            ("accuracy", self.accuracy),
            ("positives", self.similar),
            ("negatives", self.similar),
            ("random", self.probe),
            ("start", self.probe),
            ("score", self.probe),
        ]

    def _plot(self, row: int, label: str, below: str) -> Any:
        plot = self.view.addPlot(row=row, col=0)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.showGrid(x=True, y=True, alpha=0.15)
        plot.setLabel("left", label)
        plot.setLabel("bottom", below)
        plot.getAxis("left").setWidth(LEFT_WIDTH)
        for side in ("left", "bottom"):
            plot.getAxis(side).enableAutoSIPrefix(False)
        return plot


def _keys(colours: ThemeColours) -> tuple[str, str]:
    """What the curves of similarities and of strokes are, in their colours."""
    blue, orange, text = colours.first, colours.second, colours.text

    def entry(colour: str, mark: str, name: str) -> str:
        return f'<span style="color: {colour}">{mark} {name}</span>'

    similar = entry(blue, LINE, "positive key"), entry(orange, LINE, "all others")
    probe = (
        entry(blue, LINE, "encoder"),
        entry(orange, LINE, "start"),
        entry(text, DASHED, "random"),
    )
    return "&nbsp; ".join(similar), "&nbsp; ".join(probe)


def verdict(probe: StrokeProbe) -> str:
    """In plain words whether it helps, once that can be told: it has learnt for some steps, and both
    halves of the strokes say so."""
    scores = (
        f"{probe.score:.2f} on your strokes; the start {probe.start:.2f}, "
        f"random weights {probe.random:.2f}"
    )
    gain = probe.score - max(probe.start, probe.random)
    if probe.step < FEWEST_STEPS or abs(gain) < MARGIN or abs(gain) <= probe.spread:
        return f"No difference that could be told yet: {scores}."
    return f"It helps: {scores}." if gain > 0 else f"It makes things worse: {scores}."


def _numbers(look_ups: LookUps | None) -> str:
    if look_ups is None:
        return ""
    age = f"oldest key {look_ups.queue_age:.0f} steps old"
    if look_ups.fresh < 1:
        age = f"queue {look_ups.fresh:.0%} full"
    return f"looks up {look_ups.accuracy:.0%} correctly · {age}"


def _columns(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
