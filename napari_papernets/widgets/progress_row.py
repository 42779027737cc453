"""A bar and Cancel, side by side, for what a part of a panel has running."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QWidget

from ..core.events import CRFTrial, Event, Progress, Started


class ProgressRow(QWidget):
    """Shows how far something is; hidden until it is told to show itself.

    Parameters
    ----------
    help_ : str
        What Cancel does.
    name : str
        What the bar counts, for who does not see it.
    """

    def __init__(self, help_: str, name: str = "Progress", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bar, self.cancel = QProgressBar(), QPushButton("Cancel")
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(name)
        self.bar.setToolTip("How much of it is done.")
        self.cancel.setToolTip(f"<p>{help_}</p>")
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.bar, 1)
        line.addWidget(self.cancel)
        self.hide()

    def set_busy(self, busy: bool) -> None:
        """Show it while something runs, of which nothing is known yet."""
        if busy:
            self.bar.setRange(0, 0)
        self.setVisible(busy)

    def show_event(self, event: Event) -> None:
        """Follow what runs."""
        if isinstance(event, Started | Progress | CRFTrial):
            self.bar.setRange(0, event.total)
        if isinstance(event, Progress | CRFTrial):
            self.bar.setValue(event.done)
