"""The Engine panel: what the process that computes is doing, and its log, to report a problem with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtGui import QFontDatabase
from qtpy.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
)

from ..core.errors import PapernetsError
from .docked_panel import DockedPanel
from .engine_access import EngineHold
from .job_adapter import Engine

if TYPE_CHECKING:
    import napari.viewer

REFRESH = 1000  # ms between two looks while the panel is visible
HELP = (
    "All computing happens in a process of its own beside the viewer. It starts with a panel or a run, "
    "ends after ten idle minutes, and starts anew when it is needed."
)


class EnginePanel(DockedPanel):
    """Shows the state and the log of the engine process.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer that the panel belongs to.
    engine : Engine, optional
        In place of the one that all panels share.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, *, engine: Engine | None = None) -> None:
        super().__init__()
        self.setObjectName("papernets-engine")
        self._hold = EngineHold(engine)
        self.log = QPlainTextEdit(readOnly=True)
        self.log.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.log.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.log.setToolTip("Versions, state and the last lines of the engine's output.")
        self.start_button = QPushButton("Start now")
        self.start_button.setToolTip("Start the engine, so that the next run need not wait for it.")
        self.copy_button = QPushButton("Copy")
        self.copy_button.setToolTip("Copy all of this, to paste it into the report of a problem.")
        self.start_button.clicked.connect(self._start)
        self.copy_button.clicked.connect(self._copy)
        self._lay_out()
        self._timer = QTimer(self, interval=REFRESH)
        self._timer.timeout.connect(self.refresh)

    def refresh(self) -> None:
        """Show what the engine says now; the view stays where the user scrolled it."""
        text = self._hold.engine().diagnostics()
        if text != self.log.toPlainText():
            place = self.log.verticalScrollBar().value()
            self.log.setPlainText(text)
            self.log.verticalScrollBar().setValue(place)

    def shut_down(self) -> None:
        """Stop looking and let go of the engine."""
        self._timer.stop()
        self._hold.release()

    def showEvent(self, event: Any) -> None:
        self.refresh()
        self._timer.start()
        super().showEvent(event)

    def hideEvent(self, event: Any) -> None:
        self._timer.stop()
        super().hideEvent(event)

    def _start(self) -> None:
        try:
            self._hold.engine().start()
        except PapernetsError as error:
            self.log.appendPlainText(str(error))
            return
        self.refresh()

    def _copy(self) -> None:
        QApplication.clipboard().setText(self._hold.engine().diagnostics())

    def _lay_out(self) -> None:
        note = QLabel(HELP)
        note.setWordWrap(True)
        buttons = QHBoxLayout()
        buttons.addWidget(self.start_button)
        buttons.addWidget(self.copy_button)
        layout = QVBoxLayout(self)
        layout.addWidget(note)
        layout.addWidget(self.log, stretch=1)
        layout.addLayout(buttons)
