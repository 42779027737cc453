"""Strokes judge encoders: honest halves, and a difference where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pretrain_run import SETTINGS
from torch import nn

from napari_papernets.api import drain
from napari_papernets.core.errors import InputError
from napari_papernets.core.events import Step, StrokeProbe
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import class_infos
from napari_papernets.engine.pretrain import pretrain
from napari_papernets.engine.stroke_probe import ProbedStrokes, Prober
from napari_papernets.networks.build import encoder_spec

SPEC = encoder_spec("e", 1, class_infos(["a", "b"]), "contracting", 4, 2)


class Stub(nn.Module):
    """An encoder whose single map is a function of the image."""

    channels = (1,)
    strides = ()

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.function(x)]


def painted() -> tuple[list[ImageBlock], list[np.ndarray]]:
    """Noise; class 1 is painted on its left half, class 2 on the right, which is brighter."""
    pixels = np.random.default_rng(0).random((64, 96)).astype(np.float32)
    pixels[:, 48:] += 2
    strokes = np.zeros((64, 96), np.uint8)
    for row in (4, 24, 44, 60):
        strokes[row, 5:40], strokes[row, 55:90] = 1, 2
    return [ImageBlock(pixels, "YX")], [strokes]


def test_maps_that_tell_classes_apart_score_one_and_others_little() -> None:
    probed = ProbedStrokes(*painted(), SPEC)
    cpu = torch.device("cpu")
    assert probed.score(Stub(lambda x: x), cpu) == pytest.approx(1.0)
    noise = torch.Generator().manual_seed(0)
    blind = Stub(lambda x: torch.rand(x.shape, generator=noise))
    assert probed.score(blind, cpu) < 0.6


def test_a_gain_that_one_half_of_the_strokes_has_alone_is_no_larger_than_its_spread(monkeypatch) -> None:
    scores = {"random": (0.4, 0.4), "start": (0.5, 0.7), "trained": (0.9, 0.7)}

    def halves(self, encoder, device, bf16=False):
        return scores[encoder]

    monkeypatch.setattr(ProbedStrokes, "halves", halves)
    prober = Prober(ProbedStrokes(*painted(), SPEC), "start", "random", torch.device("cpu"), False)
    prober._encoder = "trained"
    told = prober.score(9)
    assert (told.step, told.score, told.start, told.random) == (9, 0.8, 0.6, 0.4)
    assert told.spread == pytest.approx(told.score - told.start)
    scores["trained"] = (0.7, 0.9)  # as much on either
    assert prober.score(10).spread == pytest.approx(0)


def test_the_encoder_stays_in_the_mode_it_was_in() -> None:
    encoder = Stub(lambda x: x).train()
    ProbedStrokes(*painted(), SPEC).score(encoder, torch.device("cpu"))
    assert encoder.training


def test_single_strokes_cannot_judge() -> None:
    images, strokes = painted()
    strokes[0][10:] = 0
    with pytest.raises(InputError, match="two strokes or more"):
        ProbedStrokes(images, strokes, SPEC)


def test_a_training_tells_its_score_and_learns_nothing_from_strokes(tmp_path: Path) -> None:
    images, strokes = painted()
    images = [*images, ImageBlock(np.random.default_rng(1).random((50, 50)), "YX")]
    settings = SETTINGS.replace(steps=3)
    events: list = []
    told = pretrain(images, settings=settings, folder=tmp_path, strokes=[*strokes, None])
    with_strokes = drain(told, events.append)
    probes = [e for e in events if isinstance(e, StrokeProbe)]
    assert probes[-1].step == 3
    assert {(p.start, p.random) for p in probes} == {(probes[0].start, probes[0].random)}
    assert all(0 < value <= 1 for value in (probes[0].score, probes[0].start, probes[0].random))
    assert probes[0].start != probes[0].random
    without: list = []
    drain(pretrain(images, settings=settings, folder=tmp_path), without.append)
    losses = [[e.loss for e in some if isinstance(e, Step)] for some in (events, without)]
    assert losses[0] == losses[1]
    assert with_strokes.model.path.exists()
