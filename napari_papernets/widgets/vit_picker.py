"""Choose a Vision Transformer: one that is there, a public one to download, or a file."""

from __future__ import annotations

import html
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from ..core.checkpoints import CHECKPOINTS
from ..core.model import ModelRef
from ..model_files import list_models
from .calm import CalmComboBox
from .settings_form import add_row, aligned_rows

ARCHITECTURES = ("vit", "vit_segmenter")
RANDOM = "random-small"
HELP = "The network to look into: those you downloaded, opened or trained."
NOTHING_LEARNT = (
    "ViT-Small with random weights. It has learnt nothing: what you see is the image and the "
    "architecture. Download or open weights to see what training makes of it."
)
DOWNLOAD_HELP = (
    "Fetch public weights once; they are kept as a model file that needs no internet any more. The "
    "terms of each are in its tooltip."
)
OPEN_HELP = (
    "Open weights that you have: a state dict of timm, DINO, DINOv2 or MAE (.safetensors or .pth; "
    "pickles that could run code are refused), or a model file."
)
FILES = "Weights (*.safetensors *.pth *.pt *.bin *.ckpt)"


class VitPicker(QWidget):
    """Edits the choice of a network.

    Attributes
    ----------
    changed : Signal()
        Another network was chosen.
    downloadRequested : Signal(str)
        Name of a public checkpoint.
    openRequested : Signal(object)
        Path of a file.
    """

    changed = Signal()
    downloadRequested = Signal(str)
    openRequested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._refs: list[ModelRef] = []
        self._opened: list[ModelRef] = []
        self.combo = CalmComboBox()
        self.download = QPushButton("Download…")
        self.open = QPushButton("Open…")
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.menu = QMenu(self)
        self._lay_out()
        self.download.clicked.connect(self._ask_which)
        self.open.clicked.connect(self._ask_for_file)
        self.combo.currentIndexChanged.connect(self._on_choice)
        self.refresh()

    def model(self) -> ModelRef | str:
        """What the verbs take as model."""
        index = self.combo.currentIndex()
        return self._refs[index] if 0 <= index < len(self._refs) else RANDOM

    @property
    def is_random(self) -> bool:
        """Whether the network has learnt nothing."""
        return not isinstance(self.model(), ModelRef)

    @property
    def depth(self) -> int:
        """Blocks of the network."""
        model = self.model()
        return int(model.spec.options["depth"]) if isinstance(model, ModelRef) else 12

    @property
    def heads(self) -> int:
        """Heads of the network."""
        model = self.model()
        return int(model.spec.options["heads"]) if isinstance(model, ModelRef) else 6

    def refresh(self) -> None:
        """Read the list of models again, keeping the choice."""
        self._show(self._path())

    def choose(self, ref: ModelRef) -> None:
        """Choose a model, one that is not in the list too."""
        known = {r.path for r in (*list_models(), *self._opened)}
        if ref.path not in known:
            self._opened.append(ref)
        self._show(ref.path)

    @property
    def key(self) -> str:
        """What `recall` chooses the same network by."""
        return str(self._path() or RANDOM)

    def recall(self, key: str) -> None:
        """Choose what had that key; the first of the list where it is not there any more."""
        self._show(Path(key))
        if key == RANDOM:
            self.combo.setCurrentIndex(len(self._refs))

    def _show(self, path: Path | None) -> None:
        found = (*list_models(), *self._opened)
        self._refs = [ref for kind in ARCHITECTURES for ref in found if ref.spec.architecture == kind]
        self.combo.blockSignals(True)
        self.combo.clear()
        for index, ref in enumerate(self._refs):
            self.combo.addItem(ref.name)
            tip = f"<p>{html.escape(ref.spec.description)}</p><p>{html.escape(str(ref.path))}</p>"
            self.combo.setItemData(index, tip, Qt.ItemDataRole.ToolTipRole)
        self.combo.addItem("Random weights (nothing learnt)")
        paths = [ref.path for ref in self._refs]
        self.combo.setCurrentIndex(paths.index(path) if path in paths else 0)
        self.combo.blockSignals(False)
        self._on_choice()

    def _path(self) -> Path | None:
        model = self.model()
        return model.path if isinstance(model, ModelRef) else None

    def _on_choice(self, *_: object) -> None:
        model = self.model()
        if isinstance(model, ModelRef):
            o, spec = model.spec.options, model.spec
            size = f"{o['depth']} blocks, {o['heads']} heads, D {o['dim']}, patch {o['patch_size']}"
            self.about.setText(f"{html.escape(spec.description)}<br>{size}".removeprefix("<br>"))
            cite = spec.provenance.get("cite", "")
            facts = (spec.paper, cite, spec.licence and f"Licence: {spec.licence}", str(model.path))
            self.about.setToolTip("<p>" + "<br>".join(html.escape(f) for f in facts if f) + "</p>")
        else:
            self.about.setText(NOTHING_LEARNT)
            self.about.setToolTip("")
        self.changed.emit()

    def _ask_which(self) -> None:
        """A menu of what can be downloaded; made when it is wanted, since the list of models changes."""
        self.menu.clear()
        self.menu.setToolTipsVisible(True)
        there = {ref.name for ref in self._refs}
        for checkpoint in CHECKPOINTS:
            text = f"{checkpoint.name}  ({checkpoint.megabytes} MB)"
            action = self.menu.addAction(text)
            action.setEnabled(checkpoint.name not in there)
            facts = (
                checkpoint.about,
                f"Licence: {checkpoint.licence}",
                checkpoint.paper,
                checkpoint.url,
            )
            action.setToolTip("<p>" + "<br>".join(html.escape(f) for f in facts) + "</p>")
            action.triggered.connect(
                lambda _=False, name=checkpoint.name: self.downloadRequested.emit(name)
            )
        self.menu.popup(self.download.mapToGlobal(self.download.rect().bottomLeft()))

    def _ask_for_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open weights", "", FILES)
        if path:
            self.openRequested.emit(Path(path))

    def _lay_out(self) -> None:
        self.download.setToolTip(f"<p>{DOWNLOAD_HELP}</p>")
        self.open.setToolTip(f"<p>{OPEN_HELP}</p>")
        rows = aligned_rows()
        add_row(rows, "Network", self.combo, HELP)
        buttons = QHBoxLayout()
        for button in (self.download, self.open):
            buttons.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addLayout(buttons)
        layout.addWidget(self.about)
