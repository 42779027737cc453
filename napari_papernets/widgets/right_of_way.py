"""While a stroke is painted, the window goes first.

Without a GPU the engine computes on the cores that the window is drawn with, in software too where there
is no driver for OpenGL: each dab of the brush then takes half as long again to be seen. So for the time
of a stroke the engine gets what the window leaves; and Python's full garbage collection, which may stop
the window for some tenths of a second, waits until the hand rests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from .calm_collector import hold_collector
from .job_adapter import Engine
from .layer_events import LayerEvents

if TYPE_CHECKING:
    import napari.layers

LIFTED = 100  # ms without a dab after which the brush counts as lifted
RESTS = 3000  # ms without one after which the hand rests


class RightOfWay(QObject):
    """Lets the engine give way during strokes.

    Parameters
    ----------
    engine : callable
        The engine; asked for during strokes only.
    """

    def __init__(self, engine: Callable[[], Engine], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._engine = engine
        self._layers = LayerEvents(("labels_update", "paint"), self._on_event)
        self._lifted = QTimer(self, singleShot=True, interval=LIFTED)
        self._lifted.timeout.connect(self._end_stroke)
        self._rests = QTimer(self, singleShot=True, interval=RESTS)
        self._rests.timeout.connect(self._rest)
        self._yielding: Engine | None = None
        self._let_go: Callable[[], None] | None = None

    def follow(self, layers: Iterable[napari.layers.Labels]) -> None:
        """Strokes on these layers count, and on no others."""
        self._layers.follow(layers)

    def leave(self) -> None:
        """Let go of layers, engine and collector; also where Qt's half of this is gone."""
        self._layers.follow([])
        self._end_stroke()
        self._rest()
        with contextlib.suppress(RuntimeError):
            self._lifted.stop()
            self._rests.stop()

    def _on_event(self, event: Any) -> None:
        """napari tells of each dab, and of the whole stroke when the button is released."""
        if event.type == "paint":
            self._end_stroke()
            return
        self._lifted.start()
        self._rests.start()
        if self._let_go is None:
            self._let_go = hold_collector()
        if self._yielding is None:
            self._yielding = self._engine()
            self._yielding.give_way()

    def _end_stroke(self) -> None:
        if self._yielding is not None:
            self._yielding.take_turns()
            self._yielding = None

    def _rest(self) -> None:
        if self._let_go is not None:
            self._let_go()
            self._let_go = None
