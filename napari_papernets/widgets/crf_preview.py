"""The live preview of the CRF panel: what is in view is refined again whenever something changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QCheckBox

from ..core.annotation import View
from ..core.errors import InputError
from ..core.results import Refinement
from .belief_picker import BeliefPicker
from .belief_view import BeliefView
from .crf_plan import CRFPlan
from .image_layers import current_plane, visible_region
from .image_picker import ImagePicker
from .job_adapter import Engine
from .layer_parts import NothingToRefine
from .message_line import MessageLine
from .newest_job import NewestJob, Wish
from .view_follower import ViewFollower

if TYPE_CHECKING:
    import napari.viewer

PAUSE = 40  # ms after a change, so that a burst of them is one
HINT = "Move a slider, or press Preview, to refine these labels."
LIVE_HELP = (
    "Refine what is in view whenever a parameter, the view or the source changes. It knows nothing of "
    "what lies outside of the view, so near its border the whole image may come out a little different."
)


class CRFPreview(QObject):
    """Refines what is in view, and shows it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer.
    image : ImagePicker
        The image.
    beliefs : BeliefPicker
        The probabilities.
    plan : callable
        What a refinement of what is in view would do now; raises PapernetsError.
    engine : callable
        The engine.
    view : BeliefView
        Shows the answers.
    message : MessageLine
        Tells what is waited for, and what to know of an answer.

    Attributes
    ----------
    live : QCheckBox
        Whether changes are followed.
    jobs : NewestJob
        One at a time.
    follower : ViewFollower
        Of what is in view.
    answered : Signal(object)
        The Refinement that is shown now.
    """

    answered = Signal(object)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image: ImagePicker,
        beliefs: BeliefPicker,
        plan: Callable[[], CRFPlan],
        engine: Callable[[], Engine],
        view: BeliefView,
        message: MessageLine,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._image, self._beliefs, self._plan = viewer, image, beliefs, plan
        self._view, self._message = view, message
        self._begun = False  # the person asked for something, or touched what changes it
        self._said = ""  # the last sentence of the preview, which its next answer replaces
        self.live = QCheckBox("Live preview")
        self.live.setChecked(True)
        self.live.setToolTip(f"<p>{LIVE_HELP}</p>")
        self.jobs = NewestJob(engine, self._wish, self)
        self.follower = ViewFollower(viewer, self._in_view, self)
        self._pause = QTimer(self, singleShot=True, interval=PAUSE)
        # Not at once: the list of layers, which changes then, is not to be changed meanwhile.
        self._removed: list[Any] = []
        self._clearing = QTimer(self, singleShot=True, interval=0)
        self._connect()

    def request(self) -> None:
        """Refine what is in view, whether or not changes are followed."""
        self._begun = True
        self.jobs.request()

    def begin(self, *_: object) -> None:
        """The person wants to see something: from now on changes of labels are followed too, which may
        be anything. Any signal may be connected to this."""
        self._begun = True
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Something has changed; any signal may be connected to this."""
        # Not started anew by each change: under a hand that does not rest it would never end.
        if self.live.isChecked() and not self._pause.isActive():
            self._pause.start()

    def wait_for(self, reason: str) -> None:
        """Say why nothing is shown yet, until the next answer."""
        self._said = reason
        self._message.tell(reason)

    def leave(self) -> None:
        """The panel goes away: drop what runs and let go of the viewer."""
        self.follower.close_events()
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        for timer in (self._pause, self._clearing):
            timer.stop()
        self.jobs.leave()

    def _wish(self) -> Wish:
        plan = self._plan()
        return Wish("refine", plan.arguments(), plan)

    def _in_view(self) -> View | None:
        try:
            layer, axes = self._image.layer(), self._image.axes_text()
            region = visible_region(self._viewer, layer, axes)
            return View(0, current_plane(self._viewer, layer, axes), region) if region else None
        except (InputError, ValueError):
            return None

    def _chosen(self) -> Any:
        """Image, source and plane that are chosen; None where something is missing."""
        try:
            layer, block = self._image.layer(), self._image.block()
            plane = current_plane(self._viewer, layer, block.axes)
            return layer.unique_id, self._beliefs.source().identity, plane
        except InputError:
            return None

    def _on_pause(self) -> None:
        if self._chosen() is None:
            self._view.clear()  # nothing to refine yet: no reason to complain while nobody asked
        elif not self._begun and self._beliefs.source().kind == "labels":
            self._view.clear()
            self.wait_for(HINT)
        else:
            self._beliefs.when_counted(self.jobs.request)

    def _on_removed(self, event: Any) -> None:
        self._removed.append(event.value)
        self._clearing.start()

    def _clear_removed(self) -> None:
        """The preview of an image goes with it."""
        removed, self._removed = self._removed, []
        for image in removed:
            self._view.forget(image)

    def _on_answer(self, plan: CRFPlan, result: Refinement) -> None:
        """Show it, unless another image, plane or source has been chosen since."""
        if self._chosen() != (plan.identity.unique_id, plan.source, plan.plane):
            return
        self._view.show_result(plan, result)
        notices = [*(result.provenance.get("notices") or []), *self._view.remarks()]
        self._message.forgive()
        if notices or self._message.text() == self._said:  # what a search has told stays
            self.wait_for(" · ".join(notices))
        self.answered.emit(result)

    def _on_failed(self, error: BaseException) -> None:
        if isinstance(error, NothingToRefine):
            self._view.clear()
            self.wait_for(f"Nothing to refine: {error.received}; {error.mend}.")
        elif isinstance(error, InputError) and self._chosen() is None:
            self._view.clear()  # what was chosen went before its turn came
        else:
            self._message.complain(error)

    def _connect(self) -> None:
        self.live.toggled.connect(self.refresh)
        self.follower.moved.connect(self.refresh)
        self._pause.timeout.connect(self._on_pause)
        self._clearing.timeout.connect(self._clear_removed)
        self._viewer.layers.events.removed.connect(self._on_removed)
        self.jobs.happened.connect(self._view.watch)
        self.jobs.answered.connect(self._on_answer)
        self.jobs.waiting.connect(self.wait_for)
        self.jobs.failed.connect(self._on_failed)
