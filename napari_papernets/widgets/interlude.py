"""The engine does one job at a time: live training makes way for another, and goes on afterwards."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject

from .live_control import LiveControl, LiveState


class Interlude(QObject):
    """Pauses a live training for other jobs.

    Parameters
    ----------
    control : LiveControl
        The training.
    resume : callable
        Starts it again; takes whether it rested before and shall learn nothing until the next stroke.
    """

    def __init__(
        self, control: LiveControl, resume: Callable[[bool], None], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._control, self._resume = control, resume
        self._reasons: set[str] = set()
        self._was_running = self._was_resting = False

    @property
    def is_on(self) -> bool:
        """Whether the training is paused."""
        return bool(self._reasons)

    def begin(self, reason: str) -> None:
        """Pause for something; jobs that are submitted now start when the training has ended."""
        if not self._reasons:
            self._was_running = self._control.is_running
            self._was_resting = self._control.state.kind == "resting"
        self._reasons.add(reason)
        if self._was_running:
            text = f"Paused for {reason}; goes on afterwards."
            self._control.stop(LiveState("paused", text))

    def want(self, on: bool) -> None:
        """Whether the training shall go on afterwards is decided otherwise now."""
        if self._reasons:
            self._was_running = on
            self._was_resting = False

    def end(self, reason: str) -> None:
        """Go on, if nothing else needs the engine."""
        if reason not in self._reasons:
            return
        self._reasons.discard(reason)
        if not self._reasons and self._was_running:
            self._was_running = False
            self._resume(self._was_resting)
