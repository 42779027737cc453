"""The peer, ilastik's recipe: multi-scale filters (scikit-image), a random forest (scikit-learn)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

from napari_papernets.core.image import ImageBlock

SIGMAS = (0.7, 10.0)
TREES = 100


def filters(image: ImageBlock) -> NDArray[np.float32]:
    """Features (Y, X, F): intensity, edges and texture at σ 0.7…10."""
    pixels = np.asarray(image.data)
    channel = -1 if image.axes.endswith("C") else None
    return multiscale_basic_features(
        pixels, sigma_min=SIGMAS[0], sigma_max=SIGMAS[1], channel_axis=channel
    )


def fit(features: Sequence[NDArray[np.float32]], strokes: Sequence[NDArray[np.uint8]]):
    """A forest from the painted pixels."""
    x = np.concatenate([f[s > 0] for f, s in zip(features, strokes, strict=True)])
    y = np.concatenate([s[s > 0] for s in strokes])
    return RandomForestClassifier(TREES, n_jobs=-1, random_state=0).fit(x, y)


def classify(forest, features: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The class of every pixel, shape (Y, X)."""
    return forest.predict(features.reshape(-1, features.shape[-1])).reshape(features.shape[:2])
