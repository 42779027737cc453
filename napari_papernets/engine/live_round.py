"""One round of a live training: where it began, and why it is over."""

from __future__ import annotations

from ..core.events import EpochDone, Event, Step
from ..core.tune_settings import TuneSettings
from .plateau import Plateau


class LiveRound:
    """Ends after the steps or seconds of the settings, or when nothing improves any more.

    Parameters
    ----------
    settings : TuneSettings
        `steps` and `seconds` limit the round where they are given.
    step : int
        Of the training, where the round begins.
    seconds : float
        That the training had taken by then.
    """

    def __init__(self, settings: TuneSettings, step: int = 0, seconds: float = 0.0) -> None:
        self._settings, self._step, self._seconds = settings, step, seconds
        self._plateau = Plateau()

    def take(self, event: Event) -> None:
        """What the training tells."""
        if isinstance(event, Step):
            self._plateau.stepped(event.loss)
        elif isinstance(event, EpochDone):
            self._plateau.judged(event.score)

    def why_over(self, step: int, seconds: float) -> str:
        """Why it ended, at a step of the training and after so many seconds; empty while it goes on."""
        limits, done = self._settings, step - self._step
        if limits.steps is not None and done >= limits.steps:
            return f"{done} steps done"
        if limits.seconds is not None and seconds - self._seconds >= limits.seconds:
            return f"{limits.seconds:g} s done"
        return "nothing improved any more" if self._plateau.reached else ""
