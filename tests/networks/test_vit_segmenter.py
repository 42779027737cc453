"""A Vision Transformer that gives classes of pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from napari_papernets.core.model import class_infos
from napari_papernets.networks import VisionTransformer, ViTSegmenter, build
from napari_papernets.networks.vit_segmenter import middle_and_last, vit_spec, with_linear_head

SIZES = dict(image_size=32, patch_size=8, dim=24, depth=4, heads=2)


def segmenter(**options: Any) -> ViTSegmenter:
    torch.manual_seed(0)
    return ViTSegmenter(3, 2, **SIZES, **options).eval()


@pytest.mark.parametrize("density", [1, 2, 4])
@pytest.mark.parametrize("conv", [False, True])
def test_answers_have_the_size_of_the_image(density: int, conv: bool) -> None:
    network = segmenter(density=density, conv=conv)
    x = torch.rand(1, 3, 40, 48)
    with torch.no_grad():
        maps = network.read(x)
        assert network(x).shape == (1, 2, 40, 48)
        assert torch.equal(network(x), network.head(maps))
    assert maps[0].shape[-2:] == (40, 48)
    assert all(m.shape[-2:] == (5 * density, 6 * density) for m in maps[1:])
    assert [m.shape[1] for m in maps] == list(network.head.channels)


def test_maps_are_the_tokens_of_the_encoder() -> None:
    network, x = segmenter(), torch.rand(1, 3, 32, 40)
    with torch.no_grad():
        expected = network.vit.tokens(network.vit.normalise(x))[0, 1:].T.reshape(1, 24, 4, 5)
        assert torch.allclose(network.read(x)[-1], expected, atol=1e-5)


def test_a_finer_grid_agrees_on_an_even_image() -> None:
    """Shifts of an even image change nothing."""
    x = torch.full((1, 3, 32, 32), 0.4)
    with torch.no_grad():
        coarse, fine = segmenter().read(x)[-1], segmenter(density=2).read(x)[-1]
    assert torch.allclose(fine[..., ::2, ::2], coarse, atol=1e-5)
    assert torch.allclose(fine[..., 1::2, 1::2], coarse, atol=1e-5)


def test_the_description_builds_the_same_network() -> None:
    torch.manual_seed(0)
    encoder = VisionTransformer(**SIZES)
    spec = replace(vit_spec("ours", encoder), classes=class_infos(["a", "b"]))
    made = build(with_linear_head(spec, density=2, conv=True))
    assert isinstance(made, ViTSegmenter)
    assert made.density == 2
    assert made.conv is not None
    again = build(replace(with_linear_head(spec), options=made.options))
    assert again.state_dict().keys() == made.state_dict().keys()
    assert not spec.exact_tiles
    plain = build(replace(spec, classes=()))
    assert plain.state_dict().keys() == encoder.state_dict().keys()


def test_parts_to_train() -> None:
    for conv in (False, True):
        network = segmenter(conv=conv)
        every = {id(p) for p in network.parameters()}
        for name in ("all", "decoder", "head"):
            part = {id(p) for m in network.part(name) for p in m.parameters()}
            assert part <= every
        head = {id(p) for m in network.part("head") for p in m.parameters()}
        assert head == {id(p) for p in network.head.parameters()}
        neck = network.conv if conv else network.vit.blocks[-1]
        decoder = {id(p) for m in network.part("decoder") for p in m.parameters()}
        assert {id(p) for p in neck.parameters()} <= decoder


def test_blocks_that_are_read() -> None:
    assert middle_and_last(12) == (6, 12)
    assert middle_and_last(1) == (1,)
