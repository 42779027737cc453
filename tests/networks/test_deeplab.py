"""DeepLab: the paper's numbers, what a score sees, where it lies, and VGG's weights in its layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import map_coordinates
from torch import nn
from torch.nn import functional as F

from napari_papernets.core.errors import InputError, ModelError
from napari_papernets.networks import DeepLab, DeepLabLargeFOV
from napari_papernets.networks.deeplab import reach, restore, restored, size_rule
from napari_papernets.networks.vgg16 import from_vgg16, with_unit_maps

THIN = 1 / 64  # one channel at the first level


@pytest.fixture(scope="module")
def paper() -> DeepLabLargeFOV:
    return DeepLabLargeFOV()


def test_table_2(paper) -> None:
    """Parameters of the four rows, in the order of the table: 134.3, 65.1, 65.1 and 20.5 million."""
    assert sum(p.numel() for p in paper.parameters()) == 20_505_429
    rows = [(7, 4, 4096), (4, 4, 4096), (4, 8, 4096)]
    with torch.device("meta"):
        nets = [DeepLabLargeFOV(kernel=k, rate=r, filters=f) for k, r, f in rows]
    counts = [sum(p.numel() for p in net.parameters()) for net in nets]
    assert counts == [134_346_581, 65_140_565, 65_140_565]


def test_layers_are_those_of_section_3(paper) -> None:
    convolutions = [m for m in paper.modules() if isinstance(m, nn.Conv2d)]
    pools = [m for m in paper.modules() if isinstance(m, nn.MaxPool2d)]
    assert len(convolutions) == 16
    assert [c.dilation[0] for c in convolutions] == [1] * 10 + [2] * 3 + [12, 1, 1]
    assert [(p.kernel_size, p.stride) for p in pools] == [(3, 2)] * 3 + [(3, 1)] * 2
    assert (paper.fc6[0].kernel_size, paper.fc6[0].out_channels) == ((3, 3), 1024)
    assert sum(isinstance(m, nn.Dropout) for m in paper.modules()) == 2


@pytest.mark.parametrize("size", [(1, 1), (8, 9), (16, 17), (40, 31), (321, 65)])
def test_scores_are_eight_times_coarser(size) -> None:
    network = DeepLab(2, 5, THIN).eval()
    x = torch.rand(2, 2, *size)
    with torch.inference_mode():
        scores, full = network.scores(x), network(x)
        coarse = DeepLabLargeFOV.forward(network, x)
    assert scores.shape == (2, 5, -(-size[0] // 8), -(-size[1] // 8))
    assert torch.equal(coarse, scores)
    assert full.shape == (2, 5, *size)
    assert torch.equal(full[..., ::8, ::8], scores)  # score i lies on pixel 8i


@pytest.mark.parametrize(("kernel", "rate"), [(3, 12), (7, 4), (4, 8), (1, 1)])
def test_a_score_sees_just_the_pixels_within_reach(kernel, rate) -> None:
    """Change one pixel: the scores that move are those within reach, no more and no fewer."""
    torch.manual_seed(0)
    network = DeepLabLargeFOV(1, 1, THIN, kernel, rate, filters=2).eval().double()
    for parameter in network.parameters():
        parameter.data.abs_()  # no ReLU closes, no cancellation: what can matter does
    # constant, so that pools pass any rise on; an even fc6 needs rows above and below its centre
    image = torch.ones(1, 1, 1 if kernel % 2 else 65, 8 * 80 + 1, dtype=torch.float64)
    row = image.shape[2] // 16
    places = 8 * torch.arange(81)
    for pixel in range(320, 328):
        changed = image.clone()
        changed[..., pixel] += 10
        with torch.inference_mode():
            moved = (network(image) != network(changed))[0, 0, row]
        assert torch.equal(moved, (places - pixel).abs() <= reach(kernel, rate)), pixel


def test_the_gradient_of_a_score_ends_where_its_reach_does(paper) -> None:
    torch.manual_seed(0)
    network = DeepLabLargeFOV(1, 1, THIN, filters=2).eval().double()
    for parameter in network.parameters():
        parameter.data.abs_()
    support = torch.zeros(8 * 60 + 1, dtype=torch.bool)
    for seed in range(16):  # a maximum passes its gradient to one pixel only: several images
        torch.manual_seed(seed)
        image = torch.rand(1, 1, 17, len(support), dtype=torch.float64).requires_grad_()
        network(image)[0, 0, 1, 30].backward()
        support |= (image.grad[0, 0] != 0).any(0)
    seen = support.nonzero()[:, 0]
    assert 240 - 209 <= int(seen[0]) <= 240 - 200
    assert 240 + 200 <= int(seen[-1]) <= 240 + 209


def test_the_halo_covers_a_block_between_two_scores(paper) -> None:
    assert reach() == 209  # a theoretical field of view of 419 pixels
    assert paper.size_rule == size_rule()
    assert (paper.size_rule.context, paper.size_rule.step) == (216, 8)
    for kernel, rate in [(3, 12), (3, 2), (7, 4), (1, 1)]:
        needed = reach(kernel, rate) + 8 - 7  # the second score, seen from the block's last pixel
        context = size_rule(kernel, rate).context
        assert needed <= context < needed + 8


@pytest.mark.parametrize("size", [(33, 17), (40, 24), (35, 20)])
def test_restoration_is_linear_interpolation_between_pixels_8i(size) -> None:
    torch.manual_seed(0)
    scores = torch.randn(1, 2, -(-size[0] // 8), -(-size[1] // 8))
    y, x = np.mgrid[: size[0], : size[1]] / 8
    expected = [map_coordinates(s, (y, x), order=1, mode="nearest") for s in scores[0].double().numpy()]
    np.testing.assert_allclose(restore(scores, *size)[0].numpy(), np.stack(expected), atol=1e-5)


def test_restoration_refuses_an_image_that_the_scores_do_not_cover() -> None:
    assert restore(torch.zeros(1, 1, 3, 3), 24, 24).shape[-1] == 24
    with pytest.raises(InputError, match="at most 24×24"):
        restore(torch.zeros(1, 1, 3, 3), 25, 24)


def test_the_last_layer_reads_what_it_is_fitted_to() -> None:
    """Features of single pixels and weights on them give the logits of the whole."""
    torch.manual_seed(0)
    network = DeepLab(1, 3, 1 / 16).eval()
    x = torch.rand(1, 1, 33, 41)
    weights = torch.randn(network.head.channels[0] + 1, 3)
    network.head.set(weights)
    torch.testing.assert_close(network.head.get(), weights)
    y, x_ = torch.meshgrid(torch.arange(33), torch.arange(41), indexing="ij")
    points = torch.stack([y.ravel(), x_.ravel()], dim=1)
    with torch.inference_mode():
        maps = network.read(x)
        found = network.head.gather(maps, points) @ weights[:-1] + weights[-1]
        torch.testing.assert_close(network(x)[0].flatten(1).T, found, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(network.head(maps), network(x))


def test_width_scales_every_layer() -> None:
    half = DeepLabLargeFOV(width=0.5)
    assert [m.out_channels for m in half.modules() if isinstance(m, nn.Conv2d)] == [
        *[32] * 2, *[64] * 2, *[128] * 3, *[256] * 6, 512, 512, 21,
    ]  # fmt: skip


def test_colours_are_normalised_inside() -> None:
    torch.manual_seed(0)
    plain = DeepLab(3, 2, THIN).eval()
    inside = DeepLab(3, 2, THIN, mean=[0.1, 0.2, 0.3], std=[0.5, 1.0, 2.0]).eval()
    inside.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 17, 17)
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 1.0, 2.0])
    given = (x - mean[:, None, None]) / std[:, None, None]
    with torch.inference_mode():
        torch.testing.assert_close(inside(x), plain(given))


def test_a_restored_copy_answers_in_full_size() -> None:
    torch.manual_seed(0)
    coarse = DeepLabLargeFOV(1, 2, THIN, rate=4).eval()
    full = restored(coarse)
    x = torch.rand(1, 1, 20, 30)
    with torch.inference_mode():
        assert torch.equal(full(x), restore(coarse(x), 20, 30))
    assert full.size_rule == coarse.size_rule


def test_a_drawn_fc6_looks_at_its_own_place_first(paper) -> None:
    weight = paper.fc6[0].weight
    assert weight[:, :, 1, 1].std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)
    assert weight[:, :, 0, 0].std().item() == pytest.approx(0.1 * (2 / (9 * 512)) ** 0.5, rel=0.02)


BAD = [
    ({"classes": 0}, "classes"),
    ({"width": 0.0}, "width"),
    ({"kernel": 4, "rate": 3}, "rate"),
    ({"mean": [0.5, 0.5]}, "mean"),
    ({"std": [0.0]}, "std"),
]


@pytest.mark.parametrize(("arguments", "field"), BAD)
def test_bad_options_are_refused(arguments, field) -> None:
    with pytest.raises(InputError) as error:
        DeepLabLargeFOV(**arguments)
    assert error.value.field == field


def test_other_channels_are_refused() -> None:
    with pytest.raises(InputError, match="takes 3"):
        DeepLab(3, 2, THIN)(torch.zeros(1, 1, 9, 9))


def vgg16_state() -> dict[str, torch.Tensor]:
    """A state dict with torchvision's names and shapes."""
    torch.manual_seed(0)
    layers, inputs, number = {}, 3, 0
    for channels, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers[f"features.{number}"] = (channels, inputs, 3, 3)
            inputs, number = channels, number + 2
        number += 1  # the pool
    layers |= {"classifier.0": (4096, 25088), "classifier.3": (4096, 4096), "classifier.6": (1000, 4096)}
    state = {f"{name}.weight": torch.randn(shape) * 0.01 for name, shape in layers.items()}
    return state | {f"{name}.bias": torch.randn(shape[0]) for name, shape in layers.items()}


@pytest.fixture(scope="module")
def vgg() -> dict[str, torch.Tensor]:
    return vgg16_state()


@torch.inference_mode()
def test_the_classifier_is_decimated_as_the_paper_says(vgg) -> None:
    """Against the layers of VGG itself: its fully connected ones, on what decimation leaves.

    A 7×7 map that is zero but where the kept taps are goes through VGG's own first layer; the same nine
    values, 12 apart, go through fc6.
    """
    network = from_vgg16(vgg).eval()
    values = torch.randn(512, 3, 3)
    sparse = torch.zeros(512, 7, 7)
    sparse[:, ::3, ::3] = values
    fc6 = F.linear(sparse.flatten(), vgg["classifier.0.weight"], vgg["classifier.0.bias"])[::4]
    spread = torch.zeros(1, 512, 25, 25)
    spread[0, :, ::12, ::12] = values
    found = network.fc6[0](spread)[0, :, 12, 12]
    torch.testing.assert_close(found, fc6, atol=1e-4, rtol=1e-4)
    kept = torch.zeros(4096)
    kept[::4] = fc6.relu()  # a filter in four, the others silent
    fc7 = F.linear(kept, vgg["classifier.3.weight"], vgg["classifier.3.bias"])[::4]
    found = network.fc7[0](fc6.relu()[None, :, None, None])[0, :, 0, 0]
    torch.testing.assert_close(found, fc7, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_the_convolutions_are_vgg_s_own(vgg) -> None:
    """Away from borders, and where a map is constant over its pools, VGG gives the same."""
    network = from_vgg16(vgg).eval()
    x = torch.rand(1, 3, 24, 24)
    expected = x
    for number in (0, 2):
        expected = F.conv2d(expected, vgg[f"features.{number}.weight"], vgg[f"features.{number}.bias"],
                            padding=1).relu()  # fmt: skip
    torch.testing.assert_close(network.features[:4](x), expected)
    names = [n for n in vgg if n.startswith("features.")]
    assert all(torch.equal(network.state_dict()[n], vgg[n]) for n in names)


@torch.inference_mode()
def test_a_trunk_alone_is_scaled_to_unit_maps_and_says_the_same(vgg) -> None:
    trunk = {name: t for name, t in vgg.items() if name.startswith("features.")}
    x = torch.rand(1, 3, 33, 33)
    whole, alone = from_vgg16(vgg).eval(), from_vgg16(with_unit_maps(trunk)).eval()
    torch.testing.assert_close(alone.features(x) * 40, whole.features(x), rtol=1e-3, atol=1e-3)


def test_the_other_rows_of_the_table_are_decimated_too(vgg) -> None:
    seven, four = (from_vgg16(vgg, 2, kernel=k, rate=4, filters=512).fc6[0].weight for k in (7, 4))
    assert torch.equal(seven, vgg["classifier.0.weight"].view(4096, 512, 7, 7)[::8])
    assert torch.equal(four, seven[:, :, ::2, ::2])


def test_what_is_not_vgg_16_is_refused(vgg) -> None:
    with pytest.raises(ModelError, match=r"features\.28"):
        from_vgg16({k: v for k, v in vgg.items() if k != "features.28.weight"})
    with pytest.raises(ModelError, match=r"features\.0\.weight has shape"):
        from_vgg16(vgg | {"features.0.weight": torch.zeros(64, 1, 3, 3)})
    with pytest.raises(ModelError, match=r"classifier\.0\.weight has shape"):
        from_vgg16(vgg | {"classifier.0.weight": torch.zeros(4096, 512)})
    with pytest.raises(InputError, match="divisor"):
        from_vgg16(vgg, filters=1000)
    with pytest.raises(InputError, match="a width of 1"):
        from_vgg16(vgg, width=0.5)


@torch.inference_mode()
def test_a_real_trunk_sees_edges(shared: Path) -> None:
    """Its maps are sparse and rise where there is structure, as no random ones do."""
    weights = load_file(shared / "weights" / "vgg16_features_fp16.safetensors")
    network = from_vgg16(weights, classes=2, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    assert network.features[0].weight.dtype == torch.float32
    assert torch.equal(network.features[28].weight.half(), weights["features.28.weight"].half())
    y, x = torch.meshgrid(torch.arange(97), torch.arange(97), indexing="ij")
    disc = ((y - 48) ** 2 + (x - 48) ** 2 < 30**2).float().expand(1, 3, 97, 97)
    maps = network.eval().features[:17](disc)[0]  # after the third pool: a map of 13×13
    assert maps.shape[-2:] == (13, 13)
    energy = maps.square().sum(0)
    assert energy[6, 2:4].sum() > 3 * energy[6, 6]  # the disc's rim against its inside
