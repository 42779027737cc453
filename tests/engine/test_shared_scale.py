"""Grey values that mean the same in every image are told apart, though each plane is normalised."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import ModelRef, Normalisation
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine.annotated import read_planes
from napari_papernets.engine.finetune import finetune
from napari_papernets.engine.normalise import shared_range
from napari_papernets.engine.predict import predict
from napari_papernets.engine.shared_scale import with_shared_scale
from napari_papernets.engine.starts import scratch_spec
from napari_papernets.engine.tiling import open_source
from napari_papernets.model_files import read_spec

SETTINGS = TuneSettings(width=4, depth=2, steps=0, held_out=0.0, precision="float32")
PLAIN = PredictSettings(precision="float32")
LEVELS = (60, 120, 180)  # of the classes 1, 2 and 3


def halves(left: int, right: int, seed: int) -> tuple[ImageBlock, np.ndarray]:
    """An image of two of the classes, and its truth."""
    truth = np.full((64, 96), left, np.uint8)
    truth[:, 48:] = right
    grey = np.array([0, *LEVELS])[truth] + np.random.default_rng(seed).normal(0, 4, truth.shape)
    return ImageBlock(grey.astype(np.uint8), "YX", name=f"{left} beside {right}"), truth


def strokes_on(truth: np.ndarray) -> np.ndarray:
    painted = np.zeros_like(truth)
    for row in (8, 30, 52):
        painted[row : row + 3, 6:40] = truth[row : row + 3, 6:40]
        painted[row : row + 3, 54:90] = truth[row : row + 3, 54:90]
    return painted


def run(job: Any) -> Any:
    while True:
        try:
            next(job)
        except StopIteration as end:
            return end.value


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """Learnt from two images in which the middle class is once the brightest, once the darkest."""
    pairs = [halves(1, 2, 0), halves(2, 3, 1)]
    images, strokes = [i for i, _ in pairs], [strokes_on(t) for _, t in pairs]
    folder = tmp_path_factory.mktemp("shared")
    return run(finetune(images, strokes, "scratch", SETTINGS, name="grey", folder=folder)).model


@pytest.mark.parametrize("classes", [(1, 2), (2, 3), (3, 2)])
def test_classes_that_normalising_would_confuse_are_told_apart(
    model: ModelRef, classes: tuple[int, int]
) -> None:
    image, truth = halves(*classes, seed=7)
    labels = run(predict(image, model, PLAIN)).labels
    assert (labels == truth).mean() > 0.95


def test_tiles_are_those_of_one_pass(model: ModelRef) -> None:
    """But for single trees: a value may lie on the other side of a threshold by its last bit."""
    image = ImageBlock(np.random.default_rng(3).integers(40, 200, (150, 130)).astype(np.uint8), "YX")
    whole, tiled = (
        run(predict(image, model, PLAIN.replace(tile=tile))).probabilities for tile in (None, 96)
    )
    difference = np.abs(whole - tiled)
    assert (difference > 1e-5).mean() < 1e-4
    assert difference.max() < 0.03


def test_the_scale_is_kept_with_the_model_and_read_again(model: ModelRef) -> None:
    shared = read_spec(model.path).normalisation.shared
    assert shared == model.spec.normalisation.shared
    assert len(shared) == model.spec.in_channels
    image, _ = halves(2, 3, 1)
    assert with_shared_scale(model.spec, image) is model.spec  # a model that has a scale keeps it


def test_windows_hold_every_channel_on_both_scales_in_training_and_prediction() -> None:
    image, truth = halves(1, 3, 0)
    how = Normalisation(shared=((50.0, 250.0),) * 3)
    spec = scratch_spec([image], SETTINGS, "grey", ())
    spec = type(spec).from_dict({**spec.to_dict(), "in_channels": 3, "normalisation": vars(how)})
    window = open_source(image, (), (0, 0, 0), how).read((0, 64), (0, 96))
    assert window.shape == (6, 64, 96)
    np.testing.assert_allclose(window[3], (image.data.astype(float) - 50) / 200, atol=1e-6)
    assert window[0].min() < 0.05
    plane = read_planes([image], [strokes_on(truth)], "strokes", spec)[0]
    np.testing.assert_array_equal(plane.window((0, 64), (0, 96)), window)


@pytest.mark.parametrize(
    ("low", "high"), [(1000.0, 40000.0), (0.0, 0.9), (9000.0, 9100.0), (20.0, 20.0)]
)
def test_an_image_on_another_scale_altogether_stands_for_itself(low: float, high: float) -> None:
    own = np.array([low]), np.array([high])
    assert shared_range(own, [(50.0, 150.0)]) is own


def test_an_image_of_another_exposure_is_put_on_the_shared_scale() -> None:
    low, high = shared_range((np.array([90.0]), np.array([120.0])), [(50.0, 150.0)])
    assert (low.tolist(), high.tolist()) == ([50.0], [150.0])
