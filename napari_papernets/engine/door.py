"""The viewer's door to the engine: jobs go in; events, results and errors come out.

Nothing here, and nothing that it imports, knows torch or Qt. The verbs run in one child process, which
is started in the background, warmed, and started again after it was killed or crashed. No call but
`Engine.close` waits; all callbacks come on a thread of the door, never on the caller's. What becomes of
jobs is the business of the `desk`; here is what becomes of the process.
"""

from __future__ import annotations

import atexit
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from ..core.errors import EngineError
from . import failures
from .desk import Desk
from .diagnostics import report
from .job import Callbacks, Job
from .lane import start_thread
from .process import EngineProcess

CANCEL_SECONDS = 1.0  # for the engine to answer before it is killed
CLOSE_SECONDS = 2.0
MEMORY_SHARE = 0.8
TICK = 0.2  # seconds between two looks at the clock and at the engine's memory


class Engine:
    """The verbs, in a process of their own.

    One job at a time, the others wait; but trainings and readings of tokens (`PATIENT`) let others run
    between two steps.

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
        self._desk = Desk(self._log)
        self._false_starts = 0  # in a row
        self._closed = False

    def start(self) -> None:
        """Start the process in the background and let it import what it will need.

        Raises
        ------
        EngineError
            If the engine was closed.
        """
        desk = self._desk
        with desk.lock:
            if self._closed:
                raise EngineError("The engine was closed; make a new one")
            if desk.process is None:
                desk.process = EngineProcess(
                    self._verbs, self._threads, self._log, desk.heard, self._is_ready, self._has_ended
                )
                start_thread("papernets-minder", self._mind, desk.process)

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
            Its name: one of `verbs.VERBS`.
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
        with self._desk.lock:
            self.start()
            return self._desk.take(verb, arguments, callbacks)

    def give_way(self) -> None:
        """Let the process compute only while nobody else wants the processor, until `take_turns`: the
        window has to keep up with a brush. Nothing happens where it computes on a GPU, and where the
        system would not let it have its share again (on Linux only the superuser, or a limit set by
        them, does)."""
        process = self._desk.process
        if process is not None and self.info.get("device") == "cpu":
            process.give_way()

    def take_turns(self) -> None:
        """Let it have the usual share of the processor again."""
        process = self._desk.process
        if process is not None:
            process.take_turns()

    def close(self) -> None:
        """End the process: within 2 s, by force if need be. Unfinished jobs are cancelled."""
        desk = self._desk
        with desk.lock:
            self._closed = True
            process, desk.process = desk.process, None
            desk.cancel_all()
        if process is not None:
            process.quit()
            process.ended.wait(CLOSE_SECONDS)
        desk.stop()

    @property
    def pid(self) -> int | None:
        """Number of the engine's process; None while there is none."""
        process = self._desk.process
        return process.pid if process else None

    @property
    def is_running(self) -> bool:
        """Whether the process is there, be it still importing."""
        return self._desk.process is not None

    @property
    def info(self) -> Mapping[str, Any]:
        """What the engine told of itself (device, device_name, threads, cpus, python, versions);
        empty before it is ready."""
        process = self._desk.process
        return (process.info or {}) if process else {}

    def diagnostics(self) -> str:
        """Versions, state and the last lines of the engine's output, for the report of a problem."""
        desk = self._desk
        with desk.lock:
            state = "not running"
            if desk.process:
                state = "busy" if desk.jobs.running else "ready" if self.info else "starting"
            facts = dict(
                engine=state,
                process=self.pid,
                waiting_jobs=len(desk.jobs.waiting),
                memory_limit_gb=self._memory_limit_gb,
            )
            return report({**facts, **self.info}, list(self._log))

    # On the thread that reads what the process says.

    def _is_ready(self, process: EngineProcess) -> None:
        with self._desk.lock:
            process.used = time.monotonic()
            self._false_starts = 0
            self._desk.advance()

    def _has_ended(self, process: EngineProcess) -> None:
        desk = self._desk
        with desk.lock:
            if process is not desk.process:
                return
            desk.process = None
            lost = list(desk.jobs.running)
            if process.reason == "cancel":  # of another job: what told nothing yet begins anew
                again = [task for task in lost if not (task.told or task.cancelled)]
                lost = [task for task in lost if task not in again]
                desk.jobs.take_back(again)
            if process.info is None and not self._may_retry(process):
                lost += desk.jobs.waiting  # it would not start for them either
                desk.jobs.waiting.clear()
            error = failures.why_ended(
                process.reason,
                process.returncode,
                started=process.info is not None,
                last_line=process.last_line,
                limit_gb=self._memory_limit_gb,
            )
            self._log.append("restarted to cancel a job" if process.reason == "cancel" else str(error))
            if process.reason == "cancel" or desk.jobs.waiting:
                self.start()
        desk.lose(lost, error)

    def _may_retry(self, process: EngineProcess) -> bool:
        """Whether it was killed by others while it started, for the first time in a row."""
        killed = process.returncode is not None and process.returncode < 0 and not process.reason
        self._false_starts += 1
        return killed and self._false_starts == 1

    # The minder's thread: what takes too long, or too much.

    def _mind(self, process: EngineProcess) -> None:
        desk = self._desk
        while not process.ended.wait(TICK):
            process.kill_when_due()
            with desk.lock:
                if process is not desk.process:
                    continue
                overdue = desk.jobs.is_overdue(CANCEL_SECONDS)
                idle = self._is_idle(process)
                if idle:
                    desk.process = None
            if idle:
                self._log.append("ended after a while without jobs")
                process.quit()
            elif overdue:
                process.kill("cancel")
            elif self._memory_limit_gb is not None and process.resident_gb() > self._memory_limit_gb:
                process.kill("memory")

    def _is_idle(self, process: EngineProcess) -> bool:
        if self._desk.jobs or process.info is None:
            return False
        return time.monotonic() - process.used > self._idle_seconds


@cache
def shared_engine() -> Engine:
    """The one engine of all panels and viewers of this program; it ends with the program.

    It may occupy 80 % of the machine's memory, so that the viewer is never the one that finds none.
    """
    import psutil

    engine = Engine(memory_limit_gb=round(MEMORY_SHARE * psutil.virtual_memory().total / 1e9, 1))
    atexit.register(engine.close)
    return engine
