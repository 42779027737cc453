"""Fused networks give the answers of the plain ones, and hold as little as the planner counts on."""

from __future__ import annotations

import copy
import weakref

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from napari_papernets.core.model import class_infos
from napari_papernets.engine.runner import fold_batch_norm
from napari_papernets.networks import DeepLab, HypercolumnUNet, UNet, fused
from napari_papernets.networks.build import deeplab_spec, unet_spec
from napari_papernets.networks.fused import Convolution, LeanExpansion, can_fuse, lean

CASES = {
    "same, batch norm": (lambda: UNet(2, 3, width=8, depth=2, padding="same", norm="batch"), (48, 64)),
    "same": (lambda: UNet(1, 2, width=4, depth=3, padding="same"), (32, 40)),
    "valid": (lambda: UNet(3, 2, width=4, depth=2, padding="valid"), (60, 72)),
    "hypercolumns": (lambda: HypercolumnUNet(3, 2, width=4, depth=2), (32, 48)),
    "deeplab": (lambda: DeepLab(3, 2, width=1 / 16, rate=2), (33, 49)),
}


@pytest.fixture(params=CASES)
def case(request) -> tuple[UNet, torch.Tensor]:
    torch.manual_seed(0)
    make, size = CASES[request.param]
    network = make().eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.5)
            layer.running_var.uniform_(0.5, 2)
    return network, torch.rand(2, network.in_channels, *size)


def fast(network: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    folded = fold_batch_norm(copy.deepcopy(network))
    return lean(folded.to(dtype, memory_format=torch.channels_last))


@pytest.mark.parametrize("operators", ["fused", "plain"])
def test_the_answer_stays(case, operators, monkeypatch):
    if operators == "plain":
        monkeypatch.setattr(fused, "can_fuse", lambda dtype: False)
    network, x = case
    with torch.inference_mode():
        expected, got = network(x), fast(network)(x)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_bfloat16_is_as_near_as_layer_by_layer(case):
    network, x = case
    if not can_fuse(torch.bfloat16):
        pytest.skip("no bfloat16 operators on this processor")
    with torch.inference_mode():
        expected = network(x)
        plain = fold_batch_norm(copy.deepcopy(network)).bfloat16()(x.bfloat16()).float()
        got = fast(network, torch.bfloat16)(x.bfloat16()).float()
    scale = expected.abs().max()
    assert (got - expected).abs().max() <= 2 * (plain - expected).abs().max() + 0.01 * scale


def test_nothing_is_left_to_concatenate_or_to_cut_off(case):
    network = fast(case[0])
    unet = isinstance(network, UNet)
    blocks = (
        [*network.contract, *network.expand] if unet else [network.features, network.fc6, network.fc7]
    )
    assert not any(isinstance(m, nn.ReLU | nn.Conv2d) for block in blocks for m in block.modules())
    assert not unet or all(isinstance(block, LeanExpansion) for block in network.expand)


def test_unknown_layers_stay(case):
    network, x = case
    chains = network.expand if isinstance(network, UNet) else [network.fc7]
    chains[0].append(nn.Sigmoid())
    with torch.inference_mode():
        expected, got = network(x), fast(network)(x)
    if isinstance(network, UNet):
        assert type(fast(network).expand[0]) is type(network.expand[0])
    torch.testing.assert_close(got, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
    odd = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), nn.ReLU())
    assert not any(isinstance(layer, Convolution) for layer in lean(odd))


class Live(TorchDispatchMode):
    """Counts the bytes of tensors that are alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, tuple[weakref.ref, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        answer = function(*args, **(kwargs or {}))
        for tensor in answer if isinstance(answer, tuple | list) else (answer,):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self.sizes[id(tensor)] = weakref.ref(tensor), storage.data_ptr()
        alive = {address: r().untyped_storage().nbytes() for r, address in self._alive()}
        self.peak = max(self.peak, sum(alive.values()))
        return answer

    def _alive(self):
        self.sizes = {k: (r, a) for k, (r, a) in self.sizes.items() if r() is not None}
        return self.sizes.values()


@pytest.mark.parametrize("operators", ["fused", "plain"])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_no_more_is_held_than_the_planner_counts_on(padding, operators, monkeypatch):
    if operators == "plain":
        monkeypatch.setattr(fused, "can_fuse", lambda dtype: False)
    network = fast(UNet(1, 2, width=16, depth=3, padding=padding, norm="batch").eval())
    side = network.size_rule.round_up(200)
    spec = unet_spec("toy", 1, class_infos(["a", "b"]), width=16, depth=3, padding=padding)
    with torch.inference_mode(), Live() as live:
        network(torch.zeros(1, 1, side, side).contiguous(memory_format=torch.channels_last))
    allowed = spec.values_per_pixel + (16 if operators == "plain" else 0)  # a sum that is not in place
    assert live.peak <= 4 * allowed * side**2
    assert live.peak >= 4 * 2 * 16 * (side - 4) ** 2  # and the test does see the maps


def test_no_more_of_deeplab_is_held_than_the_planner_counts_on():
    network = fast(DeepLab(3, 4, width=0.25).eval())
    spec = deeplab_spec("toy", 3, class_infos("abcd"), {}, width=0.25)
    with torch.inference_mode(), Live() as live:
        network(torch.zeros(1, 3, 201, 201).contiguous(memory_format=torch.channels_last))
    assert live.peak <= 4 * spec.values_per_pixel * 201**2
    assert live.peak >= 0.8 * 4 * spec.values_per_pixel * 201**2
