"""The DeepLab + CRF panel: probabilities and an image in, labels that follow its edges out, live."""

from __future__ import annotations

import contextlib
import functools
import typing
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox

from ..core.annotation import View
from ..core.crf_settings import CRFSettings
from ..core.errors import InputError, PapernetsError
from ..core.events import Event
from ..core.fields import Device
from ..core.results import Refinement, TunedCRF
from .belief_picker import BeliefPicker, choose_image_with
from .belief_view import BeliefView
from .calm import CalmComboBox
from .crf_form import CRFForm
from .crf_offers import offer_runs
from .crf_plan import CRFPlan, plan_refinement
from .crf_tuning import CRFTuning
from .docked_panel import DockedPanel
from .engine_access import EngineHold
from .image_layers import current_plane, visible_region
from .image_picker import ImagePicker
from .job_adapter import Engine
from .label_numbers import LabelNumbers
from .layer_parts import NothingToRefine, Target
from .message_line import MessageLine
from .newest_job import NewestJob, Wish
from .panel_layout import fill_panel, group
from .refine_run import RefineRun
from .remembered import recall, remember
from .run_bar import RunBar
from .run_plan import Kind
from .settings_form import add_above, add_row, align_labels
from .view_follower import ViewFollower
from .warm_up import import_ahead

if TYPE_CHECKING:
    import napari.viewer

MEMORY = "crf_panel"
PAUSE = 40  # ms after a change, so that a burst of them is one
WARM_UP = 300  # ms after the panel was made, so that the window comes first
LIVE_HELP = (
    "Refine what is in view whenever a parameter, the view or the source changes. It knows nothing of "
    "what lies outside of the view, so near its border the whole image may come out a little different."
)
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
        self.live, self.device = QCheckBox("Live preview"), CalmComboBox()
        self.live.setChecked(True)
        self.device.addItems(typing.get_args(Device))
        self.view = BeliefView(napari_viewer)
        self.tuning = CRFTuning(
            napari_viewer, self.beliefs.source, self.numbers, lambda: self.plan("plane"),
            self._hold.engine,
        )  # fmt: skip
        self.bar, self.message = RunBar(buttons=BUTTONS, keys={}), MessageLine(napari_viewer)
        self.control = RefineRun(napari_viewer, self.plan, self._hold.engine, self.bar, self)
        self.previews = NewestJob(self._hold.engine, self._wish, self)
        self.follower = ViewFollower(napari_viewer, self._in_view, self)
        self._images = 0  # that there were at last
        self._last: Any = None  # id of the image that was chosen at last
        self._waits = False  # the message says what is waited for
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._lay_out()
        self._connect()
        self._recall()
        self._choose_image()
        QTimer.singleShot(WARM_UP, self._warm_up)

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

    def preview(self) -> None:
        """Refine what is in view."""
        self.previews.request()

    def shut_down(self) -> None:
        """Drop what runs, remember the settings and let go of the viewer and the engine."""
        values = dict(settings=self.form.value().changed(), device=self.device.currentText())
        remember(MEMORY, values)
        self._pause.stop()
        _let_go(self._hold, self)

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        align_labels(self)

    def closeEvent(self, event: Any) -> None:
        self.shut_down()
        super().closeEvent(event)

    def _target(self) -> Target:
        return Target(self.image.layer(), self.image.block())

    def _wish(self) -> Wish:
        plan = self.plan("view")
        return Wish("refine", plan.arguments(), plan)

    def _in_view(self) -> View | None:
        try:
            layer, axes = self.image.layer(), self.image.axes_text()
            region = visible_region(self._viewer, layer, axes)
            return View(0, current_plane(self._viewer, layer, axes), region) if region else None
        except (InputError, ValueError):
            return None

    def _chosen(self) -> Any:
        """Image, source and plane that are chosen; None where something is missing."""
        try:
            layer, block = self.image.layer(), self.image.block()
            plane = current_plane(self._viewer, layer, block.axes)
            return layer.unique_id, self.beliefs.source().identity, plane
        except InputError:
            return None

    def _on_change(self, *_: object) -> None:
        # Not started anew by each change: under a hand that does not rest it would never end.
        if self.live.isChecked() and not self._pause.isActive():
            self._pause.start(PAUSE)

    def _on_pause(self) -> None:
        if self._chosen() is None:
            self.view.clear()  # nothing to refine yet: no reason to complain while nobody asked
        else:
            self.beliefs.when_counted(self.previews.request)

    def _on_image(self) -> None:
        self._forget_message()
        grown = self.image.combo.count() > self._images
        self._images = self.image.combo.count()
        if grown:
            QTimer.singleShot(0, self._follow_maps)
        self.bar.set_stack(self.image.is_stack())
        self.beliefs.refresh()
        self._offer()
        self.tuning.annotation.refresh()
        self._on_change()

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

    def _on_event(self, plan: CRFPlan, event: Event) -> None:
        self.view.watch(plan, event)

    def _on_answer(self, plan: CRFPlan, result: Refinement) -> None:
        """Show a preview, unless another image, plane or source has been chosen since."""
        if self._chosen() != (plan.identity.unique_id, plan.source, plan.plane):
            return
        self.view.show_result(plan, result)
        notices = [*(result.provenance.get("notices") or []), *self.view.remarks()]
        self.message.forgive()
        if notices or self._waits:  # what a search has told stays
            self.message.tell(" · ".join(notices))
        self._waits = bool(notices)
        self.previewed.emit(result)

    def _on_preview_failed(self, error: BaseException) -> None:
        if isinstance(error, NothingToRefine):
            self.view.clear()
            self._on_waiting(f"Nothing to refine: {error.received}; {error.mend}.")
        else:
            self.message.complain(error)

    def _on_told(self, text: str) -> None:
        self._waits = False
        self.message.tell(text)

    def _on_waiting(self, reason: str) -> None:
        self._waits = True
        self.message.tell(reason)

    def _on_run(self, kind: str) -> None:
        if not self.beliefs.when_counted(lambda: self._run(typing.cast(Kind, kind))):
            self._on_waiting("Looking through the labels for their classes…")

    def _run(self, kind: Kind) -> None:
        """Start what a button asked for: where it cannot be done, that is an error now."""
        self.message.forgive()
        try:
            self.plan(kind)
        except PapernetsError as error:
            self.message.complain(error)
            return
        if kind == "view":
            self.preview()
        else:
            self.control.start(kind)

    def _on_tuned(self, tuned: TunedCRF) -> None:
        """Take the settings over where they help; otherwise the CRF is left off."""
        if tuned.helps:
            self.form.setValue(tuned.settings)
        else:
            self.live.setChecked(False)
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

    def _warm_up(self) -> None:
        import_ahead()
        try:
            self._hold.engine().start()
        except PapernetsError as error:
            self.message.complain(error)

    def _recall(self) -> None:
        values = recall(MEMORY)
        # of another version: the defaults are fine
        with contextlib.suppress(InputError, TypeError, AttributeError):
            self.form.setValue(CRFSettings.from_dict(values.get("settings", {})))
        self.device.setCurrentText(str(values.get("device", "auto")))

    def _connect(self) -> None:
        self.image.changed.connect(self._on_image)
        for end in (self.beliefs.changed, self.tuning.tuned, self.tuning.failed):
            end.connect(self._offer)
        self.tuning.cancel.clicked.connect(self._offer)
        for signal in (self.beliefs.changed, self.form.valueChanged, self.live.toggled):
            signal.connect(self._on_change)
        self.device.currentTextChanged.connect(self._on_change)
        self.follower.moved.connect(self._on_change)
        self._pause.timeout.connect(self._on_pause)
        self.previews.happened.connect(self._on_event)
        self.previews.answered.connect(self._on_answer)
        self.previews.waiting.connect(self._on_waiting)
        self.bar.runRequested.connect(self._on_run)
        self.control.finished.connect(self.runFinished)
        self.tuning.tuned.connect(self._on_tuned)
        for part in (self.control, self.tuning, self.view):
            part.told.connect(self._on_told)
        for part in (self.control, self.tuning):
            part.failed.connect(self.message.complain)
        self.previews.failed.connect(self._on_preview_failed)
        self.beliefs.changed.connect(self.tuning.annotation.refresh)
        self._on_image()

    def _lay_out(self) -> None:
        self.live.setToolTip(f"<p>{LIVE_HELP}</p>")
        add_row(self.form.others.advanced_rows, "Device", self.device, DEVICE_HELP)
        add_above(self.form.others.advanced, self.form.rows, self.live)
        groups = (
            group("Image", self.image),
            group("Probabilities", self.beliefs),
            group("CRF", self.form),
            group("Mean field", self.view),
            group("Tune", self.tuning),
        )
        fill_panel(self, groups, (self.bar, self.message))
        let_go = functools.partial(_let_go, self._hold, self)
        self.destroyed.connect(lambda *_: let_go())


def _let_go(hold: EngineHold, panel: CRFPanel) -> None:
    """Nothing of the panel outlives it, also where the window was destroyed with its widgets."""
    for part in (panel.previews, panel.control, panel.tuning):
        with contextlib.suppress(RuntimeError):  # its half in C++ is gone
            part.leave()
    for listener in (panel.follower, panel.beliefs, panel.tuning, panel.image, panel.numbers):
        listener.close_events()
    hold.release()
