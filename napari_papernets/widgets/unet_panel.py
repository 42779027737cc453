"""The U-Net panel: choose an image and a model, segment what is in view or everything, look inside."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QTimer, Signal
from qtpy.QtWidgets import QApplication, QCheckBox, QWidget

from ..core.errors import InputError, ModelError, PapernetsError
from ..core.events import Event, Notice
from ..core.results import Prediction
from ..core.settings import Device, PredictSettings
from .closer_look import CloserLook
from .editors import CalmComboBox
from .engine_access import EngineHold
from .image_picker import ImagePicker
from .job_adapter import Engine
from .message_line import MessageLine
from .model_picker import ModelPicker
from .panel_layout import fill_panel, group
from .remembered import recall, remember
from .result_actions import ResultActions
from .run import Run
from .run_bar import RunBar, duration
from .run_plan import Kind, RunPlan, plan_run
from .settings_form import SettingsForm, add_row, align_labels

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

MEMORY = "unet_panel"
BASIC = ("zoom", "output", "threshold", "min_size")
STARTS = {"zoom": 1.0, "tile": 512, "memory": 0.8}
WARM_UP = 300  # ms after the panel was made, so that the window comes first
DEVICE_HELP = "Where to compute: auto is the GPU where there is one, else the processor."
PROBABILITY_HELP = "Also show the probability of each class as an image layer (needs more memory)."


class UNetPanel(QWidget):
    """Segments images with a U-Net.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer that the panel belongs to.
    engine : Engine, optional
        In place of the one that all panels share.

    Attributes
    ----------
    runFinished : Signal(object, object)
        The labels layer and the Prediction of a run that went well.
    runFailed : Signal(object)
        The error that ended a run.
    """

    runFinished = Signal(object, object)
    runFailed = Signal(object)

    def __init__(self, napari_viewer: napari.viewer.Viewer, *, engine: Engine | None = None) -> None:
        super().__init__()
        self.setObjectName("papernets-unet")
        self._viewer, self._hold = napari_viewer, EngineHold(engine)
        self._run: Run | None = None
        self._docked = False
        self.image = ImagePicker(napari_viewer)
        self.model = ModelPicker()
        self.form = SettingsForm(PredictSettings, basic=BASIC, leave_out=("channels",), starts=STARTS)
        self.device = CalmComboBox()
        self.probabilities = QCheckBox("Probability layers")
        self.closer = CloserLook(napari_viewer, self.image.layer, self._plan, self._hold.engine)
        self.runs = RunBar()
        self.message = MessageLine(napari_viewer)
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
        self.closer.inside.leave()
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

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        align_labels(self)

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
        self.runFinished.emit(layer, result)

    def _on_failed(self, error: BaseException) -> None:
        self._end_run()
        self.message.complain(error)
        self.runFailed.emit(error)

    def _on_cancelled(self) -> None:
        self._end_run()
        self.message.tell("Cancelled; the layers are as they were.")

    def _end_run(self) -> None:
        self._run = None
        self.runs.set_idle()

    def _warm_up(self) -> None:
        """Start the engine beside the window, so that the first run need not wait for it."""
        try:
            self._hold.engine().start()
        except PapernetsError as error:
            self.message.complain(error)

    def _copy_diagnostics(self) -> None:
        QApplication.clipboard().setText(self._hold.engine().diagnostics())
        self.message.tell("Diagnostics copied: paste them into your report.")

    def _remember(self) -> None:
        values: dict[str, Any] = dict(
            settings=self.form.value().changed(),
            device=self.device.currentText(),
            probabilities=self.probabilities.isChecked(),
        )
        try:
            values["model"] = str(self.model.ref().path)
        except ModelError:
            values["model"] = ""
        remember(MEMORY, values)

    def _recall(self) -> None:
        values = recall(MEMORY)
        try:
            self.form.setValue(PredictSettings.from_dict(values.get("settings", {})))
            if values.get("model"):
                self.model.choose(values["model"])
        except (InputError, TypeError, AttributeError):
            pass  # of another version, or a model that is gone: the defaults are fine
        self.device.setCurrentText(str(values.get("device", "auto")))
        self.probabilities.setChecked(values.get("probabilities") is True)

    def _connect(self) -> None:
        self.image.changed.connect(lambda: self.runs.set_stack(self.image.is_stack()))
        self.runs.set_stack(self.image.is_stack())
        self.runs.runRequested.connect(self.start_run)
        self.runs.cancelRequested.connect(self.cancel_run)
        self.results.diagnosticsRequested.connect(self._copy_diagnostics)
        self.model.problem.connect(self.message.complain)
        for part in (self.closer, self.results):
            part.told.connect(self.message.tell)
            part.failed.connect(self.message.complain)

    def _lay_out(self) -> None:
        self.device.addItems(typing.get_args(Device))
        self.probabilities.setToolTip(PROBABILITY_HELP)
        add_row(self.form.advanced_rows, "Device", self.device, DEVICE_HELP)
        self.form.basic_rows.addRow("", self.probabilities)
        groups = (
            group("Image", self.image),
            group("Model", self.model),
            group("Settings", self.form),
            group("Look closer", self.closer),
        )
        fill_panel(self, groups, (self.runs, self.message, self.results))


def outcome(plan: RunPlan, result: Prediction) -> str:
    """One line on what came out."""
    account = result.provenance
    facts = [f"{int(result.labels.max(initial=0))} objects"] if plan.instances else ["Done"]
    facts.append(duration(account["seconds"]) if "seconds" in account else "")
    facts += [str(account.get("device", "")), str(account.get("precision", ""))]
    zoom = account.get("zoom", 1.0)
    facts.append(f"zoom {zoom:g}" if zoom != 1.0 else "")
    return " · ".join([fact for fact in facts if fact] + list(account.get("notices", [])))
