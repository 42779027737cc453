"""A Vision Transformer as what a training starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_papernets as pn
from napari_papernets.core.annotation import View
from napari_papernets.core.events import Preview, Version
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import ModelRef, class_infos
from napari_papernets.engine.live import live
from napari_papernets.engine.vit_models import load_vit
from napari_papernets.engine.weights import save_weights
from napari_papernets.networks import VisionTransformer
from napari_papernets.networks.vit_segmenter import vit_spec


@pytest.fixture
def start(tmp_path: Path) -> ModelRef:
    torch.manual_seed(0)
    network = VisionTransformer(64, 8, 48, 2, 3)
    return save_weights(vit_spec("tiny", network), network.state_dict(), tmp_path / "tiny")


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth discs on a rough ground of the same brightness: image, truth, and a few strokes."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96]
    truth = ((y % 48 - 24) ** 2 + (x % 48 - 24) ** 2 < 15**2).astype(np.uint8) + 1
    image = np.where(truth == 2, 0.5, rng.random((96, 96))).astype(np.float32)
    strokes = np.zeros_like(truth)
    strokes[22:26, 18:30] = 2
    strokes[70:74, 66:78] = 2
    strokes[46:50, 10:86] = 1
    strokes[2:5, 20:90] = 1
    return image, truth, strokes


@pytest.mark.parametrize(("density", "convolutions"), [(1, False), (2, False), (1, True)])
def test_strokes_are_learnt_on_frozen_tokens(
    start: ModelRef, tmp_path: Path, density: int, convolutions: bool
) -> None:
    image, truth, strokes = scene()
    settings = pn.TuneSettings(steps=0, density=density, convolutions=convolutions, held_out=0.0)
    tuned = pn.finetune(image, strokes, start, settings, folder=tmp_path)
    assert tuned.model.spec.architecture == "vit_segmenter"
    assert tuned.model.spec.options["density"] == density
    labels = pn.predict(image, tuned.model).labels
    assert (labels == truth).mean() > 0.8  # by the ground alone 0.69
    rounded = pn.predict(image, tuned.model, settings=pn.PredictSettings(precision="bfloat16")).labels
    assert (rounded == labels).mean() > 0.95
    kept = load_vit(tuned.model).network
    assert torch.equal(kept.pos_embed, load_vit(start).network.pos_embed)  # stayed frozen
    assert pn.features(image, tuned.model).grid == (12, 12)


def test_steps_of_training_change_what_is_asked_for(start: ModelRef, tmp_path: Path) -> None:
    image, _, strokes = scene()
    before = load_vit(start).network.state_dict()
    for part, changes in (("head", False), ("decoder", True)):
        settings = pn.TuneSettings(steps=2, train=part, crop=32, held_out=0.0)
        tuned = pn.finetune(image, strokes, start, settings, folder=tmp_path, name=part)
        after = load_vit(tuned.model).network.state_dict()
        assert torch.equal(after["blocks.0.attn.qkv.weight"], before["blocks.0.attn.qkv.weight"])
        moved = not torch.equal(after["blocks.1.attn.qkv.weight"], before["blocks.1.attn.qkv.weight"])
        assert moved is changes
        assert tuned.model.spec.provenance["settings"]["learning_rate"] == 3e-5


def test_a_tuned_transformer_goes_on_and_takes_other_classes(start: ModelRef, tmp_path: Path) -> None:
    image, _, strokes = scene()
    settings = pn.TuneSettings(steps=0, held_out=0.0)
    tuned = pn.finetune(image, strokes, start, settings, folder=tmp_path, name="one")
    more = np.where(strokes == 1, 3, strokes).astype(np.uint8)
    more[90:95, 5:60] = 1
    again = pn.finetune(image, more, tuned.model, settings, folder=tmp_path, name="two")
    assert len(again.model.spec.classes) == 3
    assert set(np.unique(pn.predict(image, again.model).labels)) <= {1, 2, 3}


def test_it_learns_live(start: ModelRef, tmp_path: Path) -> None:
    """The first strokes are answered on frozen tokens; a part that is trained afterwards stays small."""
    image, truth, strokes = scene()
    settings = pn.TuneSettings(train="head", steps=2, crop=32, held_out=0.0)
    job = live(
        [ImageBlock(image, "YX")], [strokes], start, settings, classes=class_infos(["ground", "disc"]),
        folder=tmp_path, view=View(0, (), (0, 96, 0, 96)),
    )  # fmt: skip
    seen: list[Any] = []
    while not any(isinstance(e, Version) for e in seen):
        seen.append(next(job))
    job.close()
    previews = [e for e in seen if isinstance(e, Preview)]
    assert previews[0].source == "quick"
    assert (previews[0].labels == truth).mean() > 0.8
    version = next(e for e in seen if isinstance(e, Version))
    assert version.model.spec.architecture == "vit_segmenter"
