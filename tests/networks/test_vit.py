"""The Vision Transformer beside timm's, and what may go wrong with weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_papernets.core.errors import InputError, ModelError
from napari_papernets.networks import VisionTransformer
from napari_papernets.networks.attention import attention_rows, mean_distance, rollout
from napari_papernets.networks.linear import can_use_onednn, fast_linear
from napari_papernets.networks.vit import SIZES


def small(**options: Any) -> VisionTransformer:
    """A network that is quick to run, with every parameter drawn."""
    torch.manual_seed(0)
    sizes = dict(image_size=32, patch_size=8, dim=48, depth=3, heads=3) | options
    return randomised(VisionTransformer(**sizes)).eval()


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """The same with all of its parameters drawn, so that none is a silent 0 or 1."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return network


PEERS = {
    "ViT-Ti/16": ("vit_tiny_patch16_224", {}),
    "ViT-S/16": ("vit_small_patch16_224", {}),
    "DINO S/8": ("vit_small_patch8_224", {}),
    "DINOv2 S/14": ("vit_small_patch14_dinov2", dict(img_size=224)),
    "DINOv2 S/14 with registers": ("vit_small_patch14_reg4_dinov2", dict(img_size=224)),
}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("shape", [(224, 224), (112, 336)])
def test_tokens_are_those_of_timm(peer: str, shape: tuple[int, int]) -> None:
    timm = pytest.importorskip("timm")
    name, options = PEERS[peer]
    torch.manual_seed(0)
    theirs = randomised(timm.create_model(name, dynamic_img_size=True, **options)).eval()
    ours = VisionTransformer.from_state_dict(theirs.state_dict())
    x = torch.randn(1, 3, *shape)
    with torch.inference_mode():
        expected = theirs.forward_features(x)
        answer = ours.tokens(x)
    prefix = theirs.num_prefix_tokens
    expected = torch.cat([expected[:, :1], expected[:, prefix:]], dim=1)
    assert answer.shape == expected.shape
    assert float((answer - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


def test_real_weights_give_the_tokens_of_timm(shared: Any) -> None:
    timm = pytest.importorskip("timm")
    weights = load_file(shared / "weights" / "dinov2_vits14_fp16.safetensors")
    theirs = timm.create_model("vit_small_patch14_dinov2", dynamic_img_size=True, num_classes=0).eval()
    theirs.load_state_dict({k: v.float() for k, v in weights.items()})
    ours = VisionTransformer.from_state_dict(weights)
    x = torch.randn(1, 3, 224, 280, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, answer = theirs.forward_features(x), ours.tokens(x)
    assert float((answer - expected).abs().max()) <= 1e-4


@pytest.mark.parametrize("name", SIZES)
def test_sizes_of_the_table(name: str) -> None:
    millions = dict(tiny=5.5, small=21.7, base=85.8, large=303.3, huge=631)[name]
    size = SIZES[name]
    with torch.device("meta"):
        patch = 14 if name == "huge" else 16
        network = VisionTransformer(224, patch, size.dim, size.depth, size.heads)
    count = sum(p.numel() for p in network.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


def test_registers_are_no_tokens() -> None:
    network = small(registers=4)
    assert network.tokens(torch.zeros(2, 3, 32, 40)).shape == (2, 1 + 4 * 5, 48)
    assert network.read(torch.zeros(2, 3, 32, 40), tokens=[1]).tokens[1].shape == (2, 5 + 20, 48)


def test_the_first_patch_is_the_upper_left_block() -> None:
    """With no depth a token is the projection of its own pixels, plus position."""
    network = small(depth=1)
    x = torch.zeros(1, 3, 32, 32)
    marked = x.clone()
    marked[..., 8:16, 24:32] = 1
    difference = (network._embed(marked) - network._embed(x))[0, 1:].abs().sum(1)
    assert difference.nonzero().ravel().tolist() == [1 * 4 + 3]


def test_what_does_not_fill_a_patch_is_mirrored() -> None:
    network = small()
    x = torch.randn(1, 3, 29, 40)
    mirrored = torch.cat([x, x[..., 25:28, :].flip(-2)], dim=-2)
    assert torch.equal(network.tokens(x), network.tokens(mirrored))
    with pytest.raises(InputError, match="8 pixels"):
        network.tokens(torch.zeros(1, 3, 3, 40))


def test_antialiasing_of_positions_is_a_choice() -> None:
    with_it, without = small(antialias=True), small(antialias=False)
    assert torch.equal(with_it.positions((4, 4)), without.positions((4, 4)))  # nothing to do
    assert not torch.allclose(with_it.positions((2, 2)), without.positions((2, 2)))


def test_blocks_are_read_without_the_rest() -> None:
    network, x = small(), torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        inside = network.read(x, tokens=[2, 3], attention=[3])
        answer = network.tokens(x)
        last = network.norm(inside.tokens[3])
    assert sorted(inside.tokens) == [2, 3]
    assert list(inside.queries) == [3]
    assert torch.equal(last, answer)
    with pytest.raises(InputError, match="blocks 1 to 3"):
        network.read(x, tokens=[4])


def test_attention_explains_the_block() -> None:
    """The rows, times the values, give what the block adds; every row sums to 1."""
    network, x = small(), torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        inside = network.read(x, tokens=[2], attention=[3])
        rows = attention_rows(inside.queries[3], inside.keys[3])
        attn = network.blocks[2].attn
        z = network.blocks[2].norm1(inside.tokens[2])
        v = attn.qkv(z)[..., 96:].view(1, 17, 3, 16).transpose(1, 2)
        expected = attn(z)
        answer = attn.proj((rows @ v).transpose(1, 2).flatten(2))
    assert torch.allclose(rows.sum(-1), torch.ones(1, 3, 17), atol=1e-5)
    assert torch.allclose(answer, expected, atol=1e-5)


def test_rollout_is_the_product_of_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_papernets.networks.attention.CHUNK", 100)
    network = small()
    with torch.no_grad():
        inside = network.read(torch.randn(1, 3, 32, 32), attention=[1, 2, 3])
    product = torch.eye(17)
    for block in (1, 2, 3):
        mean = attention_rows(inside.queries[block][0], inside.keys[block][0]).mean(0)
        product = (mean + torch.eye(17)) / 2 @ product
    row = rollout((inside.queries[b][0], inside.keys[b][0]) for b in (3, 2, 1))
    assert torch.allclose(row, product[0], atol=1e-6)
    assert float(row.sum()) == pytest.approx(1, abs=1e-5)


def test_mean_distance_of_known_attention() -> None:
    """Keys that all look alike spread attention evenly; a sharp one stays on its own patch."""
    grid, prefix = (2, 3), 1
    even = torch.zeros(1, 7, 4)
    places = np.stack(np.mgrid[:2, :3], -1).reshape(-1, 2)
    between = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert float(mean_distance(even, even, grid, prefix)) == pytest.approx(between.mean(), abs=1e-5)
    sharp = torch.eye(7)[None] * 40
    assert float(mean_distance(sharp, sharp, grid, prefix)) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_linear_layers_answer_as_torch_does(capability: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    can_use_onednn.cache_clear()
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(96, 64), torch.randn(2, 100, 96)
    with torch.no_grad():
        assert torch.allclose(fast_linear(x, layer), layer(x), atol=1e-5)
        if capability == "AVX2":
            assert not can_use_onednn()
    assert fast_linear(x, layer).requires_grad
    can_use_onednn.cache_clear()


# State dicts.


def changed(tensors: dict[str, torch.Tensor], **change: Any) -> dict[str, torch.Tensor]:
    """A state dict with some tensors replaced, or left out where None."""
    changed = {**tensors, **{k.replace("__", "."): v for k, v in change.items()}}
    return {k: v for k, v in changed.items() if v is not None}


def dino(t: dict[str, torch.Tensor]) -> dict[str, Any]:
    body = {f"module.backbone.{k}": v for k, v in t.items()}
    return {"epoch": 3, "teacher": {**body, "head.mlp.0.weight": torch.zeros(4, 4)}}


def dinov2(t: dict[str, torch.Tensor]) -> dict[str, Any]:
    named = {k.replace("reg_token", "register_tokens"): v for k, v in t.items()}
    return {**named, "mask_token": torch.zeros(1, 48)}


def mae(t: dict[str, torch.Tensor]) -> dict[str, Any]:
    extra = {"decoder_pos_embed": torch.zeros(1, 17, 8), "decoder_blocks.0.norm1.weight": torch.ones(8)}
    return {"model": {**t, **extra, "mask_token": torch.zeros(1, 1, 8)}}


def timm_classifier(t: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {**t, "head.weight": torch.zeros(5, 48), "pre_logits.fc.weight": torch.zeros(5, 48)}


@pytest.mark.parametrize("source", [dino, dinov2, mae, timm_classifier])
def test_checkpoints_load_by_their_own_names(source: Any) -> None:
    options = dict(registers=2, layer_scale=True) if source is dinov2 else {}
    network, x = small(**options), torch.randn(1, 3, 32, 32)
    loaded = VisionTransformer.from_state_dict(source(network.state_dict()), heads=3)
    assert torch.equal(loaded.tokens(x), network.tokens(x))
    assert loaded.options == network.options


def test_timm_register_models_have_no_class_position() -> None:
    network = small(registers=4, class_position=False)
    loaded = VisionTransformer.from_state_dict(network.state_dict(), heads=3)
    assert not loaded.options["class_position"]
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(loaded.tokens(x), network.tokens(x))


def test_registers_with_positions_take_them_in() -> None:
    network, x = small(registers=4), torch.randn(1, 3, 32, 32)
    state = network.state_dict()
    extra = torch.randn(1, 4, 48)
    long = torch.cat([state["pos_embed"][:, :1], extra, state["pos_embed"][:, 1:]], dim=1)
    moved = {**state, "pos_embed": long, "reg_token": state["reg_token"] - extra}
    loaded = VisionTransformer.from_state_dict(moved, heads=3)
    assert torch.allclose(loaded.tokens(x), network.tokens(x), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (dict(blocks__1__attn__qkv__weight=None), "blocks.1.attn.qkv.weight"),
        (dict(blocks__1__mlp__fc2__weight=torch.zeros(48, 100)), "blocks.1.mlp.fc2.weight"),
        (dict(blocks__0__mlp__w12__weight=torch.zeros(3, 3)), "blocks.0.mlp.w12.weight"),
        (dict(patch_embed__proj__weight=None), "patch_embed.proj.weight"),
        (dict(pos_embed=torch.zeros(1, 24, 48)), "pos_embed"),
        (dict(norm__weight=None), "norm.weight"),
        (
            dict(norm__weight=torch.full((48,), torch.nan)),
            "norm.weight with numbers that are not finite",
        ),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ModelError, match=named.replace(".", r"\.")):
        VisionTransformer.from_state_dict(changed(small().state_dict(), **change), heads=3)


@pytest.mark.parametrize(
    ("field", "value"), [("patch_size", 0), ("dim", -48), ("depth", 0), ("image_size", 0), ("heads", 5)]
)
def test_impossible_sizes_are_refused(field: str, value: int) -> None:
    with pytest.raises(InputError, match=field):
        small(**{field: value})


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (3, 32, 32)])
def test_images_of_other_axes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"give \(B, 3, H, W\)"):
        small().tokens(torch.zeros(shape))


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ModelError, match="timm, DINO"):
        VisionTransformer.from_state_dict({"conv1.weight": torch.zeros(64, 3, 7, 7)})
    with pytest.raises(ModelError, match="heads"):
        VisionTransformer.from_state_dict(small().state_dict(), heads=5)
