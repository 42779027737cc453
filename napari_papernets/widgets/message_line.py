"""One line under the buttons that says how it went: an error in red, a notice, or the outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from ..core.errors import PapernetsError

if TYPE_CHECKING:
    import napari.viewer


class MessageLine(QLabel):
    """A wrapped text that can be selected and copied; hidden while empty."""

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._passing = False
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.setAccessibleName("Message")
        self.hide()

    def tell(self, text: str) -> None:
        """Show a plain message; an empty text clears the line."""
        self._show(text, "")

    def complain(self, error: BaseException | str) -> None:
        """Show an error in red; as napari's notification, too, where the panel is out of sight: told
        twice it would only cover a part of the image."""
        from napari.utils.notifications import show_error

        text = error_text(error)
        self._show(text, _error_colour(self._viewer))
        if not self._in_sight():
            show_error(text)

    def forgive(self) -> None:
        """Take an error away, since what it was about has changed; anything else stays."""
        if self.is_error:
            self.tell("")

    def let_pass(self) -> None:
        """What is told now, unless it is an error, holds only until the person goes on: see `go_on`."""
        self._passing = not self.is_error

    def go_on(self) -> None:
        """The person goes on: take away what was to hold only until then; anything else stays."""
        if self._passing:
            self.tell("")

    @property
    def is_error(self) -> bool:
        return bool(self.styleSheet())

    def _in_sight(self) -> bool:
        """Whether the panel is. One that is behind another's tab is visible, but no part of it is."""
        panel = self.parentWidget()
        return panel is not None and panel.isVisible() and not panel.visibleRegion().isEmpty()

    def _show(self, text: str, colour: str) -> None:
        self._passing = False
        self.setStyleSheet(f"color: {colour};" if colour else "")
        self.setText(text)
        self.setVisible(bool(text))


def error_text(error: BaseException | str) -> str:
    """One line for a person; for what is not one of our errors, with its kind."""
    if isinstance(error, str | PapernetsError):
        return " ".join(str(error).split())
    return " ".join(f"{type(error).__name__}: {error}".split())


def _error_colour(viewer: napari.viewer.Viewer) -> str:
    """Red with a contrast of at least 4.5 on napari's dark or light background."""
    from napari.utils.theme import get_theme

    return "#ff7b72" if get_theme(viewer.theme).type == "dark" else "#b3261e"
