"""Read, watch and cancel: the two buttons that read tokens, and the bar of whatever runs."""

from __future__ import annotations

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from ..core.events import Event, Progress, Started
from .offered import offer
from .run_bar import PATIENCE, WAITING
from .vit_plan import Extent

READ: dict[Extent, tuple[str, str]] = {
    "view": ("Read the view", "Read the tokens of what is in view (Alt+4)."),
    "plane": ("Read the plane", "Read the tokens of the whole plane that is in view (Alt+5)."),
}
# Others than those of a RunBar, whose panel may be open too: Qt takes a key that two have as nobody's.
KEYS: dict[Extent, str] = {"view": "Alt+4", "plane": "Alt+5"}
LARGE = 2**20  # of something, bytes mostly: counted in thousands, since a bar counts to 2**31 only


class ReadBar(QWidget):
    """Asks for readings and shows how something goes; it starts nothing itself.

    Attributes
    ----------
    readRequested : Signal(str)
        "view" or "plane".
    cancelRequested : Signal()
        Cancel was pressed.
    """

    readRequested = Signal(str)
    cancelRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[Extent, QPushButton] = {name: self._button(name) for name in READ}
        self.bar, self.cancel = QProgressBar(), QPushButton("Cancel")
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.cancel.setToolTip("<p>Stop what runs. What was loaded of a download is kept.</p>")
        self.cancel.clicked.connect(self.cancelRequested)
        self.status = QLabel(WAITING)
        self.status.setWordWrap(True)
        self._patience = QTimer(self, singleShot=True, interval=PATIENCE)
        self._patience.timeout.connect(self.status.show)
        reads, watch = QHBoxLayout(), QHBoxLayout()
        for button in self.buttons.values():
            reads.addWidget(button, 1)
        watch.addWidget(self.bar, 1)
        watch.addWidget(self.cancel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(reads)
        layout.addLayout(watch)
        layout.addWidget(self.status)
        self._busy = False
        self.set_busy(False)

    def set_obstacle(self, obstacle: str) -> None:
        """Say why nothing can be read; empty where it can."""
        for name, button in self.buttons.items():
            offer(button, READ[name][1], obstacle)

    def set_busy(self, busy: bool) -> None:
        """Show the bar while something runs, and what is waited for until its first event."""
        if busy and not self._busy:
            self._patience.start()
        self._busy = busy
        self.bar.setVisible(busy)
        self.cancel.setVisible(busy)
        if not busy:
            self._patience.stop()
            self.status.hide()
            self.bar.setRange(0, 0)

    def show_event(self, event: Event) -> None:
        """Follow the events of whatever runs."""
        self._patience.stop()
        self.status.hide()
        if isinstance(event, Started):
            self.bar.setRange(0, _count(event.total, event.total))
        elif isinstance(event, Progress):
            self.bar.setValue(_count(event.done, event.total))

    def _button(self, name: Extent) -> QPushButton:
        text, tooltip = READ[name]
        button = QPushButton(text)
        offer(button, tooltip)
        button.setShortcut(KEYS[name])
        button.clicked.connect(lambda: self.readRequested.emit(name))
        return button


def _count(value: int, total: int) -> int:
    return value // 1000 if total > LARGE else value
