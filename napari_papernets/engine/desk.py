"""The desk behind the door: jobs are taken, begun, fed, cancelled and settled, each with one last word.

What may take a while (copying arguments, reading blocks, the callbacks) is done on threads of the desk
and of the process, never on the caller's.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import failures
from .job import Callbacks, Job, Task
from .lane import Lane
from .messages import (
    Block,
    Cancel,
    Cancelled,
    Failed,
    Happened,
    Message,
    Returned,
    Run,
    Value,
    WantBlock,
)
from .process import EngineProcess
from .schedule import Schedule
from .wire import pack

_logger = logging.getLogger(__name__)


class Desk:
    """Jobs, and the process that works on them as long as there is one.

    Parameters
    ----------
    log : deque of str
        Takes the traces of errors that nobody expected.

    Attributes
    ----------
    lock : RLock
        Guards `jobs` and `process`.
    jobs : Schedule
        Which wait, and which the engine has.
    process : EngineProcess or None
        Who works on them; the door starts and ends it.
    """

    def __init__(self, log: deque[str]) -> None:
        self.lock = threading.RLock()
        self.jobs = Schedule()
        self.process: EngineProcess | None = None
        self._log = log
        self._numbers = itertools.count(1)
        # Packs and sends, and calls back where no process does.
        self._out = Lane("papernets-out")

    def take(self, verb: str, arguments: Mapping[str, Any], callbacks: Callbacks) -> Job:
        """Take a job; it begins as soon as it may."""
        task = Task(next(self._numbers), verb, arguments, callbacks)
        with self.lock:
            self.jobs.waiting.append(task)
            self.advance()
        return Job(task, self._send, self._cancel)

    def advance(self) -> None:
        """Start the jobs that may, where the engine is ready for them; under the lock."""
        process = self.process
        if process is not None and process.info is not None:
            for task in self.jobs.begin():
                task.state = "starting"
                self._out.put(self._begin, process, task)

    def heard(self, process: EngineProcess, message: Message) -> None:
        """What the engine says, on the thread that reads it."""
        if process is not self.process:
            return
        if isinstance(message, WantBlock):
            process.blocks.put(self._serve_block, process, message)
            return
        with self.lock:
            task = self.jobs.find(getattr(message, "job", None))
            if task is not None and isinstance(message, Happened):
                task.tells()
        if task is None:
            return  # it is settled
        if isinstance(message, Happened):
            if not task.cancelled:
                _call(task.callbacks.on_event, message.event)
        elif task.cancelled or isinstance(message, Cancelled):
            self._settle_cancelled(task)
        elif isinstance(message, Returned):
            self._settle(task, task.callbacks.on_returned, message.result)
        elif isinstance(message, Failed):
            self._log.extend(message.trace.splitlines())
            self._settle(task, task.callbacks.on_failed, message.error)

    def lose(self, tasks: Sequence[Task], error: Exception) -> None:
        """Their process is gone: what was cancelled is, everything else has failed."""
        for task in tasks:
            if task.cancelled:
                self._settle_cancelled(task)
            else:
                self._settle(task, task.callbacks.on_failed, error)

    def cancel_all(self) -> None:
        """Cancel what waits and what runs; under the lock."""
        tasks = [*self.jobs.waiting, *self.jobs.running]
        self.jobs.waiting.clear()
        for task in tasks:
            self._out.put(self._settle_cancelled, task)

    def stop(self) -> None:
        """End the desk's thread when all is told."""
        self._out.stop()

    # What jobs ask for, on the caller's thread: nothing here may wait.

    def _send(self, task: Task, value: Any) -> None:
        with self.lock:
            if not task.told and task.state != "done":
                task.early.append(value)
            if task.state == "running" and self.process:
                self._out.put(self._send_value, self.process, task, value)

    def _cancel(self, task: Task) -> None:
        with self.lock:
            if task.state == "done" or task.cancelled:
                return
            task.cancelled_at = time.monotonic()
            if task.state == "waiting":
                self.jobs.waiting.remove(task)
                self._out.put(self._settle_cancelled, task)
            elif task.state == "running" and self.process:
                self._out.put(self.process.post, pack(Cancel(task.id)))

    # The out lane: what may take a while.

    def _begin(self, process: EngineProcess, task: Task) -> None:
        """Copy the arguments of a job and hand it to the engine."""
        try:
            parcel = pack(Run(task.id, task.verb, task.arguments), task.keep)
        except Exception as error:  # noqa: BLE001 - told to the owner, whatever it is
            self._settle(task, task.callbacks.on_failed, failures.not_handed_over(error))
            return
        with self.lock:
            dropped = task.cancelled or task.state == "done"
            stale = process is not self.process  # which has ended: it was taken back, or is lost
            if not (dropped or stale):
                task.state = "running"
                process.post(parcel)
                for value in task.early:
                    self._out.put(self._send_value, process, task, value)
        if dropped or stale:
            parcel.close()
        if dropped:
            self._settle_cancelled(task)

    def _send_value(self, process: EngineProcess, task: Task, value: Any) -> None:
        try:
            process.post(pack(Value(task.id, value)))
        except Exception as error:  # noqa: BLE001 - told to the owner, whatever it is
            task.error = failures.not_handed_over(error)
            self._cancel(task)

    # The lane of the process that reads blocks for it.

    def _serve_block(self, process: EngineProcess, want: WantBlock) -> None:
        with self.lock:
            task = self.jobs.find(want.key[0])
        if task is None:
            return  # the engine drops it, too
        try:
            values = np.asarray(task.arrays[want.key[1]][want.index])
            parcel = pack(Block(want.number, values))
        except Exception as error:  # noqa: BLE001 - any reader of any file may stand behind it
            parcel = pack(Block(want.number, None, f"{type(error).__name__}: {error}"))
        process.post(parcel)

    # The end of a job.

    def _settle_cancelled(self, task: Task) -> None:
        if task.error is not None:
            self._settle(task, task.callbacks.on_failed, task.error)
        else:
            self._settle(task, task.callbacks.on_cancelled)

    def _settle(self, task: Task, callback: Callable[..., None], *arguments: Any) -> None:
        """End a job, once, and go on with the next."""
        with self.lock:
            if task.state == "done":
                return
            task.finish()
            if self.jobs.remove(task) and self.process:
                self.process.used = time.monotonic()
        _call(callback, *arguments)
        with self.lock:
            self.advance()


def _call(callback: Callable[..., None], *arguments: Any) -> None:
    """Call back; a mistake in there must not end the desk's thread."""
    try:
        callback(*arguments)
    except Exception:
        _logger.exception("a callback of an engine's job failed")
