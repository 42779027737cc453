"""A last layer on several levels: the same by interpolation and by single pixels."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from napari_papernets.networks import HypercolumnUNet
from napari_papernets.networks.bands import GreyBands, bands, smooth
from napari_papernets.networks.hypercolumn import SCALE, gather
from napari_papernets.networks.linear_head import Pointwise


@pytest.fixture
def network() -> HypercolumnUNet:
    torch.manual_seed(0)
    made = HypercolumnUNet(in_channels=2, classes=3, width=4, depth=3).eval()
    made.head.scales.copy_(torch.rand(len(made.head.scales)) + 0.5)
    return made


@torch.no_grad()
def test_single_pixels_have_the_features_of_the_interpolated_maps(network: HypercolumnUNet) -> None:
    maps = network.read(torch.randn(1, 2, 32, 48))
    points = torch.stack([torch.randint(0, 32, (200,)), torch.randint(0, 48, (200,))], dim=1)
    whole = torch.cat(
        [
            scale * F.interpolate(m, (32, 48), mode="bilinear", align_corners=False)
            for m, scale in zip(maps, network.head.scales, strict=True)
        ],
        dim=1,
    )
    expected = whole[0][:, points[:, 0], points[:, 1]].T / SCALE
    assert gather(maps, network.head.scales, points).sub(expected).abs().max() < 1e-5


@torch.no_grad()
def test_a_fitted_head_gives_the_logits_of_the_fit(network: HypercolumnUNet) -> None:
    x = torch.randn(1, 2, 32, 48)
    features = sum(network.head.channels)
    weights = torch.randn(features + 1, 3)
    network.head.set(weights)
    torch.testing.assert_close(network.head.get(), weights)
    y, x_ = torch.meshgrid(torch.arange(32), torch.arange(48), indexing="ij")
    points = torch.stack([y.ravel(), x_.ravel()], dim=1)
    found = gather(network.read(x), network.head.scales, points) @ weights[:-1] + weights[-1]
    torch.testing.assert_close(network(x)[0].flatten(1).T, found, atol=1e-4, rtol=1e-4)


def test_gradients_reach_the_body_through_gathered_pixels(network: HypercolumnUNet) -> None:
    maps = network.read(torch.randn(1, 2, 16, 16))
    gather(maps, network.head.scales, torch.tensor([[3, 4], [10, 15]])).sum().backward()
    assert network.contract[0][0].weight.grad is not None
    assert network.contract[0][0].weight.grad.abs().sum() > 0


def test_bands_share_every_value_between_neighbours() -> None:
    values = torch.linspace(-0.5, 1.5, 41).view(1, 1, 1, -1)
    found = bands(values, 0.0, 1.0, 6)
    torch.testing.assert_close(found.sum(1), torch.ones(1, 1, 41))
    centres = (found[0, :, 0] * torch.linspace(0, 1, 6)[:, None]).sum(0)
    torch.testing.assert_close(centres, values.clamp(0, 1)[0, 0, 0])


def test_smoothing_keeps_a_constant_image_up_to_its_border() -> None:
    torch.testing.assert_close(
        smooth(torch.full((1, 2, 9, 40), 0.3), 5.0), torch.full((1, 2, 9, 40), 0.3)
    )


def test_there_are_as_many_bands_as_it_says() -> None:
    made = GreyBands(3)
    assert made(torch.rand(2, 3, 8, 8)).shape == (2, made.channels, 8, 8)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_pointwise_layer_is_a_convolution_however_the_map_lies(
    layout: torch.memory_format, bias: bool
) -> None:
    layer = Pointwise(5, 3, bias=bias)
    x = torch.randn(2, 5, 7, 4).contiguous(memory_format=layout).requires_grad_()
    ours, peer = layer(x), F.conv2d(x, layer.weight, layer.bias)
    torch.testing.assert_close(ours, peer)
    for a, b in zip(gradients(ours, layer, x), gradients(peer, layer, x), strict=True):
        torch.testing.assert_close(a, b)


def gradients(y: torch.Tensor, layer: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad((y**2).sum(), [x, *layer.parameters()])
