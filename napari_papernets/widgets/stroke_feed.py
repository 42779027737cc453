"""The thread that turns changed annotations into patches; it knows neither Qt nor napari."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.annotation import Patch, View
from ..core.image import Range
from .plane_shadow import Counts, Plane, Shadow, add_counts

INTERVAL = 0.1  # s between looks at what is in view
PATIENCE = 10.0  # s that `flush` waits for the sinks
WORK = 0.05  # s of work on what may have changed out of view, before what is in view has its turn again
COUNT_EVERY = 0.4  # s between counts, which cost more than a look

Sink = Callable[[Patch], None]


class StrokeFeed:
    """Compares annotations with what was delivered of them, and delivers the differences.

    What is in view is compared in every beat, what was named by `suspect` as soon as possible, and
    everything else a little in every beat. All callbacks are called on the thread of the feed.

    Parameters
    ----------
    on_counts : callable
        Called with the counts of all annotations after they changed.
    on_problem : callable
        Called with what a sink raised; the others still get their patch.
    start : int
        Number of the first patch.
    interval : float
        Seconds between two looks.

    Attributes
    ----------
    sinks : tuple of callables
        Called with every patch, in order.
    newest : int
        Number of the newest patch; `start` - 1 before the first.
    """

    def __init__(
        self,
        on_counts: Callable[[Counts], None],
        on_problem: Callable[[Exception], None],
        start: int = 1,
        interval: float = INTERVAL,
    ) -> None:
        self.sinks: tuple[Sink, ...] = ()
        self.newest = start - 1
        self._on_counts, self._on_problem, self._interval = on_counts, on_problem, interval
        self._shadows: dict[int, Shadow] = {}
        self._views: dict[tuple[int, Plane], Range] = {}
        self._suspects: dict[tuple[int, Plane], None] = {}
        self._reviews: set[int] = set()
        self._leaving: set[int] = set()
        self._cursors: dict[int, int] = {}
        self._asked = self._done = 0
        self._hurry = self._closing = self._recount = False
        self._counted = 0.0
        self._last_problem = ""
        self._state = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="papernets-strokes", daemon=True)
        self._thread.start()

    def add(self, number: int, shadow: Shadow) -> None:
        """Watch an annotation; what it holds and was not delivered follows."""
        with self._state:
            self._shadows[number] = shadow
            self._recount = True
        self.suspect(number, _all_planes(shadow))

    def replace(self, number: int, live: NDArray[Any]) -> None:
        """The annotation is another array (of the same shape) from now on."""
        with self._state:
            shadow = self._shadows[number]
            shadow.live = live
        self.suspect(number, _all_planes(shadow))

    def drop(self, number: int) -> None:
        """Deliver what is left of an annotation, then watch it no more."""
        with self._state:
            self._leaving.add(number)
            self._reviews.add(number)
            self.suspect(number, [plane for image, plane in self._views if image == number])

    def look_at(self, views: Iterable[View]) -> None:
        """What is in view now: it comes first."""
        now = {(view.image, view.plane): view.region[:2] for view in views}
        with self._state:
            self._suspects.update((key, None) for key in self._views if key not in now)
            self._views = now

    def suspect(self, number: int, planes: Iterable[Plane]) -> None:
        """These planes may have changed."""
        with self._state:
            self._suspects.update(((number, plane), None) for plane in planes)
            self._state.notify_all()

    def review(self, number: int, now: bool = False) -> None:
        """Any plane that has or had strokes may have changed; look in the next beat, or `now`."""
        with self._state:
            self._reviews.add(number)
            self._hurry = self._hurry or now
            self._state.notify_all()

    def flush(self) -> bool:
        """Wait until what is in view and what is suspected was delivered; whether it was."""
        with self._state:
            self._asked += 1
            mine = self._asked
            self._state.notify_all()
            self._state.wait_for(lambda: self._done >= mine or not self._thread.is_alive(), PATIENCE)
            return self._done >= mine

    def close(self) -> None:
        """Deliver what is left and end the thread."""
        self.flush()
        with self._state:
            self._closing = True
            self._state.notify_all()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(self._has_work, self._interval)
                if self._closing:
                    return
                asked, self._hurry = self._asked, False
            try:
                self._beat(to_the_end=asked > self._done)
            except Exception as error:  # noqa: BLE001 - shown to the user; the next beat tries again
                self._complain(error)
            with self._state:
                self._done = asked
                self._state.notify_all()

    def planes(self, number: int) -> tuple[Plane, ...]:
        """The planes of an image that have, or had, strokes that were delivered."""
        shadow = self._shadows.get(number)
        return () if shadow is None else shadow.known_planes()

    def _has_work(self) -> bool:
        return self._closing or self._hurry or bool(self._suspects) or self._asked > self._done

    def _beat(self, to_the_end: bool) -> None:
        with self._state:
            views = list(self._views.items())
        for (number, plane), rows in views:
            self._deliver(number, plane, rows)
        self._follow_suspicions(None if to_the_end else time.monotonic() + WORK)
        self._sweep()
        self._count()

    def _follow_suspicions(self, until: float | None) -> None:
        with self._state:
            for number in self._reviews & set(self._shadows):
                known = self._shadows[number].known_planes()
                self._suspects.update(((number, plane), None) for plane in known)
            self._reviews.clear()
            leaving = self._leaving.copy()
        while until is None or time.monotonic() < until:
            with self._state:
                if not self._suspects:
                    break
                number, plane = next(iter(self._suspects))
                del self._suspects[number, plane]
            self._deliver(number, plane)
        else:
            return
        self._let_go(leaving)

    def _let_go(self, leaving: set[int]) -> None:
        if leaving:
            with self._state:
                for number in leaving:
                    self._shadows.pop(number, None)
                    self._cursors.pop(number, None)
                self._views = {k: rows for k, rows in self._views.items() if k[0] not in leaving}
                self._leaving -= leaving
                self._recount = True

    def _sweep(self) -> None:
        """A part of each annotation, for changes that nothing told of."""
        for number, shadow in list(self._shadows.items()):
            index = self._cursors.get(number, 0) % shadow.units
            self._cursors[number] = index + 1
            plane, (start, stop) = shadow.unit(index)
            seen = self._views.get((number, plane), (0, 0))
            if not (seen[0] <= start and min(stop, shadow.live.shape[-2]) <= seen[1]):
                self._deliver(number, plane, (start, stop))

    def _deliver(self, number: int, plane: Plane, rows: Range | None = None) -> None:
        shadow = self._shadows.get(number)
        if shadow is None:
            return
        for at, y, x, labels in shadow.changes(plane, rows):
            self.newest += 1
            patch = Patch(number, at, y, x, labels, self.newest)
            for sink in self.sinks:
                try:
                    sink(patch)
                except Exception as error:  # noqa: BLE001 - a full disk must not stop the training
                    self._complain(error)

    def _complain(self, error: Exception) -> None:
        """Once for each problem, not once for each beat."""
        if repr(error) != self._last_problem:
            self._last_problem = repr(error)
            self._on_problem(error)

    def _count(self) -> None:
        now = time.monotonic()
        shadows = list(self._shadows.values())
        stale = self._recount or not all(shadow.is_counted for shadow in shadows)
        if not stale or now - self._counted < COUNT_EVERY:
            return
        for shadow in shadows:
            while not shadow.is_counted and time.monotonic() < now + WORK:
                shadow.count_next()
        self._counted = time.monotonic()
        self._recount = False
        self._on_counts(add_counts(shadow.counts() for shadow in shadows))


def _all_planes(shadow: Shadow) -> list[Plane]:
    return list(np.ndindex(shadow.stack_shape))
