"""Asks the engine for augmented crops: one at a time, and of many wishes only the newest counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from ..core.errors import PapernetsError
from ..core.events import Event, Started
from ..core.image import ImageBlock
from ..core.model import ClassInfo
from ..core.results import AugmentedCrop
from ..core.settings import TuneSettings
from .job_adapter import Engine, JobAdapter
from .placement import Placement

PATIENCE = 700  # ms without an answer, after which it is said that the engine is busy


@dataclass(frozen=True, eq=False)
class Example:
    """What a crop is drawn from.

    Attributes
    ----------
    image : ImageBlock
        One plane is enough, and quicker than a stack.
    annotation : ndarray of integers
        Of its shape without channels; a copy, since painting goes on.
    settings : TuneSettings
        How a training would be done; `settings.kind` says what the annotation means.
    classes : tuple of ClassInfo
        Names and colours of the classes; the engine's names in the palette's colours where empty.
    placement : Placement, optional
        Of the image's layer along Y and X, for the layers that are added beside it.
    """

    image: ImageBlock
    annotation: NDArray[Any]
    settings: TuneSettings
    classes: tuple[ClassInfo, ...] = ()
    placement: Placement | None = None


Wish = tuple[Example, int]
"""What to draw from, and the number of the crop."""


class CropJobs(QObject):
    """Runs the verb ``preview`` for the newest wish.

    Parameters
    ----------
    engine : callable
        The engine.
    wish : callable
        What is wanted now; asked when a job starts, so that a wish may change until then. Raises
        PapernetsError where nothing can be drawn.

    Attributes
    ----------
    drawn : Signal(object, object)
        The Example and its AugmentedCrop.
    waiting : Signal(str)
        Why nothing comes yet.
    failed : Signal(object)
        The error.
    """

    drawn = Signal(object, object)
    waiting = Signal(str)
    failed = Signal(object)

    def __init__(
        self,
        engine: Callable[[], Engine],
        wish: Callable[[], Wish],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._engine, self._wish = engine, wish
        # One for all jobs, since there is never more than one at a time.
        self._job = JobAdapter(self)
        self._job.happened.connect(self._on_event)
        self._job.returned.connect(self._on_returned)
        self._job.failed.connect(self._on_failed)
        self._job.cancelled.connect(self._settle)
        self._example: Example | None = None  # of the job that is on its way
        self._again = self._left = False
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.timeout.connect(self._tell_why)

    @property
    def busy(self) -> bool:
        """Whether a crop is on its way."""
        return self._example is not None

    def request(self) -> None:
        """Draw, now or as soon as the job before is done."""
        if self.busy:
            self._again = True
        elif not self._left:
            self._start()

    def leave(self) -> None:
        """Drop what is on its way, and start nothing any more."""
        self._left = True
        self._patience.stop()
        self._job.forget()
        self._example = None

    def _start(self) -> None:
        self._again = False
        try:
            example, number = self._wish()
            self._example = example
            self._patience.start(PATIENCE)
            self._job.start(
                self._engine(), "preview", image=example.image, annotation=example.annotation,
                settings=example.settings, number=number,
            )  # fmt: skip
        except PapernetsError as error:
            self._on_failed(error)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Started):
            self._patience.stop()

    def _on_returned(self, crop: AugmentedCrop) -> None:
        """A crop of settings that have changed since is shown too: the next replaces it soon."""
        example = self._example
        self._settle()
        self.drawn.emit(example, crop)

    def _on_failed(self, error: BaseException) -> None:
        again = self._again
        self._settle()
        if not again:
            self.failed.emit(error)

    def _settle(self) -> None:
        self._patience.stop()
        self._example = None
        if self._again:
            self._start()

    def _tell_why(self) -> None:
        if self._engine().info:
            self.waiting.emit("Waiting: the engine is busy with another job, such as a training.")
        else:
            self.waiting.emit("Waiting for the engine to start.")
