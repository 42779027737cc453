"""The panel “Annotate & fine-tune”: paint strokes, and a network learns from them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, QTimer
from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from ..core.errors import InputError
from ..core.tune_settings import TuneSettings
from .annotate_flow import AnnotateFlow
from .annotate_parts import AnnotateParts
from .curve_plots import import_pyqtgraph
from .docked_panel import DockedPanel
from .engine_access import EngineHold
from .farewell import when_destroyed
from .job_adapter import Engine
from .panel_layout import MARGIN, column, group
from .remembered import recall, remember
from .settings_form import add_row, align_labels
from .warm_up import WarmUp

if TYPE_CHECKING:
    import napari.viewer

MEMORY = "annotate_panel"
WIDTH = 380
DEVICE_HELP = "Where to train: auto is the GPU where there is one, else the processor."
TABS = {
    "Paint": "Images, classes, and how to learn.",
    "Curves": "Loss and held-out score while it learns.",
    "Versions": "Every round of learning: go back, compare, save.",
    "Augment": "What the network is shown while it learns.",
    "Apply": "Segment images with what was learnt, and measure objects.",
}


class AnnotatePanel(DockedPanel):
    """Trains a network from strokes while they are painted.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer that the panel belongs to.
    engine : Engine, optional
        In place of the one that all panels share.

    Attributes
    ----------
    parts : AnnotateParts
        What the panel consists of.
    tabs : QTabWidget
        What is shown of it.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, *, engine: Engine | None = None) -> None:
        super().__init__()
        self.setObjectName("papernets-annotate")
        self._viewer, self._hold = napari_viewer, EngineHold(engine)
        self._left = False
        self.parts = AnnotateParts(napari_viewer, self._hold.engine)
        self.parts.setParent(self)
        self.tabs = QTabWidget()
        self._lay_out()
        self._recall()
        self.flow = AnnotateFlow(self.parts)
        self.tabs.currentChanged.connect(self._on_tab)
        self._inserted = napari_viewer.layers.events.inserted
        self._inserted.connect(self._on_layer)
        self._warm = WarmUp(self._hold.engine, self.parts.message.complain, self, import_pyqtgraph)
        self._warm.timeout.connect(self._look_around)
        self._evident = QTimer(self)
        self._evident.setSingleShot(True)
        self._evident.timeout.connect(self.parts.image.adopt_evident)
        # What outlives the widgets when the window is destroyed: threads, jobs, callbacks of the viewer.
        when_destroyed(self, self.parts.drop, self._hold.release)

    def shut_down(self) -> None:
        """Write what was painted, cancel what runs, and let go of the viewer and the engine."""
        if self._left:
            return
        self._left = True
        self._warm.stop()
        self._evident.stop()
        self._remember()
        parts = self.parts
        self._inserted.disconnect(self._on_layer)
        parts.follower.close_events()
        parts.right_of_way.leave()
        parts.painting.close()
        parts.image.close_events()
        parts.control.leave()
        parts.comparison.leave()
        parts.apply.leave()
        parts.augmentation.leave()
        parts.store.close()
        self._hold.release()

    def sizeHint(self) -> QSize:
        """As wide as napari's own docks; the plots would ask for more."""
        return QSize(WIDTH, super().sizeHint().height())

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self.parts.start.refresh()
        align_labels(self)

    def closeEvent(self, event: Any) -> None:
        self.shut_down()
        super().closeEvent(event)

    def _look_around(self) -> None:
        """Take up what is there already."""
        self.parts.restore.look()
        self.parts.image.adopt_evident()

    def _on_layer(self, event: object = None) -> None:
        """A sample brings its strokes: the first one that is opened is taken up by itself."""
        if not self.parts.painting.images.pairs() and not self._warm.isActive():
            self._evident.start(0)

    def _on_tab(self, index: int) -> None:
        if self.tabs.tabText(index) == "Augment":
            self.parts.augmentation.refresh()

    def _remember(self) -> None:
        parts = self.parts
        values = dict(
            settings=parts.form.value().changed(),
            device=parts.device.currentText(),
            live=parts.bar.live.isChecked(),
            start=parts.start.key(),
        )
        remember(MEMORY, values)

    def _recall(self) -> None:
        values, parts = recall(MEMORY), self.parts
        try:
            parts.form.setValue(TuneSettings.from_dict(values.get("settings", {})))
            if values.get("start"):
                parts.start.choose(str(values["start"]))
        except (InputError, TypeError, AttributeError):
            pass  # of another version, or a model that is gone: the defaults are fine
        parts.device.setCurrentText(str(values.get("device", "auto")))
        parts.bar.live.setChecked(values.get("live") is not False)

    def _lay_out(self) -> None:
        parts = self.parts
        add_row(parts.form.advanced_rows, "Device", parts.device, DEVICE_HELP)
        learn = group("Learn", parts.start, parts.form)
        pages: dict[str, tuple[QWidget, ...]] = {
            "Paint": (
                group("Image", parts.image),
                group("Classes", parts.painting.table),
                learn,
                group("Session", parts.row),
            ),
            "Augment": (parts.augmentation,),
            "Apply": (parts.apply,),
        }
        whole = {"Curves": parts.curves, "Versions": parts.versions}
        for index, (name, help_) in enumerate(TABS.items()):
            self.tabs.addTab(whole.get(name) or column(pages[name]), name)
            self.tabs.setTabToolTip(index, help_)
        self.tabs.setDocumentMode(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(MARGIN)
        layout.addWidget(parts.restore)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(parts.bar)
        layout.addWidget(parts.message)
