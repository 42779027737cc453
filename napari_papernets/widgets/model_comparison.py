"""Judges two versions on everything that is annotated, image by image and class by class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ..core.errors import PapernetsError
from ..core.image import ImageBlock
from ..core.model import ModelRef
from ..core.predict_settings import PredictSettings
from ..core.results import Prediction
from .comparison import ComparisonRow
from .job_adapter import Engine, JobAdapter

Plane = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Judged:
    """An image and what is annotated of it.

    Attributes
    ----------
    image : ImageBlock
        The image.
    planes : tuple of tuple of int
        Those with strokes.
    strokes : ndarray of uint8, shape (len(planes), Y, X)
        0 is not annotated, 1…K the class.
    """

    image: ImageBlock
    planes: tuple[Plane, ...]
    strokes: NDArray[np.uint8]

    @classmethod
    def of(
        cls, image: ImageBlock, annotation: NDArray[Any], candidates: Iterable[Plane]
    ) -> Judged | None:
        """What is painted now on some planes; None where nothing is."""
        planes = tuple(p for p in sorted(candidates) if annotation[p].any())
        if not planes:
            return None
        return cls(image, planes, np.stack([np.array(annotation[p], np.uint8) for p in planes]))


class ModelComparison(QObject):
    """Runs ``predict`` for every image and both models, one after the other.

    Attributes
    ----------
    progressed : Signal(str)
        One line.
    finished : Signal(object)
        A list of ComparisonRow.
    failed : Signal(object)
        The error.
    """

    progressed = Signal(str)
    finished = Signal(object)
    failed = Signal(object)

    def __init__(self, engine: Callable[[], Engine], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._engine = engine
        self._job: JobAdapter | None = None
        self._todo: list[tuple[int, ModelRef, Judged]] = []
        self._scores: list[dict[int, tuple[float | None, int]]] = []
        self._names: Sequence[str] = ()
        self._images: list[str] = []

    @property
    def is_running(self) -> bool:
        """Whether a comparison goes on."""
        return self._job is not None

    def start(self, models: tuple[ModelRef, ModelRef], judged: Sequence[Judged]) -> None:
        """Compare an older with a newer model; `finished` or `failed` follows."""
        if self.is_running:
            return
        self._names = [c.name for c in models[1].spec.classes]
        self._images = [one.image.name for one in judged]
        self._todo = [(i, model, one) for one in judged for i, model in enumerate(models)]
        self._scores = []
        self._next()

    def leave(self) -> None:
        """The panel goes away: drop what runs. Touches nothing of Qt or napari."""
        self._todo = []
        if self._job is not None:
            self._job.forget()
        self._job = None

    def _next(self) -> None:
        if self._job is not None:
            self._job.deleteLater()
            self._job = None
        if not self._todo:
            self.finished.emit(self._rows())
            return
        _, model, one = self._todo.pop(0)
        total = 2 * len(self._images)
        self.progressed.emit(f"Comparing… {total - len(self._todo)} of {total}")
        self._job = JobAdapter(self)
        self._job.returned.connect(self._on_scores)
        self._job.failed.connect(self._on_failed)
        self._job.cancelled.connect(self._next)
        try:
            self._job.start(
                self._engine(), "predict", lambda result: class_ious(result, one.strokes),
                image=one.image, model=model, probabilities=False,
                planes=one.planes if one.image.stack_axes else None,
                settings=PredictSettings(output="semantic", zoom=1.0),
            )  # fmt: skip
        except PapernetsError as error:
            self._on_failed(error)

    def _on_scores(self, scores: dict[int, tuple[float | None, int]]) -> None:
        self._scores.append(scores)
        self._next()

    def _on_failed(self, error: BaseException) -> None:
        self.leave()
        self.failed.emit(error)

    def _rows(self) -> list[ComparisonRow]:
        rows = []
        for at, image in enumerate(self._images):
            old, new = self._scores[2 * at : 2 * at + 2]
            for number in sorted({*old, *new}):
                name = self._names[number - 1] if number <= len(self._names) else f"class {number}"
                before, pixels = old.get(number, (None, 0))
                after, more = new.get(number, (None, 0))
                rows.append(ComparisonRow(image, name, before, after, max(pixels, more)))
        return rows


def class_ious(result: Prediction, strokes: NDArray[np.uint8]) -> dict[int, tuple[float | None, int]]:
    """IoU of each class on what is annotated, and how many pixels are annotated as it.

    Parameters
    ----------
    result : Prediction
        With classes 1…K.
    strokes : ndarray of uint8, shape (planes, Y, X)
        0 is not annotated.
    """
    labels = np.asarray(result.labels).reshape(strokes.shape)
    known = strokes > 0
    truth, said = strokes[known], labels[known]
    scores: dict[int, tuple[float | None, int]] = {}
    for number in np.unique(np.concatenate([truth, said.astype(truth.dtype)])).tolist():
        both, either = (truth == number) & (said == number), (truth == number) | (said == number)
        pixels = int((truth == number).sum())
        scores[number] = (float(both.sum() / either.sum()) if either.any() else None, pixels)
    return {k: v for k, v in scores.items() if k}
