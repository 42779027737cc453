"""The one engine of this process: it lives as long as a panel that uses it."""

from __future__ import annotations

import itertools
import threading
import weakref

from .job_adapter import Engine

_holders: set[int] = set()
_numbers = itertools.count(1)


class EngineHold:
    """A panel's share in the engine.

    Parameters
    ----------
    engine : Engine, optional
        Takes the place of the shared one; it is never closed here.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        self._own = engine
        self._number = next(_numbers)
        weakref.finalize(self, _give_back, self._number)  # a panel that nobody closed

    def engine(self) -> Engine:
        """The engine, kept until `release`. Its process starts when it is told to, or by its first
        job; nothing of it is imported before."""
        if self._own is not None:
            return self._own
        from ..engine.door import shared_engine

        _holders.add(self._number)
        return shared_engine()

    def release(self) -> None:
        """The panel needs the engine no more; with the last panel it ends. That may take two seconds,
        so it happens beside the window; a panel that is opened later gets a new engine."""
        _give_back(self._number)


def _give_back(number: int) -> None:
    if number not in _holders:
        return
    _holders.discard(number)
    if not _holders:
        from ..engine.door import shared_engine

        engine = shared_engine()
        shared_engine.cache_clear()
        threading.Thread(target=engine.close, name="papernets-close").start()
