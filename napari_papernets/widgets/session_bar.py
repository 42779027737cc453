"""Sessions: what was not closed the last time, save as, open."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from ..core.errors import InputError
from ..session import discard_session, read_info, sessions_folder, unfinished_sessions
from ..session_files import version_folders
from .beside import beside
from .run_bar import counted

NAMES = 24  # characters
HELP = {
    "restore": "Open its images, strokes and versions again.",
    "discard": "Delete it, once you have confirmed that: its strokes and versions are gone.",
    "later": "Leave it where it is; it is offered again when the panel is opened the next time.",
    "save": "Write a copy of this session (strokes, classes, settings, versions) as one folder. The "
    "session itself is kept up to date all the time; there is nothing else to save.",
    "open": "Open the folder of a session.",
}


class RestoreBar(QFrame):
    """Offers what was not closed; hidden where there is nothing.

    Attributes
    ----------
    restoreRequested : Signal(object)
        The folder of a session.
    problem : Signal(object)
        They could not be read, or one not be deleted.
    """

    restoreRequested = Signal(object)
    problem = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._folders: list[Path] = []
        self.text = QLabel()
        self.text.setAccessibleName("Session that was not closed")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.restore = _button("Restore", "restore", self._on_restore)
        self.discard = _button("Discard", "discard", self._on_discard)
        self.later = _button("Later", "later", self._next)
        buttons = QHBoxLayout()
        for button in (self.restore, self.discard, self.later):
            buttons.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addLayout(buttons)
        self.hide()

    def look(self) -> None:
        """See beside the window what was not closed: whole journals are read."""
        worker = beside(unfinished_sessions)
        worker.returned.connect(self._on_found)
        worker.errored.connect(self.problem)
        worker.start()

    def _on_found(self, folders: list[Path]) -> None:
        self._folders = folders
        self._show()

    def _show(self) -> None:
        self.setVisible(bool(self._folders))
        if self._folders:
            self.text.setText(describe_session(self._folders[0]))
            self.text.setToolTip(str(self._folders[0]))

    def _next(self) -> None:
        self._folders = self._folders[1:]
        self._show()

    def _on_restore(self) -> None:
        folder = self._folders[0]
        self._folders = []
        self._show()
        self.restoreRequested.emit(folder)

    def _on_discard(self) -> None:
        folder = self._folders[0]
        answer = QMessageBox.question(
            self, "Discard session", what_is_lost(folder), defaultButton=QMessageBox.StandardButton.No
        )
        if answer != QMessageBox.StandardButton.Yes:
            return
        worker = beside(discard_session, folder)
        worker.errored.connect(self.problem)
        worker.start()
        self._next()


class SessionRow(QWidget):
    """The name of the session, and two buttons.

    Attributes
    ----------
    saveRequested, openRequested : Signal(object)
        A folder was chosen.
    """

    saveRequested = Signal(object)
    openRequested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = QElidingLabel()
        self.name.setAccessibleName("Session")
        self.save = _button("Save as…", "save", self._ask_to_save)
        self.open = _button("Open…", "open", self._ask_to_open)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.name, 1)
        layout.addWidget(self.save)
        layout.addWidget(self.open)
        self.show_folder(None)

    def show_folder(self, folder: Path | None) -> None:
        """The session's folder; None where nothing is painted yet."""
        self.name.setText(folder.name if folder else "Kept as you paint")
        self.name.setToolTip(str(folder) if folder else "Strokes are written to disk while you paint.")
        self.save.setEnabled(folder is not None)

    def _ask_to_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save session as (a new folder)", "session")
        if path:
            self.saveRequested.emit(Path(path))

    def _ask_to_open(self) -> None:
        start = str(sessions_folder())
        path = QFileDialog.getExistingDirectory(self, "Open the folder of a session", start)
        if path:
            self.openRequested.emit(Path(path))


def describe_session(folder: Path) -> str:
    """Two lines on a session that was not closed."""
    names = textwrap.shorten(_image_names(folder), NAMES, placeholder=" …")
    return f"Not closed the last time: {names}\nPainted until {_last_painted(folder)}."


def what_is_lost(folder: Path) -> str:
    """What goes with a session, as a question."""
    versions = counted(len(version_folders(folder)), "version")
    return (
        f"Delete the strokes on {_image_names(folder)}, painted until {_last_painted(folder)}, and "
        f"{versions}? Nothing brings them back."
    )


def _image_names(folder: Path) -> str:
    try:
        return ", ".join(image.name for image in read_info(folder).images) or "no image"
    except InputError:
        return folder.name


def _last_painted(folder: Path) -> str:
    when = datetime.fromtimestamp((folder / "journal").stat().st_mtime)
    return f"{when:%d %b %H:%M}"


def _button(text: str, help_: str, pressed: Callable[[], Any]) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(f"<p>{HELP[help_]}</p>")
    button.clicked.connect(lambda: pressed())
    return button
