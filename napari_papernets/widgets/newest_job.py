"""One job at a time, and of many wishes only the newest counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from ..core.errors import PapernetsError
from ..core.events import Event
from .job_adapter import Engine, JobAdapter

PATIENCE = 700  # ms without an answer, after which it is said that the engine is busy


@dataclass(frozen=True, eq=False)
class Wish:
    """A job that is wanted.

    Attributes
    ----------
    verb : str
        Of the engine.
    arguments : mapping
        Of the verb.
    about : object
        What the answer belongs to.
    """

    verb: str
    arguments: Mapping[str, Any]
    about: Any


class NewestJob(QObject):
    """Runs the newest wish.

    Parameters
    ----------
    engine : callable
        The engine.
    wish : callable
        What is wanted now; asked when a job starts, so that a wish may change until then. Raises
        PapernetsError where nothing can be done.

    Attributes
    ----------
    happened : Signal(object, object)
        What the job is about, and an event of it.
    answered : Signal(object, object)
        What it is about, and what it returned.
    waiting : Signal(str)
        Why nothing comes yet.
    failed : Signal(object)
        The error.
    """

    happened = Signal(object, object)
    answered = Signal(object, object)
    waiting = Signal(str)
    failed = Signal(object)

    def __init__(
        self,
        engine: Callable[[], Engine],
        wish: Callable[[], Wish],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._engine, self._wish = engine, wish
        # One for all jobs, since there is never more than one at a time.
        self._job = JobAdapter(self)
        self._job.happened.connect(self._on_event)
        self._job.returned.connect(self._on_returned)
        self._job.failed.connect(self._on_failed)
        self._job.cancelled.connect(self._settle)
        self._current: Wish | None = None  # that is on its way
        self._again = self._left = False
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.timeout.connect(self._tell_why)

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return self._current is not None

    def request(self) -> None:
        """Run, now or as soon as the job before is done."""
        if self.busy:
            self._again = True
        elif not self._left:
            self._start()

    def leave(self) -> None:
        """Drop what is on its way, and start nothing any more."""
        self._left = True
        self._patience.stop()
        self._job.forget()
        self._current = None

    def _start(self) -> None:
        self._again = False
        try:
            self._current = wish = self._wish()
            self._patience.start(PATIENCE)
            self._job.start(self._engine(), wish.verb, **wish.arguments)
        except PapernetsError as error:
            self._on_failed(error)

    def _on_event(self, event: Event) -> None:
        self._patience.stop()
        if self._current is not None:
            self.happened.emit(self._current.about, event)

    def _on_returned(self, result: Any) -> None:
        """An answer to a wish that has changed since is told too: the next one replaces it soon."""
        current = self._current
        self._settle()
        if current is not None:
            self.answered.emit(current.about, result)

    def _on_failed(self, error: BaseException) -> None:
        again = self._again
        self._settle()
        if not again:
            self.failed.emit(error)

    def _settle(self) -> None:
        self._patience.stop()
        self._current = None
        if self._again:
            self._start()

    def _tell_why(self) -> None:
        if self._engine().info:
            self.waiting.emit("Waiting: the engine is busy with another job, such as a training.")
        else:
            self.waiting.emit("Waiting for the engine to start.")
