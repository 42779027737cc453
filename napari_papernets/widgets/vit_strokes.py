"""Strokes in the ViT panel: a score of the tokens, and labels from them."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ..core.errors import InputError
from ..core.image import ImageBlock
from ..core.results import ProbeScore
from .calm import CalmComboBox
from .layer_events import LayerEvents
from .offered import offer
from .outputs import is_output
from .settings_form import add_row, aligned_rows

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

STROKES_HELP = (
    "A Labels layer with strokes on this image: 1, 2 … are classes, 0 is not annotated. Two strokes of "
    "each class at least."
)
SCORE_HELP = (
    "How well the tokens tell your classes apart on strokes that were held out, beside the same with "
    "random weights: mean IoU of a linear probe and of the 5 nearest tokens."
)
LEARN_HELP = (
    "Fit a linear layer to the strokes on the frozen tokens, and label the plane. The model is kept, "
    "beside those of the times before: “Annotate & fine-tune” and “U-Net” can use it too."
)


class VitStrokes(QWidget):
    """Edits the choice of a layer of strokes.

    Attributes
    ----------
    scoreRequested, learnRequested : Signal()
        What was pressed.
    """

    scoreRequested = Signal()
    learnRequested = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[napari.layers.Labels] = []
        self.combo = CalmComboBox()
        self.combo.setPlaceholderText("no Labels layer")
        self.score, self.learn = QPushButton("Score"), QPushButton("Labels from strokes")
        self.set_obstacle("")
        self.table = QLabel()
        self.table.setWordWrap(True)
        self.score.clicked.connect(self.scoreRequested)
        self.learn.clicked.connect(self.learnRequested)
        rows = aligned_rows()
        add_row(rows, "Strokes", self.combo, STROKES_HELP)
        buttons = QHBoxLayout()
        buttons.addWidget(self.score, 1)
        buttons.addWidget(self.learn, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addLayout(buttons)
        layout.addWidget(self.table)
        for happening in ("inserted", "removed"):
            getattr(viewer.layers.events, happening).connect(self._refill)
        self._named = LayerEvents(("name",), self._refill)
        self._painted = LayerEvents(("data", "paint", "labels_update"), self.forget_score)
        self.combo.currentIndexChanged.connect(lambda _: self._on_layer())
        self._refill()

    def set_obstacle(self, obstacle: str, free: bool = True) -> None:
        """Say why the buttons cannot be pressed, if they cannot; `free` where they need not wait."""
        offer(self.score, SCORE_HELP, obstacle, free)
        offer(self.learn, LEARN_HELP, obstacle, free)

    def layer(self) -> napari.layers.Labels:
        """The chosen layer.

        Raises
        ------
        InputError
            If there is none.
        """
        index = self.combo.currentIndex()
        if not 0 <= index < len(self._layers):
            raise InputError("strokes", "no Labels layer", "add one, and paint strokes of two classes")
        return self._layers[index]

    def strokes(self, image: ImageBlock) -> NDArray[Any]:
        """The strokes on an image, shape (*stack, Y, X).

        Raises
        ------
        InputError
            If there is no layer, or it has another size.
        """
        found = np.asarray(self.layer().data)
        wanted = (*image.stack_shape, *image.plane_shape)
        if found.shape != wanted:
            mend = f"choose the Labels layer of this image, of shape {wanted}"
            raise InputError("strokes", f"shape {found.shape}", mend)
        return found

    def show_score(self, about: str, scores: Mapping[str, ProbeScore | None]) -> None:
        """Scores by the names of the weights, of which the first is there and others may be still to
        come; `about` tells of what."""
        ((_, known), *_) = scores.items()
        assert known is not None
        lines = [
            f"<tr><td>{title}&nbsp;</td>{''.join(_cell(s, kind) for s in scores.values())}</tr>"
            for title, kind in (("linear probe", "linear"), ("5 nearest", "nearest"))
        ]
        names = "".join(f"<td>{html.escape(name)}&nbsp;</td>" for name in scores)
        strokes = " + ".join(map(str, known.strokes))
        self.table.setText(
            f"<table><tr><td></td>{names}</tr>{''.join(lines)}</table>"
            f"{html.escape(about)}: mean IoU on held-out strokes ({strokes} strokes, "
            f"{known.folds} groups)."
        )

    def forget_score(self, *_: object) -> None:
        """What was scored is not what is chosen any more; any signal may be connected to this."""
        self.table.clear()

    def close_events(self) -> None:
        """Let go of the viewer."""
        for happening in ("inserted", "removed"):
            getattr(self._viewer.layers.events, happening).disconnect(self._refill)
        for events in (self._named, self._painted):
            events.follow(())

    def _refill(self, event: object = None) -> None:
        from napari.layers import Labels

        before = self._current()
        self._layers = [la for la in self._viewer.layers if isinstance(la, Labels) and not is_output(la)]
        self._named.follow(self._layers)
        self.combo.blockSignals(True)
        self.combo.clear()
        self.combo.addItems([str(layer.name) for layer in self._layers])
        ids = [layer.unique_id for layer in self._layers]
        self.combo.setCurrentIndex(ids.index(before) if before in ids else len(ids) - 1)
        self.combo.blockSignals(False)
        if self._current() != before:
            self._on_layer()

    def _on_layer(self) -> None:
        """Other strokes, of which nothing was scored; painting on them makes them other ones, too."""
        self.forget_score()
        chosen = self._current()
        self._painted.follow(layer for layer in self._layers if layer.unique_id == chosen)

    def _current(self) -> Any:
        index = self.combo.currentIndex()
        return self._layers[index].unique_id if 0 <= index < len(self._layers) else None


def _cell(score: ProbeScore | None, kind: str) -> str:
    return f"<td>{'…' if score is None else f'{getattr(score, kind):.3f}'}&nbsp;</td>"
