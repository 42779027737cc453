"""One prediction from press to result: the job, its layer, and its bar in the activity dock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from ..core.errors import PapernetsError
from ..core.events import Event
from ..core.results import Prediction
from .activity import ActivityBar
from .calm_collector import hold_collector
from .job_adapter import Engine, JobAdapter
from .label_sink import LabelSink
from .probability_layers import set_earlier_apart, show_probabilities
from .run_plan import RunPlan

if TYPE_CHECKING:
    import napari.viewer


POLL = 200  # ms between looks at Cancel in the activity dock
SOON = 1  # ms: what waits comes first, which it would not at 0
CANCELLED = "Cancelled"


class Run(QObject):
    """Runs one plan and keeps its layers up to date; deletes itself at the end. It ends, too, as if it
    were cancelled, when its image is removed from the viewer.

    Attributes
    ----------
    progressed : Signal(object)
        Every event of the job.
    finished : Signal(object, object)
        The labels layer and the Prediction.
    failed : Signal(object)
        The error; the layers are as before the run.
    cancelled : Signal(str)
        Why, as the beginning of a sentence; likewise.
    """

    progressed = Signal(object)
    finished = Signal(object, object)
    failed = Signal(object)
    cancelled = Signal(str)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        engine: Engine,
        plan: RunPlan,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.plan = plan
        self._viewer, self._engine = viewer, engine
        self._steps: Iterator[None] = iter(())
        self._opening: Iterator[None] = iter(())
        self._activity: ActivityBar | None = None
        self._over = False
        self._let_go: Callable[[], None] = lambda: None
        self._untold: list[Event] = []
        self._timer = QTimer(self)
        self._ending = QTimer(self, singleShot=True, interval=SOON)
        self._job = JobAdapter(self)
        self._job.happened.connect(self._on_event)
        self._job.returned.connect(self._on_returned)
        self._job.failed.connect(self._on_failed)
        self._job.cancelled.connect(self._on_cancelled)

    def start(self) -> None:
        """Submit the job; then show the empty layer and the bar, one after the other, so that the window
        lives between them.

        Raises
        ------
        PapernetsError
            If the engine does not take it; the layers are as before then.
        """
        self._sink = LabelSink(self._viewer, self.plan, self)
        self._let_go = hold_collector()
        try:
            self._job.start(
                self._engine,
                "predict",
                self.plan.prepare,
                self._sink.look.write,
                **self.plan.arguments(),
            )
        except PapernetsError:
            self.leave()
            raise
        self._viewer.layers.events.removed.connect(self._on_removed)
        self._opening = self._open()
        QTimer.singleShot(SOON, self._open_next)

    def cancel(self) -> None:
        """End the run: the layers are as before at once, whatever the engine still has to clean up."""
        self._give_up(CANCELLED)

    def leave(self) -> None:
        """The panel goes away: drop the job, put the layers back and say nothing more."""
        self._ending.stop()
        self.drop()
        self._end()
        self._sink.abandon()
        self.deleteLater()

    def drop(self) -> None:
        """The window is gone: drop the job. Touches nothing of Qt or napari."""
        self._over = True
        self._job.forget()
        self._let_go()

    def _give_up(self, reason: str) -> None:
        self._ending.stop()
        self.drop()
        self._on_cancelled(reason)

    def _on_removed(self, event: Any) -> None:
        """A layer was removed: nothing is drawn any more where it was the image of this run. The layers
        are put back when the viewer is done with the removal."""
        if not self._over and event.value.unique_id == self.plan.identity:
            self.drop()
            self._end()
            self._sink.rest()
            reason = f"{CANCELLED}, since the image {self.plan.image.name} was removed"
            self._ending.timeout.connect(partial(self._give_up, reason))
            self._ending.start()

    def _on_event(self, event: Event) -> None:
        self._sink.show(event)
        self.progressed.emit(event)
        self._untold.append(event)
        QTimer.singleShot(SOON, self._tell_activity)

    def _tell_activity(self) -> None:
        """Bring the bar up to date. napari handles waiting events in there: what is drawn for an event
        should not wait for that in one go with it."""
        if self._activity is not None:
            events, self._untold = self._untold, []
            for event in events:
                self._activity.show_event(event)

    def _open_next(self) -> None:
        if next(self._opening, self) is not self:
            QTimer.singleShot(SOON, self._open_next)

    def _open(self) -> Iterator[None]:
        yield from self._sink.opening()
        yield
        self._activity = ActivityBar(self.plan.name, self.cancel)
        if self._over:  # napari handled waiting events in there
            self._activity.close()
            return
        self._timer.timeout.connect(self._activity.poll)
        self._timer.start(POLL)
        self._tell_activity()

    def _end(self) -> None:
        self._over, self._opening = True, iter(())
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._let_go()
        self._timer.stop()
        if self._activity is not None:
            self._activity.close()

    def _on_returned(self, result: Prediction) -> None:
        self._end()
        layer = self._sink.finish(result)
        set_earlier_apart(self._viewer, self.plan, result)
        adding = show_probabilities(self._viewer, self.plan, result)
        self._steps = chain(self._sink.settling(), adding)
        QTimer.singleShot(SOON, self._settle_next)
        self.finished.emit(layer, result)

    def _settle_next(self) -> None:
        if next(self._steps, self) is self:
            self.deleteLater()
        else:
            QTimer.singleShot(SOON, self._settle_next)

    def _on_failed(self, error: BaseException) -> None:
        self._end()
        self._sink.abandon()
        self.failed.emit(error)
        self.deleteLater()

    def _on_cancelled(self, reason: str = CANCELLED) -> None:
        self._end()
        self._sink.abandon()
        self.cancelled.emit(reason)
        self.deleteLater()
