"""What the network is shown while it trains: deformed image, target and weight map of one crop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ..core.model import ClassInfo, class_infos
from ..core.results import AugmentedCrop
from ..core.tune_settings import TuneSettings
from .augmentation_job import CropJobs, Drawing, Example
from .augmentation_layers import add_crop_layers, pixel_placement
from .augmentation_legend import Legend
from .augmentation_pictures import (
    THUMB,
    Picture,
    image_picture,
    nothing,
    target_picture,
    weights_picture,
)
from .augmentation_sliders import AugmentationSliders
from .augmentation_source import Source
from .job_adapter import Engine
from .layer_combo import LayerCombo
from .message_line import error_text
from .picture import PictureView, to_pixmap
from .settings_form import add_row, aligned_rows
from .theme_colours import theme_colours

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["AugmentationView", "Example"]

FRAMED = (
    "QToolButton { border: 2px solid transparent; border-radius: 3px; padding: 2px; }"
    "QToolButton:checked { border-color: palette(highlight); }"
)
TALLEST = 260  # pixels of the large picture
VIEWS = {
    "Image": "The image as the network is shown it: deformed, turned, and with other grey values.",
    "Target": "What it is to answer: each class in its colour; dark is not annotated.",
    "Weights": "How much each pixel counts in the loss: the weight map w(x).",
}
GRID_HELP = "Lines that are straight and 16 pixels apart in the image itself."
ANOTHER_HELP = "The next crop that a training would draw: another place, another deformation."
SOURCE_HELP = (
    "What the target is made of. Objects of a Labels layer have the paper's border weights (w₀ and σ), "
    "as in a training from objects; this panel trains from the strokes."
)
LAYERS_HELP = "Add image, target, weight map and grid of this crop as layers, to the right of the image."


class AugmentationView(QWidget):
    """Shows crops as a training would see them.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where layers are added.
    engine : callable
        The engine.
    example : callable
        What to draw from, now; raises PapernetsError where there is nothing yet.
    sources : callable
        Between what the person may choose for it.

    Attributes
    ----------
    valuesChanged : Signal(object)
        The settings of the example with what the sliders say, after one was moved.
    told : Signal(str)
        What was done, one line.
    """

    valuesChanged = Signal(object)
    told = Signal(str)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        engine: Callable[[], Engine],
        example: Callable[[], Example],
        sources: Callable[[], Sequence[Source]] = lambda: (Source(),),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._example = viewer, example
        self._number = 0
        self._shown: tuple[Example, AugmentedCrop] | None = None
        self._stale = True
        self.jobs = CropJobs(engine, self._wish, self)
        self.jobs.drawn.connect(self._on_drawn)
        self.jobs.waiting.connect(self._tell)
        self.jobs.failed.connect(self._on_failed)
        self.picture, self.legend = PictureView(), Legend()
        self.source = LayerCombo(viewer, sources)
        self.source.changed.connect(self._on_source)
        self.sliders = AugmentationSliders()
        self.sliders.changed.connect(self._on_sliders)
        self.grid = QCheckBox("Grid")
        self.grid.setChecked(True)
        self.grid.toggled.connect(self._draw)
        self.status = QLabel()
        self._make_buttons()
        self._show_pictures(dict.fromkeys(VIEWS, nothing()))
        self._lay_out()

    def refresh(self) -> None:
        """Draw again, for new strokes or settings; while hidden, when it is shown."""
        self._stale = True
        if self.isVisible():
            self._stale = False
            self.source.refresh()
            self.jobs.request()

    def set_settings(self, settings: TuneSettings) -> None:
        """Let the sliders show the values of these settings."""
        self.sliders.set_settings(settings)
        self.refresh()

    def leave(self) -> None:
        """The panel goes away: drop what is on its way."""
        self.jobs.leave()
        self.source.close_events()

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        if self._stale:
            self.refresh()

    def _wish(self) -> Drawing:
        example = self._example()
        settings = self.sliders.apply(example.settings)
        self.sliders.set_kind(settings.kind)
        wanted = Example(example.image, example.annotation, settings, example.classes, example.placement)
        if self._shown is None:
            self._tell("Drawing a crop…")
        return wanted, self._number

    def _on_sliders(self) -> None:
        self.refresh()
        if self._shown is not None:
            self.valuesChanged.emit(self.sliders.apply(self._shown[0].settings))

    def _on_source(self) -> None:
        self._shown = None
        self.refresh()

    def _on_another(self) -> None:
        self._number += 1
        self.refresh()

    def _on_drawn(self, example: Example, crop: AugmentedCrop) -> None:
        self._shown = example, crop
        self.layers.setEnabled(True)
        self._tell("")
        self._draw()

    def _on_failed(self, error: BaseException) -> None:
        self._tell(error_text(error), theme_colours(self).bad)

    def _on_layers(self) -> None:
        if self._shown is None:
            return
        example, crop = self._shown
        place = example.placement or pixel_placement(example.image.plane_scale)
        width = example.image.plane_shape[1]
        infos = self._infos(example, crop)
        add_crop_layers(self._viewer, crop, infos, place, width, self.grid.isChecked())
        self.told.emit("The crop lies to the right of its image: press Home to see both.")

    def _draw(self, *_: object) -> None:
        if self._shown is None:
            return
        example, crop = self._shown
        infos = self._infos(example, crop)
        name = self._show_pictures(self._pictures(crop, infos))
        self.legend.explain(name, crop, infos, example.settings, self._number)

    def _show_pictures(self, pictures: dict[str, Picture]) -> str:
        """Small ones on the buttons, and the chosen one, whose name is returned."""
        for name, picture in pictures.items():
            self.thumbs[name].setIcon(QIcon(to_pixmap(picture)))
        chosen = self._groups.checkedButton().text()
        self.picture.show_picture(pictures[chosen])
        return chosen

    def _pictures(self, crop: AugmentedCrop, infos: Sequence[ClassInfo]) -> dict[str, Picture]:
        grid = self.grid.isChecked()
        pictures = (
            image_picture(crop, grid),
            target_picture(crop, infos, grid),
            weights_picture(crop),
        )
        return dict(zip(VIEWS, pictures, strict=True))

    @staticmethod
    def _infos(example: Example, crop: AugmentedCrop) -> Sequence[ClassInfo]:
        given, count = example.classes, len(crop.class_names)
        return given[:count] if len(given) >= count else class_infos(crop.class_names)

    def _tell(self, text: str, colour: str = "") -> None:
        self.status.setStyleSheet(f"color: {colour};" if colour else "")
        self.status.setText(text)
        self.status.setVisible(bool(text))

    def _make_buttons(self) -> None:
        self._groups = QButtonGroup(self)
        self.thumbs = {name: self._thumb(name, tooltip) for name, tooltip in VIEWS.items()}
        self.thumbs["Image"].setChecked(True)
        self._groups.buttonClicked.connect(self._draw)
        self.another, self.layers = QPushButton("Another"), QPushButton("Add as layers")
        self.another.clicked.connect(self._on_another)
        self.layers.clicked.connect(self._on_layers)
        self.layers.setEnabled(False)
        for widget, text in (
            (self.another, ANOTHER_HELP),
            (self.layers, LAYERS_HELP),
            (self.grid, GRID_HELP),
        ):
            widget.setToolTip(f"<p>{text}</p>")

    def _thumb(self, name: str, tooltip: str) -> QToolButton:
        button = QToolButton()
        button.setText(name)
        button.setToolTip(f"<p>{tooltip}</p>")
        button.setCheckable(True)
        button.setStyleSheet(FRAMED)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setIconSize(QSize(THUMB, THUMB))
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._groups.addButton(button)
        return button

    def _lay_out(self) -> None:
        self.status.setWordWrap(True)
        self.status.setAccessibleName("State of the augmentation preview")
        self.picture.setAccessibleName("Crop as the network is shown it")
        self.picture.setMaximumHeight(TALLEST)  # so that the sliders stay in sight
        thumbs, buttons, rows = QHBoxLayout(), QHBoxLayout(), aligned_rows()
        add_row(rows, "Annotation", self.source, SOURCE_HELP)
        for thumb in self.thumbs.values():
            thumbs.addWidget(thumb, 1)
        for button, stretch in ((self.another, 1), (self.layers, 1), (self.grid, 0)):
            buttons.addWidget(button, stretch)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addLayout(thumbs)
        layout.addWidget(self.picture)
        layout.addWidget(self.status)
        layout.addWidget(self.legend)
        layout.addLayout(buttons)
        layout.addWidget(self.sliders)
        layout.addStretch(1)
