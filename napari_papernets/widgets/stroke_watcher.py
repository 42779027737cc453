"""Turns every change of the annotation layers into patches while the person paints."""

from __future__ import annotations

import collections
import contextlib
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from ..core.errors import InputError
from .annotated_image import AnnotatedImage
from .annotated_images import AnnotatedImages
from .farewell import when_destroyed
from .plane_shadow import Counts, Plane, Shadow
from .stroke_feed import INTERVAL, Sink, StrokeFeed


class StrokeWatcher(QObject):
    """Watches the annotation layers of a session.

    napari tells of a stroke when the button is released, and of undo not at all: so a thread compares
    the data with a copy of what was delivered (see `StrokeFeed`).

    Parameters
    ----------
    images : AnnotatedImages
        The session; what is removed from it is watched no more.
    start : int
        Number of the first patch.
    interval : float
        Seconds between two looks at what is in view.

    Attributes
    ----------
    painted : Signal(object)
        Every Patch, on the thread of the window, after the sinks had it.
    counted : Signal(object)
        New `counts`.
    problem : Signal(object)
        What a sink raised, or that it took too long.
    """

    painted = Signal(object)
    counted = Signal(object)
    problem = Signal(object)
    _arrived = Signal()

    def __init__(
        self,
        images: AnnotatedImages,
        parent: QObject | None = None,
        *,
        start: int = 1,
        interval: float = INTERVAL,
    ) -> None:
        super().__init__(parent)
        self._images = images
        self._counts: Counts = {}
        self._watched: dict[int, AnnotatedImage] = {}
        self._painting: list[tuple[int, set[Plane]]] = []
        self._waiting: collections.deque[tuple[str, Any]] = collections.deque()
        self._arrived.connect(self._tell)
        self._feed = StrokeFeed(
            lambda counts: self._pass_on("counted", counts),
            lambda error: self._pass_on("problem", error),
            start,
            interval,
        )
        self.add_sink(lambda patch: self._pass_on("painted", patch))
        images.rewritten.connect(self._on_rewritten)
        images.removed.connect(self._unwatch)
        self._closed = False
        when_destroyed(self, self._feed.close)  # its thread does not outlive the window
        self._timer = QTimer(self)
        self._timer.setInterval(int(interval * 1000))
        self._timer.timeout.connect(self._look)
        self._timer.start()

    @property
    def newest(self) -> int:
        """Number of the newest patch that was delivered."""
        return self._feed.newest

    def add_sink(self, sink: Sink) -> None:
        """Call `sink` with every patch to come, on the thread of the watcher. It must not wait for the
        window, and it may keep the patch."""
        self._feed.sinks = (*self._feed.sinks, sink)

    def watch(self, number: int, delivered: bool = False) -> None:
        """Watch an image of the session.

        Parameters
        ----------
        number : int
            Of the image.
        delivered : bool
            What is painted there already is known (a session was opened). Otherwise it follows as
            patches, so that all patches since the first give the layer's labels.
        """
        pair = self._images.pair(number)
        self._watched[number] = pair
        self._feed.add(number, Shadow(pair.array(), delivered))
        pair.labels.events.paint.connect(self._on_paint)
        pair.labels.events.set_data.connect(self._on_redrawn)
        self._look()

    def look_again(self) -> None:
        """Something was changed in a way that napari does not tell, such as undo: look now."""
        self._look()
        self._suspect_painted()
        for number in self._watched:
            self._feed.review(number, now=True)

    def flush(self) -> int:
        """Deliver what was painted so far and wait until the sinks have it.

        Returns
        -------
        int
            The number of the newest patch.
        """
        if self._closed:
            return self.newest
        self.look_again()
        if not self._feed.flush():
            mend = "look whether the disk is full or slow; what is painted is still in the layer"
            self.problem.emit(InputError("strokes", "no answer from their journal", mend))
        self._tell()
        return self.newest

    def planes(self, number: int) -> tuple[Plane, ...]:
        """The planes of an image that have, or had, strokes; those of the last moment after `flush`."""
        return self._feed.planes(number)

    def counts(self) -> Counts:
        """(strokes, pixels) of each class that is painted, in all images; at most about a second old."""
        return dict(self._counts)

    def close(self) -> None:
        """Deliver what was painted so far, and let go of the layers. The sinks are called no more."""
        if self._closed:
            return
        self._timer.stop()
        self.look_again()
        self._feed.close()
        self._closed = True
        for pair in self._watched.values():
            self._disconnect(pair)
        self._watched.clear()
        self._images.rewritten.disconnect(self._on_rewritten)
        self._images.removed.disconnect(self._unwatch)
        self._tell()

    def _look(self) -> None:
        self._feed.look_at(view for view in self._images.views() if view.image in self._watched)

    def _on_paint(self, event: Any) -> None:
        pair = self._images.find(event.source)
        if pair is not None:
            # napari may tell before it writes: look when it is done.
            self._painting.append((pair.number, pair.painted_planes(event.value)))
            QTimer.singleShot(0, self._suspect_painted)

    def _suspect_painted(self) -> None:
        painting, self._painting = self._painting, []
        for number, planes in painting:
            self._feed.suspect(number, planes)

    def _on_redrawn(self, event: Any) -> None:
        """After undo, among others."""
        pair = self._images.find(event.source)
        if pair is not None:
            self._feed.review(pair.number)

    def _on_rewritten(self, number: int, planes: set[Plane] | None) -> None:
        if number not in self._watched:
            return
        if planes is None:
            self._feed.replace(number, self._images.pair(number).array())
        else:
            self._feed.suspect(number, planes)

    def _unwatch(self, number: int) -> None:
        pair = self._watched.pop(number, None)
        if pair is not None:
            self._disconnect(pair)
            self._feed.drop(number)

    def _disconnect(self, pair: AnnotatedImage) -> None:
        pair.labels.events.paint.disconnect(self._on_paint)
        pair.labels.events.set_data.disconnect(self._on_redrawn)

    def _pass_on(self, signal: str, value: Any) -> None:
        """On the thread of the feed."""
        self._waiting.append((signal, value))
        # The window, and this object's C++ half with it, may be gone: then there is nobody to tell.
        with contextlib.suppress(RuntimeError):
            self._arrived.emit()

    def _tell(self) -> None:
        """On the thread of the window, in order."""
        while self._waiting:
            signal, value = self._waiting.popleft()
            if signal == "counted":
                self._counts = value
            getattr(self, signal).emit(value)
