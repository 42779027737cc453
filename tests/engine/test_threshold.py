"""The threshold that a model is given, and that predictions then use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from discs import random_discs
from scipy import ndimage
from torch import nn

from napari_papernets.api import drain, predict
from napari_papernets.core.events import Event, Progress, Started
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import class_infos
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.engine.annotated import read_planes
from napari_papernets.engine.threshold import fit_threshold
from napari_papernets.engine.weights import save_weights
from napari_papernets.networks import UNet
from napari_papernets.networks.build import unet_spec

CPU = torch.device("cpu")
NAMES = class_infos(["background", "object"])


def spec_of(padding: str, **more):
    options = dict(width=2, depth=2, padding=padding)
    return unet_spec("t", 1, NAMES, **options, task="instances", encoding="ridge", **more)


class Seen(nn.Module):
    """Says that the foreground's probability is the grey value; unpadded, it cuts its context off."""

    def __init__(self, cut: int) -> None:
        super().__init__()
        self.cut = cut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = (slice(self.cut, n - self.cut) for n in x.shape[2:])
        p = x[:, :1, rows, columns].clamp(1e-3, 1 - 1e-3)
        return torch.cat([(1 - p).log(), p.log()], dim=1)


def seen_planes(outline: float, spec):
    """A disc whose smooth picture has the grey value `outline` where the annotation ends."""
    y, x = np.ogrid[:120, :130]
    soft = ndimage.gaussian_filter((np.hypot(y - 50, x - 70) < 30).astype(np.float32), 6)
    return read_planes([ImageBlock(soft, "YX")], [(soft > outline).astype(np.int32)], "instances", spec)


def threshold_of(network, planes, spec) -> float:
    """Whose looks are told, and counted."""
    told: list[Event] = []
    job = fit_threshold(network, planes, spec, CPU, bf16=False)
    found, solidity = drain(job, told.append)
    assert solidity is None  # that of the spec
    if told:
        started, *steps = told
        assert isinstance(started, Started)
        assert steps == [Progress(n, started.total) for n in range(1, started.total + 1)]
    return found


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("outline", [0.3, 0.45, 0.5, 0.65])
def test_the_outline_of_the_annotation_is_found(padding: str, outline: float) -> None:
    spec = spec_of(padding)
    network = Seen(spec.size_rule.context if padding == "valid" else 0)
    found = threshold_of(network, seen_planes(outline, spec), spec)
    assert found == pytest.approx(outline)


def test_without_objects_it_is_a_half() -> None:
    spec = spec_of("same")
    planes = [replace(p, annotation=np.zeros_like(p.annotation)) for p in seen_planes(0.3, spec)]
    assert threshold_of(Seen(0), planes, spec) == 0.5


def test_of_equally_good_thresholds_the_nearest_to_a_half_is_taken() -> None:
    """A disc with a sharp outline: all thresholds find it. One too large for its window: none does."""
    spec = spec_of("same")
    sharp = (seen_planes(0.5, spec)[0].annotation > 0).astype(np.float32)
    planes = read_planes([ImageBlock(sharp, "YX")], [sharp.astype(np.int32)], "instances", spec)
    assert threshold_of(Seen(0), planes, spec) == 0.5
    huge = np.ones((520, 20), np.int32)
    cut = read_planes([ImageBlock(huge.astype(np.float32), "YX")], [huge], "instances", spec)
    assert threshold_of(Seen(0), cut, spec) == 0.5


@pytest.mark.parametrize("apart", [True, False])
def test_lobes_are_cut_where_that_is_how_they_were_annotated(apart: bool) -> None:
    y, x = np.ogrid[:60, :90]
    near = [np.hypot(y - 30, x - middle) for middle in (36, 54)]
    clump = np.minimum(*near) <= 12
    truth = np.where(clump, 1 + (near[1] < near[0]) if apart else 1, 0).astype(np.int32)
    spec = replace(spec_of("same"), object_solidity=0.9)
    planes = read_planes([ImageBlock(clump.astype(np.float32), "YX")], [truth], "instances", spec)
    told: list[Event] = []
    found = drain(fit_threshold(Seen(0), planes, spec, CPU, bf16=False), told.append)
    assert found == (0.5, 0.9 if apart else None)
    assert told[-1] == Progress(told[0].total, told[0].total)


def test_prediction_uses_the_models_threshold_unless_another_is_asked_for(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = UNet(1, 2, width=2, depth=2, padding="same")
    image = random_discs(0).astype(np.float32)
    ref = save_weights(spec_of("same", threshold=0.35), network.state_dict(), tmp_path / "t")
    own = predict(image, ref)
    assert own.provenance["threshold"] == 0.35
    assert own.provenance["settings"]["threshold"] is None
    same = predict(image, ref, settings=PredictSettings(threshold=0.35))
    assert np.array_equal(own.labels, same.labels)
    other = predict(image, ref, settings=PredictSettings(threshold=0.6))
    assert other.provenance["threshold"] == 0.6
    assert "--threshold 0.6" in other.provenance["command"]
