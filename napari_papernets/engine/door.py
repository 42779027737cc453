"""The viewer's door to the engine: jobs go in; events, results and errors come out.

Nothing here, and nothing that it imports, knows torch or Qt. The verbs run in one child process, which is
started in the background, warmed, and started again after it was killed or crashed. No call blocks; all
callbacks come on a thread of the door, never on the caller's.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from .._version import __version__
from ..core.errors import EngineError, PapernetsError
from .process import BROKEN, EngineProcess, Lane, describe_end
from .wire import (
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
    pack,
)

CANCEL_SECONDS = 1.0  # for the engine to answer before it is killed
TICK = 0.2  # seconds between two looks at the clock and at the engine's memory
UNHARMED = "Nothing in the viewer was lost, and the next run starts a new engine"

OnEvent = Callable[[Any], None]
OnReturned = Callable[[Any], None]
OnFailed = Callable[[Exception], None]
OnCancelled = Callable[[], None]

_logger = logging.getLogger(__name__)


class Engine:
    """The verbs, in a process of their own; one job at a time, the others wait.

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
        self._waiting: deque[Job] = deque()
        self._current: Job | None = None
        self._process: EngineProcess | None = None
        self._out: Lane | None = None  # packs and sends; calls back where no process does
        self._closed = False

    def start(self) -> None:
        """Start the process in the background and let it import what it will need."""
        with self._lock:
            if self._closed:
                raise EngineError("the engine was closed with the program; start a new one")
            if self._out is None:
                self._out = Lane("papernets-out")
            if self._process is None:
                self._process = EngineProcess(
                    self._verbs, self._threads, self._log, self._heard, self._is_ready, self._has_ended
                )
                name = "papernets-minder"
                threading.Thread(target=self._mind, args=[self._process], name=name, daemon=True).start()

    def submit(
        self,
        verb: str,
        *,
        on_event: OnEvent,
        on_returned: OnReturned,
        on_failed: OnFailed,
        on_cancelled: OnCancelled,
        **arguments: Any,
    ) -> Job:
        """Run a verb when those before it are done.

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
            not copied: the verb reads the blocks that it needs, from a thread of this process.
        """
        with self._lock:
            self.start()
            number = next(self._numbers)
            calls = (on_event, on_returned, on_failed, on_cancelled)
            job = Job(self, number, verb, arguments, *calls)
            self._waiting.append(job)
            self._advance()
        return job

    def close(self) -> None:
        """End the process: within 2 s, by force if need be. Unfinished jobs are cancelled."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
            jobs = [*self._waiting, *([self._current] if self._current else [])]
            self._waiting.clear()
            for job in jobs:
                self._settle_later(job)
        if process is not None:
            process.quit("closed")
            process.ended.wait(2.0)
        with self._lock:
            if self._out is not None:
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
        """What the engine told of itself (device, device_name, threads, cpus, versions); empty before."""
        process = self._process
        return (process.info or {}) if process else {}

    def diagnostics(self) -> str:
        """Versions, state and the last lines of the engine's output, for a report of a problem."""
        with self._lock:
            state = "busy" if self._current else "ready" if self.info else "starting"
            facts: dict[str, Any] = {
                "napari-papernets": __version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "numpy": np.__version__,
                "engine": f"{state}, process {self.pid}" if self._process else "not running",
                "waiting jobs": len(self._waiting),
                "memory limit": f"{self._memory_limit_gb} GB" if self._memory_limit_gb else "none",
                **self.info,
            }
            lines = list(self._log)
        return "\n".join([*(f"{k}: {v}" for k, v in facts.items()), "", "engine log:", *lines])

    # What jobs ask for, on the caller's thread: nothing here may wait.

    def _send(self, job: Job, value: Any) -> None:
        with self._lock:
            if job._state in ("waiting", "starting"):
                job._early.append(value)
            elif job._state == "running" and self._process and self._out:
                self._out.put(self._pack_and_post, self._process, job, value)

    def _cancel(self, job: Job) -> None:
        with self._lock:
            if job.done or job._cancelled_at is not None:
                return
            job._cancelled_at = time.monotonic()
            if job._state == "waiting":
                self._waiting.remove(job)
                self._settle_later(job)
            elif job._state == "running" and self._process and self._out:
                self._out.put(self._process.post, pack(Cancel(job.id)))

    # The out lane: what may take a while.

    def _begin(self, process: EngineProcess, job: Job) -> None:
        """Copy the arguments of a job and hand it to the engine."""
        try:
            parcel = pack(Run(job.id, job.verb, job._arguments), job._keep)
        except Exception as error:
            self._settle(job, job._on_failed, _as_ours(error))
            return
        with self._lock:
            cancelled = job._cancelled_at is not None or job.done
            job._arguments = {}
            if not cancelled:
                job._state = "running"
                process.post(parcel)
                for value in job._early:
                    self._send(job, value)
        if cancelled:
            parcel.close()
            self._settle_cancelled(job)

    def _pack_and_post(self, process: EngineProcess, job: Job, value: Any) -> None:
        try:
            process.post(pack(Value(job.id, value)))
        except Exception as error:
            job._error = _as_ours(error)
            self._cancel(job)

    # The reader's thread: what the engine says.

    def _is_ready(self, process: EngineProcess) -> None:
        with self._lock:
            process.used = time.monotonic()
            self._advance()

    def _heard(self, process: EngineProcess, message: Message) -> None:
        job = self._current
        if job is None or process is not self._process or getattr(message, "job", None) != job.id:
            return
        if isinstance(message, WantBlock):
            process.blocks.put(self._serve_block, process, job, message)
        elif isinstance(message, Happened):
            if job._cancelled_at is None:
                _call(job._on_event, message.event)
        elif job._cancelled_at is not None or isinstance(message, Cancelled):
            self._settle_cancelled(job)
        elif isinstance(message, Returned):
            self._settle(job, job._on_returned, message.result)
        elif isinstance(message, Failed):
            self._log.extend(message.trace.splitlines())
            self._settle(job, job._on_failed, message.error)

    def _serve_block(self, process: EngineProcess, job: Job, want: WantBlock) -> None:
        try:
            values = np.asarray(job._arrays[want.key][want.index])
            parcel = pack(Block(want.number, values))
        except Exception as error:
            parcel = pack(Block(want.number, None, f"{type(error).__name__}: {error}"))
        process.post(parcel)

    def _has_ended(self, process: EngineProcess) -> None:
        with self._lock:
            if process is not self._process:
                return
            self._process, job = None, self._current
            failed = [job] if job else []
            if process.info is None:
                failed += self._waiting  # it would not start the next time either
                self._waiting.clear()
            error = self._account(process)
            self._log.append("restarted to cancel a job" if process.reason == "cancel" else str(error))
            if (process.reason == "cancel" or self._waiting) and not self._closed:
                self.start()
        for job in failed:
            if job._cancelled_at is not None:
                self._settle_cancelled(job)
            else:
                self._settle(job, job._on_failed, error)

    def _account(self, process: EngineProcess) -> EngineError:
        """One clear line on why the process ended."""
        if process.reason == "memory":
            limit = f"{self._memory_limit_gb:g} GB"
            mend = "choose smaller tiles or a smaller region, or raise the limit"
            return EngineError(
                f"The engine was stopped at its memory limit of {limit}: {mend}. {UNHARMED}"
            )
        how = process.reason if process.reason == BROKEN else describe_end(process.returncode)
        if process.info is None:
            last = f": {self._log[-1]}" if self._log else ""
            mend = "reinstall napari-papernets, or copy the diagnostics into a report"
            return EngineError(f"The engine could not start ({how}{last}); {mend}")
        return EngineError(f"The engine process ended in the middle of its work ({how}). {UNHARMED}")

    # The minder's thread: what takes too long, or too much.

    def _mind(self, process: EngineProcess) -> None:
        while not process.ended.wait(TICK):
            process.kill_when_due()
            with self._lock:
                if process is not self._process:
                    continue
                overdue, idle = self._is_overdue(), self._is_idle(process)
                if idle:
                    self._process = None
            if idle:
                process.quit("idle")
            elif overdue:
                process.kill("cancel")
            elif self._memory_limit_gb is not None and process.resident_gb() > self._memory_limit_gb:
                process.kill("memory")

    def _is_overdue(self) -> bool:
        job = self._current
        if job is None or job._cancelled_at is None or job._state != "running":
            return False
        return time.monotonic() - job._cancelled_at > CANCEL_SECONDS

    def _is_idle(self, process: EngineProcess) -> bool:
        if self._current or self._waiting or process.info is None:
            return False
        return time.monotonic() - process.used > self._idle_seconds

    # Bookkeeping, under the lock.

    def _advance(self) -> None:
        process = self._process
        if (
            self._current is None
            and self._waiting
            and process
            and process.info is not None
            and self._out
        ):
            self._current = self._waiting.popleft()
            self._current._state = "starting"
            self._out.put(self._begin, process, self._current)

    def _settle_later(self, job: Job) -> None:
        if self._out is not None:
            self._out.put(self._settle_cancelled, job)

    def _settle_cancelled(self, job: Job) -> None:
        if job._error is not None:
            self._settle(job, job._on_failed, job._error)
        else:
            self._settle(job, job._on_cancelled)

    def _settle(self, job: Job, callback: Callable[..., None], *arguments: Any) -> None:
        """End a job, once, and go on with the next."""
        with self._lock:
            if job.done:
                return
            job._state = "done"
            job._forget()
            if self._current is job:
                self._current = None
                if self._process:
                    self._process.used = time.monotonic()
        _call(callback, *arguments)
        with self._lock:
            self._advance()


@cache
def shared_engine() -> Engine:
    """The one engine of all panels and viewers of this program; it ends with the program."""
    engine = Engine()
    atexit.register(engine.close)
    return engine


def _call(callback: Callable[..., None], *arguments: Any) -> None:
    """Call back; a mistake in there must not end the door's thread."""
    try:
        callback(*arguments)
    except Exception:
        _logger.exception("a callback of the engine's door failed")


def _as_ours(error: Exception) -> PapernetsError:
    if isinstance(error, PapernetsError):
        return error
    if isinstance(error, MemoryError | OSError):
        return EngineError(
            f"There is no memory to hand the data to the engine ({error}): close other layers"
        )
    return EngineError(f"The data could not be handed to the engine ({type(error).__name__}: {error})")
