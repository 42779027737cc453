"""The DeepLab + CRF panel: probabilities and an image in, labels that follow its edges out, live."""

from __future__ import annotations

import contextlib
import typing
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal

from ..core.crf_settings import CRFSettings
from ..core.errors import InputError, PapernetsError
from ..core.fields import Device
from ..core.results import TunedCRF
from .belief_picker import BeliefPicker, choose_image_with
from .belief_view import BeliefView
from .calm import CalmComboBox
from .crf_form import CRFForm
from .crf_offers import offer_runs
from .crf_plan import CRFPlan, plan_refinement
from .crf_preview import CRFPreview
from .crf_tuning import CRFTuning
from .docked_panel import DockedPanel
from .engine_access import EngineHold
from .farewell import when_destroyed
from .image_picker import ImagePicker
from .job_adapter import Engine
from .label_numbers import LabelNumbers
from .layer_parts import Target
from .message_line import MessageLine
from .panel_layout import fill_panel, group
from .refine_run import RefineRun
from .remembered import recall, remember
from .run_bar import RunBar
from .run_plan import Kind
from .settings_form import add_above, add_row, align_labels
from .warm_up import WarmUp

if TYPE_CHECKING:
    import napari.viewer

MEMORY = "crf_panel"
DEVICE_HELP = "Where to compute: auto is the GPU where there is one, else the processor."
BUTTONS = {
    "view": ("Preview", "Refine what is in view now."),
    "plane": ("Whole image", "Refine the whole plane that is in view."),
    "stack": ("Whole stack", "Refine every plane along T and Z."),
}


class CRFPanel(DockedPanel):
    """Refines probabilities with the fully connected CRF.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer that the panel belongs to.
    engine : Engine, optional
        In place of the one that all panels share.

    Attributes
    ----------
    previewed : Signal(object)
        The Refinement of what is in view.
    runFinished : Signal(object, object)
        The labels layer and the Refinement of a run.
    """

    previewed = Signal(object)
    runFinished = Signal(object, object)

    def __init__(self, napari_viewer: napari.viewer.Viewer, *, engine: Engine | None = None) -> None:
        super().__init__()
        self.setObjectName("papernets-crf")
        self._viewer, self._hold = napari_viewer, EngineHold(engine)
        self.image = ImagePicker(napari_viewer)
        self.numbers = LabelNumbers(napari_viewer, self)
        self.beliefs = BeliefPicker(napari_viewer, self._target, self.numbers)
        self.form = CRFForm()
        self.device = CalmComboBox()
        self.device.addItems(typing.get_args(Device))
        self.view = BeliefView(napari_viewer)
        self.tuning = CRFTuning(
            napari_viewer, self.beliefs.source, self.numbers, lambda: self.plan("plane"),
            self._hold.engine,
        )  # fmt: skip
        self.bar, self.message = RunBar(buttons=BUTTONS, keys={}), MessageLine(napari_viewer)
        self.control = RefineRun(napari_viewer, self.plan, self._hold.engine, self.bar, self)
        self.previews = CRFPreview(
            napari_viewer, self.image, self.beliefs, lambda: self.plan("view"), self._hold.engine,
            self.view, self.message, self,
        )  # fmt: skip
        self._last: Any = None  # id of the image that was chosen at last
        self._lay_out()
        self._connect()
        self._recall()
        self._choose_image()
        for touched in (
            self.form.valueChanged, self.beliefs.combo.currentIndexChanged,
            self.beliefs.confidence.valueChanged, self.device.activated, self.previews.live.toggled,
        ):  # fmt: skip
            touched.connect(self.previews.begin)
        self._warm = WarmUp(self._hold.engine, self.message.complain, self)

    def settings(self) -> CRFSettings:
        """The settings that are shown."""
        return self.form.value().replace(channels=self.image.wanted_channels())

    def plan(self, kind: Kind) -> CRFPlan:
        """What a refinement of that kind would do now.

        Raises
        ------
        InputError
            If something chosen does not fit.
        """
        return plan_refinement(
            self._viewer,
            self.image.layer(),
            self.image.block(),
            self.beliefs.source(),
            self.settings(),
            kind,
            self.device.currentText(),
        )

    def shut_down(self) -> None:
        """Drop what runs, remember the settings and let go of the viewer and the engine."""
        self._warm.stop()
        values = dict(settings=self.form.value().changed(), device=self.device.currentText())
        remember(MEMORY, values)
        self._let_go()

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        align_labels(self)

    def closeEvent(self, event: Any) -> None:
        self.shut_down()
        super().closeEvent(event)

    def _let_go(self) -> None:
        """Nothing of the panel outlives it, also where the window was destroyed with its widgets."""
        for part in (self.previews, self.control, self.tuning, self.view):
            with contextlib.suppress(RuntimeError):  # its half in C++ is gone
                part.leave()
        for listener in (self.beliefs, self.tuning, self.image, self.numbers):
            listener.close_events()
        self._hold.release()

    def _target(self) -> Target:
        return Target(self.image.layer(), self.image.block())

    def _on_image(self) -> None:
        self._forget_message()
        self.bar.set_stack(self.image.is_stack())
        self.beliefs.refresh()
        self._offer()
        self.tuning.annotation.refresh()
        self.previews.refresh()

    def _offer(self, *_: object) -> None:
        offer_runs(self.image, self.beliefs, self.bar, self.tuning)

    def _forget_message(self) -> None:
        """What was told of another image is of no use any more."""
        try:
            chosen = self.image.layer().unique_id
        except InputError:
            chosen = None
        if chosen == self._last:
            self.message.forgive()
        else:
            self.message.tell("")
        self._last = chosen

    def _on_run(self, kind: str) -> None:
        if not self.beliefs.when_counted(lambda: self._run(typing.cast(Kind, kind))):
            self.previews.wait_for("Looking through the labels for their classes…")

    def _run(self, kind: Kind) -> None:
        """Start what a button asked for: where it cannot be done, that is an error now."""
        self.message.forgive()
        try:
            self.plan(kind)
        except PapernetsError as error:
            self.message.complain(error)
            return
        if kind == "view":
            self.previews.request()
        else:
            self.control.start(kind)

    def _on_tuned(self, tuned: TunedCRF) -> None:
        """Take the settings over where they help; otherwise the CRF is left off."""
        if tuned.helps:
            self.form.setValue(tuned.settings)
        else:
            self.previews.live.setChecked(False)
            self.view.clear()
            self.message.tell(f"{self.message.text()}. Live preview is off now: tick it to see the CRF.")

    def _choose_image(self) -> None:
        """Begin with an image that has probabilities, where there is one (they are image layers too)."""
        choose_image_with(self.image.combo, self.beliefs, lambda offer: offer.kind != "labels")

    def _follow_maps(self) -> None:
        """Probabilities that were added as an image layer are what to start from, not the image."""
        with contextlib.suppress(InputError, RuntimeError):  # no image; its half in C++ is gone
            fresh = self.image.layer().unique_id
            choose_image_with(self.image.combo, self.beliefs, lambda offer: offer.key == fresh)

    def _recall(self) -> None:
        values = recall(MEMORY)
        # of another version: the defaults are fine
        with contextlib.suppress(InputError, TypeError, AttributeError):
            self.form.setValue(CRFSettings.from_dict(values.get("settings", {})))
        self.device.setCurrentText(str(values.get("device", "auto")))

    def _connect(self) -> None:
        self.image.changed.connect(self._on_image)
        self.image.added.connect(lambda: QTimer.singleShot(0, self._follow_maps))
        for change in (self.beliefs.changed, self.tuning.ended, self.tuning.annotation.changed):
            change.connect(self._offer)
        for signal in (self.beliefs.changed, self.form.valueChanged, self.device.currentTextChanged):
            signal.connect(self.previews.refresh)
        self.previews.answered.connect(self.previewed)
        self.bar.runRequested.connect(self._on_run)
        self.control.finished.connect(self.runFinished)
        self.control.finished.connect(lambda layer, _: self.view.give_way(layer))
        self.tuning.tuned.connect(self._on_tuned)
        for part in (self.control, self.tuning, self.view):
            part.told.connect(self.message.tell)
        for part in (self.control, self.tuning):
            part.failed.connect(self.message.complain)
        self.beliefs.changed.connect(self.tuning.annotation.refresh)
        when_destroyed(self, self._let_go)
        self._on_image()

    def _lay_out(self) -> None:
        add_row(self.form.others.advanced_rows, "Device", self.device, DEVICE_HELP)
        add_above(self.form.others.advanced, self.form.rows, self.previews.live)
        groups = (
            group("Image", self.image),
            group("Probabilities", self.beliefs),
            group("CRF", self.form),
            group("Mean field", self.view),
            group("Tune", self.tuning),
        )
        fill_panel(self, groups, (self.bar, self.message))
