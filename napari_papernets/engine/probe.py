"""The verb `probe`: do the tokens of a network tell a person's classes apart?

Strokes are held out, never single pixels: pixels of one stroke lie beside each other, so that those held
out would be known already.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import InputError
from ..core.events import Event
from ..core.feature_maps import FeatureMaps
from ..core.feature_settings import FeatureSettings
from ..core.image import ImageBlock
from ..core.results import ProbeScore
from ..core.token_math import unit
from .features import features
from .metrics import mean_iou
from .models import ModelLike
from .quick import fit_head

FOLDS = 5  # at most
NEIGHBOURS = 5


def probe(
    image: ImageBlock,
    strokes: NDArray[Any],
    model: ModelLike,
    settings: FeatureSettings | None = None,
    *,
    device: str = "auto",
    random_weights: bool = False,
) -> Generator[Event, Any, ProbeScore]:
    """Judge tokens by a linear probe and by their nearest neighbours, on held-out strokes.

    Parameters
    ----------
    image : ImageBlock
        Any axes.
    strokes : ndarray of integers, shape (*stack, Y, X)
        0 is not annotated, 1…K the class; connected pixels of a class are a stroke. Two strokes of each
        class at least.
    model : str, Path, ModelRef or nn.Module
        A Vision Transformer.
    settings : FeatureSettings, optional
        Which block, at what resolution.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to run.
    random_weights : bool
        The control: the same with freshly drawn weights.

    Yields
    ------
    Event
        As `features`.

    Returns
    -------
    ProbeScore

    Raises
    ------
    InputError
        If strokes and image differ in size, or there are too few strokes.
    """
    painted = np.asarray(strokes)
    wanted = (*image.stack_shape, *image.plane_shape)
    if painted.shape != wanted:
        raise InputError("strokes", f"shape {painted.shape}", f"the image asks for {wanted}")
    planes = [p for p in image.planes() if painted[p].any()]
    if not planes:
        raise InputError("strokes", "none", "paint two strokes of each class at least")
    maps = yield from features(
        image, model, settings, device=device, random_weights=random_weights,
        planes=planes if image.stack_axes else None,
    )  # fmt: skip
    index = [(n,) for n in range(len(planes))] if image.stack_axes else [()]
    parts = [sample(maps, at, painted[p]) for at, p in zip(index, planes, strict=True)]
    return judge(parts, random_weights)


def sample(
    maps: FeatureMaps, at: tuple[int, ...], strokes: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Tokens under the strokes of a plane: each token once for every stroke that touches it.

    Returns
    -------
    tokens : ndarray, shape (n, D)
    classes, stroke, pixels : ndarray, shape (n,)
        The class 1…K, the number of the stroke within its class, and how many pixels it has there.
    """
    found = []
    tokens = maps.of_plane(at)
    for c in np.unique(strokes[strokes > 0]):
        numbered, _ = ndimage.label(strokes == c, np.ones((3, 3)))
        y, x = np.nonzero(numbered)
        cells = ((np.stack([y, x], 1) - maps.origin) // maps.cell).astype(np.int64)
        flat = np.clip(cells[:, 0], 0, maps.grid[0] - 1) * maps.grid[1]
        flat += np.clip(cells[:, 1], 0, maps.grid[1] - 1)
        pairs, counts = np.unique(np.stack([numbered[y, x] - 1, flat], 1), axis=0, return_counts=True)
        found.append((tokens[pairs[:, 1]], np.full(len(pairs), c), pairs[:, 0], counts))
    merged = [np.concatenate(column) for column in zip(*found, strict=True)]
    return merged[0], merged[1].astype(np.int64), merged[2].astype(np.int64), merged[3]


def judge(parts: Sequence[Any], random_weights: bool = False) -> ProbeScore:
    """Mean IoU on held-out strokes, every stroke held out once (or in five groups).

    Raises
    ------
    InputError
        If a class has a single stroke, or there is one class only.
    """
    tokens, classes, stroke, pixels = _merge(parts)
    names, classes = np.unique(classes, return_inverse=True)
    counts = [len(np.unique(stroke[classes == c])) for c in range(len(names))]
    if len(names) < 2 or min(counts) < 2:
        pairs = zip(names, counts, strict=True)
        painted = ", ".join(f"class {n} with {c} stroke{'s' * (c != 1)}" for n, c in pairs)
        raise InputError("strokes", painted, "paint two strokes of each of two classes at least")
    folds = min(FOLDS, *counts)
    confusion = np.zeros((2, len(names), len(names)), np.int64)
    directions = unit(tokens)
    for fold in range(folds):
        held = stroke % folds == fold
        answers = (
            _linear(tokens[~held], classes[~held], tokens[held], len(names)),
            _nearest(directions[~held], classes[~held], directions[held], len(names)),
        )
        for matrix, answer in zip(confusion, answers, strict=True):
            np.add.at(matrix, (classes[held], answer), pixels[held])
    linear, nearest = (mean_iou(matrix) for matrix in confusion)
    return ProbeScore(linear, nearest, tuple(counts), folds, random_weights)


def _merge(parts: Sequence[Any]) -> list[NDArray[Any]]:
    """Samples of all planes; strokes of different planes are different strokes."""
    offset, renumbered = 0, []
    for tokens, classes, stroke, pixels in parts:
        renumbered.append((tokens, classes, stroke + offset, pixels))
        offset += int(stroke.max()) + 1
    tokens, classes, stroke, pixels = (np.concatenate(c) for c in zip(*renumbered, strict=True))
    for c in np.unique(classes):  # numbers 0, 1, 2 … within a class
        stroke[classes == c] = np.unique(stroke[classes == c], return_inverse=True)[1]
    return [tokens, classes, stroke, pixels]


def _linear(
    known: NDArray[np.float32], classes: NDArray[np.int64], asked: NDArray[np.float32], count: int
) -> NDArray[np.int64]:
    mean, spread = known.mean(0), np.maximum(known.std(0), 1e-6)
    scale = known.shape[1] ** -0.5
    train, test = ((torch.from_numpy((t - mean) / spread * scale)) for t in (known, asked))
    weights = fit_head(train.float(), torch.from_numpy(classes), count)
    return (test.float() @ weights[:-1] + weights[-1]).argmax(1).numpy()


def _nearest(
    known: NDArray[np.float32], classes: NDArray[np.int64], asked: NDArray[np.float32], count: int
) -> NDArray[np.int64]:
    alike = asked @ known.T
    nearest = np.argsort(-alike, axis=1)[:, :NEIGHBOURS]
    votes = np.zeros((len(asked), count))
    for column in nearest.T:
        votes[np.arange(len(asked)), classes[column]] += alike[np.arange(len(asked)), column]
    return votes.argmax(1)
