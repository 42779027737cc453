"""How to apply a version, and buttons that ask for it; a bar that shows how it goes."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..core.model import ClassInfo
from .calm import CalmComboBox, CalmSpinBox
from .progress_row import ProgressRow
from .settings_form import add_row, aligned_rows

BUTTONS = {
    "image": ("This image", "Segment the current image, all planes of it where it is a stack."),
    "all": ("All images", "Segment every image of the session."),
    "folder": (
        "Folder…",
        "Segment every image file of a folder: writes NAME_labels.tif and NAME_objects.csv for each "
        "into another folder.",
    ),
}
HELP = {
    "version": "Which version to use; versions are made whenever a round of learning ends.",
    "labels": "Classes: every pixel gets its class. Objects: the connected parts of one class are "
    "numbered, so that they can be counted and measured.",
    "split": "Cut what touches at narrow necks, in each plane by itself. Off: whatever touches is one "
    "object.",
    "size": "Objects with fewer pixels than this are dropped.",
    "cancel": "Stop; layers are as they were, files that were written stay.",
}
IN_USE, NEWEST = "Version in use", "Newest version"


class ApplyForm(QWidget):
    """Edits what to apply; it starts nothing itself.

    Attributes
    ----------
    requested : Signal(str)
        "image", "all" or "folder".
    versionChanged : Signal()
        Another version was chosen, or may be meant by the choice.
    cancelRequested : Signal()
        Cancel was pressed.
    """

    requested = Signal(str)
    versionChanged = Signal()
    cancelRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._numbers: list[int] = []
        self.version, self.labels, self.size = CalmComboBox(), CalmComboBox(), CalmSpinBox()
        self.size.setRange(0, 1_000_000)
        self.size.setValue(15)
        self.size.setSuffix(" px")
        self.split = QCheckBox("Split touching objects")
        self.split.setChecked(True)
        self.split.setToolTip(f"<p>{HELP['split']}</p>")
        self.buttons = {name: self._button(name) for name in BUTTONS}
        self.progress, self.status = ProgressRow(HELP["cancel"]), QLabel()
        self.bar, self.cancel = self.progress.bar, self.progress.cancel
        self.cancel.clicked.connect(lambda: self.cancelRequested.emit())
        self.status.setWordWrap(True)
        self._lay_out()
        self.set_versions(())
        self.labels.currentIndexChanged.connect(self._on_labels)
        self.version.currentIndexChanged.connect(lambda _: self.versionChanged.emit())
        self.set_idle()

    def number(self) -> int:
        """The chosen version; 0 for the one in use, or else the newest."""
        return self._numbers[self.version.currentIndex()]

    def objects(self) -> int:
        """The class whose connected parts are numbered; 0 for classes."""
        return max(self.labels.currentIndex(), 0)

    def set_versions(self, numbers: Sequence[int], current: int = 0) -> None:
        """Offer these versions, keeping the choice; `current` is the one in use, 0 where there is
        none and the newest is offered."""
        before = self.number() if self._numbers else 0
        self._numbers = [0, *sorted(numbers, reverse=True)]
        in_use = f"{IN_USE} ({current})" if current else NEWEST
        self.version.blockSignals(True)
        self.version.clear()
        self.version.addItems([in_use, *(f"Version {n}" for n in self._numbers[1:])])
        self.version.setCurrentIndex(self._numbers.index(before) if before in self._numbers else 0)
        self.version.blockSignals(False)
        self.versionChanged.emit()
        for button in self.buttons.values():
            button.setEnabled(bool(numbers) and not self.cancel.isEnabled())
        if not numbers:
            self.status.setText("There is no version yet: let it learn, or press Keep below.")
        elif not self.cancel.isEnabled():
            self.status.setText("")

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Offer the objects of the classes of the chosen version; the choice stays with the name."""
        before = self.labels.currentText()
        self.labels.blockSignals(True)
        self.labels.clear()
        self.labels.addItems(["Classes", *(f"Objects: {c.name}" for c in classes)])
        self.labels.setCurrentIndex(max(self.labels.findText(before), 0))
        self.labels.blockSignals(False)
        self._on_labels()

    def set_running(self, text: str, done: int = 0, total: int = 0) -> None:
        """Something runs; `total` 0 where it is not known how long."""
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self._switch(True, text)

    def set_idle(self, text: str = "") -> None:
        """Nothing runs."""
        self._switch(False, text or self.status.text())

    def _switch(self, running: bool, text: str) -> None:
        for button in self.buttons.values():
            button.setEnabled(not running and len(self._numbers) > 1)
        self.cancel.setEnabled(running)
        self.progress.setVisible(running)
        self.status.setText(text)

    def _on_labels(self, *_: object) -> None:
        for control in (self.size, self.split):
            control.setEnabled(self.objects() > 0)

    def _button(self, name: str) -> QPushButton:
        text, tooltip = BUTTONS[name]
        button = QPushButton(text)
        button.setToolTip(f"<p>{tooltip}</p>")
        button.clicked.connect(lambda: self.requested.emit(name))
        return button

    def _lay_out(self) -> None:
        rows, starts = aligned_rows(), QHBoxLayout()
        add_row(rows, "Use", self.version, HELP["version"])
        add_row(rows, "Labels are", self.labels, HELP["labels"])
        add_row(rows, "Smallest object", self.size, HELP["size"])
        rows.addRow("", self.split)
        for button in self.buttons.values():
            starts.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addLayout(starts)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
