"""Start, stop and keep, cancel: the buttons of a pre-training and how far it is."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from ..core.events import Event, Step
from .run_bar import duration

START_HELP = "Learn from the chosen images, without annotation, for the time that is set."
STOP_HELP = "End now and keep the encoder as it is."
CANCEL_HELP = "End now and keep nothing; the last checkpoint stays on disk."


class PretrainBar(QWidget):
    """Asks for a training and shows how it goes; it starts nothing itself.

    Attributes
    ----------
    startRequested, stopRequested, cancelRequested : Signal()
        A button was pressed.
    """

    startRequested = Signal()
    stopRequested = Signal()
    cancelRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.start = self._button("Learn", START_HELP, self.startRequested)
        self.stop = self._button("Stop and keep", STOP_HELP, self.stopRequested)
        self.cancel = self._button("Cancel", CANCEL_HELP, self.cancelRequested)
        self.bar, self.status = QProgressBar(), QLabel()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self._total = 1.0
        line = QHBoxLayout()
        for button in (self.start, self.stop, self.cancel):
            line.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(line)
        layout.addWidget(self.bar)
        layout.addWidget(self.status)
        self.set_idle()

    def set_running(self, seconds: float) -> None:
        """A training of so many seconds was submitted."""
        self._total = max(seconds, 1.0)
        self.bar.setRange(0, 0)
        self._switch(True, "Starting…")

    def set_idle(self) -> None:
        """Nothing runs."""
        self._switch(False, "")

    def set_stopping(self) -> None:
        """It was asked to end."""
        self.stop.setEnabled(False)
        self.status.setText("Stopping…")

    def show_event(self, event: Event) -> None:
        """Follow a training."""
        if isinstance(event, Step) and self.stop.isEnabled():
            self.bar.setRange(0, 1000)
            self.bar.setValue(min(1000, round(1000 * event.seconds / self._total)))
            left = max(0.0, self._total - event.seconds)
            self.status.setText(f"step {event.step} · loss {event.loss:.2f} · {duration(left)} left")

    def _switch(self, running: bool, text: str) -> None:
        self.start.setEnabled(not running)
        for widget in (self.stop, self.cancel):
            widget.setEnabled(running)
        self.bar.setVisible(running)
        self.status.setVisible(running)
        self.status.setText(text)

    def _button(self, text: str, tooltip: str, signal: Signal) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(f"<p>{tooltip}</p>")
        button.clicked.connect(lambda: signal.emit())
        return button
