"""Brings what the engine's door tells, on a thread of its own, to the thread of the window."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Protocol

from qtpy.QtCore import QObject, Signal

from ..core.events import Event

Prepare = Callable[[Any], Any]
Observe = Callable[[Event], None]


class Job(Protocol):
    """What the door gives for a submitted job."""

    def cancel(self) -> None: ...

    def send(self, value: Any) -> None: ...


class Engine(Protocol):
    """What a panel needs of the engine's door."""

    @property
    def info(self) -> Any: ...

    def start(self) -> None: ...

    def submit(
        self,
        verb: str,
        *,
        on_event: Callable[[Event], None],
        on_returned: Callable[[Any], None],
        on_failed: Callable[[BaseException], None],
        on_cancelled: Callable[[], None],
        **arguments: Any,
    ) -> Job: ...

    def give_way(self) -> None: ...

    def take_turns(self) -> None: ...

    def diagnostics(self) -> str: ...

    def close(self) -> None: ...


class JobAdapter(QObject):
    """One job of the engine, with Qt signals on the thread that this object lives on.

    Exactly one of `returned`, `failed` and `cancelled` is emitted, unless the adapter was told to
    `forget` the job.

    Attributes
    ----------
    happened : Signal(object)
        Every event of the job, in order.
    returned : Signal(object)
        What the job returned, after `prepare`.
    failed : Signal(object)
        The error.
    cancelled : Signal()
        The job ended because it was told to.
    """

    happened = Signal(object)
    returned = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    _arrived = Signal(str, tuple)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._job: Job | None = None
        self._forgotten = False
        self._passing = threading.RLock()
        self._arrived.connect(self._deliver)

    def start(
        self,
        engine: Engine,
        verb: str,
        prepare: Prepare | None = None,
        observe: Observe | None = None,
        **arguments: Any,
    ) -> None:
        """Submit a job.

        Parameters
        ----------
        engine : Engine
            The door.
        verb : str
            Such as "predict".
        prepare : callable, optional
            Called with the result on the door's thread; what it returns is what `returned` brings.
            Work on large arrays belongs here, since it would stop the window.
        observe : callable, optional
            Called with every event on the door's thread, before `happened` brings it.
        **arguments
            Of the verb.
        """

        def on_event(event: Event) -> None:
            if observe:
                observe(event)
            self._pass_on("happened", event)

        def on_returned(result: Any) -> None:
            try:
                result = prepare(result) if prepare else result
            except Exception as error:  # noqa: BLE001 - shown to the user like any failure of the job
                self._pass_on("failed", error)
            else:
                self._pass_on("returned", result)

        self._job = engine.submit(
            verb,
            on_event=on_event,
            on_returned=on_returned,
            on_failed=lambda error: self._pass_on("failed", error),
            on_cancelled=lambda: self._pass_on("cancelled"),
            **arguments,
        )

    def send(self, value: Any) -> None:
        """Send a value into the job, from any thread; nothing happens where there is none."""
        if self._job is not None:
            self._job.send(value)

    def cancel(self) -> None:
        """Ask the job to end; `cancelled` follows."""
        if self._job is not None:
            self._job.cancel()

    def forget(self) -> None:
        """Cancel, and emit nothing any more."""
        with self._passing:  # none is on its way any more: this object may be deleted now
            self._forgotten = True
        self.cancel()

    def _pass_on(self, signal: str, *values: Any) -> None:
        # The window, and this object's C++ half with it, may be gone: then there is nobody to tell.
        with self._passing, contextlib.suppress(RuntimeError):
            if not self._forgotten:
                self._arrived.emit(signal, values)

    def _deliver(self, signal: str, values: tuple[Any, ...]) -> None:
        """On the thread of this object; what waited there while the job was forgotten is dropped."""
        if not self._forgotten:
            getattr(self, signal).emit(*values)
