"""The bundled model on nuclei that it never saw: a few images of each kind."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import ModelRef
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.engine.metrics import Matches, foreground_iou, match_objects
from napari_papernets.engine.predict import predict
from napari_papernets.model_files import BUNDLED, find_model

HERE = Path(__file__).resolve().parent
LARGEST = 6_000_000  # bytes in the wheel


@pytest.fixture(scope="module")
def model() -> ModelRef:
    return find_model("nuclei")


@pytest.fixture(scope="module")
def split(shared: Path) -> ModuleType:
    """The benchmark's own module, whose split decides what the model never saw."""
    path = HERE.parent / "benchmarks" / "nuclei" / "data.py"
    description = importlib.util.spec_from_file_location("nuclei_data", path)
    assert description is not None
    assert description.loader is not None
    module = importlib.util.module_from_spec(description)
    sys.modules[description.name] = module  # dataclasses look their module up
    description.loader.exec_module(module)
    return module


def score(
    model: ModelRef, split: ModuleType, shared: Path, kind: str, count: int
) -> tuple[float, float]:
    """Mean AP@0.5 and mean foreground IoU of evenly spaced held-out images."""
    unseen = list(split.examples(True, (kind,), shared / "data" / "nuclei_dsb2018"))
    precisions, foregrounds = [], []
    for example in unseen[:: max(1, len(unseen) // count)][:count]:
        labels = run(example.image, model)
        precisions.append(match_objects(example.objects, labels).average_precision)
        foregrounds.append(foreground_iou(example.objects, labels))
    return float(np.mean(precisions)), float(np.mean(foregrounds))


def run(image: ImageBlock, model: ModelRef) -> np.ndarray:
    job = predict(image, model, PredictSettings(zoom=1.0), device="cpu", probabilities=False)
    while True:
        try:
            next(job)
        except StopIteration as end:
            return end.value.labels


def test_it_is_small_and_tells_where_it_comes_from(model: ModelRef) -> None:
    assert (BUNDLED / "nuclei.safetensors").stat().st_size <= LARGEST
    spec = model.spec
    assert spec.task == "instances"
    assert spec.in_channels == 3
    assert spec.grey_to_colour
    assert "CC0" in spec.licence
    assert 10 < (spec.object_diameter or 0) < 40
    assert spec.provenance["kept"] in ("best", "last")
    assert set(spec.provenance["held_out_third"]) == {"fluo", "histology", "brightfield"}


def test_fluorescence(model: ModelRef, split: ModuleType, shared: Path) -> None:
    precision, foreground = score(model, split, shared, "fluo", 10)
    assert precision >= 0.80
    assert foreground >= 0.80


def test_histology(model: ModelRef, split: ModuleType, shared: Path) -> None:
    precision, foreground = score(model, split, shared, "histology", 5)
    assert precision >= 0.45
    assert foreground >= 0.62


def test_nothing_to_find_gives_nothing(model: ModelRef) -> None:
    flat = ImageBlock(np.full((96, 96), 40, np.uint8), "YX")
    truth = np.zeros((96, 96), np.uint8)
    assert match_objects(truth, run(flat, model)) == Matches(0, 0, 0)
