"""Choose an image layer, and see and correct what its axes and channels are taken for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QVBoxLayout, QWidget
from superqt import QElidingLabel

from ..core.errors import InputError
from ..core.fields import FieldInfo
from ..core.image import ImageBlock, check_axes
from ..core.predict_settings import PredictSettings
from .calm import CalmComboBox
from .editors import OptionalEditor, make_editor
from .image_layers import block_of, full_data, guess_layer_axes
from .layer_events import LayerEvents
from .outputs import is_output
from .settings_form import add_row, aligned_rows
from .theme_colours import theme_colours

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

LAYER_HELP = "The image to segment: any Image layer, grey or RGB, multiscale or lazy."
AXES_HELP = (
    "One letter for each axis of the image: T time, Z depth, C channels, Y rows, X columns. "
    "It is guessed from the shape and the units; correct it if it is wrong (a stack of 3 planes looks "
    "like 3 channels). T and Z are segmented plane by plane."
)


class ImagePicker(QWidget):
    """Edits the choice of an image.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose image layers are offered; our own results are not.

    Attributes
    ----------
    changed : Signal()
        Another layer, other axes or channels, or an array of another shape.
    added : Signal()
        There is a layer to choose that was not there before; it is chosen now.
    """

    changed = Signal()
    added = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[napari.layers.Image] = []
        self._corrected: dict[Any, str] = {}
        self._named = LayerEvents(("name",), self._rename)
        self._filled = LayerEvents(("data",), self._on_data)
        self._told = LayerEvents(("units", "axis_labels"), self._on_told)
        self._sizes: tuple[int, ...] = ()  # of the array that is shown
        self.combo = CalmComboBox()
        self.axes = QLineEdit()
        self.axes.setMinimumWidth(60)
        self.shape = QElidingLabel()
        channels = make_editor(_channels_field())
        assert isinstance(channels, OptionalEditor)
        self.channels = channels
        self._lay_out()
        self.combo.currentIndexChanged.connect(self._on_layer)
        self.axes.textEdited.connect(self._on_axes)
        self.channels.valueChanged.connect(lambda _: self._on_channels())
        for happening in ("inserted", "removed", "reordered"):
            getattr(viewer.layers.events, happening).connect(self._refill)
        self._refill()
        self._select_active()

    def layer(self) -> napari.layers.Image:
        """The chosen layer.

        Raises
        ------
        InputError
            If there is no image.
        """
        index = self.combo.currentIndex()
        if not 0 <= index < len(self._layers):
            mend = "open an image (File → Open Sample → Papernets has some)"
            raise InputError("image", "no image layer", mend)
        return self._layers[index]

    def identity(self) -> Any:
        """unique_id of the chosen layer; None where there is no image."""
        index = self.combo.currentIndex()
        return self._layers[index].unique_id if 0 <= index < len(self._layers) else None

    def axes_text(self) -> str:
        """The axes as shown, upper case; not checked."""
        return self.axes.text().strip().upper()

    def block(self) -> ImageBlock:
        """The image as the engine takes it.

        Raises
        ------
        InputError
            If there is none, or the axes do not fit.
        """
        return block_of(self.layer(), self.axes_text())

    def wanted_channels(self) -> tuple[int, ...] | None:
        """Channels to use, None for all of them."""
        return self.channels.value()

    def fits(self) -> bool:
        """Whether there is an image that the axes fit."""
        return self.identity() is not None and self._problem() is None

    def is_stack(self) -> bool:
        """Whether there is more than one plane."""
        text = self.axes_text()
        return bool(self._layers) and self._problem() is None and bool(set(text) & set("TZ"))

    def close_events(self) -> None:
        """Let go of the viewer."""
        for happening in ("inserted", "removed", "reordered"):
            getattr(self._viewer.layers.events, happening).disconnect(self._refill)
        for events in (self._named, self._filled, self._told):
            events.follow(())

    def _refill(self, event: object = None) -> None:
        from napari.layers import Image

        before = self.identity()
        known = {layer.unique_id for layer in self._layers}
        images = [la for la in self._viewer.layers if isinstance(la, Image) and not is_output(la)]
        self._layers = images
        for events in (self._named, self._filled, self._told):
            events.follow(images)
        ids = [layer.unique_id for layer in images]
        fresh = [i for i, identity in enumerate(ids) if identity not in known]
        self.combo.blockSignals(True)
        self.combo.clear()
        self.combo.addItems([str(layer.name) for layer in images])
        if fresh:
            self.combo.setCurrentIndex(fresh[-1])
        elif before in ids:
            self.combo.setCurrentIndex(ids.index(before))
        self.combo.blockSignals(False)
        if self.identity() != before or not images:
            self._on_layer()
        if fresh:
            self.added.emit()

    def _rename(self, event: object = None) -> None:
        for index, layer in enumerate(self._layers):
            self.combo.setItemText(index, str(layer.name))

    def choose(self, layer: napari.layers.Layer) -> None:
        """Choose a layer, if it is among those that are offered."""
        ids = [offered.unique_id for offered in self._layers]
        if layer.unique_id in ids:
            self.combo.setCurrentIndex(ids.index(layer.unique_id))

    def _select_active(self) -> None:
        if self._viewer.layers.selection.active is not None:
            self.choose(self._viewer.layers.selection.active)

    def _on_layer(self, *_: object) -> None:
        text = ""
        if self.identity() is not None:
            layer = self.layer()
            text = self._corrected.get(layer.unique_id) or _guess(layer)
        self.axes.setText(text)
        self._show_problem()
        self.changed.emit()

    def _on_data(self, event: object = None) -> None:
        """Pixels that change are no matter; a movie that is played into a layer must not be slowed."""
        if self.identity() is not None and full_data(self.layer()).shape != self._sizes:
            self._corrected.pop(self.identity(), None)
            self._on_layer()

    def _on_told(self, event: object = None) -> None:
        """Somebody says what the axes of a layer are; what was typed here goes before."""
        chosen = self.identity()
        if (
            chosen is not None
            and chosen not in self._corrected
            and _guess(self.layer()) != self.axes_text()
        ):
            self._on_layer()

    def _on_axes(self) -> None:
        if self.identity() is not None:
            self._corrected[self.identity()] = self.axes_text()
        self._show_problem()
        self.changed.emit()

    def _problem(self) -> InputError | None:
        if self.identity() is None:
            return None
        layer = self.layer()
        try:
            check_axes(self.axes_text(), full_data(layer).shape, str(layer.name))
            self.block()  # refuses what else cannot be read
        except InputError as error:
            return error
        return None

    def _show_problem(self) -> None:
        """The shape beside the axes; where they do not fit, why, and a red frame."""
        problem, there = self._problem(), self.identity() is not None
        self._sizes = full_data(self.layer()).shape if there else ()
        self.shape.setText(" × ".join(str(n) for n in self._sizes))
        self.shape.setToolTip(f"Shape of the array: {self.shape.text()}")
        frame = f"border: 1px solid {theme_colours(self).bad};"
        self.axes.setStyleSheet(frame if problem else "")
        self.axes.setToolTip(f"<p>{problem}</p>" if problem else f"<p>{AXES_HELP}</p>")
        has_channels = there and "C" in self.axes_text()
        self._channels_label.setVisible(has_channels)
        self.channels.setVisible(has_channels)
        self._show_channels()

    def _show_channels(self) -> None:
        """Greyed, all that there are, while the choice among them is automatic."""
        if self.identity() is not None and self._problem() is None:
            self.channels.foresee(tuple(range(self.block().channels)))

    def _on_channels(self) -> None:
        self._show_channels()
        self.changed.emit()

    def _lay_out(self) -> None:
        rows = aligned_rows()
        beside = QWidget()
        line = QHBoxLayout(beside)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.axes, 1)
        line.addWidget(self.shape, 2)
        add_row(rows, "Layer", self.combo, LAYER_HELP)
        add_row(rows, "Axes", beside, AXES_HELP).setBuddy(self.axes)
        self.axes.setAccessibleName("Axes")
        info = _channels_field()
        self._channels_label = add_row(rows, info.label, self.channels, info.tooltip)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)


def _channels_field() -> FieldInfo:
    return next(info for info in PredictSettings.fields() if info.name == "channels")


def _guess(layer: napari.layers.Image) -> str:
    try:
        return guess_layer_axes(layer)
    except InputError:
        return ""
