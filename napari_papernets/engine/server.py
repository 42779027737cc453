"""The engine process from within: runs one verb after the other and answers the viewer."""

from __future__ import annotations

import itertools
import os
import queue
import sys
import threading
import traceback
from collections import deque
from collections.abc import Generator
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from ..core.errors import InputError, PapernetsError
from ..core.events import Idle
from .failures import readable
from .messages import (
    Block,
    Cancel,
    Cancelled,
    Failed,
    Happened,
    Message,
    Quit,
    Ready,
    Returned,
    Run,
    Value,
    WantBlock,
)
from .remote import Index
from .wire import Line

PARENT_CHECK = 1.0  # seconds
REST_AFTER = 20.0  # seconds without a job


class _Closed(BaseException):
    """The viewer cancelled while a verb was waiting for a block."""


class Server:
    """Main thread: the verbs. Reader thread: what the viewer says, also while a verb computes.

    Parameters
    ----------
    connection : Connection
        To the viewer.
    verbs : module
        With ``find_verb(name)``, ``prepare()`` and ``rest()``, as in `napari_papernets.engine.verbs`.
    """

    def __init__(self, connection: Any, verbs: ModuleType) -> None:
        self._line = Line(connection, self._fetch)
        self._verbs = verbs
        self._jobs: queue.SimpleQueue[Run | None] = queue.SimpleQueue()
        self._values: deque[Any] = deque()
        self._job = 0
        self._news = threading.Condition()
        self._cancelled = 0
        self._quit = False
        self._blocks: dict[int, Block] = {}
        self._numbers = itertools.count(1)

    def serve(self) -> None:
        """Answer until the viewer wants an end, or has ended itself."""
        self._line.send(Ready(self._verbs.prepare()))
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        while (run := self._next()) is not None:
            self._work(run)
            del run  # its arrays must not wait for the next job

    def _next(self) -> Run | None:
        try:
            return self._jobs.get(timeout=REST_AFTER)
        except queue.Empty:
            self._verbs.rest()
            return self._jobs.get()

    def _read(self) -> None:
        parent = os.getppid()
        try:
            while os.getppid() == parent:
                if self._line.poll(PARENT_CHECK):
                    self._sort(self._line.receive())
        except (EOFError, OSError):
            pass  # the viewer has ended
        except BaseException:  # noqa: BLE001 - to the log
            traceback.print_exc()
            leave(1)
        leave(0)

    def _sort(self, message: Message) -> None:
        with self._news:
            match message:
                case Run(job=job):
                    self._job = job
                    self._values.clear()
                    self._blocks.clear()
                    self._jobs.put(message)
                case Value(job=job, value=value) if job == self._job:
                    self._values.append(value)
                case Block(number=number):
                    self._blocks[number] = message
                case Cancel(job=job):
                    self._cancelled = job
                case Quit():
                    self._quit = True
                    self._jobs.put(None)
            self._news.notify_all()

    def _stopping(self, job: int) -> bool:
        return self._quit or self._cancelled == job

    def _work(self, run: Run) -> None:
        """Run one verb to its end, whatever that is, and tell the viewer which it was."""
        answer: Returned | Cancelled | Failed
        try:
            answer = self._drive(run)
        except _Closed:
            answer = Cancelled(run.job)
        except Exception as error:  # noqa: BLE001 - told to the viewer, whatever it is
            answer = _failed(run.job, error)
        self._answer(answer)

    def _answer(self, answer: Returned | Cancelled | Failed) -> None:
        try:
            self._line.send(answer)
        except (PapernetsError, MemoryError) as error:  # the result may not cross, or has no room
            self._line.send(_failed(answer.job, error))

    def _drive(self, run: Run) -> Returned | Cancelled:
        generator: Generator[Any, Any, Any] = self._verbs.find_verb(run.verb)(**run.arguments)
        value = None
        try:
            while not self._stopping(run.job):
                event = generator.send(value)
                if isinstance(event, Idle):
                    self._wait_for_value(run.job, event.seconds)
                else:
                    self._line.send(Happened(run.job, event))
                value = self._values.popleft() if self._values else None
        except StopIteration as end:
            return Returned(run.job, end.value)
        finally:
            generator.close()
        return Cancelled(run.job)

    def _wait_for_value(self, job: int, seconds: float) -> None:
        with self._news:
            self._news.wait_for(lambda: bool(self._values) or self._stopping(job), seconds)

    def _fetch(self, key: int, index: Index) -> NDArray[Any]:
        """A block of an array that stayed in the viewer's process."""
        job, number = self._job, next(self._numbers)
        self._line.send(WantBlock(job, number, key, index))
        with self._news:
            self._news.wait_for(lambda: number in self._blocks or self._stopping(job))
            block = self._blocks.pop(number, None)
        if block is None:
            raise _Closed
        if block.values is None:
            raise InputError("image", block.problem, "check that its data can still be read")
        return block.values


def _failed(job: int, error: Exception) -> Failed:
    expected = isinstance(error, PapernetsError)
    return Failed(job, readable(error), "" if expected else "".join(traceback.format_exception(error)))


def leave(status: int) -> None:
    """End now, whatever other threads compute."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
