"""Does a training still get better?"""

from __future__ import annotations

from collections import deque

WINDOW = 40  # steps whose losses are averaged
GAIN = 0.02  # share by which the loss must fall from one window to the next
PATIENCE = 6  # judgings without a new best
LEAST = 80  # steps before it may be said
PERFECT = 0.999  # a score from which on there is nothing to gain by


class Plateau:
    """Tells when a round of training brings nothing more: by the held-out score, else by the loss."""

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=2 * WINDOW)
        self._steps = 0
        self._best, self._since_best = -1.0, 0

    def stepped(self, loss: float) -> None:
        """An optimiser step was made."""
        self._losses.append(loss)
        self._steps += 1

    def judged(self, score: float | None) -> None:
        """The model was judged on what is held out; None where nothing is."""
        if score is None:
            return
        better = score > self._best
        self._best = max(score, self._best)
        self._since_best = 0 if better else self._since_best + 1

    @property
    def reached(self) -> bool:
        """Whether nothing improves any more."""
        if self._steps < LEAST:
            return False
        if self._best >= 0:
            return self._best >= PERFECT or self._since_best >= PATIENCE
        values = list(self._losses)
        before, now = sum(values[:WINDOW]), sum(values[WINDOW:])
        return now > (1 - GAIN) * before
