"""The live training of a panel: one job that is started, fed, watched and started again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from qtpy.QtCore import QObject, QTimer, Signal

from ..core.annotation import Naming, Patch, View, Wish
from ..core.errors import EngineError, PapernetsError
from ..core.events import Event, Preview, Resting, Started, Step, Version
from ..core.model import ClassInfo
from .job_adapter import Engine, JobAdapter
from .live_plan import LivePlan

PAUSE = 250  # ms between updates of the state line
MEMORY = 0.8  # of the pace measured before, in its running mean

Kind = Literal["empty", "off", "starting", "waiting", "learning", "resting", "failed"]


@dataclass(frozen=True)
class LiveState:
    """What a live training does: a word for the program, and one line for the person; and whether an
    answer is shown that no version has."""

    kind: Kind
    text: str
    unsaved: bool = False


OFF = LiveState("off", "Live is off: press Train now, or switch it on.")
STOPPING = "Stopping…"
COMPARING = "Comparing the new version with the one in use…"


class LiveControl(QObject):
    """At most one live training.

    Parameters
    ----------
    engine : callable
        The engine.
    plan : callable
        What to start with, now; raises PapernetsError.

    Attributes
    ----------
    state : LiveState
        What it does now.
    auto : bool
        Train whenever there is something new; counts from the next start. Where that begins with a
        version that knows all, it is off until `follow`.
    stateChanged : Signal(object)
        The new LiveState.
    happened : Signal(object)
        Every event of the job; images are numbered as in the session.
    ended : Signal()
        The job returned, and no other follows.
    failed : Signal(object)
        The error.
    """

    stateChanged = Signal(object)
    happened = Signal(object)
    ended = Signal()
    failed = Signal(object)

    def __init__(
        self,
        engine: Callable[[], Engine],
        plan: Callable[[], LivePlan],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._engine, self._make_plan = engine, plan
        self.state, self.auto = OFF, True
        self._job: JobAdapter | None = None
        self._plan: LivePlan | None = None
        self._again: tuple[Wish, ...] | None = None
        self._stopping = self._final = False
        self._crashed, self._resumes, self._then = False, False, OFF
        self._last: Step | None = None
        self._pace, self._version = 0.0, ""
        self._shown: tuple[int, int] | None = None
        self._kept = 0, 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._tell_step)

    @property
    def is_running(self) -> bool:
        """Whether there is a job, be it one that rests or is about to end."""
        return self._job is not None

    @property
    def is_ending(self) -> bool:
        """Whether the job was told to stop and has not ended yet."""
        return self._stopping

    @property
    def plan(self) -> LivePlan | None:
        """What the job was started with; None where there is none."""
        return self._plan

    @property
    def has_crashed(self) -> bool:
        """Whether the engine failed since the last start."""
        return self._crashed

    def start(self, *wishes: Wish) -> None:
        """Start, and then send these wishes; only the wishes where it runs already."""
        if self._stopping:
            if not self._final:
                self._again = (*(self._again or ()), *wishes)
            return
        if self._job is not None:
            self._wish(*wishes)
            return
        try:
            plan = self._make_plan()
            self._submit(plan, wishes)
        except PapernetsError as error:
            self._fail(error)

    def restart(self, quiet: bool = False) -> None:
        """Something changed that a running job cannot take up: end it (what it learnt is kept as a
        version) and start anew; nothing where there is none. A training that was asked for goes on,
        unless `quiet`."""
        if self._job is not None and self._again is None and not self._final:
            self._again = (
                ("train",) if self.state.kind == "learning" and not self.auto and not quiet else ()
            )
            self._set("starting", "Taking up the change…")
            self._send_stop()

    def forget_crash(self) -> None:
        """What comes is another training: the next start does not go on from what a crash has left."""
        self._resumes = False

    def stop(self, then: LiveState = OFF, final: bool = False) -> None:
        """End the job; what was learnt since the last version is kept as one.

        Parameters
        ----------
        then : LiveState
            When it has ended.
        final : bool
            Begin no other before `ended`, whatever is asked for meanwhile.
        """
        self._final = final and self._job is not None
        self._then = then
        if self._job is not None:
            self._again = None
            self._send_stop()
            self._set(then.kind, STOPPING)
        else:
            self._set(then.kind, then.text)

    def name_version(self, number: int) -> None:
        """The version that came last has this number in its session."""
        self._version = f"{self._version} (version {number})"

    def follow(self) -> None:
        """From now on train whenever there is something new, and begin."""
        self.auto = True
        self._wish("follow")

    def rest(self) -> None:
        """End this round of training and keep a version; the job goes on with new strokes."""
        self._wish("rest", "keep")

    def take(self, patch: Patch) -> None:
        """New strokes; any thread may call this."""
        job, plan = self._job, self._plan
        if job is not None and plan is not None and not self._stopping:
            sent = plan.patch_to_job(patch)
            if sent is not None:
                job.send(sent)

    def look_at(self, view: View | None) -> None:
        """The person looks at something else."""
        if self._job is not None and self._plan is not None and view is not None and not self._stopping:
            sent = self._plan.view_to_job(view)
            if sent is not None:
                self._job.send(sent)

    def rename(self, classes: tuple[ClassInfo, ...]) -> None:
        """Classes have other names or colours; where there are more or fewer, all is learnt anew."""
        if self._job is None or self._plan is None or self._stopping:
            return
        if len(classes) == len(self._plan.classes):
            self._job.send(Naming(classes))
        else:
            self.restart()

    def leave(self) -> None:
        """The panel goes away: drop the job. Touches nothing of Qt or napari."""
        self._again = None
        if self._job is not None:
            self._job.forget()
        self._job = None

    def _submit(self, plan: LivePlan, wishes: tuple[Wish, ...]) -> None:
        job = JobAdapter(self)
        job.happened.connect(self._on_event)
        job.returned.connect(self._on_returned)
        job.failed.connect(self._fail)
        job.cancelled.connect(self._on_returned)
        self.auto = self.auto and not plan.knows_all
        arguments = plan.arguments(self.auto, self._resumes)
        self._plan, self._last, self._version, self._pace = plan, None, "", 0.0
        # Patch and step of what is shown, and of the last version, which may be what it begins with.
        self._shown, self._kept = None, (plan.patch if plan.goes_on else -1, 0)
        self._job = job
        known = bool(self._engine().info)
        self._set("starting", "Starting…" if known else "Starting the engine: some seconds, once…")
        job.start(self._engine(), "live", **arguments)
        self._crashed = self._resumes = False
        self._wish(*wishes)

    def _wish(self, *wishes: Wish) -> None:
        for wish in wishes:
            if self._job is not None:
                self._job.send(wish)

    def _send_stop(self) -> None:
        if self._job is not None and not self._stopping:
            self._stopping = True
            self._job.send("stop")

    def _on_event(self, event: Event) -> None:
        if self._plan is None:
            return
        if isinstance(event, Preview):
            event = replace(event, view=self._plan.view_to_session(event.view))
        self._follow(event)
        self.happened.emit(event)

    def _follow(self, event: Event) -> None:
        """The state that an event tells of."""
        if self._stopping:
            return
        if isinstance(event, Preview):
            self._shown = event.patch, event.step
        if isinstance(event, Started):
            self._set("starting", "Looking at the image…")
        elif isinstance(event, Preview) and self.state.kind in ("starting", "waiting"):
            self._set("starting", "Answered by a quick look; the training follows…")
        elif isinstance(event, Step):
            self._count(event)
        elif isinstance(event, Version):
            self._follow_version(event)
        elif isinstance(event, Resting):
            self._timer.stop()
            text = event.reason
            if self._version and not event.lacks:
                text = f"Resting: {self._version}. Paint where it is wrong."
            unsaved = not event.lacks and self._shown not in (None, self._kept)
            self._set("waiting" if event.lacks else "resting", text, unsaved)

    def _follow_version(self, version: Version) -> None:
        self._version, self._kept = version.reason, (version.patch, version.step)
        if version.compares and self.state.kind == "learning":
            self._timer.stop()
            self._set("resting", COMPARING)
        elif self.state.unsaved:
            self._set(self.state.kind, self.state.text)

    def _count(self, step: Step) -> None:
        last, self._last = self._last, step
        if last is not None and step.step > last.step and step.seconds > last.seconds:
            pace = (step.step - last.step) / (step.seconds - last.seconds)
            self._pace = MEMORY * self._pace + (1 - MEMORY) * pace if self._pace else pace
        if not self._timer.isActive():
            self._timer.start(PAUSE if self.state.kind == "learning" else 0)

    def _tell_step(self) -> None:
        if self._last is not None and self._job is not None and not self._stopping:
            pace = f", {self._pace:.3g} steps/s" if self._pace else ""
            self._set("learning", f"Learning… step {self._last.step:,}{pace}")

    def _on_returned(self, *_: Any) -> None:
        again = self._again
        self._end()
        if again is not None:
            self.start(*again)
        else:
            self._set(self._then.kind, self._then.text)
            self.ended.emit()

    def _fail(self, error: BaseException) -> None:
        again = self._again
        if again is not None and not isinstance(error, EngineError):  # it is not wanted any more
            self._end()
            self.start(*again)
            return
        self._crashed = self._resumes = isinstance(error, EngineError)
        self._end()
        line = "The engine stopped; it starts again with the next stroke." if self._crashed else ""
        self._set("failed", line or "Not started.")
        self.failed.emit(error)

    def _end(self) -> None:
        self._timer.stop()
        if self._job is not None:
            self._job.deleteLater()
        self._job, self._plan, self._again, self._stopping = None, None, None, False
        self._final = False

    def _set(self, kind: Kind, text: str, unsaved: bool = False) -> None:
        state = LiveState(kind, text, unsaved)
        if state != self.state:
            self.state = state
            self.stateChanged.emit(state)
