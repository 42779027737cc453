"""Start, watch and cancel: the three run buttons, the progress bar with the time left, Cancel."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from ..core.events import Event, Notice, Refined, Started, TileDone
from .offered import offer

BUTTONS = {
    "view": (
        "Preview",
        "Segment only what is in view now; quick, to find good settings (Alt+1). The labels are "
        "those that the whole image would get there.",
    ),
    "plane": ("Whole image", "Segment the whole plane that is in view (Alt+2)."),
    "stack": ("Whole stack", "Segment every plane along T and Z (Alt+3)."),
}
PATIENCE = 700  # ms without an event, after which it is said what is waited for
WAITING = "Waiting for the engine: it starts, or another run is before this one."
KEYS = {"view": "Alt+1", "plane": "Alt+2", "stack": "Alt+3", "cancel": "Alt+0"}


class RunBar(QWidget):
    """Asks for runs and shows how one goes; it starts nothing itself.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    buttons : mapping
        Text and tooltip of "view", "plane" and "stack", where they are not those of a prediction.
    keys : mapping
        Shortcuts of the buttons and of "cancel". Two panels with the same ones would have none.

    Attributes
    ----------
    is_running : bool
        Whether something runs that can be cancelled.
    runRequested : Signal(str)
        "view", "plane" or "stack".
    cancelRequested : Signal()
        Cancel was pressed.
    runningChanged : Signal(bool)
        Something began, or nothing runs any more.
    """

    runRequested = Signal(str)
    cancelRequested = Signal()
    runningChanged = Signal(bool)

    def __init__(
        self,
        parent: QWidget | None = None,
        clock: Callable[[], float] = time.monotonic,
        buttons: Mapping[str, tuple[str, str]] = BUTTONS,
        keys: Mapping[str, str] = KEYS,
    ) -> None:
        super().__init__(parent)
        self._keys = keys
        self._clock, self._began = clock, 0.0
        self._busy = ""  # what is told of a job without steps
        self._help = {name: tooltip for name, (_, tooltip) in buttons.items()}
        self._obstacle = ""
        self.is_running = False
        self.buttons = {name: self._run_button(name, text) for name, (text, _) in buttons.items()}
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.cancel = QPushButton("Cancel")
        self.cancel.setShortcut(keys.get("cancel", ""))
        shortcut = f" ({keys['cancel']})" if "cancel" in keys else ""
        self.cancel.setToolTip(f"Stop this run and put the layers back as they were{shortcut}.")
        self.cancel.clicked.connect(self._ask_to_cancel)
        self.status = QLabel()
        self.status.setWordWrap(True)
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.timeout.connect(self._tell_why)
        self._lay_out()
        self.set_idle()

    def set_stack(self, is_stack: bool) -> None:
        """Offer the whole stack only where there is one."""
        self.buttons["stack"].setVisible(is_stack)

    def set_obstacle(self, reason: str) -> None:
        """Why nothing can be run now, as the buttons' tooltips tell; empty where it can."""
        self._obstacle = reason
        self._offer()

    def set_waiting(self, busy: str = "") -> None:
        """A run was submitted; its plan is not known yet. Of a job without steps, what it is busy
        with."""
        self._began, self._busy = self._clock(), busy
        self.bar.setRange(0, 0)
        self._switch(running=True, text=busy or "Starting…")
        self._patience.start(PATIENCE)

    def set_idle(self) -> None:
        """Nothing runs."""
        self._switch(running=False, text="")

    def show_event(self, event: Event) -> None:
        """Follow the events of a prediction."""
        self._patience.stop()
        if self._busy:
            self.status.setText(self._busy)
        elif isinstance(event, Started):
            self._began = self._clock()
            self.bar.setRange(0, event.total)
            self._move(0)
            self.status.setText(f"0 of {event.total} {event.unit}s")
        elif isinstance(event, TileDone | Refined) and event.done:
            self._move(event.done)
            left = self._time_left(event.done, event.total)
            unit = "tiles" if isinstance(event, TileDone) else "iterations"
            self.status.setText(f"{event.done} of {event.total} {unit}{left}")
        elif isinstance(event, Notice):
            self.status.setText(event.message)

    def _move(self, value: int) -> None:
        # On its own, Qt repaints a bar before setValue returns, and with it the whole canvas.
        self.bar.setUpdatesEnabled(False)
        self.bar.setValue(value)
        self.bar.setUpdatesEnabled(True)

    def _time_left(self, done: int, total: int) -> str:
        if done == total:
            return " · finishing"
        seconds = (self._clock() - self._began) / done * (total - done)
        return f" · {duration(seconds)} left"

    def _tell_why(self) -> None:
        self.status.setText(WAITING)

    def _ask_to_cancel(self) -> None:
        self._patience.stop()
        self.cancel.setEnabled(False)
        self.status.setText("Cancelling…")
        self.cancelRequested.emit()

    def _switch(self, running: bool, text: str) -> None:
        self._patience.stop()
        changed, self.is_running = running != self.is_running, running
        self._offer()
        self.cancel.setEnabled(running)
        self._progress.setVisible(running)
        self.status.setText(text)
        if changed:
            self.runningChanged.emit(running)

    def _offer(self) -> None:
        for name, button in self.buttons.items():
            offer(button, self._help[name], self._obstacle, not self.is_running)

    def _run_button(self, name: str, text: str) -> QPushButton:
        button = QPushButton(text)
        button.setShortcut(self._keys.get(name, ""))
        button.clicked.connect(lambda: self.runRequested.emit(name))
        return button

    def _lay_out(self) -> None:
        starts, watch = QHBoxLayout(), QHBoxLayout()
        for button in self.buttons.values():
            starts.addWidget(button, 1)
        watch.addWidget(self.bar, 1)
        watch.addWidget(self.cancel)
        self._progress = QWidget()
        inside = QVBoxLayout(self._progress)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addLayout(watch)
        inside.addWidget(self.status)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(starts)
        layout.addWidget(self._progress)


def counted(number: int, what: str) -> str:
    """As in "1 object" and "1,288 objects"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds for a person: "8 s", "2:05 min", "1:10 h"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
