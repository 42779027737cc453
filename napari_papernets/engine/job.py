"""A job in the engine's queue, as the viewer's side knows it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

class Job:
    """One run of a verb, made by `Engine.submit`.

    Attributes
    ----------
    id : int
        Unique in its engine.
    verb : str
        What runs.
    """

    def __init__(
        self,
        engine: Engine,
        number: int,
        verb: str,
        arguments: Mapping[str, Any],
        on_event: OnEvent,
        on_returned: OnReturned,
        on_failed: OnFailed,
        on_cancelled: OnCancelled,
    ) -> None:
        self.id = number
        self.verb = verb
        self._engine = engine
        self._arguments = arguments
        self._arrays: list[Any] = []  # those that stay behind, by number
        self._on_event, self._on_returned = on_event, on_returned
        self._on_failed, self._on_cancelled = on_failed, on_cancelled
        self._state = "waiting"  # then starting, running, done
        self._early: list[Any] = []  # values sent before it ran
        self._cancelled_at: float | None = None
        self._error: PapernetsError | None = None  # why we cancelled it ourselves

    @property
    def done(self) -> bool:
        """Whether it has returned, failed or been cancelled."""
        return self._state == "done"

    def send(self, value: Any) -> None:
        """Send a value into the verb, which takes it at its next event; "stop" is stop and keep."""
        self._engine._send(self, value)

    def stop(self) -> None:
        """Let the verb end early and return what it has."""
        self.send("stop")

    def cancel(self) -> None:
        """Drop it. Where the engine does not answer in a second, it is killed and started again."""
        self._engine._cancel(self)

    def _keep(self, array: Any) -> int:
        self._arrays.append(array)
        return len(self._arrays) - 1

    def _forget(self) -> None:
        """Let go of the arrays."""
        self._arguments = {}
        self._arrays = []
        self._early = []
