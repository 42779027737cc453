"""The free energy after each iteration of mean field, and which iteration is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from ..core.events import is_rise
from .calm_wheel import CalmWheel
from .curve_plots import AXIS_WIDTH, import_pyqtgraph
from .theme_colours import ThemeColours

PADDING = 0.06  # of the range, around it


class EnergyPlot(QWidget):
    """Draws energies over iterations; points where the energy rose are marked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pg: Any = import_pyqtgraph()
        self.energies: tuple[float, ...] = ()
        self.view = self._pg.PlotWidget()
        self.view.setFixedHeight(120)
        self.view.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.view.hide()  # until there is something to show
        self.view.setMenuEnabled(False)
        self.view.hideButtons()
        self.view.setMouseEnabled(False, False)
        self.view.disableAutoRange()
        self.view.setLabel("left", "nats / pixel")
        self.view.setLabel("bottom", "iteration")
        for side in ("left", "bottom"):
            self.view.getAxis(side).enableAutoSIPrefix(False)
        self.view.getAxis("left").setWidth(AXIS_WIDTH)
        self.view.setAccessibleName("Free energy after each iteration")
        self._curve, self._rises = self.view.plot(), self.view.plot()
        self._shown = self._pg.InfiniteLine(0, angle=90, movable=False)
        self.view.addItem(self._shown, ignoreBounds=True)
        self._wheel = CalmWheel(self.view.viewport(), self.view)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)

    def draw(self, energies: Sequence[float]) -> None:
        """Show the energies from iteration 0 on, in nats a pixel."""
        self.energies = tuple(energies)
        self.view.setVisible(bool(self.energies))
        self._curve.setData(list(range(len(energies))), list(energies))
        at = rises(energies)
        self._rises.setData(at, [energies[i] for i in at])
        if self.energies:  # at once: by itself the plot would do so while it is painted, and paint again
            ends = min(self.energies), max(self.energies)
            self.view.setRange(xRange=(0, max(len(energies) - 1, 1)), yRange=ends, padding=PADDING)

    def mark(self, iteration: int) -> None:
        """Tell which iteration is shown."""
        self._shown.setValue(iteration)

    def recolour(self, colours: ThemeColours) -> None:
        """Follow a theme."""
        pen = self._pg.mkPen
        self.view.setBackground(colours.background)
        for side in ("left", "bottom"):
            self.view.getAxis(side).setPen(pen(colours.faint))
            self.view.getAxis(side).setTextPen(pen(colours.text))
        self._curve.setPen(pen(colours.first, width=2))
        for curve, colour in ((self._curve, colours.first), (self._rises, colours.bad)):
            curve.setSymbol("o")
            curve.setSymbolSize(5)
            curve.setSymbolBrush(colour)
            curve.setSymbolPen(colour)
        self._rises.setPen(None)
        self._shown.setPen(pen(colours.second, width=2))


def rises(energies: Sequence[float]) -> list[int]:
    """Iterations after which the energy was higher than before."""
    return [i for i in range(1, len(energies)) if is_rise(energies[i - 1], energies[i])]
