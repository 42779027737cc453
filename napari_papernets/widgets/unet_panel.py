"""The U-Net panel: choose an image and a model, segment what is in view or everything, look inside."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QFormLayout,
    QFrame,
    QGroupBox,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from ..core.errors import InputError, PapernetsError
from ..core.events import Event, Notice
from ..core.results import Prediction
from ..core.settings import Device, PredictSettings
from .editors import CalmComboBox
from .engine_access import EngineHold
from .image_picker import ImagePicker
from .inside import LookInside
from .job_adapter import Engine
from .message_line import MessageLine
from .model_picker import ModelPicker
from .outputs import PROVENANCE, find_output, output_key
from .remembered import recall, remember
from .result_actions import ResultActions
from .run import Run
from .run_bar import RunBar, duration
from .run_plan import Kind, RunPlan, plan_run
from .settings_form import SettingsForm, add_row
from .tile_layer import plan_of, show_tiles

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

MEMORY = "unet_panel"
BASIC = ("zoom", "output", "threshold", "min_size")
STARTS = {"zoom": 1.0, "tile": 512, "memory": 0.8}
WARM_UP = 300  # ms after the panel appeared, so that the window comes first
DEVICE_HELP = "Where to compute: auto is the GPU where there is one, else the processor."
PROBABILITY_HELP = "Also show the probability of each class as an image layer (more memory)."
TILES_HELP = (
    "Draw the windows that the network will see: orange is what a tile reads, with its halo of context; "
    "blue is what it answers for. Press again to take them away."
)


class UNetPanel(QWidget):
    """Segments images with a U-Net.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer that the panel belongs to.
    engine : Engine, optional
        In place of the one that all panels share.
    """

    def __init__(
        self, napari_viewer: napari.viewer.Viewer, *, engine: Engine | None = None
    ) -> None:
        super().__init__()
        self.setObjectName("papernets-unet")
        self._viewer, self._hold = napari_viewer, EngineHold(engine)
        self._run: Run | None = None
        self._docked = False
        self.image = ImagePicker(napari_viewer)
        self.model = ModelPicker()
        self.form = SettingsForm(PredictSettings, basic=BASIC, leave_out=("channels",), starts=STARTS)
        self.device = CalmComboBox()
        self.device.addItems(typing.get_args(Device))
        self.probabilities = QCheckBox("Probability layers")
        self.runs = RunBar()
        self.message = MessageLine(napari_viewer)
        self.tiles = QPushButton("Show tiles")
        self.inside = LookInside(napari_viewer)
        self.results = ResultActions(napari_viewer)
        self._lay_out()
        self._connect()
        self._recall()
        QTimer.singleShot(WARM_UP, self._warm_up)

    def settings(self) -> PredictSettings:
        """The settings that are shown."""
        return self.form.value().replace(channels=self.image.wanted_channels())

    def start_run(self, kind: Kind) -> None:
        """Run on what is in view ("view"), on its whole plane ("plane") or on everything ("stack")."""
        if self._run is not None:
            return
        self.message.tell("")
        try:
            plan = self._plan(kind)
            run = Run(self._viewer, self._hold.engine(), plan, self)
            run.progressed.connect(self._on_event)
            run.finished.connect(self._on_finished)
            run.failed.connect(self._on_failed)
            run.cancelled.connect(self._on_cancelled)
            self._run = run
            self.runs.set_waiting()
            run.start()
        except PapernetsError as error:
            self._end_run()
            self.message.complain(error)
            return
        self.message.tell(plan.note)
        self._remember()

    def cancel_run(self) -> None:
        """End the run, if there is one, within a second."""
        if self._run is not None:
            self._run.cancel()

    def shut_down(self) -> None:
        """Cancel what runs, remember the settings and let go of the viewer and the engine."""
        self._remember()
        if self._run is not None:
            self._run.leave()
            self._end_run()
        self.inside.leave()
        self._hold.release()

    def event(self, event: QEvent) -> bool:
        """Notice when the dock lets go of the panel: napari then neither closes nor deletes it."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                self._docked = False
                self.shut_down()
        return super().event(event)

    def closeEvent(self, event: Any) -> None:
        self.shut_down()
        super().closeEvent(event)

    def _plan(self, kind: Kind) -> RunPlan:
        return plan_run(
            self._viewer,
            self.image.layer(),
            self.image.block(),
            self.model.ref(),
            self.settings(),
            kind,
            device=self.device.currentText(),
            probabilities=self.probabilities.isChecked(),
        )

    def _on_event(self, event: Event) -> None:
        self.runs.show_event(event)
        if isinstance(event, Notice):
            self.message.tell(event.message)

    def _on_finished(self, layer: napari.layers.Labels, result: Prediction) -> None:
        run = self._run
        self._end_run()
        if run is not None:
            self.results.add_result(layer, run.plan)
            self.message.tell(outcome(run.plan, result))

    def _on_failed(self, error: BaseException) -> None:
        self._end_run()
        self.message.complain(error)

    def _on_cancelled(self) -> None:
        self._end_run()
        self.message.tell("Cancelled; the layers are as they were.")

    def _end_run(self) -> None:
        if self._run is not None:
            self._run.deleteLater()
        self._run = None
        self.runs.set_idle()
