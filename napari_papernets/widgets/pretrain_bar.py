"""Start, stop and keep, cancel: the buttons of a pre-training and how far it is."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from ..core.events import Event, Step
from .offered import offer
from .pretrain_checkpoint import Unfinished
from .run_bar import duration

START_HELP = "Learn from the chosen images, without annotation, for the time that is set."
STOP_HELP = "End now and keep the encoder as it is, once it has learnt a first step."
GO_ON_HELP = (
    "Go on with the training of this name: it was left at step {step}, after {minutes:.1f} minutes."
)
CANCEL_HELP = "End now and keep no encoder; “Go on” takes the training up where it was last saved."


class PretrainBar(QWidget):
    """Asks for a training and shows how it goes; it starts nothing itself.

    Attributes
    ----------
    startRequested, goOnRequested, stopRequested, cancelRequested : Signal()
        A button was pressed.
    """

    startRequested = Signal()
    goOnRequested = Signal()
    stopRequested = Signal()
    cancelRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._obstacle, self._running = "", False
        self.start = self._button("Learn", START_HELP, self.startRequested)
        self.go_on = self._button("Go on", "", self.goOnRequested)
        self.stop = self._button("Stop and keep", STOP_HELP, self.stopRequested)
        self.cancel = self._button("Cancel", CANCEL_HELP, self.cancelRequested)
        self.bar, self.status = QProgressBar(), QLabel()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self._total, self._fits, self._stopping = 1.0, False, False
        line = QHBoxLayout()
        for button in (self.start, self.go_on, self.stop, self.cancel):
            line.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(line)
        layout.addWidget(self.bar)
        layout.addWidget(self.status)
        self.offer(None, "")
        self.set_idle()

    def set_obstacle(self, obstacle: str) -> None:
        """Say why nothing can be learnt; empty where it can."""
        self._obstacle = obstacle
        offer(self.start, START_HELP, obstacle, free=not self._running)

    def offer(self, found: Unfinished | None, why_not: str) -> None:
        """Offer to go on with a training, or say why that is none."""
        self._fits = found is not None and not why_not
        self.go_on.setVisible(found is not None)
        self.go_on.setEnabled(self._fits and self.start.isEnabled())
        if found is not None:
            text = GO_ON_HELP.format(step=found.step, minutes=found.seconds / 60)
            self.go_on.setToolTip(f"<p>{text}</p>" + (f"<p>Not now: {why_not}.</p>" if why_not else ""))

    def set_running(self, seconds: float) -> None:
        """A training of so many seconds was submitted."""
        self._total, self._stopping = max(seconds, 1.0), False
        self.bar.setRange(0, 0)
        self._switch(True, "Starting…")

    def set_idle(self) -> None:
        """Nothing runs."""
        self._switch(False, "")

    def set_stopping(self) -> None:
        """It was asked to end."""
        self._stopping = True
        self.stop.setEnabled(False)
        self.status.setText("Stopping…")

    def show_event(self, event: Event) -> None:
        """Follow a training."""
        if isinstance(event, Step) and not self._stopping:
            self.stop.setEnabled(True)
            self.bar.setRange(0, 1000)
            self.bar.setValue(min(1000, round(1000 * event.seconds / self._total)))
            left = max(0.0, self._total - event.seconds)
            self.status.setText(f"step {event.step} · loss {event.loss:.2f} · {duration(left)} left")

    def _switch(self, running: bool, text: str) -> None:
        self._running = running
        self.set_obstacle(self._obstacle)
        self.go_on.setEnabled(self._fits and self.start.isEnabled())
        self.stop.setEnabled(False)  # until there is something to keep
        self.cancel.setEnabled(running)
        self.bar.setVisible(running)
        self.status.setVisible(running)
        self.status.setText(text)

    def _button(self, text: str, tooltip: str, signal: Signal) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(f"<p>{tooltip}</p>")
        button.clicked.connect(lambda: signal.emit())
        return button
