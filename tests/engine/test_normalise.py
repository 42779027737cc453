"""Normalisation of every type of image, with NaN, constants and outliers in it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_papernets.core.errors import InputError
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import Normalisation
from napari_papernets.engine.normalise import SAMPLE_PIXELS, normalisation_range, normalise


def through(data: np.ndarray, axes: str = "YX", **how: object) -> np.ndarray:
    image = ImageBlock(data, axes)
    low, high = normalisation_range(image, normalisation=Normalisation(**how))  # type: ignore[arg-type]
    return normalise(image.read(), low, high)


def test_percentiles_become_zero_and_one() -> None:
    ramp = np.arange(1001, dtype=np.float32).reshape(7, 143)
    low, high = normalisation_range(ImageBlock(ramp, "YX"))
    assert low == pytest.approx([10.0])
    assert high == pytest.approx([998.0])
    scaled = normalise(ramp[None], low, high)
    assert scaled[0, 0, 10] == pytest.approx(0, abs=1e-6)
    assert scaled.ravel()[998] == pytest.approx(1, abs=1e-6)
    assert scaled.dtype == np.float32


@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.int16, np.uint16, np.int32, np.uint64, np.float32, np.float64]
)
def test_every_type_gives_the_same_answer(dtype: type) -> None:
    pattern = np.indices((20, 20)).sum(0) % 2
    assert np.array_equal(through(pattern.astype(dtype)), pattern[None].astype(np.float32))


def test_large_integers_keep_their_differences() -> None:
    data = 2**53 + np.arange(100, dtype=np.int64).reshape(10, 10) * 1024
    scaled = through(data, low=0.0, high=100.0)
    assert np.allclose(scaled.ravel(), np.linspace(0, 1, 100), atol=1e-6)


def test_float_images_far_from_zero_keep_their_differences() -> None:
    data = 1e9 + np.linspace(0, 1, 100).reshape(10, 10)
    assert np.allclose(through(data, low=0.0, high=100.0).ravel(), np.linspace(0, 1, 100), atol=1e-5)


def test_values_that_are_no_number_count_as_the_lowest() -> None:
    data = np.linspace(0, 1, 400).reshape(20, 20)
    data[3, 4], data[5, 6], data[7, 8] = np.nan, np.inf, -np.inf
    scaled = through(data)
    assert np.isfinite(scaled).all()
    assert scaled[0, 3, 4] == scaled[0, 5, 6] == scaled[0, 7, 8] == 0


def test_a_constant_plane_becomes_zero() -> None:
    assert (through(np.full((5, 6), 77, np.uint8)) == 0).all()


def test_a_plane_without_a_finite_value_is_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        through(np.full((5, 6), np.nan))


def test_few_bright_spots_on_an_even_ground_stay_visible() -> None:
    data = np.zeros((100, 100), np.uint16)
    data[50, 50] = 500
    assert through(data)[0, 50, 50] == 1


def test_an_extreme_value_cannot_overflow() -> None:
    data = np.random.default_rng(0).random((100, 100))
    data[0, 0] = 1e300
    assert through(data).max() == 1000


def test_channels_share_their_range_only_if_told_so() -> None:
    data = np.stack([np.linspace(0, 1, 100), np.linspace(0, 10, 100)]).reshape(2, 10, 10)
    apart = through(data, "CYX", joint=False, low=0.0, high=100.0)
    assert np.allclose(apart.max(axis=(1, 2)), 1)
    together = through(data, "CYX", joint=True, low=0.0, high=100.0)
    assert np.allclose(together.max(axis=(1, 2)), [0.1, 1])


def test_channels_are_picked_in_order_and_may_be_repeated() -> None:
    data = np.stack([np.full((4, 5), i) + np.eye(4, 5) for i in range(3)])
    low, _ = normalisation_range(
        ImageBlock(data, "CYX"), channels=(2, 0, 0), normalisation=Normalisation(0, 100, joint=False)
    )
    assert low.tolist() == [2, 0, 0]


def test_planes_of_a_stack_have_ranges_of_their_own() -> None:
    data = np.stack([np.eye(6), 5 * np.eye(6)])
    _, high = normalisation_range(ImageBlock(data, "ZYX"), (1,), normalisation=Normalisation(0, 100))
    assert high == [5]


def test_large_planes_are_sampled_and_never_read_whole() -> None:
    class Watched:
        shape, dtype = (4000, 5000), np.dtype(np.uint8)
        most = 0

        def __getitem__(self, index: tuple[slice, slice]) -> np.ndarray:
            block = np.broadcast_to(np.arange(5000, dtype=np.uint8), self.shape)[index]
            self.most = max(self.most, block.size)
            return block

    watched = Watched()
    low, high = normalisation_range(ImageBlock(watched, "YX"))
    assert 0 < watched.most <= SAMPLE_PIXELS
    assert low[0] < high[0]


def test_the_whole_range_of_float64_stays_finite() -> None:
    noise = np.random.default_rng(0).random((20, 30))
    image = ImageBlock(np.where(noise > 0.5, 1.7e308, -1.7e308), "YX")
    with np.errstate(all="raise"):
        found = normalise(image.read(), *normalisation_range(image))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[0] > 0.5, noise > 0.5)
