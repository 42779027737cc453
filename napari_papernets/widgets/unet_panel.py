"""The U-Net panel: choose an image and a model, segment what is in view or everything, look inside."""

from __future__ import annotations

import typing
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox

from ..core.errors import InputError, ModelError, PapernetsError
from ..core.fields import Device
from ..core.predict_settings import CPU_MEMORY, PredictSettings
from .calm import CalmComboBox
from .closer_look import CloserLook
from .docked_panel import DockedPanel
from .engine_access import EngineHold
from .farewell import when_destroyed
from .image_picker import ImagePicker
from .job_adapter import Engine
from .message_line import MessageLine
from .model_picker import ModelPicker
from .offered import NO_IMAGE
from .outputs import has_layer
from .panel_layout import fill_panel, group
from .remembered import recall, remember
from .result_actions import ResultActions
from .run_bar import RunBar
from .run_control import RunControl
from .run_plan import Kind, RunPlan, plan_run
from .settings_form import SettingsForm, add_above, add_row, align_labels
from .warm_up import WarmUp

if TYPE_CHECKING:
    import napari.viewer

MEMORY = "unet_panel"
BASIC = ("zoom", "output", "threshold", "min_size")
STARTS = {"zoom": 1.0, "threshold": 0.5, "tile": 512, "memory": CPU_MEMORY}
DEVICE_HELP = "Where to compute: auto is the GPU where there is one, else the processor."
PROBABILITY_HELP = (
    "Also make an image layer of the probability of each class. They are hidden at first: click on "
    "the eye of one in the layer list. They need more memory."
)


class UNetPanel(DockedPanel):
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
        The labels layer and the Prediction of a run.
    runFailed : Signal(object)
        The error of a run, or why none was started.
    """

    runFinished = Signal(object, object)
    runFailed = Signal(object)

    def __init__(self, napari_viewer: napari.viewer.Viewer, *, engine: Engine | None = None) -> None:
        super().__init__()
        self.setObjectName("papernets-unet")
        self._viewer, self._hold = napari_viewer, EngineHold(engine)
        self.image = ImagePicker(napari_viewer)
        self.model = ModelPicker()
        self.form = SettingsForm(PredictSettings, basic=BASIC, leave_out=("channels",), starts=STARTS)
        self.device = CalmComboBox()
        self.device.addItems(typing.get_args(Device))
        self.probabilities = QCheckBox("Probability layers")
        self.closer = CloserLook(napari_viewer, self.image.layer, self.plan, self._hold.engine)
        self.bar = RunBar()
        self.message = MessageLine(napari_viewer)
        self.results = ResultActions(napari_viewer, self.image.block, self._hold.engine)
        self.control = RunControl(
            napari_viewer, self.plan, self._hold.engine, self.bar, self.message, self.results, self
        )
        self._chosen: Any = None  # unique_id of the image that was chosen at last
        self._lay_out()
        self._connect()
        self._recall()
        self._warm = WarmUp(self._hold.engine, self.message.complain, self)

    def settings(self) -> PredictSettings:
        """The settings that are shown."""
        return self.form.value().replace(channels=self.image.wanted_channels())

    def plan(self, kind: Kind) -> RunPlan:
        """What a run of that kind would do now.

        Raises
        ------
        InputError, ModelError
            If something chosen does not fit.
        """
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

    def start_run(self, kind: Kind) -> None:
        """Run on what is in view ("view"), on its whole plane ("plane") or on everything ("stack")."""
        self.control.start(kind)

    def shut_down(self) -> None:
        """Cancel what runs, remember the settings and let go of the viewer and the engine."""
        self._warm.stop()
        self._remember()
        self.image.close_events()
        self.results.close_events()
        self.control.leave()
        self.closer.inside.leave()
        self._hold.release()

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self.model.refresh()
        align_labels(self)

    def closeEvent(self, event: Any) -> None:
        self.shut_down()
        super().closeEvent(event)

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
        self.image.changed.connect(self._on_image)
        self._on_image()
        self.model.changed.connect(self._on_model)
        self._on_model()
        self.control.started.connect(self._remember)
        self.control.finished.connect(self._foresee_zoom)
        self._viewer.layers.events.removed.connect(self._foresee_zoom)
        self.control.finished.connect(self.runFinished)
        self.control.failed.connect(self.runFailed)
        self.model.problem.connect(self.message.complain)
        for part in (self.closer, self.results):
            part.told.connect(self.message.tell)
            part.failed.connect(self.message.complain)
        inside = self.closer.inside
        inside.running.connect(self._on_looking)
        inside.progressed.connect(self.bar.show_event)
        self.bar.cancelRequested.connect(lambda: inside.cancel())
        self.bar.runningChanged.connect(lambda running: inside.set_free(not running))
        # The window was destroyed, and its widgets with it: nothing of the panel outlives it.
        when_destroyed(
            self, self.control.drop, self.image.close_events, self._close_events, self._hold.release
        )

    def _close_events(self) -> None:
        self._viewer.layers.events.removed.disconnect(self._foresee_zoom)

    def _on_image(self) -> None:
        """Another image, axes or channels: what was told of an image that is gone goes with it."""
        chosen = self.image.identity()
        gone = self._chosen is not None and not has_layer(self._viewer, self._chosen)
        if gone:
            self.message.tell("")
        else:
            self.message.forgive()
        self._chosen = chosen
        self.bar.set_stack(self.image.is_stack())
        self.bar.set_obstacle("" if chosen is not None else NO_IMAGE)
        self.closer.set_image(chosen)
        self._foresee_zoom()

    def _on_looking(self, running: bool) -> None:
        if running:
            self.bar.set_waiting("Looking inside…")
        else:
            self.bar.set_idle()

    def _on_model(self) -> None:
        with suppress(ModelError):  # there is none
            self.form.foresee("threshold", self.model.ref().spec.threshold)
        self._foresee_zoom()

    def _foresee_zoom(self, *_: object) -> None:
        """Show what automatic has come to where this model has seen this image."""
        last = None
        with suppress(PapernetsError):  # there is no image, or no model
            last = self.closer.last_run(self.model.ref())
        automatic = last is not None and last["settings"].get("zoom") is None
        self.form.foresee("zoom", last["zoom"] if last is not None and automatic else None)

    def _lay_out(self) -> None:
        self.probabilities.setToolTip(PROBABILITY_HELP)
        add_row(self.form.advanced_rows, "Device", self.device, DEVICE_HELP)
        add_above(self.form.advanced, self.form.basic_rows, self.probabilities)
        groups = (
            group("Image", self.image),
            group("Model", self.model),
            group("Settings", self.form),
            group("Look closer", self.closer),
        )
        fill_panel(self, groups, (self.bar, self.message, self.results))
