"""The engine process from within: runs verbs, one event after the other, and answers the viewer."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from ..core.errors import InputError, PapernetsError
from ..core.events import Idle
from .failures import readable
from .job import PATIENT
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
from .remote import Index, Key
from .wire import Line

PARENT_CHECK = 1.0  # seconds
REST_AFTER = 20.0  # seconds without a job


class _Closed(BaseException):
    """The viewer cancelled while a verb was waiting for a block."""


class _Running:
    """A verb that has begun."""

    def __init__(self, run: Run) -> None:
        self.job, self.patient = run.job, run.verb in PATIENT
        self.cancelled = False
        self.values: deque[Any] = deque()  # sent, and not yet taken
        self._verb, self._arguments = run.verb, run.arguments
        self._generator: Generator[Any, Any, Any] | None = None
        self._waits_until = 0.0

    @property
    def waits(self) -> float:
        """Seconds that it has nothing to do, unless something is sent."""
        return 0.0 if self.values else max(0.0, self._waits_until - time.monotonic())

    def advance(self, verbs: ModuleType) -> Any:
        """Its next event; None where it has nothing to do.

        Raises
        ------
        StopIteration
            With its result.
        """
        if self._generator is None:
            self._generator, value = verbs.find_verb(self._verb)(**self._arguments), None
            self._arguments = {}
        else:
            value = self.values.popleft() if self.values else None
        event = self._generator.send(value)
        rests = isinstance(event, Idle)
        self._waits_until = time.monotonic() + event.seconds if rests else 0.0
        return None if rests else event

    def close(self) -> None:
        """Let it clean up."""
        if self._generator is not None:
            self._generator.close()


class Server:
    """Main thread: the verbs. Reader thread: what the viewer says, also while a verb computes.

    Patient verbs take turns, event by event; any other runs to its end before they go on.

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
        self._running: list[_Running] = []  # who had a turn goes to the end
        self._news = threading.Condition()
        self._quit = False
        self._blocks: dict[int, Block | None] = {}  # that are waited for, by number
        self._numbers = itertools.count(1)

    def serve(self) -> None:
        """Answer until the viewer wants an end, or has ended itself."""
        self._line.send(Ready(self._verbs.prepare()))
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        while (one := self._whose_turn()) is not None:
            self._give_turn(one)
            del one  # its arrays must not wait for the next turn
        for one in self._running:
            with suppress(Exception):  # nobody listens any more
                one.close()

    def _whose_turn(self) -> _Running | None:
        """Who goes on, as soon as somebody can; None at the end."""
        with self._news:
            is_quiet = not self._news.wait_for(self._has_work, REST_AFTER)
        if is_quiet:
            self._verbs.rest()
        with self._news:
            self._news.wait_for(self._has_work)
            while not self._quit:
                one = min(self._running, key=self._place)
                if not one.waits or self._stopping(one):
                    self._running.remove(one)
                    self._running.append(one)
                    return one
                self._news.wait(one.waits)
        return None

    def _has_work(self) -> bool:
        return bool(self._running) or self._quit

    def _place(self, one: _Running) -> tuple[bool, float, bool]:
        """In the queue for turns: who was cancelled comes first, then who has something to do, and of
        those who is not patient."""
        return not self._stopping(one), one.waits, one.patient

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
                case Run():
                    self._running.append(_Running(message))
                case Value(job=job, value=value) if (one := self._find(job)) is not None:
                    one.values.append(value)
                case Block(number=number) if number in self._blocks:
                    self._blocks[number] = message
                case Cancel(job=job) if (one := self._find(job)) is not None:
                    one.cancelled = True
                case Quit():
                    self._quit = True
            self._news.notify_all()

    def _find(self, job: int) -> _Running | None:
        return next((one for one in self._running if one.job == job), None)

    def _stopping(self, one: _Running | None) -> bool:
        return self._quit or one is None or one.cancelled

    def _give_turn(self, one: _Running) -> None:
        """Advance a verb by one event, or end it, and tell the viewer."""
        answer: Returned | Cancelled | Failed
        try:
            if not self._stopping(one):
                event = one.advance(self._verbs)
                if event is not None:
                    self._line.send(Happened(one.job, event))
                return
            answer = Cancelled(one.job)
        except StopIteration as end:
            answer = Returned(one.job, end.value)
        except _Closed:
            answer = Cancelled(one.job)
        except Exception as error:  # noqa: BLE001 - told to the viewer, whatever it is
            answer = _failed(one.job, error)
        self._end(one, answer)

    def _end(self, one: _Running, answer: Returned | Cancelled | Failed) -> None:
        with self._news:
            self._running.remove(one)
        try:
            one.close()
            self._line.send(answer)
        except Exception as error:  # noqa: BLE001 - it cleans up badly; the result may not cross, has no room
            self._line.send(_failed(answer.job, error))

    def _fetch(self, key: Key, index: Index) -> NDArray[Any]:
        """A block of an array that stayed in the viewer's process."""
        number = next(self._numbers)
        with self._news:
            one, self._blocks[number] = self._find(key[0]), None
        self._line.send(WantBlock(number, key, index))
        with self._news:
            self._news.wait_for(lambda: self._blocks[number] is not None or self._stopping(one))
            block = self._blocks.pop(number)
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
