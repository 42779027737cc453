"""Choose a model and read what it is for."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ..core.errors import ModelError
from ..core.model import ModelRef, ModelSpec
from ..model_files import SUFFIX, find_model, list_models
from .calm import CalmComboBox
from .settings_form import add_row, aligned_rows

DESCRIPTION = 90  # characters in the panel; the tooltip has all
HELP = "The network to use: those that come with the program, those you trained, or a file."


class ModelPicker(QWidget):
    """Edits the choice of a model.

    Attributes
    ----------
    changed : Signal()
        Another model was chosen.
    problem : Signal(object)
        A file could not be used: the ModelError.
    """

    changed = Signal()
    problem = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._refs: list[ModelRef] = []
        self._opened: list[ModelRef] = []
        self.combo = CalmComboBox()
        self.open = QPushButton("Open…")
        self.open.setToolTip("Open a model file (.safetensors) from anywhere.")
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.about.setTextFormat(Qt.TextFormat.RichText)
        self.about.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._lay_out()
        self.combo.currentIndexChanged.connect(self._on_choice)
        self.open.clicked.connect(self._ask_for_file)
        self.refresh()

    def ref(self) -> ModelRef:
        """The chosen model.

        Raises
        ------
        ModelError
            If there is none.
        """
        index = self.combo.currentIndex()
        if not 0 <= index < len(self._refs):
            raise ModelError("model", "none", "open a model file, or train one")
        return self._refs[index]

    def refresh(self) -> None:
        """Read the lists of models again, keeping the choice."""
        before = self._path()
        self._refs = [ref for ref in (*list_models(), *self._opened) if ref.spec.task != "features"]
        self.combo.blockSignals(True)
        self.combo.clear()
        for index, ref in enumerate(self._refs):
            self.combo.addItem(ref.name)
            self.combo.setItemData(index, _details(ref), Qt.ItemDataRole.ToolTipRole)
        self._choose(before)
        self.combo.blockSignals(False)
        self._on_choice()

    def choose(self, name_or_path: str | Path) -> None:
        """Choose a model by name or file.

        Raises
        ------
        ModelError
            If there is no such model, the file is none, or it has no classes yet.
        """
        ref = find_model(name_or_path)
        if ref.spec.task == "features":
            mend = "it has no classes yet: let it learn yours in “Annotate & fine-tune”"
            raise ModelError("model", ref.name, mend)
        if ref.path not in [r.path for r in self._refs]:
            self._opened.append(ref)
            self.refresh()
        self._choose(ref.path)

    def _path(self) -> Path | None:
        index = self.combo.currentIndex()
        return self._refs[index].path if 0 <= index < len(self._refs) else None

    def _choose(self, path: Path | None) -> None:
        paths = [ref.path for ref in self._refs]
        if path in paths:
            self.combo.setCurrentIndex(paths.index(path))

    def _ask_for_file(self) -> None:
        path = ask_for_model(self)
        if path:
            try:
                self.choose(path)
            except ModelError as error:
                self.problem.emit(error)

    def _on_choice(self, *_: object) -> None:
        there = self._path() is not None
        self.about.setText(_summary(self.ref().spec) if there else "No model yet: open a file.")
        self.about.setToolTip(_details(self.ref()) if there else "")
        self.combo.setToolTip(_details(self.ref()) if there else HELP)
        self.changed.emit()

    def _lay_out(self) -> None:
        beside = QWidget()
        line = QHBoxLayout(beside)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.combo, 1)
        line.addWidget(self.open)
        rows = aligned_rows()
        add_row(rows, "Model", beside, HELP).setBuddy(self.combo)
        self.combo.setAccessibleName("Model")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addWidget(self.about)


def ask_for_model(parent: QWidget, suffixes: Sequence[str] = (SUFFIX,)) -> Path | None:
    """A model file from anywhere; None where the person thinks better of it."""
    kinds = " ".join(f"*{suffix}" for suffix in suffixes)
    path, _ = QFileDialog.getOpenFileName(parent, "Open a model", "", f"Models ({kinds})")
    return Path(path) if path else None


def _summary(spec: ModelSpec) -> str:
    """Two lines: what it is good for, and its classes in their colours."""
    short = textwrap.shorten(spec.description, DESCRIPTION, placeholder=" …")
    swatches = " ".join(
        f"<span style='color:{html.escape(c.colour)}'>■</span> {html.escape(c.name)}"
        for c in spec.classes
    )
    return "<br>".join(part for part in (html.escape(short), swatches) if part)


def _details(ref: ModelRef) -> str:
    """All that a person may want to know, as rich text for a tooltip."""
    spec = ref.spec
    facts = {
        "Gives": "one number for each object" if spec.task == "instances" else "a class for each pixel",
        "Classes": ", ".join(c.name for c in spec.classes),
        "Channels": f"1 or {spec.in_channels}" if spec.grey_to_colour else str(spec.in_channels),
        "Objects": f"about {spec.object_diameter:g} px wide" if spec.object_diameter else "",
        "Tiles": "" if spec.exact_tiles else "not exact: every pixel looks at the whole tile",
        "Paper": spec.paper,
        "Licence": spec.licence,
        "File": str(ref.path),
    }
    lines = [f"<b>{name}:</b> {html.escape(fact)}" for name, fact in facts.items() if fact]
    return (
        "<p>"
        + "<br>".join([f"<b>{html.escape(spec.name)}</b> {html.escape(spec.description)}", *lines])
        + "</p>"
    )
