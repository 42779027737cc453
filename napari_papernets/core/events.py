"""What a running job tells: small frozen values that a generator yields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .annotation import View
from .crf_settings import CRFSettings
from .image import Range
from .model import ModelRef

RISE = 1e-6  # of an energy: less is rounding


@dataclass(frozen=True)
class Started:
    """A job knows its plan.

    Attributes
    ----------
    total : int
        Number of units to come; 0 where it is not known (training by the clock).
    unit : str
        "tile", "step", "byte", "trial", "window" or "look".
    message : str
        One line for the user.
    """

    total: int
    unit: str
    message: str = ""


@dataclass(frozen=True, eq=False)
class TileDone:
    """One tile of a prediction is done.

    Attributes
    ----------
    done, total : int
        Tiles done so far, and in all.
    plane : tuple of int
        Index of the plane along the stack axes.
    y, x : (start, stop)
        Where the labels belong, in pixels of the image as it was given.
    labels : ndarray of uint8, shape (Y, X)
        Foreground classes of the tile (a first look: objects are numbered at the end of a plane).
    """

    done: int
    total: int
    plane: tuple[int, ...]
    y: Range
    x: Range
    labels: NDArray[Any]


@dataclass(frozen=True, eq=False)
class PlaneDone:
    """One plane of a prediction is final.

    Attributes
    ----------
    plane : tuple of int
        Index along the stack axes.
    labels : ndarray, shape (Y, X), integer
        Final labels of the plane.
    """

    plane: tuple[int, ...]
    labels: NDArray[Any]


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units are done (windows of an image, bytes of a download)."""

    done: int
    total: int


@dataclass(frozen=True)
class Step:
    """One optimiser step: its number (from 1), loss, learning rate and the seconds since the start."""

    step: int
    loss: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class EpochDone:
    """The model was judged: `score` is the mean IoU on held-out annotation, None without any."""

    step: int
    score: float | None
    best: bool
    seconds: float


@dataclass(frozen=True)
class Checkpoint:
    """A training state was written to `path` (atomically)."""

    step: int
    path: str


@dataclass(frozen=True)
class Notice:
    """Something that the user should know, and that did not stop the job.

    Attributes
    ----------
    message : str
        One line.
    details : dict
        The facts behind it, JSON-able.
    """

    message: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Preview:
    """What the model in training says of the part of the image that the person looks at.

    Attributes
    ----------
    view : View
        The part.
    labels : ndarray of uint8, shape (h, w)
        The most probable class of each pixel, 1…K.
    uncertainty : ndarray of uint8, shape (h, w)
        0 where one class is certain, 255 where the two best are equally probable.
    source : {"quick", "trained"}
        A head on frozen features, or the network after some steps of training.
    step : int
        Steps of training so far.
    patch : int
        Number of the newest patch of annotation that it knows.
    """

    view: View
    labels: NDArray[Any]
    uncertainty: NDArray[Any]
    source: Literal["quick", "trained"]
    step: int
    patch: int


@dataclass(frozen=True)
class Version:
    """A round of training came to an end, and what it made was written.

    Attributes
    ----------
    model : ModelRef
        The model file.
    patch : int
        Number of the newest patch of annotation that it learnt from.
    step : int
        Steps of training so far.
    score : float or None
        Mean IoU on annotation that it did not learn from; None without any.
    before : float or None
        The score of the model before this round on the same annotation.
    source : {"quick", "trained"}
        As in `Preview`.
    reason : str
        Why the round ended.
    compares : bool
        A `Compared` follows, unless the job ends before.
    """

    model: ModelRef
    patch: int
    step: int
    score: float | None
    before: float | None
    source: Literal["quick", "trained"]
    reason: str
    compares: bool = False


@dataclass(frozen=True)
class ClassScore:
    """IoU of class `number` (from 1) on `pixels` annotated pixels, by the old and by the new model."""

    number: int
    old: float
    new: float
    pixels: int


@dataclass(frozen=True)
class Compared:
    """A version was judged beside the one before it, on all that was annotated when it was made.

    Attributes
    ----------
    old, new : ModelRef
        The models.
    scores : tuple of ClassScore
        Of the classes that both know and that are annotated.
    """

    old: ModelRef
    new: ModelRef
    scores: tuple[ClassScore, ...]

    @property
    def means(self) -> tuple[float, float]:
        """As `mean_scores`."""
        return mean_scores(self.scores)


def mean_scores(scores: Sequence[ClassScore]) -> tuple[float, float]:
    """Mean IoU by the old and by the new model; 0 without any class."""
    count = max(1, len(scores))
    return sum(s.old for s in scores) / count, sum(s.new for s in scores) / count


@dataclass(frozen=True, eq=False)
class Refined:
    """An iteration of mean field is done.

    Attributes
    ----------
    plane : tuple of int
        Index along the stack axes; empty for a volume.
    iteration : int
        0 is before the first one.
    done, total : int
        Iterations done so far, and in all, over all planes.
    energy : float
        Variational free energy, in nats.
    rises : bool
        The energy is higher than before the iteration.
    labels : ndarray of unsigned integers, shape (Y, X), (Z, Y, X) for a volume, or None
        The most probable class of each pixel, 1…K; where labels or beliefs were asked for.
    belief : ndarray of float32, shape (K, *labels.shape), or None
        Q, where it was asked for.
    """

    plane: tuple[int, ...]
    iteration: int
    done: int
    total: int
    energy: float
    rises: bool
    labels: NDArray[Any] | None
    belief: NDArray[np.float32] | None


def is_rise(before: float, after: float) -> bool:
    """Whether an energy is higher than before, by more than rounding."""
    return after > before + RISE * abs(before)


@dataclass(frozen=True)
class CRFTrial:
    """A setting of the CRF was tried on annotation.

    Attributes
    ----------
    done, total : int
        Trials done so far, and in all as far as is known: finer ones follow while the best moves.
    settings : CRFSettings
        What was tried.
    score : float
        Mean IoU near boundaries, on the annotation that the search may see.
    best : float
        The best so far, without the CRF included.
    """

    done: int
    total: int
    settings: CRFSettings
    score: float
    best: float


@dataclass(frozen=True)
class Resting:
    """A live training waits for new annotation.

    Attributes
    ----------
    reason : str
        One line for the user.
    lacks : bool
        It cannot learn yet: there are no strokes of two classes.
    """

    reason: str
    lacks: bool = False


@dataclass(frozen=True, eq=False)
class LookUps:
    """How a contrastive training looks its queries up in the dictionary.

    Attributes
    ----------
    step : int
        Steps so far.
    accuracy : float
        Share of the queries whose positive key was the most similar of all K + 1 keys, lately.
    positives, negatives : ndarray of int64, shape (bins,)
        Histograms of the similarities (cosines) of queries to their positive key and to the others, in
        equal bins from −1 to 1.
    queue_age : float
        Steps since the oldest key of the queue was made; the random keys of the start count from 0.
    fresh : float
        Share of the queue that holds keys rather than random numbers, 0…1.
    """

    step: int
    accuracy: float
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]
    queue_age: float
    fresh: float


@dataclass(frozen=True)
class StrokeProbe:
    """Whether an encoder in training helps: a linear layer on its frozen maps, judged on strokes.

    Attributes
    ----------
    step : int
        Steps so far.
    score : float
        Mean IoU over the classes on strokes that the linear layer did not learn from.
    start, random : float
        The same for the encoder before training, and for weights drawn at random.
    spread : float
        Of what `score` gains over the better of the other two: half of how far the gains on both halves
        of the strokes lie apart. A gain that is no larger was found on one half alone.
    """

    step: int
    score: float
    start: float
    random: float
    spread: float = 0.0


@dataclass(frozen=True)
class Idle:
    """The generator has nothing to do: who drives it may wait so many seconds for something to send.

    It stays between the generator and its driver, and is shown to nobody.
    """

    seconds: float


Event = (
    Started
    | TileDone
    | PlaneDone
    | Progress
    | Step
    | EpochDone
    | Checkpoint
    | Notice
    | Preview
    | Version
    | Compared
    | Refined
    | CRFTrial
    | Resting
    | LookUps
    | StrokeProbe
    | Idle
)
