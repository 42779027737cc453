"""The dictionary: a place is looked up, and its nearest keys are shown as pictures, dots and points."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ..core.errors import InputError, PapernetsError
from ..core.model import ModelRef
from ..core.patches import PatchMap
from .calm import CalmComboBox
from .dictionary_points import DictionaryPoints
from .job_adapter import Engine, JobAdapter
from .moco_sources import Sources
from .offered import offer
from .patch_painting import PATCHES
from .patch_scatter import PatchScatter
from .progress_row import ProgressRow
from .thumbnails import ThumbnailStrip

if TYPE_CHECKING:
    import napari.viewer

NEAREST = 8
MAKE_HELP = (
    "Encode patches of the chosen layers with the encoder. Then click on the image (while it, or the "
    "layer “dictionary”, is selected), on a dot or on a picture: the patch there is looked up among all "
    "others."
)
LAYOUT_HELP = (
    "How keys become a map: their two principal components, or UMAP, which keeps neighbours together "
    "(pip install 'napari-papernets[umap]')."
)
CANCEL_HELP = "Stop encoding; the dictionary that is shown stays."
PAINT_HELP = (
    "Give the middles of the patches that are selected in the layer “dictionary” a label of their own "
    "in a Labels layer: the next free one."
)
NO_DICTIONARY = "Make the dictionary first."
POSITIVE_HELP = "The patch that was looked up, and another view of it: the positive pair."
NEAREST_HELP = "The patches whose keys are most similar to it; the numbers are cosines."
HARDEST_HELP = (
    "Hardest negatives: the keys elsewhere that are most similar to the other view. Training pushes "
    "them away, even where they show the same kind of thing."
)


class DictionaryView(QWidget):
    """Makes and shows the dictionary of an encoder.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where points are shown, and clicks are heard.
    engine : callable
        The engine.
    sources : callable
        Gives the chosen `Sources`.
    model : callable
        Gives the encoder: a ModelRef; raises PapernetsError where there is none.
    side : callable
        Gives the side of a patch in pixels.

    Attributes
    ----------
    told : Signal(str)
        Something to say.
    failed : Signal(object)
        An error.
    """

    told = Signal(str)
    failed = Signal(object)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        engine: Callable[[], Engine],
        sources: Callable[[], Sources],
        model: Callable[[], ModelRef],
        side: Callable[[], int],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._engine, self._sources, self._model, self._side = engine, sources, model, side
        self._map: PatchMap | None = None
        self._query: int | None = None
        self._job: JobAdapter | None = None
        self._obstacle = ""
        self.points = DictionaryPoints(viewer)
        self.make, self.layouts = QPushButton("Make the dictionary"), layout_combo()
        self.progress = ProgressRow(CANCEL_HELP)
        self.paint = QPushButton("Paint the selected patches")
        self.scatter = PatchScatter()
        self.scatter.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.about = QLabel("")
        self.positive = ThumbnailStrip("Positive pair")
        self.nearest, self.hardest = ThumbnailStrip("Nearest keys"), ThumbnailStrip("Hardest negatives")
        self._lay_out()
        self._offer()
        self.make.clicked.connect(self.start)
        self.progress.cancel.clicked.connect(lambda: self._on_cancelled())
        self.paint.clicked.connect(self._on_paint)
        self.scatter.picked.connect(self.look_up)
        self.scatter.surrounded.connect(self._on_surrounded)
        self.points.picked.connect(self.look_up)
        self.points.chosen.connect(self.scatter.mark)
        for strip in (self.nearest, self.hardest):
            strip.chosen.connect(self.look_up)

    @property
    def patch_map(self) -> PatchMap | None:
        """The dictionary that is shown."""
        return self._map

    def start(self) -> None:
        """Encode the patches of the chosen layers."""
        if self._job is not None:
            return
        try:
            sources, model = self._sources(), self._model()
            if not sources.images:
                raise InputError(
                    "images", "a folder only", "tick a layer: the dictionary is shown on it"
                )
            job = self._job = JobAdapter(self)
            job.happened.connect(self.progress.show_event)
            job.returned.connect(lambda found: self._on_map(found, sources, model.name))
            job.failed.connect(self._on_failed)
            job.cancelled.connect(self._on_cancelled)
            self._offer()
            self.progress.set_busy(True)
            chosen = dict(side=self._side(), layout=self.layouts.currentData())
            job.start(self._engine(), "patches", images=sources.images, model=model, **chosen)
        except PapernetsError as error:
            self._on_failed(error)

    def set_obstacle(self, obstacle: str) -> None:
        """Say why no dictionary can be made; empty where one can."""
        self._obstacle = obstacle
        self._offer()

    def clear(self) -> None:
        """Take the dictionary away, with its points."""
        if self._map is None:
            return
        self._map = self._query = None
        self.points.clear()
        self.scatter.set_points(np.zeros((0, 2), np.float32), ("", ""))
        self.about.setText("")
        for strip in (self.positive, self.nearest, self.hardest):
            strip.clear()
        self._offer()

    def look_up(self, number: int) -> None:
        """Show the patch of that number, its nearest keys and its hardest negatives."""
        if self._map is None:
            return
        found = self._map
        self._query = number
        nearest, hardest = found.nearest(number, NEAREST), found.hardest(number, NEAREST)
        cosine = float(found.keys[number] @ found.positives[number])
        pair = np.stack([found.thumbnails[number], found.views[number]])
        self.positive.show_pictures(pair, ["query", f"{cosine:.2f}"], [number, number])
        for strip, numbers, query in (
            (self.nearest, nearest, found.keys[number]),
            (self.hardest, hardest, found.positives[number]),
        ):
            captions = [f"{float(found.keys[n] @ query):.2f}" for n in numbers]
            strip.show_pictures(found.thumbnails[numbers], captions, list(numbers))
        self.scatter.mark([number, *nearest])
        self.points.mark(number, nearest)

    def leave(self) -> None:
        """Drop what runs and let go of the viewer."""
        if self._job is not None:
            self._job.forget()
            self._job = None
        self.points.leave()

    def _on_map(self, found: PatchMap, sources: Sources, encoder: str) -> None:
        self._end()
        self._map = found
        self.scatter.set_points(found.plane_map, found.axis_names())
        self.points.show(found, sources)
        count = len(found.keys)
        counted = f"{count} patch{'es' * (count != 1)}"
        same = float(found.similarity_of_positives().mean())
        self.about.setText(
            f"Encoder “{encoder}”: {counted} of {found.side}×{found.side} pixels; "
            f"cosine of positive pairs {same:.2f}."
        )
        self.look_up(0)
        self._offer()

    def _on_surrounded(self, numbers: NDArray[np.int64]) -> None:
        try:
            count = self.points.select(numbers)
        except InputError as error:
            self.failed.emit(error)
            return
        self.told.emit(f"{count} patches are selected in the layer “dictionary”.")

    def _on_paint(self) -> None:
        try:
            count, label = self.points.paint()
        except InputError as error:
            self.failed.emit(error)
            return
        text = f"{count} patches are painted with label {label} in “{PATCHES}”."
        self.told.emit(text if count else "Select patches first: draw around dots of the map.")

    def _on_failed(self, error: BaseException) -> None:
        self._end()
        self.failed.emit(error)

    def _on_cancelled(self) -> None:
        self._end()
        self.told.emit("Cancelled.")

    def _end(self) -> None:
        if self._job is not None:
            self._job.forget()
            self._job.deleteLater()
            self._job = None
        self._offer()
        self.progress.set_busy(False)

    def _offer(self) -> None:
        offer(self.make, MAKE_HELP, self._obstacle, free=self._job is None)
        offer(self.paint, PAINT_HELP, "" if self._map is not None else NO_DICTIONARY)

    def _lay_out(self) -> None:
        self.about.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        row.addWidget(self.make, 1)
        row.addWidget(self.layouts)
        layout.addLayout(row)
        for widget in (self.progress, self.about, self.scatter, self.paint):
            layout.addWidget(widget)
        for text, strip, tooltip in (
            ("Positive pair", self.positive, POSITIVE_HELP),
            ("Nearest keys", self.nearest, NEAREST_HELP),
            ("Hardest negatives", self.hardest, HARDEST_HELP),
        ):
            label = QLabel(text)
            for widget in (label, strip):
                widget.setToolTip(f"<p>{tooltip}</p>")
                layout.addWidget(widget)


def layout_combo() -> CalmComboBox:
    """Which map; UMAP cannot be chosen where it is not installed."""
    combo = CalmComboBox()
    combo.addItem("components", "components")
    combo.setMinimumContentsLength(len("components"))
    combo.addItem("UMAP", "umap")
    combo.setToolTip(f"<p>{LAYOUT_HELP}</p>")
    combo.setAccessibleName("Map of patches by")
    combo.model().item(1).setEnabled(find_spec("umap") is not None)
    return combo
