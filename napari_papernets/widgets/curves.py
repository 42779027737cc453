"""Loss and held-out score of a training, live, with a line of numbers below them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from qtpy.QtCore import QEvent, Qt, QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from ..atomic import replacing
from ..core.errors import InputError
from ..core.events import Event
from .curve_data import CurveData
from .curve_plots import CurvePlots
from .job_adapter import Engine
from .run_bar import duration
from .theme_colours import theme_colours

PAUSE = 250  # ms between two repaints, at least
PLOT_HELP = (
    "Thin: the loss of each step; thick: its running mean; below: the mean IoU on annotation that is "
    "kept from training. Vertical lines are versions. Click, then zoom with the wheel and move with the "
    "mouse; Fit shows everything again."
)
RESTYLED = (QEvent.Type.StyleChange, QEvent.Type.PaletteChange)


class Curves(QWidget):
    """Follows the events of a training.

    Parameters
    ----------
    engine : callable, optional
        Gives the engine, whose device and memory are told.

    Attributes
    ----------
    saved : Signal(str)
        The path of a table or picture that was written.
    problem : Signal(object)
        It could not be written.
    """

    saved = Signal(str)
    problem = Signal(object)

    def __init__(
        self, engine: Callable[[], Engine] | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._engine = engine
        self._data, self._stale = CurveData(), True
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._on_time)
        self._plots: CurvePlots | None = None
        self.numbers = QLabel()
        self.numbers.setWordWrap(True)
        self.numbers.setAccessibleName("Numbers of the training")
        self.numbers.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._lay_out()

    @property
    def plots(self) -> CurvePlots:
        """Made when they are first wanted: importing pyqtgraph takes half a second."""
        if self._plots is None:
            self._plots = CurvePlots()
            self._plots.setAccessibleName("Loss and held-out score over the steps of the training")
            self._plots.setToolTip(f"<p>{PLOT_HELP}</p>")
            self._plots.menuRequested.connect(self._show_menu)
            self._column.insertWidget(0, self._plots, 1)
        return self._plots

    def add(self, event: Event) -> None:
        """Take in a Step, EpochDone, Version or Started; others are passed over."""
        if self._data.add(event):
            self._change()

    def clear(self) -> None:
        """Start from an empty plot."""
        self._data.clear()
        self._change()

    def rows(self) -> list[dict[str, Any]]:
        """One mapping for each step, as in ``Tuned.history``."""
        return self._data.rows()

    def set_next_version(self, number: int) -> None:
        """Number that the mark of the next version shows."""
        self._data.next_version = number

    def export(self, path: str | Path) -> None:
        """Write the rows as CSV or what is shown as PNG, whole or not at all.

        Raises
        ------
        InputError
            If the name ends in neither.
        OSError
            If it cannot be written.
        """
        from ..files import write_table

        path = Path(path)
        if path.suffix.lower() == ".csv":
            write_table(path, self._data.columns())
        elif path.suffix.lower() == ".png":
            self._recolour()
            self._repaint()
            with replacing(path) as temporary:
                if not self.plots.picture().save(str(temporary), "PNG"):
                    raise OSError(f"{path} cannot be written")
        else:
            raise InputError("path", path.name, "end it in .csv for the numbers or .png for a picture")

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self._recolour()
        if self._stale:
            self._timer.start(0)

    def changeEvent(self, event: QEvent) -> None:
        """The theme may have changed."""
        super().changeEvent(event)
        if event.type() in RESTYLED and self.isVisible():
            self._recolour()

    def _change(self) -> None:
        self._stale = True
        if self.isVisible() and not self._timer.isActive():
            self._timer.start(PAUSE)

    def _on_time(self) -> None:
        if self.isVisible():
            self._repaint()

    def _repaint(self) -> None:
        self._stale = False
        self.plots.draw(self._data)
        self.numbers.setText(self._text())

    def _recolour(self) -> None:
        self.plots.recolour(theme_colours(self))

    def _text(self) -> str:
        data = self._data
        if not data:
            return "No step yet"
        total = f" of {data.total:,}" if data.total else ""
        pace = "" if data.pace is None else f"{data.pace:.3g} steps/s"
        best = f"best held-out {data.best[1]:.3f}" if data.best else ""
        parts = (f"step {data.step:,}{total}", pace, duration(data.seconds), f"loss {data.loss:.3g}")
        return " · ".join(filter(None, (*parts, best, *self._engine_facts())))

    def _engine_facts(self) -> tuple[str, ...]:
        """Device and resident memory of the engine, where it tells them."""
        if self._engine is None:
            return ()
        engine = self._engine()
        device, name = (engine.info.get(key, "") for key in ("device", "device_name"))
        facts = [f"{device} ({name})" if device.startswith("cuda") else device]
        pid = getattr(engine, "pid", None)
        with contextlib.suppress(psutil.Error):
            if pid is not None:
                facts.append(f"{psutil.Process(pid).memory_info().rss / 1e9:.1f} GB")
        return tuple(facts)

    def _show_menu(self, where: Any) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Fit", self.plots.fit)
        menu.addAction("Save…", self._ask_where)
        menu.popup(where)

    def _ask_where(self) -> None:
        kinds = "Numbers (*.csv);;Picture (*.png)"
        path, kind = QFileDialog.getSaveFileName(self, "Save curves", "curves.csv", kinds)
        if not path:
            return
        if not Path(path).suffix:
            path += ".png" if "png" in kind else ".csv"
        try:
            self.export(path)
        except (OSError, InputError) as error:
            self.problem.emit(error)
        else:
            self.saved.emit(path)

    def _lay_out(self) -> None:
        fit, save = QPushButton("Fit"), QPushButton("Save…")
        fit.setToolTip("Show all steps, and follow the training.")
        save.setToolTip("<p>Save the numbers of every step as CSV, or the plots as PNG.</p>")
        fit.clicked.connect(lambda: self.plots.fit())
        save.clicked.connect(self._ask_where)
        foot = QHBoxLayout()
        foot.addWidget(self.numbers, 1)
        for button in (fit, save):
            foot.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addLayout(foot)
