"""A job of the engine, as its owner sees it and as the door keeps it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..core.errors import PapernetsError
from .remote import Key

# Verbs that take long, and let others run between two of their events.
PATIENT = frozenset({"live", "finetune", "pretrain", "features"})

State = Literal["waiting", "starting", "running", "done"]


@dataclass(frozen=True, eq=False)
class Callbacks:
    """What a job tells its owner, on a thread of the door."""

    on_event: Callable[[Any], None]
    on_returned: Callable[[Any], None]
    on_failed: Callable[[Exception], None]
    on_cancelled: Callable[[], None]


@dataclass(eq=False)
class Task:
    """A job in the door's books; changed under the door's lock only.

    Attributes
    ----------
    id, verb, arguments, callbacks
        What was submitted.
    state : {"waiting", "starting", "running", "done"}
        "starting": its arguments are being copied. "running": the engine has it.
    arrays : list
        Arrays that stay in this process; the engine asks for their blocks.
    early : list
        Values sent before it told anything.
    told : bool
        It told something. Until then it can be begun anew, with its arguments and early values.
    cancelled_at : float or None
        When the owner (or `error`) cancelled it, by the monotonic clock.
    error : PapernetsError or None
        Why the door itself cancelled it.
    """

    id: int
    verb: str
    arguments: Mapping[str, Any]
    callbacks: Callbacks
    state: State = "waiting"
    arrays: list[Any] = field(default_factory=list)
    early: list[Any] = field(default_factory=list)
    told: bool = False
    cancelled_at: float | None = None
    error: PapernetsError | None = None

    @property
    def patient(self) -> bool:
        return self.verb in PATIENT

    @property
    def cancelled(self) -> bool:
        return self.cancelled_at is not None

    def keep(self, array: Any) -> Key:
        """Remember an array that stays behind; what the engine asks for it with."""
        self.arrays.append(array)
        return self.id, len(self.arrays) - 1

    def waits_longer_than(self, seconds: float) -> bool:
        """Whether the engine, which has it, was asked to drop it so long ago."""
        if self.cancelled_at is None or self.state != "running":
            return False
        return time.monotonic() - self.cancelled_at > seconds

    def give_time(self) -> None:
        """Where it was cancelled, its turn to end begins only now."""
        if self.cancelled_at is not None:
            self.cancelled_at = time.monotonic()

    def tells(self) -> None:
        """It began: what it would need to begin anew is let go of."""
        self.told, self.arguments, self.early = True, {}, []

    def finish(self) -> None:
        """Mark it done and let go of its arrays."""
        self.state = "done"
        self.arguments, self.arrays, self.early = {}, [], []


class Job:
    """One run of a verb, made by `Engine.submit`. No method waits.

    Attributes
    ----------
    id : int
        Unique in its engine.
    verb : str
        What runs.
    """

    def __init__(
        self, task: Task, send: Callable[[Task, Any], None], cancel: Callable[[Task], None]
    ) -> None:
        self.id = task.id
        self.verb = task.verb
        self._task = task
        self._send, self._cancel = send, cancel

    @property
    def done(self) -> bool:
        """Whether it has returned, failed or been cancelled."""
        return self._task.state == "done"

    def send(self, value: Any) -> None:
        """Send a value into the verb, which takes it at its next event; "stop" is stop and keep."""
        self._send(self._task, value)

    def stop(self) -> None:
        """Let the verb end early and return what it has."""
        self.send("stop")

    def cancel(self) -> None:
        """Drop it. Where the engine does not answer in a second, it is killed and started again."""
        self._cancel(self._task)
