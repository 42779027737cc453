"""No long stop of Python's garbage collector while the window has to stay smooth.

A full collection looks at every object of the program: a tenth of a second in a viewer, on whichever
thread happens to allocate. Meanwhile what exists already is set aside, so that only what is new is
looked at; afterwards everything is collected as before.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

_held: set[object] = set()


def hold_collector() -> Callable[[], None]:
    """Set aside what exists, until the function that is returned is called (once is enough)."""
    token = object()
    _held.add(token)
    gc.freeze()

    def let_go() -> None:
        if token in _held:
            _held.remove(token)
            if not _held:
                gc.unfreeze()

    return let_go
