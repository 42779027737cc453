"""Choose what to learn from without annotation: image layers, a folder, or both."""

from __future__ import annotations

import contextlib
import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..core.errors import InputError
from ..core.image import ImageBlock
from .calm import CalmComboBox
from .image_layers import block_of, full_data, guess_layer_axes
from .layer_events import LayerEvents
from .moco_strokes import image_of_strokes
from .outputs import is_output
from .settings_form import add_row, aligned_rows

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

ROWS = 4  # of the list that are in sight
LIST_HELP = (
    "Image layers to learn from: tick as many as you like. Stacks are learnt plane by plane; lazy and "
    "very large ones are read window by window."
)
AXES_HELP = (
    "A letter of TZCYX for each axis of the layer that is marked in the list: those of its axis labels, "
    "else guessed from its shape. A short stack (Z or T) may be taken for channels (C): correct that "
    "here. It is kept with the layer (metadata “axes”)."
)
FOLDER_HELP = (
    "A folder of images to learn from besides the layers; nothing of it is opened in the viewer."
)
STROKES_HELP = (
    "A Labels layer with a few strokes, at least two of each of two classes (0 is not annotated). They "
    "teach nothing: they judge whether the encoder gets better than random weights. Where several "
    "images have their size, theirs is the one whose name theirs holds, or on which they lie."
)
NO_STROKES = "none"
NO_SOURCE = "Open an image first (File → Open Sample → Papernets has some), or choose a folder."


@dataclass(frozen=True, eq=False)
class Sources:
    """What was chosen.

    Attributes
    ----------
    images : list of ImageBlock
        Of the ticked layers.
    layers : list of napari.layers.Image
        The same, as layers.
    strokes : list of array or None, or None
        For each image its strokes; None without any.
    folder : str or None
        A folder of further images.
    """

    images: list[ImageBlock]
    layers: list[Any]
    strokes: list[Any] | None
    folder: str | None


class SourcePicker(QWidget):
    """Edits the choice.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose image layers are offered; our own results are not.

    Attributes
    ----------
    changed : Signal()
        Something else is chosen.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[napari.layers.Image] = []
        self._labels: list[napari.layers.Labels] = []
        self.list = QListWidget()
        self.axes, self.shape = QLineEdit(), QLabel()
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("no folder")
        self.browse = QPushButton("Browse…")
        self.strokes = CalmComboBox()
        self._lay_out()
        self.list.itemChanged.connect(lambda _: self.changed.emit())
        self.list.currentRowChanged.connect(self._show_axes)
        self.axes.editingFinished.connect(self._on_axes)
        self.browse.clicked.connect(self._ask)
        self.folder.textChanged.connect(lambda _: self.changed.emit())
        for happening in ("inserted", "removed", "reordered"):
            getattr(viewer.layers.events, happening).connect(self.refill)
        self._named = LayerEvents(("name",), self.refill)
        self.refill()

    def value(self) -> Sources:
        """What is chosen now.

        Raises
        ------
        InputError
            If that is nothing, or the axes of a layer cannot be told.
        """
        ticked = [la for la, item in self._rows() if item.checkState() == Qt.CheckState.Checked]
        folder = self.folder.text().strip() or None
        if not ticked and folder is None:
            raise InputError("images", "nothing", "tick a layer, or choose a folder")
        images = [block_of(layer, guess_layer_axes(layer)) for layer in ticked]
        return Sources(images, ticked, self._strokes_of(ticked), folder)

    def obstacle(self) -> str:
        """Why nothing can be learnt from now; empty where something can be chosen."""
        folder = self.folder.text().strip()
        if folder and not Path(folder).is_dir():
            return f"There is no folder {folder}: correct its name, or leave it empty."
        return "" if folder or self._layers else NO_SOURCE

    def has_layers(self) -> bool:
        """Whether there is an image layer to tick."""
        return bool(self._layers)

    def tick(self, *names: str) -> None:
        """Choose the layers of these names, and no others."""
        for layer, item in self._rows():
            chosen = str(layer.name) in names
            item.setCheckState(Qt.CheckState.Checked if chosen else Qt.CheckState.Unchecked)

    def close_events(self) -> None:
        """Let go of the viewer."""
        for happening in ("inserted", "removed", "reordered"):
            getattr(self._viewer.layers.events, happening).disconnect(self.refill)
        self._named.follow(())

    def refill(self, event: object = None) -> None:
        """Offer the layers that there are; what was ticked stays so, new ones are."""
        from napari.layers import Image, Labels

        known = {layer.unique_id: item.checkState() for layer, item in self._rows()}
        marked = self._marked()
        before = self._chosen_labels()
        own = [layer for layer in self._viewer.layers if not is_output(layer)]
        self._layers = [layer for layer in own if isinstance(layer, Image)]
        self._labels = [layer for layer in own if isinstance(layer, Labels)]
        self._named.follow((*self._layers, *self._labels))
        self.list.blockSignals(True)
        self.list.clear()
        for layer in self._layers:
            item = QListWidgetItem(str(layer.name))
            item.setToolTip(f"<p>{html.escape(str(layer.name))}</p><p>{LIST_HELP}</p>")
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(known.get(layer.unique_id, Qt.CheckState.Checked))
            self.list.addItem(item)
        ids = [layer.unique_id for layer in self._layers]
        self.list.setCurrentRow(ids.index(marked.unique_id) if marked and marked.unique_id in ids else 0)
        self.list.blockSignals(False)
        self._show_axes()
        self.strokes.clear()
        self.strokes.addItems([NO_STROKES, *(str(layer.name) for layer in self._labels)])
        ids = [layer.unique_id for layer in self._labels]
        if before is not None and before.unique_id in ids:
            self.strokes.setCurrentIndex(1 + ids.index(before.unique_id))
        self.changed.emit()

    def _marked(self) -> napari.layers.Image | None:
        row = self.list.currentRow()
        return self._layers[row] if 0 <= row < len(self._layers) else None

    def _show_axes(self, *_: object) -> None:
        layer = self._marked()
        self.axes.setEnabled(layer is not None)
        self.axes.setText("" if layer is None else _axes_of(layer))
        self.shape.setText("" if layer is None else " × ".join(map(str, full_data(layer).shape)))

    def _on_axes(self) -> None:
        layer, typed = self._marked(), self.axes.text().strip().upper()
        if layer is not None and typed != _axes_of(layer):
            layer.metadata["axes"] = typed
            self._show_axes()  # what cannot be is not taken
            self.changed.emit()

    def _rows(self) -> list[tuple[Any, QListWidgetItem]]:
        return [(la, self.list.item(i)) for i, la in enumerate(self._layers) if self.list.item(i)]

    def _chosen_labels(self) -> Any:
        index = self.strokes.currentIndex() - 1
        return self._labels[index] if 0 <= index < len(self._labels) else None

    def _strokes_of(self, ticked: list[Any]) -> list[Any] | None:
        """A copy of the strokes for the image that they were painted on; None for the others."""
        layer = self._chosen_labels()
        if layer is None:
            return None
        painted = image_of_strokes(layer, self._layers, ticked)
        return [np.array(layer.data) if image == painted else None for image in ticked]

    def _ask(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of images", self.folder.text())
        if chosen:
            self.folder.setText(chosen)

    def _lay_out(self) -> None:
        height = self.list.fontMetrics().height() + 6
        self.list.setFixedHeight(ROWS * height)
        self.list.setToolTip(f"<p>{LIST_HELP}</p>")
        self.list.setAccessibleName("Image layers to learn from")
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        rows, beside = aligned_rows(), QWidget()
        line = QHBoxLayout(beside)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.folder, 1)
        line.addWidget(self.browse)
        told = QWidget()
        line = QHBoxLayout(told)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.axes)
        line.addWidget(self.shape, 1)
        self.axes.setFixedWidth(self.axes.fontMetrics().horizontalAdvance("TZCYX") + 24)
        self.axes.setMaxLength(5)
        add_row(rows, "Axes", told, AXES_HELP).setBuddy(self.axes)
        add_row(rows, "Folder", beside, FOLDER_HELP).setBuddy(self.folder)
        add_row(rows, "Judge by", self.strokes, STROKES_HELP)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list)
        layout.addLayout(rows)


def _axes_of(layer: napari.layers.Image) -> str:
    """As they are told or guessed; empty where they cannot be, which is said when it is learnt from."""
    with contextlib.suppress(InputError):
        return guess_layer_axes(layer)
    return ""
