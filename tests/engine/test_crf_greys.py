"""Grey values of a CRF: their scale, and the Gaussian that takes the grain off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_papernets.api import refine
from napari_papernets.core.crf_settings import CRFSettings
from napari_papernets.core.image import ImageBlock
from napari_papernets.engine.crf_greys import grey_scale, open_greys

PLANE = (37, 41)


@pytest.mark.parametrize(
    ("pixels", "scale"),
    [
        (np.arange(99, dtype=np.uint8), 1.0),
        (np.arange(99, dtype=np.uint16), 1.0),
        (np.arange(99, dtype=np.float32), 1.0),
        (np.linspace(0, 1, 99), 255.0),
        (np.arange(99) > 9, 255.0),
        (np.arange(99, dtype=np.uint16) * 100, 255 / 9800),
    ],
)
def test_grey_values_are_brought_to_8_bits(pixels: np.ndarray, scale: float) -> None:
    block = ImageBlock(pixels.reshape(9, 11), "YX")
    found = grey_scale(block, (0,), CRFSettings(), [()])
    assert found[0] == pytest.approx(scale, rel=0.01)
    assert grey_scale(block, (0,), CRFSettings(grey="raw"), [()]) == (1.0, 0.0)


@settings(deadline=None)
@given(st.data(), st.floats(0.1, 6.0))
def test_a_region_is_smoothed_as_in_the_whole_plane(data: st.DataObject, sigma: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (*PLANE, 3)).astype(np.uint8)
    region = []
    for size in PLANE:
        first = data.draw(st.integers(0, size - 1))
        region += [first, data.draw(st.integers(first + 1, size))]
    y0, y1, x0, x1 = region
    greys = open_greys(ImageBlock(pixels, "YXC"), CRFSettings(denoise=sigma), [()])
    whole, part = (greys.read([()], where)[0] for where in ((0, 37, 0, 41), (y0, y1, x0, x1)))
    np.testing.assert_allclose(part, whole[y0:y1, x0:x1], atol=1e-3)
    expected = gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0))
    np.testing.assert_allclose(whole, expected, atol=1e-3)


def test_planes_and_channels_are_smoothed_apart() -> None:
    pixels = np.zeros((3, 2, *PLANE), np.uint16)
    pixels[1, 0, 20, 20] = 255
    greys = open_greys(ImageBlock(pixels, "ZCYX"), CRFSettings(denoise=2.0), [(0,), (1,), (2,)])
    found = greys.read([(0,), (1,), (2,)], (0, 37, 0, 41))
    assert found[1, 20, 20, 0] < 20
    np.testing.assert_allclose(found.sum((1, 2)), [[0, 0], [255, 0], [0, 0]], rtol=1e-4)


def test_grain_is_no_edge_once_it_is_smoothed() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((80, 80), int)
    truth[:, 40:] = 1
    image = truth * 30 + rng.normal(100, 30, truth.shape)
    # the map's border is four pixels off
    right = 1 / (1 + np.exp(-(np.arange(80) - 36) / 6.0))
    share = np.stack([1 - right, right])[:, None].repeat(80, 1).astype(np.float32)
    usual = CRFSettings(w1=10, sigma_alpha=15, sigma_beta=8)

    def wrong(settings: CRFSettings) -> float:
        belief = refine(share, image.astype(np.float32), axes="YX", settings=settings)
        return float((belief.argmax(0) != truth).mean())

    assert wrong(usual.replace(denoise=3.0)) < 0.5 * wrong(usual)


def test_opacity_is_no_edge() -> None:
    pixels = np.zeros((2, *PLANE), np.uint8)
    told = ImageBlock(pixels, "CYX", alpha=True)
    assert open_greys(told, CRFSettings(), [()]).channels == (0,)
    assert open_greys(ImageBlock(pixels, "CYX"), CRFSettings(), [()]).channels == (0, 1)
