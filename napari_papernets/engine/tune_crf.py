"""The paper's search for w1, σ_α and σ_β on annotation (Chen et al. 2015, section 5.1), made quick.

Quick: only windows around annotation are refined; a new w1 uses the lattice at hand; a coarse grid comes
first, a finer one around its best. Honest: half of the strokes (of dense truth: half of a checkerboard)
chooses, the other half tells whether it helped.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from ..core.crf_settings import CRFSettings
from ..core.errors import InputError
from ..core.events import CRFTrial, Event, Started
from ..core.image import ImageBlock
from ..core.results import TunedCRF
from ..core.tiles import Region
from .answer import classes_of
from .crf_problem import CRFProblem, open_problem
from .crf_solvers import LatticeStore, crf_device, solve
from .trimap import TrimapScore, band, boundaries, score_on

W1 = (5.0, 7.5, 10.0)
SIGMA_ALPHA = (50.0, 75.0, 100.0)
SIGMA_BETA = (3.0, 5.0, 10.0)
FINE_W1, FINE_ALPHA, FINE_BETA = 1.0, 10.0, 1.0  # the paper's steps, around the coarse best
DENSE = 0.5  # share of annotated pixels from which it is truth rather than strokes
SQUARE = 64  # pixels: side of the fields of the checkerboard
WINDOW = 512  # pixels: largest side that is refined at once
WINDOWS = 3
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
        What is not searched: w2, σ_γ (paper: 3 and 3), iterations, grey values, channels.
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
    search = _Search(problem, truth, settings, width, crf_device(device))
    coarse = list(product(SIGMA_ALPHA, SIGMA_BETA, W1))
    yield Started(len(coarse) + len(fine_grid(coarse[0])), "trial", search.message)
    yield from search.try_all(coarse, len(coarse) + len(fine_grid(coarse[0])))
    fine = [c for c in fine_grid(search.best_trial) if c not in coarse]
    yield from search.try_all(fine, len(coarse) + len(fine))
    return search.verdict()


def read_truth(
    annotation: Any,
    image: ImageBlock,
    plane: tuple[int, ...],
    classes: int,
    region: Region | None = None,
) -> NDArray[np.int64]:
    """Classes of a plane, 0 where not annotated.

    Raises
    ------
    InputError
        If the shape differs from that of the image or region, or classes are unknown or fewer than two.
    """
    y0, y1, x0, x1 = region or (0, image.plane_shape[0], 0, image.plane_shape[1])
    expected = (*image.stack_shape, y1 - y0, x1 - x0)
    if tuple(annotation.shape) != expected:
        mend = f"give labels of the shape of {image.name} without channels, {expected}"
        raise InputError("annotation", f"shape {tuple(annotation.shape)}", mend)
    truth = np.asarray(annotation[plane] if plane else annotation).astype(np.int64)
    present = [int(c) for c in np.unique(truth) if c != 0]
    if present and (present[0] < 0 or present[-1] > classes):
        mend = f"use 0 for not annotated and 1 to {classes} for the classes of the probabilities"
        raise InputError("annotation", f"classes {present}", mend)
    if len(present) < 2:
        raise InputError(
            "annotation", f"classes {present}", "annotate at least two classes in this plane"
        )
    return truth


def fine_grid(around: tuple[float, float, float]) -> list[tuple[float, float, float]]:
    """Neighbours of (σ_α, σ_β, w1), one σ changed at a time, each with three w1."""
    alpha, beta, w1 = around
    sigmas = [(alpha, beta)]
    sigmas += [(alpha + s * FINE_ALPHA, beta) for s in (-1, 1)]
    sigmas += [(alpha, max(beta + s * FINE_BETA, 1.0)) for s in (-1, 1)]
    return [(a, b, w1 + s * FINE_W1) for a, b in sigmas for s in (-1, 0, 1)]


def split_annotation(truth: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels to choose on, and pixels to judge on: every other stroke of a class, or checkerboard field.

    Where a class has but one stroke, it is cut in two.
    """
    known = truth > 0
    y, x = np.indices(truth.shape)
    board = ((y // SQUARE) + (x // SQUARE)) % 2 == 0
    if known.mean() > DENSE:
        return known & board, known & ~board
    chooses = np.zeros(truth.shape, bool)
    for number in np.unique(truth[known]):
        strokes, count = ndimage.label(truth == number, np.ones((3, 3), int))
        if count > 1:
            chooses |= (strokes > 0) & (strokes % 2 == 1)
        else:
            rows, columns = np.nonzero(strokes)
            order = np.lexsort((columns, rows) if np.ptp(rows) > np.ptp(columns) else (rows, columns))
            first = order[: len(order) // 2]
            chooses[rows[first], columns[first]] = True
    return known & chooses, known & ~chooses


def windows_of(where: NDArray[np.bool_]) -> Iterator[tuple[slice, slice]]:
    """A few windows that hold most of a mask, none of them larger than `WINDOW`; they do not overlap."""
    height, width = where.shape
    counts = {
        (top, left): int(where[top : top + WINDOW, left : left + WINDOW].sum())
        for top in range(0, height, WINDOW)
        for left in range(0, width, WINDOW)
    }
    fullest = sorted(counts, key=lambda corner: -counts[corner])[:WINDOWS]
    for top, left in fullest:
        if counts[top, left]:
            yield slice(top, min(top + WINDOW, height)), slice(left, min(left + WINDOW, width))


@dataclass(frozen=True, eq=False)
class _Piece:
    """A window: what is refined, and where it is judged."""

    beliefs: NDArray[np.float32]
    grey: NDArray[Any]
    truth: NDArray[np.int64]
    chooses: NDArray[np.bool_]
    judges: NDArray[np.bool_]
    store: LatticeStore  # of the last two: the spatial one, and that of the σ at hand


@dataclass(eq=False)
class _Search:
    """The trials so far."""

    problem: CRFProblem
    truth: NDArray[np.int64]
    settings: CRFSettings
    width: float
    device: torch.device
    message: str = ""
    trials: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        unit = self.problem.units[0]
        beliefs, grey = self.problem.beliefs(unit), self.problem.grey(unit)
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
                np.ascontiguousarray(grey[rows, columns]),
                self.truth[rows, columns], chooses[rows, columns], judges[rows, columns],
                LatticeStore(limit=0),
            )
            for rows, columns in windows_of(chooses | judges)
        ]  # fmt: skip
        bare = [classes_of(p.beliefs) for p in self._pieces]
        self.best_score, self.best_trial = self._score(bare, "chooses").iou, (0.0, 0.0, 0.0)

    def try_all(
        self, grid: list[tuple[float, float, float]], total: int
    ) -> Generator[Event, None, None]:
        """Score every (σ_α, σ_β, w1) of a grid."""
        for alpha, beta, w1 in grid:
            tried = self.settings.replace(sigma_alpha=alpha, sigma_beta=beta, w1=w1)
            score = self._score([self._labels(p, tried) for p in self._pieces], "chooses").iou
            known = [t["score"] for t in self.trials]
            if not known or score > max(known):
                self.best_trial = (alpha, beta, w1)
            self.best_score = max(self.best_score, score)
            self.trials.append(dict(w1=w1, sigma_alpha=alpha, sigma_beta=beta, score=score))
            yield CRFTrial(len(self.trials), total, tried, score, self.best_score)

    def verdict(self) -> TunedCRF:
        """The best trial beside no CRF, on the annotation that was held out."""
        alpha, beta, w1 = self.best_trial
        best = self.settings.replace(sigma_alpha=alpha, sigma_beta=beta, w1=w1)
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
            f"{message} ({self.message})", tuple(self.trials),
        )  # fmt: skip

    def _labels(self, piece: _Piece, settings: CRFSettings) -> NDArray[np.uint8]:
        *_, last = solve(
            piece.beliefs, piece.grey, (1.0, 1.0), settings, "torch", self.device, store=piece.store
        )
        return classes_of(last.q)

    def _score(self, labels: list[NDArray[np.uint8]], half: str) -> TrimapScore:
        pairs = list(zip(self._pieces, labels, strict=True))
        flat = [
            np.concatenate([a.ravel() for a in arrays])
            for arrays in zip(*((getattr(p, half), p.truth, found) for p, found in pairs), strict=True)
        ]
        return score_on(flat[0], flat[1], flat[2])
