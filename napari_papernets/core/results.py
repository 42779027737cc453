"""Answers, each with the provenance that repeats it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .crf_settings import CRFSettings
from .feature_maps import FeatureMaps
from .model import ModelRef

__all__ = [
    "AugmentedCrop",
    "EmbeddingView",
    "FeatureMaps",
    "LevelMaps",
    "Prediction",
    "ProbeScore",
    "Refinement",
    "Tuned",
    "TunedCRF",
]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Answer of ``predict``.

    Attributes
    ----------
    labels : ndarray of unsigned integers, shape (*stack, Y, X)
        Instances: 0 is background, every other number one object (unique over a stack).
        Semantic: the class of every pixel, 1…K.
    probabilities : ndarray of float32, shape (K, *stack, Y, X), or None
        Softmax over the K classes, in the order of the model's classes; None if not asked for.
    provenance : mapping
        JSON-able: model and the SHA-256 of its weights, settings, tile plan, device, precision,
        versions, notices, and the command line that repeats it.
    """

    labels: NDArray[Any]
    probabilities: NDArray[Any] | None
    provenance: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class LevelMaps:
    """Answer of ``inspect``: what each level of a network sees.

    Attributes
    ----------
    maps : mapping of str to ndarray, shape (C, y, x), float32
        Feature maps by level name, contracting path first.
    boxes : mapping of str to (y0, y1, x0, x1)
        Pixels of the image that each map covers.
    provenance : mapping
        As in `Prediction`.
    """

    maps: Mapping[str, NDArray[Any]]
    boxes: Mapping[str, tuple[float, float, float, float]]
    provenance: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Tuned:
    """Answer of ``finetune``.

    Attributes
    ----------
    model : ModelRef
        The trained model, saved on disk.
    history : tuple of dict
        One row for each step: step, loss, learning_rate, seconds; and score where it was judged.
    provenance : mapping
        Settings, data, device, versions, steps done, and the command line that repeats it.
    """

    model: ModelRef
    history: tuple[Mapping[str, Any], ...]
    provenance: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class AugmentedCrop:
    """Answer of ``preview``: one crop as a training would see it.

    Attributes
    ----------
    image : ndarray of float32, shape (C, H, W)
        Grey values after normalisation, deformation and change, about 0…1.
    grid : ndarray of bool, shape (H, W)
        Lines that were straight, 16 pixels apart, before the deformation.
    classes : ndarray of int64, shape (h, w)
        Target; -1 where it is unknown. Smaller than the image for an unpadded network, whose output
        belongs to the middle of its input.
    weights : ndarray of float32, shape (h, w)
        The weight map w(x); 0 where the target is unknown.
    class_names : tuple of str
        Names of the classes from 0.
    class_weights : ndarray of float32, shape (K,)
        What each class contributes to w(x).
    """

    image: NDArray[np.float32]
    grid: NDArray[np.bool_]
    classes: NDArray[np.int64]
    weights: NDArray[np.float32]
    class_names: tuple[str, ...]
    class_weights: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Refinement:
    """Answer of ``refine``.

    Attributes
    ----------
    probabilities : ndarray of float32, shape (K, *stack, Y, X)
        Beliefs after the last iteration.
    labels : ndarray of unsigned integers, shape (*stack, Y, X)
        The most probable class, 1…K.
    energies : tuple of tuple of float
        For each plane (one for a volume), the free energy from iteration 0 on.
    provenance : mapping
        As in `Prediction`; `largest_dq` says how far tiles are from one lattice where there were tiles.
    """

    probabilities: NDArray[np.float32]
    labels: NDArray[Any]
    energies: tuple[tuple[float, ...], ...]
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class TunedCRF:
    """Answer of ``tune_crf``.

    Attributes
    ----------
    settings : CRFSettings
        The best ones of the search.
    helps : bool
        Whether they are better than no CRF on annotation that the search did not see.
    before, after : float
        Mean IoU near boundaries on that annotation, without and with the CRF.
    accuracy_before, accuracy_after : float
        Share of its pixels that are right.
    pixels : int
        How many pixels that were.
    message : str
        One line for the user.
    trials : tuple of dict
        w1, sigma_alpha, sigma_beta, denoise and score of every trial.
    """

    settings: CRFSettings
    helps: bool
    before: float
    after: float
    accuracy_before: float
    accuracy_after: float
    pixels: int
    message: str
    trials: tuple[Mapping[str, float], ...]


@dataclass(frozen=True, eq=False)
class EmbeddingView:
    """Answer of ``embedding``.

    Attributes
    ----------
    filters : ndarray of float32, shape (n, P, P, C)
        Principal components of the patch-embedding filters, by falling variance, each of length 1.
    explained : ndarray of float32, shape (n,)
        Share of the variance, 0…1.
    positions : ndarray of float32, shape (side, side, side, side)
        Cosine similarity, −1…1, of the position embedding in row i and column j (the first two axes) to
        every other one.
    provenance : mapping
        Model and the SHA-256 of its weights.
    """

    filters: NDArray[np.float32]
    explained: NDArray[np.float32]
    positions: NDArray[np.float32]
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class ProbeScore:
    """Answer of ``probe``: how well tokens tell classes apart on strokes that were held out.

    Attributes
    ----------
    linear, nearest : float
        Mean IoU over the classes, 0…1, of logistic regression and of the 5 nearest tokens.
    strokes : tuple of int
        Strokes of each class.
    folds : int
        Groups of strokes, each of them held out once.
    random : bool
        The network had random weights: what is reached without having learnt anything.
    """

    linear: float
    nearest: float
    strokes: tuple[int, ...]
    folds: int
    random: bool
