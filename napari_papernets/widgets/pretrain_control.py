"""Starts, stops and ends pre-trainings for a panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qtpy.QtCore import QObject, Signal

from ..core.errors import PapernetsError
from .job_adapter import Engine, JobAdapter


class PretrainControl(QObject):
    """At most one pre-training at a time of one panel.

    Parameters
    ----------
    engine : callable
        The engine.
    plan : callable
        Gives the arguments of the verb, told whether to go on from a checkpoint; raises PapernetsError
        where none can be started.

    Attributes
    ----------
    started : Signal(object)
        A training was submitted: its arguments.
    happened : Signal(object)
        An event of it.
    finished : Signal(object)
        The Tuned that it returned.
    failed : Signal(object)
        Its error, or why none was started.
    cancelled : Signal()
        It was dropped.
    """

    started = Signal(object)
    happened = Signal(object)
    finished = Signal(object)
    failed = Signal(object)
    cancelled = Signal()

    def __init__(
        self,
        engine: Callable[[], Engine],
        plan: Callable[[bool], Mapping[str, Any]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._engine, self._plan = engine, plan
        self._job: JobAdapter | None = None

    @property
    def is_running(self) -> bool:
        return self._job is not None

    def start(self, go_on: bool = False) -> None:
        """Begin a training from what is chosen now, or go on with one."""
        if self._job is not None:
            return
        try:
            arguments = dict(self._plan(go_on))
            job = self._job = JobAdapter(self)
            job.happened.connect(self.happened)
            job.returned.connect(lambda tuned: self._end(self.finished, tuned))
            job.failed.connect(lambda error: self._end(self.failed, error))
            job.cancelled.connect(lambda: self._end(self.cancelled))
            job.start(self._engine(), "pretrain", **arguments)
        except PapernetsError as error:
            self._end(self.failed, error)
        else:
            self.started.emit(arguments)

    def stop(self) -> None:
        """End the training and keep what it has."""
        if self._job is not None:
            self._job.send("stop")

    def cancel(self) -> None:
        """End the training and keep nothing."""
        if self._job is not None:
            self._job.cancel()

    def drop(self) -> None:
        """The panel goes away: cancel, and emit nothing any more."""
        if self._job is not None:
            self._job.forget()
            self._job = None

    def _end(self, signal: Signal, *values: Any) -> None:
        if self._job is not None:
            self._job.deleteLater()
            self._job = None
        signal.emit(*values)
