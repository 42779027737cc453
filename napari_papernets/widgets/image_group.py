"""Choose an image and what to paint on; the list of the images of the session."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..core.errors import InputError
from ..session_files import INFO
from ..session_lock import is_held
from .annotated_image import AnnotatedImage
from .annotation_layer import MOST_CLASSES, SESSION, arm
from .calm import CalmComboBox
from .image_picker import ImagePicker
from .layer_events import LayerEvents
from .offered import NO_IMAGE, offer
from .painting import Painting, fitting_layers, is_strokes_of
from .reveal import Reveal
from .settings_form import add_row, aligned_rows
from .uncertain_place import move_camera

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

NEW = "New layer"
ANNOTATED = "It is annotated already: it is in the list below. Other axes can be annotated anew."
ROWS = 3
HELP = {
    "paint": "Where the strokes go: a new Labels layer over the image, or one that exists and has its "
    "shape (0 is not annotated, 1, 2 … are classes).",
    "annotate": "Begin to annotate this image: its layer is made ready and the brush of the first class "
    "is in your hand. Several images can be annotated in one session.",
    "list": "The images that are annotated, each with its layer of strokes. Click on one to see and "
    "paint on it; others that lie on it are hidden.",
    "remove": "Take the chosen image out of the session; its layers stay.",
}


class ImageGroup(QWidget):
    """Edits which images are annotated.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    painting : Painting
        The annotation.

    Attributes
    ----------
    failed : Signal(object)
        Why an image was not taken.
    told : Signal(str)
        What was changed about a layer that was chosen, one line.
    sessionFound : Signal(object)
        The folder of a session that nobody has open, and that evident strokes are of.
    """

    failed = Signal(object)
    told = Signal(str)
    sessionFound = Signal(object)

    def __init__(
        self, viewer: napari.viewer.Viewer, painting: Painting, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._painting = viewer, painting
        self._layers: list[napari.layers.Labels] = []
        self._reveal = Reveal(viewer)
        self._found: Path | None = None  # folder of a session that was found
        self._chosen: Any = None  # what to paint on, where it was chosen by hand: a layer's id, or NEW
        self._events = LayerEvents(("name", "data"), self._refill)
        self.picker = ImagePicker(viewer)
        self.paint = CalmComboBox()
        self.annotate = QPushButton("Annotate")
        self.list, self.remove = QListWidget(), QPushButton("Remove")
        self.annotate.clicked.connect(lambda: self._on_annotate())
        self.remove.clicked.connect(lambda: self._on_remove())
        self.list.itemClicked.connect(self._on_item)
        self.picker.changed.connect(self._refill)
        self.paint.activated.connect(self._on_choice)
        painting.imagesChanged.connect(self._on_images)
        painting.currentChanged.connect(self._on_current)
        self._happenings = (viewer.layers.events.inserted, viewer.layers.events.removed)
        for event in self._happenings:
            event.connect(self._refill)
        self._lay_out()
        self._refill()
        self._on_images()

    def adopt_evident(self) -> None:
        """Take up the layers of strokes that say of which image they are: with their session, where
        they are of one."""
        try:
            image = self.picker.layer()
        except InputError:
            return
        found = [la for la in self._layers if is_strokes_of(la, image)]
        if not found or self._painting.images.find(image) is not None:
            return
        folder = Path(str(found[0].metadata.get(SESSION, ("",))[0]))
        if folder == self._found:
            return  # it is being opened
        if (folder / INFO).is_file() and not is_held(folder):
            self._found = folder
            self.sessionFound.emit(folder)
        else:
            self._annotate(image, found[0])

    def close_events(self) -> None:
        """Let go of the viewer."""
        self.picker.close_events()
        for event in self._happenings:
            event.disconnect(self._refill)
        self._events.follow(())

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self._fit()  # napari's style came with the window, and with it the height of a row

    def _on_choice(self, index: int) -> None:
        self._chosen = NEW if index == 0 else self._layers[index - 1].unique_id

    def _on_annotate(self) -> None:
        index = self.paint.currentIndex()
        try:
            image = self.picker.layer()
        except InputError as error:
            self.failed.emit(error)
            return
        labels = None if index <= 0 else self._layers[index - 1]
        before = self._painting.images.find(image)
        if before is not None:  # under other axes
            self._painting.images.remove(before.number)
        pair = self._annotate(image, labels)
        if pair is not None:
            self._chosen = None
            self._bring_up(pair)
            arm(self._viewer, pair.labels, 1)  # another pair may be the current one by now

    def _annotate(
        self, image: napari.layers.Image, labels: napari.layers.Labels | None
    ) -> AnnotatedImage | None:
        was = None if labels is None else labels.data.dtype
        try:
            pair = self._painting.annotate(image, labels, self.picker.axes_text())
        except InputError as error:
            self.failed.emit(error)
            return None
        is_now = pair.labels.data.dtype
        if was not in (None, is_now):
            most = f"{MOST_CLASSES} classes at most"
            self.told.emit(f"{pair.labels.name} is now of type {is_now}, no longer {was}: {most}.")
        return pair

    def _is_other(self, pair: AnnotatedImage) -> bool:
        """Whether an image is annotated under other axes than those that are shown."""
        axes = self.picker.axes_text()
        return axes != pair.axes and self.picker.fits()

    def _on_remove(self) -> None:
        item = self.list.currentItem()
        if item is not None:
            self._painting.images.remove(item.data(Qt.ItemDataRole.UserRole))

    def _on_item(self, item: QListWidgetItem) -> None:
        pair = self._painting.images.pair(item.data(Qt.ItemDataRole.UserRole))
        self.picker.choose(pair.image)
        self._bring_up(pair)
        arm(self._viewer, pair.labels, max(self._painting.table.current(), 1))

    def _bring_up(self, pair: AnnotatedImage) -> None:
        others = [other for other in self._painting.images.pairs() if other.number != pair.number]
        self._reveal.show(pair, others)
        flat = self._viewer.dims.ndisplay == 2
        if flat and self._painting.images.view() is None:  # nothing of it is in view
            y, x = (size // 2 for size in pair.array().shape[-2:])
            move_camera(self._viewer, pair, (y, x), 0)

    def _refill(self, event: object = None) -> None:
        from napari.layers import Labels

        self._events.follow(layer for layer in self._viewer.layers if isinstance(layer, Labels))
        try:
            image = self.picker.layer()
            self._layers = fitting_layers(self._viewer, image, self.picker.axes_text())
            there = self._painting.images.find(image)
            pairs = self._painting.images.pairs()
            taken = [pair.labels.unique_id for pair in pairs if pair is not there]
            self._layers = [la for la in self._layers if la.unique_id not in taken]
            obstacle = "" if there is None or self._is_other(there) else ANNOTATED
        except InputError:
            image, self._layers, obstacle = None, [], NO_IMAGE
        self.paint.clear()
        self.paint.addItems([NEW, *(str(la.name) for la in self._layers)])
        self.paint.setCurrentIndex(self._choice(image))
        offer(self.annotate, HELP["annotate"], obstacle)
        self.paint.setEnabled(self.annotate.isEnabled())

    def _choice(self, image: napari.layers.Image | None) -> int:
        """Index of what was chosen by hand, else of the image's own strokes, else of a new layer."""
        ids = [NEW, *(layer.unique_id for layer in self._layers)]
        if self._chosen in ids:
            return ids.index(self._chosen)
        return int(bool(image is not None and self._layers and is_strokes_of(self._layers[0], image)))

    def _on_images(self) -> None:
        pairs = self._painting.images.pairs()
        self.list.clear()
        for pair in pairs:
            text = f"{pair.image.name}  ·  {pair.labels.name}"
            item = QListWidgetItem(text)
            item.setData(Qt.ItemDataRole.UserRole, pair.number)
            item.setToolTip(f"<p>{html.escape(text)}</p><p>{HELP['list']}</p>")
            self.list.addItem(item)
        self._on_current()
        self._images.setVisible(bool(pairs))
        self._fit()
        self._refill()

    def _on_current(self) -> None:
        current = self._painting.images.current()
        for row in range(self.list.count()):
            if current and self.list.item(row).data(Qt.ItemDataRole.UserRole) == current.number:
                self.list.setCurrentRow(row)

    def _fit(self) -> None:
        """As high as its rows, up to a few; longer names are cut rather than scrolled over."""
        count = self.list.count()
        height = self.list.sizeHintForRow(0) if count else 0
        self.list.setFixedHeight(min(count, ROWS) * height + 2 * self.list.frameWidth() + 2)

    def _lay_out(self) -> None:
        rows, beside = aligned_rows(), QWidget()
        line = QHBoxLayout(beside)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.paint, 1)
        line.addWidget(self.annotate)
        add_row(rows, "Paint on", beside, HELP["paint"]).setBuddy(self.paint)
        self.paint.setAccessibleName("Paint on")
        self.remove.setToolTip(f"<p>{HELP['remove']}</p>")
        self.list.setToolTip(f"<p>{HELP['list']}</p>")
        self.list.setAccessibleName("Annotated images")
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self._images = QWidget()
        images = QHBoxLayout(self._images)
        images.setContentsMargins(0, 0, 0, 0)
        images.addWidget(self.list, 1)
        images.addWidget(self.remove, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.picker)
        layout.addLayout(rows)
        layout.addWidget(self._images)
