"""What every panel does when its dock lets go of it."""

from __future__ import annotations

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QDockWidget, QWidget


class DockedPanel(QWidget):
    """A widget that napari docks, and that cleans up when it is taken out of the dock."""

    def __init__(self) -> None:
        super().__init__()
        self._docked = False

    def shut_down(self) -> None:
        """Let go of the viewer and the engine."""
        raise NotImplementedError

    def event(self, event: QEvent) -> bool:
        """Notice when the dock lets go of the panel: napari then neither closes nor deletes it."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
                self._mend_tab()
            elif self._docked:
                self._docked = False
                self.shut_down()
        return super().event(event)

    def _mend_tab(self) -> None:
        """Qt takes the dock's name for the text of its tab too, where a single & marks a key."""
        dock = self.parent()
        if isinstance(dock, QDockWidget):
            title = dock.windowTitle().replace("&&", "&")  # docked before
            dock.setWindowTitle(title.replace("&", "&&"))
