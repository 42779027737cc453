"""No long stop of Python's garbage collector while the window has to stay smooth.

A full collection looks at every object of the program: two tenths of a second in a viewer, on whichever
thread happens to allocate. Meanwhile only what is young is collected, in a few milliseconds; afterwards
everything as before.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

NEVER = 1_000_000  # collections of what is young before one of everything
_held: dict[object, tuple[int, int, int]] = {}  # who holds it, with the thresholds from before


def hold_collector() -> Callable[[], None]:
    """Collect only what is young, until the function that is returned is called (once is enough)."""
    token, usual = object(), next(iter(_held.values()), gc.get_threshold())
    _held[token] = usual
    gc.set_threshold(*usual[:2], NEVER)

    def let_go() -> None:
        if _held.pop(token, None) and not _held:
            gc.set_threshold(*usual)

    return let_go
