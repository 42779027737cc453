"""Two views: the same places in both, grey values that a microscope could make, keyed randomness."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_papernets.core.moco_settings import MoCoSettings
from napari_papernets.engine.augment import keyed_generator
from napari_papernets.engine.views import (
    Dice,
    blur,
    change_greys,
    draw_geometry,
    draw_views,
    window_side,
)

CPU = torch.device("cpu")
STILL = MoCoSettings(
    crop=32, rotate=False, zoom_range=1.0, shift=0.0, elastic=0.0, grey=0.0, blur=0.0, noise=0.0
)


def smooth_windows(batch: int, side: int, channels: int = 1) -> torch.Tensor:
    """Windows whose values tell where they were taken: channel c is a wave along its own direction."""
    y, x = torch.meshgrid(torch.arange(side) / side, torch.arange(side) / side, indexing="ij")
    waves = [torch.sin(3 * x + c) * 0.3 + torch.cos(4 * y - c) * 0.2 + 0.5 for c in range(channels)]
    return torch.stack(waves)[None].repeat(batch, 1, 1, 1).float()


def values_at(view: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    grid = places[:, :, None]
    return torch.nn.functional.grid_sample(view, grid, align_corners=False)[..., 0]


def test_places_are_the_same_in_both_views() -> None:
    """Under rotation, mirroring, zoom, shift and elastic deformation together."""
    settings = MoCoSettings(crop=64, elastic=3.0, grey=0.0, blur=0.0, noise=0.0, places=50)
    windows = smooth_windows(6, window_side(settings), channels=2)
    views = draw_views(windows, np.zeros(6, dtype=bool), settings, 0, range(6))
    assert views.places_q is not None
    assert views.places_k is not None
    assert views.places_q.abs().max() < 1
    assert views.places_k.abs().max() < 1
    first, second = values_at(views.im_q, views.places_q), values_at(views.im_k, views.places_k)
    assert (first - second).abs().max() < 0.01
    assert first.std() > 0.05  # the values do differ from place to place
    assert (views.places_q - views.places_k).abs().mean() > 0.2


def test_without_augmentation_a_view_is_the_middle_of_its_window() -> None:
    windows = torch.rand(2, 1, window_side(STILL), window_side(STILL))
    views = draw_views(windows, np.ones(2, dtype=bool), STILL, 3, range(2))
    start = (windows.shape[-1] - 32) // 2
    expected = windows[..., start : start + 32, start : start + 32]
    assert windows.shape[-1] % 2 == 0
    assert torch.allclose(views.im_q, expected, atol=1e-5)
    assert torch.equal(views.im_q, views.im_k)


def test_an_elastic_field_is_inverted() -> None:
    settings = MoCoSettings(crop=64, elastic=3.0)
    geometry = draw_geometry(Dice(keyed_generator(0, 1), range(8), 8), settings, CPU)
    u = (torch.rand(8, 40, 2) - 0.5) * 50
    assert (geometry.inverse(geometry.forward(u)) - u).abs().max() < 0.1


def test_grey_images_stay_grey_among_colour() -> None:
    settings = MoCoSettings(crop=32, places=4)
    windows = torch.rand(4, 3, window_side(settings), window_side(settings))
    windows[:2] = windows[:2, :1]
    grey = np.array([True, True, False, False])
    views = draw_views(windows, grey, settings, 0, range(4))
    for image, is_grey in zip(views.im_q, grey, strict=True):
        same = torch.allclose(image[0], image[1]) and torch.allclose(image[0], image[2])
        assert same == bool(is_grey)


def test_colours_change_channel_by_channel() -> None:
    settings = STILL.replace(grey=1.0)
    x = torch.full((1, 3, 8, 8), 0.4)
    changed = change_greys(Dice(keyed_generator(0, 1), [0], 1), x, np.array([False]), settings, 3)
    assert changed[0, :, 0, 0].std() > 0.005


@pytest.mark.parametrize("all_grey", [True, False])
def test_views_depend_on_seed_step_and_item_alone(all_grey: bool) -> None:
    """So that several processes, each with its share of the batch, see what one would."""
    settings = MoCoSettings(crop=32, places=4)
    windows = torch.rand(4, 3, window_side(settings), window_side(settings))
    windows[:2] = windows[:2, :1]
    if all_grey:
        windows = windows[:, :1].repeat(1, 3, 1, 1)
    grey = np.array([True, True, all_grey, all_grey])
    whole = draw_views(windows, grey, settings, 5, range(4))
    share = draw_views(windows[:2], grey[:2], settings, 5, range(2))
    rest = draw_views(windows[2:], grey[2:], settings, 5, range(2, 4))
    for name in ("im_q", "im_k", "places_q", "places_k"):
        parts = torch.cat([getattr(share, name), getattr(rest, name)])
        assert torch.allclose(parts, getattr(whole, name), atol=1e-6), name
    other = draw_views(windows, grey, settings, 6, range(4))
    assert not torch.allclose(other.im_q, whole.im_q, atol=1e-2)


def test_each_image_is_blurred_by_its_own_sigma() -> None:
    x = torch.zeros(3, 2, 41, 41)
    x[:, :, 20, 20] = 1
    blurred = blur(x, np.array([0.0, 1.0, 2.0]), 2.0)
    assert torch.allclose(blurred[0], x[0], atol=1e-6)
    steps = torch.arange(41) - 20.0
    for image, sigma in ((1, 1.0), (2, 2.0)):
        profile = blurred[image, 0].sum(0)
        assert profile.sum().item() == pytest.approx(1, abs=1e-5)
        assert (profile * steps**2).sum().sqrt().item() == pytest.approx(sigma, rel=0.05)
