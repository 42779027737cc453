"""Without the focus no wheel: scrolling a panel changes nothing in it."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget


class CalmWheel(QObject):
    """Lets the wheel through to a widget only while that, or the one named, has the focus.

    Parameters
    ----------
    watched : QWidget
        Whose wheel events are filtered.
    focus : QWidget, optional
        Whose focus counts in place of that of `watched`.
    """

    def __init__(self, watched: QWidget, focus: QWidget | None = None) -> None:
        super().__init__(watched)
        self._focus = focus or watched
        watched.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """An ignored wheel event goes on to the widget behind."""
        if event.type() == QEvent.Type.Wheel and not self._focus.hasFocus():
            event.ignore()
            return True
        return False
