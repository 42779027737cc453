"""The viewer's door to the engine: jobs go in; events, results and errors come out.

Nothing here, and nothing that it imports, knows torch or Qt. The verbs run in one child process, which
is started in the background, warmed, and started again after it was killed or crashed. No call but
`Engine.close` waits; all callbacks come on a thread of the door, never on the caller's.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from ..core.errors import EngineError
from . import failures
from .diagnostics import report
from .job import Callbacks, Job, Task
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
from .process import EngineProcess, Lane, start_thread
from .schedule import Schedule
from .wire import pack

CANCEL_SECONDS = 1.0  # for the engine to answer before it is killed
CLOSE_SECONDS = 2.0
MEMORY_SHARE = 0.8
TICK = 0.2  # seconds between two looks at the clock and at the engine's memory

_logger = logging.getLogger(__name__)


class Engine:
    """The verbs, in a process of their own.

    One job at a time, the others wait; but trainings (`PATIENT`) let others run between two steps.

    Parameters
    ----------
    idle_seconds : float
        Without a job for so long the process is ended; the next job starts it again.
    memory_limit_gb : float, optional
        Main memory that the process may occupy before it is killed.
    log_lines : int
        How much of its output is kept for `diagnostics`.
    threads : int, optional
        Threads that it computes with; torch's own choice where None.
    verbs : str
        Module that holds the verbs.
    """

    def __init__(
        self,
        *,
        idle_seconds: float = 600,
        memory_limit_gb: float | None = None,
        log_lines: int = 500,
        threads: int | None = None,
        verbs: str = "napari_papernets.engine.verbs",
    ) -> None:
        self._idle_seconds = idle_seconds
        self._memory_limit_gb = memory_limit_gb
        self._log: deque[str] = deque(maxlen=log_lines)
        self._threads, self._verbs = threads, verbs
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._jobs = Schedule()
        self._process: EngineProcess | None = None
        self._false_starts = 0  # in a row
        # Packs and sends, and calls back where no process does.
        self._out = Lane("papernets-out")
        self._closed = False

    def start(self) -> None:
        """Start the process in the background and let it import what it will need.

        Raises
        ------
        EngineError
            If the engine was closed.
        """
        with self._lock:
            if self._closed:
                raise EngineError("The engine was closed; make a new one")
            if self._process is None:
                self._process = EngineProcess(
                    self._verbs, self._threads, self._log, self._heard, self._is_ready, self._has_ended
                )
                start_thread("papernets-minder", self._mind, self._process)

    def submit(
        self,
        verb: str,
        *,
        on_event: Callable[[Any], None],
        on_returned: Callable[[Any], None],
        on_failed: Callable[[Exception], None],
        on_cancelled: Callable[[], None],
        **arguments: Any,
    ) -> Job:
        """Run a verb when those before it are done; a training starts at once, and others run meanwhile.

        Exactly one of `on_returned`, `on_failed` and `on_cancelled` is called, after all events, on a
        thread of the door.

        Parameters
        ----------
        verb : str
            "predict", "finetune" or "inspect".
        on_event : callable
            Takes each event.
        on_returned : callable
            Takes the result.
        on_failed : callable
            Takes the error: an InputError of the verb, or an EngineError with one clear line.
        on_cancelled : callable
            Takes nothing.
        **arguments
            Of the verb. Arrays are copied when the job starts, not now: give a copy of what the user
            goes on editing. dask and zarr arrays, arrays mapped from a file and those above 1 GiB are
            not copied: the verb reads the blocks that it needs, from a thread of this process (or from
            disk, where a zarr array lies there).

        Raises
        ------
        EngineError
            If the engine was closed.
        """
        callbacks = Callbacks(on_event, on_returned, on_failed, on_cancelled)
        task = Task(next(self._numbers), verb, arguments, callbacks)
        with self._lock:
            self.start()
            self._jobs.waiting.append(task)
            self._advance()
        return Job(task, self._send, self._cancel)

    def close(self) -> None:
        """End the process: within 2 s, by force if need be. Unfinished jobs are cancelled."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
            tasks = [*self._jobs.waiting, *self._jobs.running]
            self._jobs.waiting.clear()
            for task in tasks:
                self._out.put(self._settle_cancelled, task)
        if process is not None:
            process.quit()
            process.ended.wait(CLOSE_SECONDS)
        self._out.stop()

    @property
    def pid(self) -> int | None:
        """Number of the engine's process; None while there is none."""
        process = self._process
        return process.pid if process else None

    @property
    def is_running(self) -> bool:
        """Whether the process is there, be it still importing."""
        return self._process is not None

    @property
    def info(self) -> Mapping[str, Any]:
        """What the engine told of itself (device, device_name, threads, cpus, python, versions);
        empty before it is ready."""
        process = self._process
        return (process.info or {}) if process else {}

    def diagnostics(self) -> str:
        """Versions, state and the last lines of the engine's output, for the report of a problem."""
        with self._lock:
            state = "not running"
            if self._process:
                state = "busy" if self._jobs.running else "ready" if self.info else "starting"
            facts = dict(
                engine=state,
                process=self.pid,
                waiting_jobs=len(self._jobs.waiting),
                memory_limit_gb=self._memory_limit_gb,
            )
            return report({**facts, **self.info}, list(self._log))

    # What jobs ask for, on the caller's thread: nothing here may wait.

    def _send(self, task: Task, value: Any) -> None:
        with self._lock:
            if task.state in ("waiting", "starting"):
                task.early.append(value)
            elif task.state == "running" and self._process:
                self._out.put(self._send_value, self._process, task, value)

    def _cancel(self, task: Task) -> None:
        with self._lock:
            if task.state == "done" or task.cancelled:
                return
            task.cancelled_at = time.monotonic()
            if task.state == "waiting":
                self._jobs.waiting.remove(task)
                self._out.put(self._settle_cancelled, task)
            elif task.state == "running" and self._process:
                self._out.put(self._process.post, pack(Cancel(task.id)))

    # The out lane: what may take a while.

    def _begin(self, process: EngineProcess, task: Task) -> None:
        """Copy the arguments of a job and hand it to the engine."""
        try:
            parcel = pack(Run(task.id, task.verb, task.arguments), task.keep)
        except Exception as error:  # noqa: BLE001 - told to the owner, whatever it is
            self._settle(task, task.callbacks.on_failed, failures.not_handed_over(error))
            return
        with self._lock:
            dropped = task.cancelled or task.state == "done"
            if not dropped:
                task.state, task.arguments = "running", {}
                process.post(parcel)
                for value in task.early:
                    self._send(task, value)
        if dropped:
            parcel.close()
            self._settle_cancelled(task)

    def _send_value(self, process: EngineProcess, task: Task, value: Any) -> None:
        try:
            process.post(pack(Value(task.id, value)))
        except Exception as error:  # noqa: BLE001 - told to the owner, whatever it is
            task.error = failures.not_handed_over(error)
            self._cancel(task)

    # The reader's thread: what the engine says.

    def _is_ready(self, process: EngineProcess) -> None:
        with self._lock:
            process.used = time.monotonic()
            self._false_starts = 0
            self._advance()

    def _heard(self, process: EngineProcess, message: Message) -> None:
        if process is not self._process:
            return
        if isinstance(message, WantBlock):
            process.blocks.put(self._serve_block, process, message)
            return
        with self._lock:
            task = self._jobs.find(getattr(message, "job", None))
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

    def _serve_block(self, process: EngineProcess, want: WantBlock) -> None:
        with self._lock:
            task = self._jobs.find(want.key[0])
        if task is None:
            return  # the engine drops it, too
        try:
            values = np.asarray(task.arrays[want.key[1]][want.index])
            parcel = pack(Block(want.number, values))
        except Exception as error:  # noqa: BLE001 - any reader of any file may stand behind it
            parcel = pack(Block(want.number, None, f"{type(error).__name__}: {error}"))
        process.post(parcel)

    def _has_ended(self, process: EngineProcess) -> None:
        with self._lock:
            if process is not self._process:
                return
            self._process = None
            lost = list(self._jobs.running)
            if process.info is None and not self._may_retry(process):
                lost += self._jobs.waiting  # it would not start for them either
                self._jobs.waiting.clear()
            error = failures.why_ended(
                process.reason,
                process.returncode,
                started=process.info is not None,
                last_line=process.last_line,
                limit_gb=self._memory_limit_gb,
            )
            self._log.append("restarted to cancel a job" if process.reason == "cancel" else str(error))
            if process.reason == "cancel" or self._jobs.waiting:
                self.start()
        for task in lost:
            if task.cancelled:
                self._settle_cancelled(task)
            else:
                self._settle(task, task.callbacks.on_failed, error)

    def _may_retry(self, process: EngineProcess) -> bool:
        """Whether it was killed by others while it started, for the first time in a row."""
        killed = process.returncode is not None and process.returncode < 0 and not process.reason
        self._false_starts += 1
        return killed and self._false_starts == 1

    # The minder's thread: what takes too long, or too much.

    def _mind(self, process: EngineProcess) -> None:
        while not process.ended.wait(TICK):
            process.kill_when_due()
            with self._lock:
                if process is not self._process:
                    continue
                overdue = self._jobs.is_overdue(CANCEL_SECONDS)
                idle = self._is_idle(process)
                if idle:
                    self._process = None
            if idle:
                self._log.append("ended after a while without jobs")
                process.quit()
            elif overdue:
                process.kill("cancel")
            elif self._memory_limit_gb is not None and process.resident_gb() > self._memory_limit_gb:
                process.kill("memory")

    def _is_idle(self, process: EngineProcess) -> bool:
        if self._jobs or process.info is None:
            return False
        return time.monotonic() - process.used > self._idle_seconds

    # Bookkeeping.

    def _advance(self) -> None:
        """Start the jobs that may, where the engine is ready for them; under the lock."""
        process = self._process
        if process is not None and process.info is not None:
            for task in self._jobs.begin():
                task.state = "starting"
                self._out.put(self._begin, process, task)

    def _settle_cancelled(self, task: Task) -> None:
        if task.error is not None:
            self._settle(task, task.callbacks.on_failed, task.error)
        else:
            self._settle(task, task.callbacks.on_cancelled)

    def _settle(self, task: Task, callback: Callable[..., None], *arguments: Any) -> None:
        """End a job, once, and go on with the next."""
        with self._lock:
            if task.state == "done":
                return
            task.finish()
            if self._jobs.remove(task) and self._process:
                self._process.used = time.monotonic()
        _call(callback, *arguments)
        with self._lock:
            self._advance()


@cache
def shared_engine() -> Engine:
    """The one engine of all panels and viewers of this program; it ends with the program.

    It may occupy 80 % of the machine's memory, so that the viewer is never the one that finds none.
    """
    import psutil

    engine = Engine(memory_limit_gb=round(MEMORY_SHARE * psutil.virtual_memory().total / 1e9, 1))
    atexit.register(engine.close)
    return engine


def _call(callback: Callable[..., None], *arguments: Any) -> None:
    """Call back; a mistake in there must not end the door's thread."""
    try:
        callback(*arguments)
    except Exception:
        _logger.exception("a callback of an engine's job failed")
