"""What is to be done when Qt's half of a widget is destroyed."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from qtpy.QtCore import QObject

_waiting: set[object] = set()


def when_destroyed(thing: QObject, *calls: Callable[[], None]) -> None:
    """Make the calls as soon as `thing` is gone.

    Python's collector takes a widget apart before Qt destroys it, and PyQt then crashes in a function
    that is connected to `destroyed` and was emptied with it. What is connected here is kept until then.

    Parameters
    ----------
    thing : QObject
        A widget, or another thing of Qt.
    *calls : callable
        Bound methods. Their objects are held weakly: where one went together with `thing`, there is
        nothing left to do.
    """
    methods = [weakref.WeakMethod(call) for call in calls]

    def make_calls(*_: object) -> None:
        _waiting.discard(make_calls)
        for method in methods:
            call = method()
            if call is not None:
                call()

    _waiting.add(make_calls)
    thing.destroyed.connect(make_calls)
