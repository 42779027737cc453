"""Threads that do one thing after the other, for whoever must not wait."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

Callback: TypeAlias = Callable[..., None]


class Lane:
    """A background thread that calls functions one after the other; it ends with the program."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Callback, tuple[Any, ...]] | None] = queue.SimpleQueue()
        start_thread(name, self._run)

    def put(self, function: Callback, *arguments: Any) -> None:
        """Call that function after those before it; it must not raise."""
        self._calls.put((function, arguments))

    def stop(self) -> None:
        """End the thread after what was put."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            function, arguments = call
            function(*arguments)
            del call, function, arguments  # no array waits for the next call


def start_thread(name: str, function: Callback, *arguments: Any) -> threading.Thread:
    """Call a function in a thread that does not keep the program from ending."""
    thread = threading.Thread(target=function, args=arguments, name=name, daemon=True)
    thread.start()
    return thread
