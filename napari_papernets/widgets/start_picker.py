"""Choose what a training starts from: a model, a network from scratch, or a file."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..core.errors import ModelError
from ..core.model import ModelRef
from ..model_files import SUFFIX, TORCH_SUFFIXES, find_model, holds_vgg16, list_models
from .calm import CalmComboBox
from .model_picker import ask_for_model
from .settings_form import add_row, aligned_rows

SCRATCH = "scratch"
HELP = (
    "What the training starts from. A model of general features is made for this: it learns a new "
    "task from few strokes. Any other model keeps what it knows and gets your classes. Each round of "
    "training goes on from the one before; choosing here starts over."
)
SCRATCH_HELP = (
    "A new network with random weights; which one, its width and its depth are among the settings below."
)
VGG_HELP = (
    "A DeepLab on VGG-16's weights, as the paper re-purposes them: it knows photographs. The file is "
    "read in the engine, and kept as the model “vgg16”."
)


@dataclass(frozen=True, eq=False)
class StartChoice:
    """One entry of the list.

    Attributes
    ----------
    name, help : str
        In the list; as its tooltip.
    model : str or ModelRef
        What the verb takes as model.
    """

    name: str
    help: str
    model: str | ModelRef

    @property
    def key(self) -> str:
        """By which the choice is remembered."""
        return self.model if isinstance(self.model, str) else str(self.model.path)


class StartPicker(QWidget):
    """Edits the choice.

    Attributes
    ----------
    changed : Signal()
        The person chose another start.
    problem : Signal(object)
        A file could not be used: the ModelError.
    """

    changed = Signal()
    problem = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices: list[StartChoice] = []
        self._opened: list[ModelRef] = []
        self._vgg: list[Path] = []
        self._index = 0
        self.combo = CalmComboBox()
        self.rows = aligned_rows()
        add_row(self.rows, "Start from", self.combo, HELP)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self.rows)
        self.combo.activated.connect(self._on_activated)
        self.refresh()

    def model(self) -> str | ModelRef:
        """What the verb takes as model: "scratch", a model, or the path of VGG-16's weights."""
        return self._choices[self._index].model

    def key(self) -> str:
        """By which the choice is remembered; see `choose`."""
        return self._choices[self._index].key

    def choose(self, key: str | Path) -> None:
        """Choose "scratch", a model by name or file, or a file of VGG-16's weights; no signal.

        Raises
        ------
        ModelError
            If there is no such model, or the file is none.
        """
        if holds_vgg16(path := Path(key).expanduser()):
            key = path
            if path not in self._vgg:
                self._vgg.append(path)
                self.refresh()
        elif str(key) != SCRATCH:
            ref = find_model(key)
            if str(ref.path) not in [c.key for c in self._choices]:
                self._opened.append(ref)
                self.refresh()
            key = str(ref.path)
        self._show([c.key for c in self._choices].index(str(key)))

    def refresh(self) -> None:
        """Read the list of models again, keeping the choice."""
        before = self._choices[self._index].key if self._choices else ""
        refs = sorted([*list_models(), *self._opened], key=rank)
        self._choices = [choice_of(ref) for ref in refs]
        self._choices += [StartChoice(f"{p.name} (DeepLab)", VGG_HELP, str(p)) for p in self._vgg]
        self._choices.append(StartChoice("From scratch", SCRATCH_HELP, SCRATCH))
        keys = [choice.key for choice in self._choices]
        self.combo.clear()
        for index, choice in enumerate(self._choices):
            self.combo.addItem(choice.name)
            self.combo.setItemData(index, f"<p>{choice.help}</p>", Qt.ItemDataRole.ToolTipRole)
        self.combo.addItem("Open…")
        tip = f"<p>Open a model file ({SUFFIX}) from anywhere, or VGG-16's weights (.pth too).</p>"
        self.combo.setItemData(len(self._choices), tip, Qt.ItemDataRole.ToolTipRole)
        first = 0 if refs and rank(refs[0]) == 0 else len(self._choices) - 1
        self._show(keys.index(before) if before in keys else first)

    def _show(self, index: int) -> None:
        self._index = index
        self.combo.setCurrentIndex(index)
        self.combo.setToolTip(f"<p>{self._choices[index].help}</p><p>{HELP}</p>")

    def _on_activated(self, index: int) -> None:
        if index == len(self._choices):
            self.combo.setCurrentIndex(self._index)
            self._ask_for_file()
        elif index != self._index:
            self._show(index)
            self.changed.emit()

    def _ask_for_file(self) -> None:
        path = ask_for_model(self, (SUFFIX, *TORCH_SUFFIXES))
        if path:
            try:
                self.choose(path)
            except ModelError as error:
                self.problem.emit(error)
            else:
                self.changed.emit()


def rank(ref: ModelRef) -> int:
    """Place in the list: features that were taught for strokes, encoders, models of a task."""
    if ref.spec.task != "features":
        return 2
    return 1 if ref.spec.architecture == "encoder" else 0


def choice_of(ref: ModelRef) -> StartChoice:
    """The entry of a model."""
    spec = ref.spec
    if spec.architecture == "encoder":
        name, gives = f"{ref.name} (encoder)", "Made from images alone; what it helps differs."
    elif spec.task == "features":
        name, gives = f"{ref.name} (general)", "Made to learn any task from few strokes."
    else:
        classes = ", ".join(c.name for c in spec.classes)
        name, gives = ref.name, f"Knows: {classes}."
    parts = (f"<b>{html.escape(ref.name)}</b>", html.escape(spec.description), html.escape(gives))
    return StartChoice(name, " ".join(part for part in parts if part), ref)
