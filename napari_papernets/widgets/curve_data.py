"""What a training told, kept as curves: one row for each step, scores, and marks along the way."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.events import EpochDone, Event, Started, Step, Version

MEMORY = 0.9  # of the running mean: about the last 10 steps
PACED = 20  # steps that the speed is told from

Points = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Mark:
    """Something that happened at a step.

    Attributes
    ----------
    step : int
        Where along the axis.
    kind : {"version", "start", "not finite"}
        The end of a round; another training begins; the loss was no number.
    text : str
        A word for the plot.
    """

    step: int
    kind: Literal["version", "start", "not finite"]
    text: str


class CurveData:
    """Grows by events. Steps of a training that begins anew are counted on from those before.

    Attributes
    ----------
    marks : list of Mark
        In order.
    scores : dict of int to float
        Held-out score by step.
    best : tuple of (int, float), or None
        Step and score of the best model on annotation that it did not learn from.
    total : int
        Steps to come in all; 0 where it is not known.
    next_version : int
        Number that the mark of the next version shows.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.marks: list[Mark] = []
        self.scores: dict[int, float] = {}
        self.best: tuple[int, float] | None = None
        self.total = 0
        self.next_version = 1
        self._steps, self._losses, self._means = array("q"), array("d"), array("d")
        self._rates, self._seconds = array("d"), array("d")
        self._offset = 0
        self._mean = self._weight = 0.0

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def step(self) -> int:
        """The last one; 0 before the first."""
        return self._steps[-1] if self._steps else 0

    @property
    def seconds(self) -> float:
        """What the last step told; 0 before the first."""
        return self._seconds[-1] if self._seconds else 0.0

    @property
    def loss(self) -> float:
        """Of the last step."""
        return self._losses[-1] if self._losses else math.nan

    @property
    def pace(self) -> float | None:
        """Steps per second over the last 20 steps; None where that cannot be told."""
        first = max(0, len(self) - PACED - 1)
        if len(self) - first < 2 or self._seconds[-1] <= self._seconds[first]:
            return None
        return (len(self) - 1 - first) / (self._seconds[-1] - self._seconds[first])

    def add(self, event: Event) -> bool:
        """Take an event in; False for one that tells nothing here."""
        if isinstance(event, Step):
            self._add_step(event)
        elif isinstance(event, EpochDone):
            self._add_score(event.step, event.score, event.best)
        elif isinstance(event, Version):
            self._add_version(event)
        elif isinstance(event, Started):
            self.total = event.total if event.unit == "step" else 0
        else:
            return False
        return True

    def losses(self) -> Points:
        """Steps and losses, where these are numbers."""
        return self._finite(self._losses)

    def means(self) -> Points:
        """Steps and running means of the loss."""
        return self._finite(self._means)

    def score_points(self) -> Points:
        """Steps and held-out scores."""
        order = sorted(self.scores)
        return np.array(order, float), np.array([self.scores[s] for s in order], float)

    def rows(self) -> list[dict[str, Any]]:
        """One mapping for each step, as in ``Tuned.history``."""
        columns = zip(self._steps, self._losses, self._rates, self._seconds, strict=True)
        rows: list[dict[str, Any]] = []
        for step, loss, rate, seconds in columns:
            rows.append(dict(step=step, loss=loss, learning_rate=rate, seconds=seconds))
            if step in self.scores:
                rows[-1]["score"] = self.scores[step]
        return rows

    def columns(self) -> dict[str, list[Any]]:
        """The rows as columns of equal length, for a table; an empty text where no score is."""
        rows = self.rows()
        names = ("step", "loss", "learning_rate", "seconds", "score")
        return {name: [row.get(name, "") for row in rows] for name in names}

    def _add_step(self, event: Step) -> None:
        step = self._offset + event.step
        if self._steps and step <= self.step:
            self._offset = self.step
            step = self._offset + event.step
            self.marks.append(Mark(self.step, "start", "start"))
        if math.isfinite(event.loss):
            self._mean = MEMORY * self._mean + (1 - MEMORY) * event.loss
            self._weight = MEMORY * self._weight + (1 - MEMORY)
        elif not self._losses or math.isfinite(self.loss):
            self.marks.append(Mark(step, "not finite", "loss is not finite"))
        self._steps.append(step)
        self._losses.append(event.loss)
        self._means.append(self._mean / self._weight if self._weight else math.nan)
        self._rates.append(event.learning_rate)
        self._seconds.append(event.seconds)

    def _add_score(self, step: int, score: float | None, best: bool) -> None:
        if score is None or not math.isfinite(score):
            return
        self.scores[self._offset + step] = score
        if best:
            self.best = (self._offset + step, score)

    def _add_version(self, event: Version) -> None:
        better = event.score is not None and (self.best is None or event.score > self.best[1])
        self._add_score(event.step, event.score, better)
        self.marks.append(Mark(self._offset + event.step, "version", f"v{self.next_version}"))
        self.next_version += 1

    def _finite(self, values: array[float]) -> Points:
        steps, found = np.array(self._steps, float), np.array(values, float)
        fine = np.isfinite(found)
        return steps[fine], found[fine]
