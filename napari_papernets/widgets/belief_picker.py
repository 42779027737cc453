"""Choose what the CRF starts from: probabilities of a result or a layer, or softened labels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from ..core.errors import InputError
from .belief_sources import BeliefSource, find_sources
from .calm import CalmComboBox, CalmDoubleSpinBox
from .label_numbers import LabelNumbers
from .layer_combo import LayerCombo
from .layer_events import DATA_EVENTS, LayerEvents
from .layer_parts import Target
from .settings_form import add_row, aligned_rows
from .unfit_maps import why_unfit

if TYPE_CHECKING:
    import napari.viewer

SOURCE_HELP = (
    "What is refined: the probability layers of a result (tick “Probability layers” in the panel that "
    "makes it), an image layer with one map for each class in front (K × Y × X), or a Labels layer."
)
NAME = 12  # wide letters, for which the box has room at least: "tissue truth (labels)" fits
DABS = 250  # ms after the last dab of a brush
CONFIDENCE_HELP = (
    "How sure the labels are: the probability of the class that a pixel is labelled as. The rest is "
    "shared by the other classes. Lower it, and edges win over labels. In strokes and in a live "
    "prediction 0 is no class: there all classes are alike."
)


class BeliefPicker(QWidget):
    """Edits the choice of probabilities.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers are offered.
    target : callable
        The image that they must fit; raises InputError where there is none.
    numbers : LabelNumbers
        Tells the classes of labels.

    Attributes
    ----------
    unfit : QLabel
        Why what was taken for an image cannot be probabilities, where it looks like some.
    changed : Signal()
        Another source, other data of its layers, or another confidence.
    """

    changed = Signal()

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        target: Callable[[], Target],
        numbers: LabelNumbers,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._target, self._numbers = viewer, target, numbers
        self._waiting: Callable[[], None] | None = None  # for the numbers of the labels
        self._events = LayerEvents(DATA_EVENTS, self._on_data)
        self._dabs = QTimer(self)
        self._dabs.setSingleShot(True)
        self._dabs.timeout.connect(self.changed)
        # Labels of a result come before its probabilities, which are better to begin with.
        self.combo = LayerCombo(viewer, lambda: find_sources(viewer, target()), best_first=True)
        self.combo.setPlaceholderText("nothing that fits")
        self.combo.setMinimumContentsLength(NAME)
        self.confidence = CalmDoubleSpinBox()
        self.confidence.setRange(0.5, 0.99)
        self.confidence.setSingleStep(0.05)
        self.confidence.setValue(0.7)
        self.confidence.setKeyboardTracking(False)
        self.unfit = QLabel()
        self.unfit.setWordWrap(True)
        self.unfit.setTextFormat(Qt.TextFormat.PlainText)
        rows = aligned_rows()
        add_row(rows, "Start from", self.combo, SOURCE_HELP)
        self._label = add_row(rows, "Confidence", self.confidence, CONFIDENCE_HELP)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addWidget(self.unfit)
        self.combo.changed.connect(self._on_source)
        self.combo.looked.connect(self._tell_unfit)
        numbers.counted.connect(self._on_counted)
        self.confidence.valueChanged.connect(lambda _: self.changed.emit())
        self._on_source()

    def source(self) -> BeliefSource:
        """What is chosen, labels with the confidence that is shown.

        Raises
        ------
        InputError
            If there is nothing to choose.
        """
        source = self.combo.current()
        if source is None:
            mend = "predict with “Probability layers” ticked, or add probabilities or labels as a layer"
            raise InputError("probabilities", "no layer that fits the image", mend)
        if source.kind != "labels":
            return source
        return source.sure(self.confidence.value(), self._numbers.of(source.layers[0]))

    def when_counted(self, action: Callable[[], None]) -> bool:
        """Call now, or as soon as the classes of the chosen labels are known; whether it was now.

        Of several that wait the newest is called, unless something else is chosen meanwhile.
        """
        source = self.combo.current()
        self._waiting = None
        if source is None or source.kind != "labels" or self._numbers.of(source.layers[0]) is not None:
            action()
            return True
        self._waiting = action
        return False

    def refresh(self) -> None:
        """Look again, for another image."""
        self.combo.refresh()

    def _tell_unfit(self) -> None:
        """Say so where the image looks like probabilities of another one."""
        reason = ""
        with contextlib.suppress(InputError):  # there is no image
            reason = why_unfit(self._viewer, self._target().layer)
        self.unfit.setText(reason)
        self.unfit.setVisible(bool(reason))

    def close_events(self) -> None:
        """Let go of the viewer."""
        self._waiting = None
        self._dabs.stop()
        self._events.follow(())
        self.combo.close_events()

    def _on_data(self, event: Any) -> None:
        """A brush is not followed by its dabs: the hand that paints comes first."""
        if event.type == "labels_update":
            self._dabs.start(DABS)
        else:
            self.changed.emit()

    def _on_counted(self) -> None:
        source = self.combo.current()
        if source is None or source.kind != "labels" or self._numbers.of(source.layers[0]) is None:
            return
        action, self._waiting = self._waiting, None
        if action is not None:
            action()
        self.changed.emit()

    def _on_source(self) -> None:
        source = self.combo.current()
        self._waiting = None
        self._events.follow(source.layers if source is not None else ())
        soft = source is not None and source.kind == "labels"
        self._label.setVisible(soft)
        self.confidence.setVisible(soft)
        self.changed.emit()


def choose_image_with(
    images: CalmComboBox, beliefs: BeliefPicker, wanted: Callable[[BeliefSource], bool]
) -> None:
    """Choose the first image that is offered such a source, and the source; else leave the choice.

    Parameters
    ----------
    images : CalmComboBox
        Chooses the image that `beliefs` follows.
    beliefs : BeliefPicker
        What is offered for that image.
    wanted : callable
        Tells the source.
    """
    before = images.currentIndex()
    for index in (before, *range(images.count())):
        images.setCurrentIndex(index)
        fits = [number for number, offer in enumerate(beliefs.combo.offers) if wanted(offer)]
        if fits:
            beliefs.combo.setCurrentIndex(fits[0])
            return
    images.setCurrentIndex(before)
