"""One prediction from press to result: the job, its layer, and its bar in the activity dock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from ..core.errors import PapernetsError
from ..core.events import Event
from ..core.results import Prediction
from .activity import ActivityBar
from .job_adapter import Engine, JobAdapter
from .label_sink import LabelSink
from .probability_layers import show_probabilities
from .run_plan import RunPlan

if TYPE_CHECKING:
    import napari.viewer


POLL = 200  # ms between looks at Cancel in the activity dock


class Run(QObject):
    """Runs one plan and keeps its layers up to date; deletes itself at the end.

    Attributes
    ----------
    progressed : Signal(object)
        Every event of the job.
    finished : Signal(object, object)
        The labels layer and the Prediction.
    failed : Signal(object)
        The error; the layers are as before the run.
    cancelled : Signal()
        Likewise.
    """

    progressed = Signal(object)
    finished = Signal(object, object)
    failed = Signal(object)
    cancelled = Signal()

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
        self._timer = QTimer(self)
        self._job = JobAdapter(self)
        self._job.event.connect(self._on_event)
        self._job.returned.connect(self._on_returned)
        self._job.failed.connect(self._on_failed)
        self._job.cancelled.connect(self._on_cancelled)

    def start(self) -> None:
        """Show the empty layer and submit the job.

        Raises
        ------
        PapernetsError
            If the engine does not take it; the layers are as before then.
        """
        self._sink = LabelSink(self._viewer, self.plan, self)
        self._activity = ActivityBar(self.plan.name, self.cancel)
        self._timer.timeout.connect(self._activity_poll)
        self._timer.start(POLL)
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

    def cancel(self) -> None:
        """End the run: the layers are as before at once, whatever the engine still has to clean up."""
        self.drop()
        self._on_cancelled()

    def leave(self) -> None:
        """The panel goes away: drop the job, put the layers back and say nothing more."""
        self.drop()
        self._end()
        self._sink.abandon()
        self.deleteLater()

    def drop(self) -> None:
        """The window is gone: drop the job. Touches nothing of Qt or napari."""
        self._job.forget()

    def _on_event(self, event: Event) -> None:
        self._sink.show(event)
        self.progressed.emit(event)
        self._activity.show_event(event)  # last: napari handles waiting events in there

    def _activity_poll(self) -> None:
        self._activity.poll()

    def _end(self) -> None:
        self._timer.stop()
        self._activity.close()

    def _on_returned(self, result: Prediction) -> None:
        self._end()
        layer = self._sink.finish(result)
        self._steps = show_probabilities(self._viewer, self.plan, result)
        QTimer.singleShot(0, self._add_probabilities)
        self.finished.emit(layer, result)

    def _add_probabilities(self) -> None:
        if next(self._steps, self) is self:
            self.deleteLater()
        else:
            QTimer.singleShot(0, self._add_probabilities)

    def _on_failed(self, error: BaseException) -> None:
        self._end()
        self._sink.abandon()
        self.failed.emit(error)
        self.deleteLater()

    def _on_cancelled(self) -> None:
        self._end()
        self._sink.abandon()
        self.cancelled.emit()
        self.deleteLater()
