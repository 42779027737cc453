"""The choices of the ViT panel: what is shown, at which block and resolution, and of which places."""

from __future__ import annotations

import functools
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from .calm import CalmComboBox, CalmDoubleSpinBox, CalmSpinBox
from .calm_wheel import CalmWheel
from .offered import offer
from .settings_form import add_row, aligned_rows
from .vit_layers import ATTENTION, CLUSTERS, COLOURS, ROLLOUT, SIMILAR

BLOCK_HELP = "Encoder block whose tokens are shown; the last one is what the network gives."
DENSITY_HELP = (
    "Tokens for each patch along Y and X. 2× and 4× look at the image again with the patches shifted by "
    "parts of their side: sharper, and 4 or 16 times slower. Attention stays on whole patches."
)
FOLLOW_HELP = "Read again when another slice of the stack comes into view."
CONTROL_HELP = (
    "Show each picture once more to the right of the image, made by the same network with freshly drawn "
    "weights. What looks alike in both was not learnt."
)
NO_CONTROL_HELP = (
    "The network's own weights are random: beside them the same would be seen. Download or open weights "
    "that were trained to compare them."
)
COLOUR_HELP = (
    "The first three principal components of the tokens as red, green and blue. Places of one colour "
    "are alike to the network."
)
SHARED_HELP = (
    "Keep the colours' basis from image to image, so that a colour means the same everywhere; otherwise "
    "it is fitted to each image anew."
)
FOREGROUND_HELP = "Divide by the first component, and colour the rarer side only (DINOv2's figure 1)."
CLUSTER_HELP = "Groups of tokens by k-means on their directions, as a Labels layer."
SIMILAR_HELP = (
    "Cosine similarity of every token to the places that you click. Alt+click: places that it shall "
    "not be like."
)
ATTENTION_HELP = (
    "What the clicked place attends to; before any click, what the class token attends to. Choose a "
    "head, or the mean of all."
)
COUNT_HELP = "Number of clusters."
HEAD_HELP = "Head whose attention is shown, or the mean of all of them."
CLEAR_HELP = "Forget all clicked places, wanted and unwanted."
THRESHOLD_HELP = (
    "Similarity above which a place is labelled: 1 is a token like the clicked one, 0 one that has "
    "nothing to do with it."
)
LABELS_HELP = "A Labels layer of the places whose similarity is above the threshold."
ROLLOUT_HELP = (
    "What the class token has gathered from where through all blocks: attention rollout (Abnar & "
    "Zuidema 2020). Reads the attention of every block, so it takes longer."
)


class VitControls(QWidget):
    """Edits what is shown.

    Attributes
    ----------
    pictureToggled : Signal(str, bool)
        A picture, by its name in `vit_layers`, is wanted, or not any more.
    besideChanged : Signal()
        Those of random weights are wanted beside them, or not any more.
    readingChanged : Signal()
        Tokens must be read again.
    tokensChanged : Signal()
        Those would be others: another block or resolution.
    drawingChanged : Signal()
        What is there can be drawn in another way.
    placesChanged : Signal()
        What depends on the clicked places can be.
    basisDropped : Signal()
        Colours get a basis of their own again.
    clicksChanged : Signal(bool)
        Whether places are asked for.
    cleared : Signal()
        All clicked places are dropped.
    """

    pictureToggled = Signal(str, bool)
    besideChanged = Signal()
    readingChanged = Signal()
    tokensChanged = Signal()
    drawingChanged = Signal()
    placesChanged = Signal()
    basisDropped = Signal()
    clicksChanged = Signal(bool)
    cleared = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.block = QSlider(Qt.Orientation.Horizontal)
        self.block.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        CalmWheel(self.block)
        self.block_label = QLabel()
        self.density, self.head = CalmComboBox(), CalmComboBox()
        self.density.addItems(["1×", "2×", "4×"])
        self.follow = _box("Follow the slice", FOLLOW_HELP, True)
        self.control = _box("Random weights beside", CONTROL_HELP)
        self.colours = _box("Tokens as colour", COLOUR_HELP, True)
        self.shared = _box("shared basis", SHARED_HELP)
        self.foreground = _box("foreground only", FOREGROUND_HELP)
        self.clusters = _box("Clusters", CLUSTER_HELP)
        self.count = CalmSpinBox()
        self.count.setRange(2, 64)
        self.count.setValue(6)
        self.similarity = _box("Similarity to clicks", SIMILAR_HELP)
        self.attention = _box("Attention", ATTENTION_HELP)
        self.rollout = _box("Rollout", ROLLOUT_HELP)
        self.click = QPushButton("Click places")
        self.click.setCheckable(True)
        self.click.setToolTip(f"<p>{SIMILAR_HELP}</p>")
        self.clear = QPushButton("Clear")
        self.clear.setToolTip(f"<p>{CLEAR_HELP}</p>")
        _explain(self.block, "Block", BLOCK_HELP)
        _explain(self.count, "Number of clusters", COUNT_HELP)
        _explain(self.head, "Head of the attention", HEAD_HELP)
        self._pictures = {
            COLOURS: self.colours, CLUSTERS: self.clusters, SIMILAR: self.similarity,
            ATTENTION: self.attention, ROLLOUT: self.rollout,
        }  # fmt: skip
        self.set_network(12, 6)
        self._lay_out()
        self._connect()

    def set_network(self, depth: int, heads: int, learnt: bool = True) -> None:
        """Offer the blocks and heads of another network, the last block chosen, and random weights
        beside it if it has learnt."""
        for widget in (self.block, self.head):
            widget.blockSignals(True)
        self.block.setRange(1, depth)
        self.block.setValue(depth)
        before = self.head.currentIndex()
        self.head.clear()
        self.head.addItems(["mean", *(str(n) for n in range(1, heads + 1))])
        self.head.setCurrentIndex(before if 0 <= before <= heads else 0)
        for widget in (self.block, self.head):
            widget.blockSignals(False)
        self._label_block()
        if learnt != self.control.isEnabled():
            self.control.setEnabled(learnt)
            self.control.setToolTip(f"<p>{CONTROL_HELP if learnt else NO_CONTROL_HELP}</p>")
            self.besideChanged.emit()

    def wants_control(self) -> bool:
        """Whether random weights are shown beside the network's."""
        return self.control.isEnabled() and self.control.isChecked()

    def settings(self) -> dict[str, Any]:
        """What of it goes into FeatureSettings."""
        return dict(
            block=self.block.value(),
            density=2 ** self.density.currentIndex(),
            attention=self.attention.isChecked(),
            summaries=self.rollout.isChecked(),
        )

    def looks(self) -> tuple[bool, int, bool]:
        """Whether the foreground is divided off; number of clusters; whether the basis is shared."""
        return self.foreground.isChecked(), self.count.value(), self.shared.isChecked()

    def chosen_head(self) -> int | None:
        """From 0; None for the mean of all."""
        index = self.head.currentIndex()
        return index - 1 if index > 0 else None

    def _label_block(self) -> None:
        self.block_label.setText(f"{self.block.value()} of {self.block.maximum()}")

    def _connect(self) -> None:
        self.block.valueChanged.connect(self._label_block)
        for role, box in self._pictures.items():
            box.toggled.connect(functools.partial(self.pictureToggled.emit, role))
        self.control.toggled.connect(lambda _: self.besideChanged.emit())
        reading = (
            self.block.valueChanged, self.density.currentIndexChanged, self.control.toggled,
            self.attention.toggled, self.rollout.toggled, self.foreground.toggled,
            self.count.valueChanged,
        )  # fmt: skip
        for signal in reading:
            signal.connect(lambda *_: self.readingChanged.emit())
        for signal in (self.block.valueChanged, self.density.currentIndexChanged):
            signal.connect(lambda *_: self.tokensChanged.emit())
        for signal in (self.colours.toggled, self.clusters.toggled):
            signal.connect(lambda *_: self.drawingChanged.emit())
        for signal in (self.similarity.toggled, self.head.currentIndexChanged):
            signal.connect(lambda *_: self.placesChanged.emit())
        self.shared.toggled.connect(self._on_shared)
        self.click.toggled.connect(self.clicksChanged)
        self.clear.clicked.connect(self.cleared)

    def _on_shared(self, shared: bool) -> None:
        if not shared:
            self.basisDropped.emit()
            self.readingChanged.emit()

    def _lay_out(self) -> None:
        rows = aligned_rows()
        add_row(rows, "Block", _beside(self.block, self.block_label), BLOCK_HELP)
        add_row(rows, "Resolution", self.density, DENSITY_HELP)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addWidget(_beside(self.follow, self.control))
        layout.addWidget(self.colours)
        layout.addWidget(_indented(self.shared, self.foreground))
        layout.addWidget(_beside(self.clusters, self.count))
        layout.addWidget(self.similarity)
        layout.addWidget(_beside(self.attention, QLabel("head"), self.head))
        layout.addWidget(_beside(self.click, self.clear))
        layout.addWidget(self.rollout)


class ThresholdRow(QWidget):
    """Turns the similarity map into labels.

    Attributes
    ----------
    requested : Signal(float)
        The threshold.
    """

    requested = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.value = CalmDoubleSpinBox()
        self.value.setRange(-1, 1)
        self.value.setSingleStep(0.05)
        self.value.setValue(0.5)
        _explain(self.value, "Threshold of the similarity", THRESHOLD_HELP)
        self.button = QPushButton("Similarity → Labels")
        self.set_obstacle("")
        self.button.clicked.connect(lambda: self.requested.emit(self.value.value()))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel("Threshold"))
        layout.addWidget(self.value)
        layout.addWidget(self.button, 1)

    def set_obstacle(self, obstacle: str) -> None:
        """Say why there can be no labels; empty where there can."""
        offer(self.button, LABELS_HELP, obstacle)


def _explain(field: QWidget, name: str, help: str) -> None:
    field.setAccessibleName(name)
    field.setToolTip(f"<p>{help}</p>")


def _box(text: str, help: str, checked: bool = False) -> QCheckBox:
    box = QCheckBox(text)
    box.setToolTip(f"<p>{help}</p>")
    box.setChecked(checked)
    return box


def _beside(*parts: QWidget) -> QWidget:
    whole = QWidget()
    line = QHBoxLayout(whole)
    line.setContentsMargins(0, 0, 0, 0)
    for number, part in enumerate(parts):
        line.addWidget(part, int(number == 0))
    return whole


def _indented(*parts: QWidget) -> QWidget:
    whole = _beside(*parts)
    margins = whole.layout().contentsMargins()
    margins.setLeft(20)
    whole.layout().setContentsMargins(margins)
    return whole
