"""Asks the engine for augmented crops: one at a time, and of many wishes only the newest counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ..core.image import ImageBlock
from ..core.model import ClassInfo
from ..core.tune_settings import TuneSettings
from .job_adapter import Engine
from .newest_job import NewestJob, Wish
from .placement import Placement


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


Drawing = tuple[Example, int]
"""What to draw from, and the number of the crop."""


class CropJobs(NewestJob):
    """Runs the verb ``preview`` for the newest wish.

    Parameters
    ----------
    engine : callable
        The engine.
    wish : callable
        What is wanted now. Raises PapernetsError where nothing can be drawn.

    Attributes
    ----------
    drawn : Signal(object, object)
        The Example and its AugmentedCrop.
    """

    drawn = Signal(object, object)

    def __init__(
        self,
        engine: Callable[[], Engine],
        wish: Callable[[], Drawing],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(engine, lambda: _crop_wish(*wish()), parent)
        self.answered.connect(self.drawn)


def _crop_wish(example: Example, number: int) -> Wish:
    arguments = dict(
        image=example.image,
        annotation=example.annotation,
        settings=example.settings,
        number=number,
    )
    return Wish("preview", arguments, example)
