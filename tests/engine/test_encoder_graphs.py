"""Recorded passes: what is seen of them without a GPU; `test_cuda.py` has what they compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretrain_run import SETTINGS, images
from torch import nn

import napari_papernets as pn
from napari_papernets.core.events import Notice, Step
from napari_papernets.engine import pretraining
from napari_papernets.engine.encoder_graphs import EncoderGraphs, can_record
from napari_papernets.engine.views import Views
from napari_papernets.networks.encoders import encoder_factory
from napari_papernets.networks.moco import MoCo


@pytest.fixture
def model() -> MoCo:
    return MoCo(encoder_factory("contracting", 1, 4, 2), dim=8, K=16)


@pytest.fixture
def views() -> Views:
    return Views(torch.rand(4, 1, 16, 16), torch.rand(4, 1, 16, 16), None, None)


def record(encoders: tuple[nn.Module, ...], arguments: Any, **_: Any) -> None:
    """As torch does on a GPU: run to warm up, then give each a `forward` of its own."""
    for encoder, given in zip(encoders, arguments, strict=True):
        encoder(*given)
        encoder.forward = lambda *_: "replayed"


def test_other_code_sees_the_encoders_unchanged(
    model: MoCo, views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    graphs = EncoderGraphs(model, views, bf16=False)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with graphs.in_use():
        assert model.encoder_q(views.im_q) == model.encoder_k(views.im_k) == "replayed"
    assert model.encoder_q(views.im_q).shape == (4, 8)


def test_what_cannot_be_recorded_keeps_its_statistics(
    model: MoCo, views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(encoders: Any, arguments: Any, **_: Any) -> None:
        record(encoders[:1], arguments[:1])
        del encoders[0].forward
        raise RuntimeError("no room")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fail)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(RuntimeError, match="no room"):
        EncoderGraphs(model, views, bf16=False)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_where_recording_fails_the_training_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = []
    for records in (False, True):

        def fail(*_: Any) -> None:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")

        monkeypatch.setattr(pretraining, "can_record", lambda *_, so=records: so)
        monkeypatch.setattr(pretraining, "EncoderGraphs", fail)
        told: list[Any] = []
        folder = tmp_path / str(records)
        pn.pretrain(images(), settings=SETTINGS, folder=folder, device="cpu", on_event=told.append)
        losses.append([event.loss for event in told if isinstance(event, Step)])
        notices = [e.message for e in told if isinstance(e, Notice) and "recorded" in e.message]
        said = "Steps take longer: they could not be recorded (operation not permitted)"
        assert notices == ([said] if records else [])
    np.testing.assert_array_equal(*losses)


def test_only_a_gpu_and_one_process_record(model: MoCo) -> None:
    assert can_record(torch.device("cuda"), model)
    assert not can_record(torch.device("cuda"), nn.Sequential(model))
    assert not can_record(torch.device("cpu"), model)
