"""Zoom: there and back, whatever the region; objects tell how far to zoom."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_papernets.engine.zoom import choose_zoom, resample, resize, zoom_region


def test_a_ramp_survives_the_round_trip():
    y, x = np.mgrid[:80, :60].astype(np.float32)
    ramp = np.stack([y, x])
    for zoom in (0.5, 2.0):
        zoomed = resize(ramp, zoom)
        assert zoomed.shape == (2, 80 * zoom, 60 * zoom)
        back = resample(zoomed, (0, 0), zoomed.shape[1:], (80, 60), (0, 80, 0, 60))
        np.testing.assert_allclose(back[:, 5:-5, 5:-5], ramp[:, 5:-5, 5:-5], atol=1e-3)


@given(
    data=st.data(),
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    zoom=st.floats(0.1, 4.0),
)
@settings(deadline=None)
def test_a_region_is_resampled_as_the_whole(data, shape, zoom):
    zoomed = tuple(max(1, round(n * zoom)) for n in shape)
    block = np.random.default_rng(0).random((2, *zoomed)).astype(np.float32)
    whole = resample(block, (0, 0), zoomed, shape, (0, shape[0], 0, shape[1]))
    y0, x0 = (data.draw(st.integers(0, n - 1)) for n in shape)
    y1, x1 = data.draw(st.integers(y0 + 1, shape[0])), data.draw(st.integers(x0 + 1, shape[1]))
    a, b, c, d = zoom_region((y0, y1, x0, x1), shape, zoomed)
    part = resample(block[:, a:b, c:d], (a, c), zoomed, shape, (y0, y1, x0, x1))
    np.testing.assert_allclose(part, whole[:, y0:y1, x0:x1], atol=1e-6)


@pytest.mark.parametrize("true_diameter", [5.0, 20.0, 30.0, 200.0])
def test_objects_are_brought_near_the_trained_size(true_diameter):
    def seen(zoom: float) -> tuple[float, float]:
        """A network that finds objects between 8 and 50 pixels wide, best at 20."""
        diameter = true_diameter * zoom
        return (diameter, 0.9) if 8 <= diameter <= 50 else (3.0, 0.01)

    zoom, tried = choose_zoom(seen, trained_diameter=20.0)
    assert 10 <= true_diameter * zoom <= 40
    convincing = 20 <= true_diameter <= 30  # as it is: no other zoom is tried
    assert (len(tried) == 1) == convincing


def test_large_objects_that_are_seen_as_surely_keep_their_pixels():
    sure = {1.0: 0.6, 0.5: 0.5, 2.0: 0.6, 0.25: 0.2, 4.0: 0.3}
    assert choose_zoom(lambda zoom: (48 * zoom, sure[zoom]), trained_diameter=18.0)[0] == 1.0
    surer = sure | {0.5: 0.7}
    assert choose_zoom(lambda zoom: (48 * zoom, surer[zoom]), trained_diameter=18.0)[0] < 0.5
    clumps = {1.0: 80.0, 0.5: 24.0, 2.0: 200.0, 0.25: 12.0, 4.0: 200.0}  # something else at 1
    assert choose_zoom(lambda zoom: (clumps[zoom], sure[zoom]), trained_diameter=18.0)[0] < 0.5


def test_without_objects_the_pixels_are_kept():
    assert choose_zoom(lambda zoom: (0.0, 0.0), 20.0)[0] == 1.0


def test_a_speck_in_noise_is_no_reason_to_zoom():
    specks = {1.0: (0.0, 0.0), 0.5: (0.0, 0.0), 2.0: (0.0, 0.0), 0.25: (0.0, 0.0), 4.0: (8.5, 0.006)}
    assert choose_zoom(specks.__getitem__, 20.0)[0] == 1.0
    seen = specks | {4.0: (8.5, 0.06)}
    assert choose_zoom(seen.__getitem__, 20.0)[0] == 8.0
