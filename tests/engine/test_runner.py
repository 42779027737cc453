"""The fast path changes speed, not answers; precision is chosen by what it does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_papernets.engine import runner as module
from napari_papernets.engine.runner import (
    ChosenPrecision,
    Runner,
    fold_batch_norm,
    open_runner,
    prefetched,
    turn,
    turn_back,
)
from napari_papernets.networks import UNet

CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def network() -> UNet:
    torch.manual_seed(0)
    net = UNet(2, 3, width=4, depth=2, padding="same", norm="batch")
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.5)
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.uniform_(0.5, 2)
    return net.eval()


@pytest.fixture
def windows() -> np.ndarray:
    return np.random.default_rng(0).random((2, 2, 32, 48)).astype(np.float32)


def test_folding_removes_batch_norm_and_keeps_the_answer(network, windows):
    with torch.inference_mode():
        expected = network(torch.from_numpy(windows)).softmax(1).numpy()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    runner = Runner(network, CPU)
    np.testing.assert_allclose(runner(windows), expected, atol=1e-5)
    assert not any(
        isinstance(m, nn.BatchNorm2d) for m in fold_batch_norm(UNet(norm="batch").eval()).modules()
    )
    Runner(network, CPU, "bfloat16")
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert all(v.dtype == before[k].dtype for k, v in network.state_dict().items())


def test_a_stream_answers_in_order(network, windows):
    runner = Runner(network, CPU)
    batches = [windows, windows[:1] * 2, windows[:, :, :16, :16]]
    for answer, batch in zip(runner.stream(batches), batches, strict=True):
        np.testing.assert_array_equal(answer, runner(batch))


def test_auto_takes_bfloat16_only_where_it_is_fast_and_harmless(network, windows, monkeypatch):
    monkeypatch.setattr(module, "fast_bf16", lambda _: False)

    def opened(wanted: str) -> ChosenPrecision:
        runner, precision = open_runner(network, CPU, wanted, windows)
        assert runner.precision == precision.name
        return precision

    assert opened("auto").name == "float32"
    monkeypatch.setattr(module, "fast_bf16", lambda _: True)
    chosen = opened("auto")
    assert chosen.name == "bfloat16"
    assert 0 < chosen.bf16_max_difference <= 0.05
    network.head.weight.data *= 1000  # logits so large that 8 bits of mantissa are too few
    refused = opened("auto")
    assert refused.name == "float32"
    assert refused.bf16_max_difference > 0.05
    assert opened("bfloat16").name == "bfloat16"


def test_prefetching_keeps_order_and_passes_errors_on():
    def items():
        yield from range(5)
        raise ValueError("unreadable")

    assert list(prefetched(range(5))) == list(range(5))
    with pytest.raises(ValueError, match="unreadable"):
        list(prefetched(items()))


@pytest.mark.parametrize("number", range(8))
def test_turning_back_undoes_a_turn(number):
    x = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).float()
    assert torch.equal(turn_back(turn(x, number), number), x)
    assert len({turn(x[..., :4], n).flatten().numpy().tobytes() for n in range(8)}) == 8


def test_turns_make_the_answer_equivariant(network, windows):
    """Averaged over all eight, the answer to a turned image is the turned answer."""
    runner = Runner(network, CPU, turns=8)
    square = windows[:, :, :32, :32]
    answer, turned = runner(square), runner(np.ascontiguousarray(np.rot90(square, 1, (-2, -1))))
    np.testing.assert_allclose(np.rot90(answer, 1, (-2, -1)), turned, atol=1e-5)


@pytest.mark.gpu
@needs_cuda
def test_cuda_streams_equal_the_cpu(network, windows):
    batches = [windows + i for i in range(6)]
    expected = [Runner(network, CPU)(b) for b in batches]
    got = list(Runner(network, torch.device("cuda")).stream(batches))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
