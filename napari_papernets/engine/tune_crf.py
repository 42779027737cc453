"""The paper's search for w1, σ_α and σ_β on annotation (Chen et al. 2015, section 5.1), made quick.

Quick: only windows around annotation are refined; a new w1 uses the lattice at hand; a coarse grid comes
first, finer ones around its best while that moves. The grid is wider than the paper's, whose images are
all of one size and of things; and each of its points is tried on the smoothed image, too, for images
with grain. Honest: half of the strokes (of dense truth: half of a checkerboard) chooses, the other half
tells whether it helped.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.crf_settings import CRFSettings
from ..core.events import CRFTrial, Event, Started
from ..core.image import ImageBlock
from ..core.results import TunedCRF
from ..core.tiles import Region
from .answer import classes_of
from .crf_annotation import DENSE, read_truth, split_annotation, windows_of
from .crf_greys import Greys
from .crf_problem import CRFProblem, open_problem
from .crf_solvers import LatticeStore, crf_device, solve
from .trimap import TrimapScore, band, boundaries, score_on

DENOISE = (0.0, 3.0)
SIGMA_ALPHA = (10.0, 30.0, 80.0)
SIGMA_BETA = (3.0, 8.0, 20.0)
W1 = (2.5, 5.0, 10.0)
FINER = 1.5  # factor from the best of the coarse grid to its neighbours
FINER_DENOISE = 1.0  # pixels
ROUNDS = 3  # of the finer search at most: each around the best so far, while that moves
SEARCHED = ("w1", "sigma_alpha", "sigma_beta", "denoise")
FEW = 50  # pixels near boundaries, on each half, below which all annotated pixels are judged
GAIN = 0.002  # of IoU: less is no help


def tune_crf(
    probabilities: Any,
    image: ImageBlock,
    annotation: Any,
    settings: CRFSettings | None = None,
    *,
    plane: tuple[int, ...] = (),
    region: Region | None = None,
    width: float = 5.0,
    device: str = "auto",
) -> Generator[Event, None, TunedCRF]:
    """Search the CRF's parameters on annotation of one plane.

    Parameters
    ----------
    probabilities : array, shape (K, *stack, Y, X)
        As for ``refine``.
    image : ImageBlock
        The image.
    annotation : array of integers, shape (*stack, Y, X)
        0 is not annotated, 1…K are classes: strokes or dense truth.
    settings : CRFSettings, optional
        What is not searched: w2, σ_γ (paper: 3 and 3), iterations, which grey values, channels.
    plane : tuple of int
        Index along the stack axes.
    region : (y0, y1, x0, x1), optional
        The pixels that probabilities and annotation are of; all of the plane where it is left out.
    width : float
        Of the band around boundaries that is judged, in pixels. The boundaries are those of dense truth,
        or of the labels before refinement where there are only strokes.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.

    Yields
    ------
    Event
        Started, CRFTrial.

    Returns
    -------
    TunedCRF
        `helps` is False where the CRF made things worse, or no better, on annotation that the search did
        not see.

    Raises
    ------
    InputError
        If there is too little annotation, or anything does not fit.
    """
    settings = (settings or CRFSettings()).replace(volume=False, tile=None)
    planes = [tuple(plane)] if image.stack_axes else None
    problem = open_problem(probabilities, image, settings, region, planes)
    truth = read_truth(annotation, image, tuple(plane), problem.classes, region)
    task = _Task(problem, truth, settings, width, crf_device(device))
    yield Started(len(coarse_grid(settings)), "trial", task.message)
    scores: dict[CRFSettings, float] = {}
    for tried, score, total in search(settings, task.score):
        scores[tried] = score
        yield CRFTrial(len(scores), total, tried, score, max(task.bare, *scores.values()))
    return task.verdict(scores)


def search(
    settings: CRFSettings, score: Callable[[CRFSettings], float]
) -> Iterator[tuple[CRFSettings, float, int]]:
    """Score settings, coarse to fine: on around the best while that moves, a few rounds at most.

    Yields
    ------
    (CRFSettings, float, int)
        What was tried, its score, and how many trials there will be as far as is known.
    """
    scores: dict[CRFSettings, float] = {}
    grid = coarse_grid(settings)
    for _ in range(1 + ROUNDS):
        total = len(scores) + len(grid)
        for tried in grid:
            scores[tried] = score(tried)
            yield tried, scores[tried], total
        # around a best that did not move nothing is left to try
        grid = [t for t in fine_grid(max(scores, key=scores.__getitem__)) if t not in scores]


def coarse_grid(settings: CRFSettings) -> list[CRFSettings]:
    """Settings that are tried first; those that share a lattice follow each other."""
    grid = product(DENOISE, SIGMA_ALPHA, SIGMA_BETA, W1)
    return [settings.replace(denoise=d, sigma_alpha=a, sigma_beta=b, w1=w) for d, a, b, w in grid]


def fine_grid(around: CRFSettings) -> list[CRFSettings]:
    """Neighbours of settings: of σ_α, σ_β and the smoothing one is changed at a time, with three w1."""
    looks = [around]
    for name in ("sigma_alpha", "sigma_beta"):
        looks += [around.replace(**{name: v}) for v in _beside(getattr(around, name))]
    if around.denoise:
        looks += [around.replace(denoise=around.denoise + s * FINER_DENOISE) for s in (-1, 1)]
    return [look.replace(w1=w1) for look in looks for w1 in (around.w1, *_beside(around.w1))]


def _beside(value: float) -> tuple[float, float]:
    return round(value / FINER, 1), round(value * FINER, 1)


@dataclass(frozen=True, eq=False)
class _Piece:
    """A window: what is refined, and where it is judged."""

    beliefs: NDArray[np.float32]
    greys: Greys
    plane: tuple[int, ...]
    region: Region
    truth: NDArray[np.int64]
    chooses: NDArray[np.bool_]
    judges: NDArray[np.bool_]
    store: LatticeStore  # of the last two: the spatial one, and that of the σ at hand
    looks: dict[float, NDArray[Any]] = field(default_factory=dict)

    def grey(self, denoise: float) -> NDArray[Any]:
        """Grey values (Y, X, C), smoothed so much."""
        if denoise not in self.looks:
            greys = replace(self.greys, denoise=denoise)
            self.looks[denoise] = greys.read([self.plane], self.region)[0]
        return self.looks[denoise]


@dataclass(eq=False)
class _Task:
    """What settings are scored on."""

    problem: CRFProblem
    truth: NDArray[np.int64]
    settings: CRFSettings
    width: float
    device: torch.device
    message: str = ""
    bare: float = 0.0  # the score without a CRF

    def __post_init__(self) -> None:
        unit, (top, _, left, _) = self.problem.units[0], self.problem.region
        beliefs = self.problem.beliefs(unit)
        chooses, judges = split_annotation(self.truth)
        dense = (self.truth > 0).mean() > DENSE and boundaries(self.truth).any()
        near = band(self.truth if dense else classes_of(beliefs), self.width)
        enough = min((chooses & near).sum(), (judges & near).sum()) >= FEW
        if enough:
            chooses, judges = chooses & near, judges & near
        place = f"within {self.width:g} px of boundaries" if enough else "on all annotated pixels"
        self.message = f"judged {place}, {int(judges.sum())} pixels held out"
        self._pieces = [
            _Piece(
                np.ascontiguousarray(beliefs[:, rows, columns]),
                self.problem.greys, unit.plane,
                (top + rows.start, top + rows.stop, left + columns.start, left + columns.stop),
                self.truth[rows, columns], chooses[rows, columns], judges[rows, columns],
                LatticeStore(limit=0),
            )
            for rows, columns in windows_of(chooses | judges)
        ]  # fmt: skip
        bare = [classes_of(p.beliefs) for p in self._pieces]
        self.bare = self._score(bare, "chooses").iou

    def score(self, tried: CRFSettings) -> float:
        """IoU of these settings on the annotation that chooses."""
        return self._score([self._labels(p, tried) for p in self._pieces], "chooses").iou

    def verdict(self, scores: Mapping[CRFSettings, float]) -> TunedCRF:
        """The best trial beside no CRF, on the annotation that was held out."""
        best = max(scores, key=lambda tried: scores[tried])
        trials = tuple(
            dict({name: getattr(tried, name) for name in SEARCHED}, score=score)
            for tried, score in scores.items()
        )
        before = self._score([classes_of(p.beliefs) for p in self._pieces], "judges")
        after = self._score([self._labels(p, best) for p in self._pieces], "judges")
        helps = after.iou > before.iou + GAIN
        change = f"IoU {before.iou:.3f} → {after.iou:.3f} on annotation held out"
        if helps:
            message = f"the CRF helps: {change}"
        elif after.iou < before.iou - GAIN:
            message = f"the CRF makes it worse: {change}; leave it off"
        else:
            message = f"the CRF changes nothing: {change}; leave it off"
        return TunedCRF(
            best, helps, before.iou, after.iou, before.accuracy, after.accuracy, before.pixels,
            f"{message} ({self.message})", trials,
        )  # fmt: skip

    def _labels(self, piece: _Piece, settings: CRFSettings) -> NDArray[np.uint8]:
        *_, last = solve(
            piece.beliefs,
            piece.grey(settings.denoise),
            self.problem.spacing,
            settings,
            "torch",
            self.device,
            store=piece.store,
        )  # fmt: skip
        return classes_of(last.q)

    def _score(self, labels: list[NDArray[np.uint8]], half: str) -> TrimapScore:
        pairs = list(zip(self._pieces, labels, strict=True))
        flat = [
            np.concatenate([a.ravel() for a in arrays])
            for arrays in zip(*((getattr(p, half), p.truth, found) for p, found in pairs), strict=True)
        ]
        return score_on(flat[0], flat[1], flat[2])
