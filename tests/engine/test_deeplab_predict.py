"""DeepLab through the tiler: stitched equals one pass, with coarse maps restored inside the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_papernets.api import load_model, predict, save_model
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import Normalisation
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.core.tiles import plan_tiles
from napari_papernets.engine.runner import Runner
from napari_papernets.engine.tiling import open_source
from napari_papernets.engine.weights import load_weights
from napari_papernets.networks import DeepLab, DeepLabLargeFOV
from napari_papernets.networks.encoder_network import EncoderNetwork

EXACT = PredictSettings(precision="float32", zoom=1.0)
CPU = torch.device("cpu")


def network(rate: int = 12, kind: type[DeepLabLargeFOV] = DeepLab) -> DeepLabLargeFOV:
    torch.manual_seed(0)
    net = kind(1, 3, 1 / 32, rate=rate)
    for layer in (net.fc6[0], net.fc7[0], net.head.weights[0]):
        layer.weight.data *= 3  # so that the far taps count
    return net.eval()


def tiled_and_whole(net: DeepLab, shape: tuple[int, int], tile: int, rule=None):
    """Logits of an image stitched from tiles, and those of one pass."""
    image = ImageBlock(np.random.default_rng(0).normal(size=shape).astype(np.float32), "YX")
    source, runner = open_source(image, (), (0,), Normalisation()), Runner(net, CPU)
    (whole,) = plan_tiles(shape, net.size_rule)
    expected = runner.logits(source.read(whole.y.read, whole.x.read)[None])[0]
    expected = expected[(slice(None), *whole.crop)]
    tiled = np.full_like(expected, np.nan)
    for part in plan_tiles(shape, rule or net.size_rule, tile):
        answer = runner.logits(source.read(part.y.read, part.x.read)[None])[0]
        tiled[(slice(None), *part.write)] = answer[(slice(None), *part.crop)]
    return tiled, expected


@given(
    shape=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    tile=st.integers(1, 500),
    rate=st.sampled_from([2, 6]),
)
@example(shape=(1, 1), tile=1, rate=2)
@example(shape=(8, 9), tile=8, rate=2)
@example(shape=(500, 441), tile=1, rate=12)
@settings(deadline=None, max_examples=20)
def test_tiled_logits_equal_one_pass(shape, tile, rate) -> None:
    tiled, expected = tiled_and_whole(network(rate), shape, tile)
    assert np.abs(tiled - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("shape", [(40, 41), (390, 273), (256, 500)])
def test_tiles_of_a_linear_layer_on_its_trunk_equal_one_pass(shape) -> None:
    torch.manual_seed(0)
    net = EncoderNetwork(1, 3, "vgg16", width=2).eval()
    tiled, expected = tiled_and_whole(net, shape, 248)
    assert np.abs(tiled - expected).max() <= 1e-5 * np.abs(expected).max()
    narrow = replace(net.size_rule, context=net.size_rule.context // 3)
    if max(shape) > 272:
        tiled, expected = tiled_and_whole(net, shape, 248, narrow)
        assert np.abs(tiled - expected).max() > 1e-5 * np.abs(expected).max()


def test_every_small_size_is_answered() -> None:
    net = network(2)
    for n in range(1, 20):
        tiled, expected = tiled_and_whole(net, (n, 20 - n), 8)
        assert expected.shape == (3, n, 20 - n)
        assert np.abs(tiled - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_halo_is_needed() -> None:
    """Two steps less, and the tiles do differ from the whole."""
    net = network(12)
    rule = replace(net.size_rule, context=net.size_rule.context - 16)
    tiled, expected = tiled_and_whole(net, (20, 900), 1, rule)
    assert np.abs(tiled - expected).max() > 1e-5 * np.abs(expected).max()


def test_one_pass_is_the_bare_network_on_the_mirrored_image() -> None:
    """Independent of our tiler and runner: numpy pads to 8k + 1 pixels, the paper's network answers."""
    net = network(4, DeepLabLargeFOV)
    image = np.random.default_rng(1).random((37, 50)).astype(np.float32)
    low, high = np.percentile(image, [1.0, 99.8])
    x = np.pad((image - low) / (high - low), [(0, 4), (0, 7)], mode="reflect").astype(np.float32)
    with torch.inference_mode():
        scores = net(torch.from_numpy(x)[None, None])  # (1, 3, 6, 8)
    full = torch.nn.functional.interpolate(scores, (41, 57), mode="bilinear", align_corners=True)
    expected = full.softmax(1)[0, :, :37, :50].numpy()
    got = predict(image, net, settings=EXACT).probabilities
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_turned_tiles_equal_the_turned_whole() -> None:
    data = np.random.default_rng(0).random((300, 331)).astype(np.float32)
    whole, tiled = (
        predict(data, network(2), tile=t, settings=EXACT.replace(turns=8)).probabilities
        for t in (None, 1)
    )
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_a_saved_deeplab_predicts_as_the_one_in_memory(tmp_path) -> None:
    coarse = network(4, DeepLabLargeFOV)
    ref = load_model(save_model(coarse, tmp_path / "d").path)
    assert isinstance(load_weights(ref), DeepLab)
    assert ref.spec.size_rule == coarse.size_rule
    data = np.random.default_rng(0).random((60, 70, 3))
    one, two = (predict(data[..., 0], m, settings=EXACT).probabilities for m in (coarse, ref))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("channels", [1, 3])
def test_bfloat16_changes_probabilities_little(channels) -> None:
    torch.manual_seed(0)
    net = DeepLab(channels, 2, 1 / 16).eval()
    x = np.random.default_rng(0).random((1, channels, 65, 65)).astype(np.float32)
    exact, rounded = (Runner(net, CPU, precision)(x) for precision in ("float32", "bfloat16"))
    assert 0 < np.abs(exact - rounded).max() < 0.05
