"""A Vision Transformer that gives classes of pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from napari_papernets.core.errors import InputError
from napari_papernets.core.model import class_infos
from napari_papernets.networks import VisionTransformer, ViTSegmenter, build
from napari_papernets.networks.vit_segmenter import (
    CONTEXT,
    LARGEST,
    three_quarters,
    vit_spec,
    windows,
    with_linear_head,
)

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


def test_maps_are_the_tokens_of_a_block_at_one_length() -> None:
    network, x = segmenter(), torch.rand(1, 3, 32, 40)
    vit = network.vit
    with torch.no_grad():
        inside = vit.read(vit.normalise(x), tokens=(3,))
        expected = vit.norm(inside.tokens[3][:, inside.prefix :])[0].T.reshape(1, 24, 4, 5)
        found = network.read(x)[-1]
    assert torch.allclose(found.norm(dim=1), torch.tensor(24**0.5), atol=1e-4)
    assert torch.allclose(torch.cosine_similarity(found, expected), torch.ones(1, 4, 5), atol=1e-5)


def test_tokens_are_read_apart_from_their_neighbours() -> None:
    whole, split, x = segmenter(), segmenter(neighbours=1.5), torch.rand(1, 3, 64, 80)
    split.load_state_dict(whole.state_dict() | split.head.state_dict(prefix="head."))
    with torch.no_grad():
        tokens = whole.read(x)[-1]
        own, near = split.read(x)[1:]
        assert split(x).shape == (1, 2, 64, 80)
    middle = gaussian_filter(tokens[0].numpy(), (0, 1.5, 1.5), radius=5)[:, 4, 5]
    aside = tokens[0, :, 4, 5].numpy() - middle
    # Beyond the border nothing is averaged there, and mirrored here: the middle is not quite the same.
    assert np.corrcoef(near[0, :, 4, 5].numpy(), middle)[0, 1] > 0.99
    assert np.corrcoef(own[0, :, 4, 5].numpy(), aside)[0, 1] > 0.99
    for part in (own, near):
        assert torch.allclose(part.norm(dim=1), torch.tensor(24**0.5), atol=1e-3)
    together = split.head.scales[1:].square().sum()
    assert torch.allclose(together, whole.head.scales[1:].square().sum())


def test_one_token_has_no_neighbours() -> None:
    with torch.no_grad():
        own, near = segmenter(neighbours=1.5).read(torch.rand(1, 3, 8, 8))[1:]
    assert own.shape == near.shape == (1, 24, 1, 1)
    assert own.abs().max() < 1e-3
    assert near.norm() == pytest.approx(24**0.5, abs=1e-3)


def test_what_tells_of_the_place_alone_is_left_out() -> None:
    """In an image of one grey value nothing else differs; what is seen stays."""
    torch.manual_seed(0)
    network = ViTSegmenter(3, 2, positions=6, **SIZES).eval()
    blank, seen = torch.full((1, 3, 128, 128), 0.5), torch.rand(1, 3, 128, 128)

    def spread(x: torch.Tensor) -> float:
        tokens = network.read(x)[-1].flatten(2)[0]
        return float((tokens - tokens.mean(1, keepdim=True)).square().mean())

    with torch.no_grad():
        before = spread(blank), spread(seen)
        network.find_positions()
        after = spread(blank), spread(seen)
    rows = network.positions
    assert torch.allclose(rows @ rows.T, torch.eye(6), atol=1e-5)
    left, kept = (a / b for a, b in zip(after, before, strict=True))
    assert left < 0.4 < 0.6 < kept


def test_positions_are_found_at_the_start_and_stay_with_the_model() -> None:
    torch.manual_seed(0)
    encoder = VisionTransformer(image_size=32, patch_size=8, dim=64, depth=4, heads=2)
    spec = replace(vit_spec("ours", encoder), classes=class_infos(["a", "b"]))
    made = with_linear_head(spec)
    assert made.options["positions"] == 2
    network = build(made)
    assert network.state_dict()["positions"].shape == (2, 64)
    old = replace(made, options={k: v for k, v in made.options.items() if k != "positions"})
    assert "positions" not in build(old).state_dict()  # a model from before they were left out
    with pytest.raises(InputError, match="positions"):
        ViTSegmenter(3, 2, positions=99, **SIZES)


def test_models_from_before_neighbours_were_read_apart_are_read_as_they_were() -> None:
    spec = replace(vit_spec("ours", VisionTransformer(**SIZES)), classes=class_infos(["a", "b"]))
    made = with_linear_head(spec)
    assert len(build(made).head.channels) == 3
    old = replace(made, options={k: v for k, v in made.options.items() if k != "neighbours"})
    assert build(old).head.channels == build(made).head.channels[:2]
    with pytest.raises(InputError, match="neighbours"):
        ViTSegmenter(3, 2, neighbours=-1.0, **SIZES)


def test_a_finer_grid_is_that_of_the_enlarged_image() -> None:
    x = torch.rand(1, 3, 32, 40)
    large = F.interpolate(x, scale_factor=2, mode="bicubic").clamp(0, 1)
    with torch.no_grad():
        assert torch.allclose(segmenter(density=2).read(x)[-1], segmenter().read(large)[-1], atol=1e-5)


@given(st.integers(1, 400))
def test_windows_answer_for_every_patch_once_and_see_around_it(count: int) -> None:
    found = list(windows(count))
    assert [n for w in found for n in range(count)[w.answer]] == list(range(count))
    for window in found:
        answer, seen = range(count)[window.answer], range(count)[window.seen]
        assert len(answer) <= LARGEST
        assert list(seen[window.kept]) == list(answer)
        assert seen.start == max(0, answer.start - CONTEXT)
        assert seen.stop == min(count, answer.stop + CONTEXT)


def test_a_large_image_is_looked_at_in_windows() -> None:
    """A token sees its own patch only here, so that windows change nothing."""
    network = segmenter()
    for block in network.vit.blocks:
        torch.nn.init.zeros_(block.attn.proj.weight)
        torch.nn.init.zeros_(block.attn.proj.bias)
    torch.nn.init.zeros_(network.vit.pos_embed)
    x = torch.rand(1, 3, 8 * (LARGEST + 7), 8 * 3)
    with torch.no_grad():
        whole = network.read(x)[-1]
        above = network.read(x[..., : 8 * LARGEST, :])[-1]
    assert whole.shape[-2:] == (LARGEST + 7, 3)
    assert torch.allclose(whole[..., :LARGEST, :], above, atol=1e-5)


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
        neck = network.conv if conv else network.vit.blocks[2]
        decoder = {id(p) for m in network.part("decoder") for p in m.parameters()}
        assert {id(p) for p in neck.parameters()} <= decoder


def test_the_block_that_is_read() -> None:
    assert three_quarters(12) == 9
    assert three_quarters(1) == 1
