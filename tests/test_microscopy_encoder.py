"""The bundled encoder: what it says of itself, and what it can be used for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import napari_papernets as pn
from napari_papernets.core.model import ModelRef
from napari_papernets.engine.weights import load_weights
from napari_papernets.model_files import BUNDLED, find_model
from napari_papernets.samples import load_sample

LARGEST = 1_000_000  # bytes in the wheel


@pytest.fixture(scope="module")
def encoder() -> ModelRef:
    return find_model("microscopy")


def test_it_is_small_and_tells_where_it_comes_from(encoder: ModelRef) -> None:
    assert (BUNDLED / "microscopy.safetensors").stat().st_size <= LARGEST
    assert (encoder.spec.architecture, encoder.spec.task) == ("encoder", "features")
    assert "CC0" in encoder.spec.licence
    gains = encoder.spec.provenance["better_than_random"]
    assert np.mean(list(gains.values())) > 0.03
    assert "microscope images" in encoder.spec.description


def test_a_u_net_starts_from_it(encoder: ModelRef, tmp_path: Path) -> None:
    image, strokes = load_sample("nuclei").image, load_sample("nuclei").strokes
    settings = pn.TuneSettings(kind="strokes", steps=1, batch=1, crop=64, train="head")
    tuned = pn.finetune(image, strokes, encoder, settings=settings, folder=tmp_path, name="from_it")
    before, after = load_weights(encoder), load_weights(tuned.model)
    kept = dict(after.named_parameters())
    same = [n for n, p in before.named_parameters() if any(torch.equal(p, q) for q in kept.values())]
    assert len(same) > 10
