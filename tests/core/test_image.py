"""Named axes: reading is by name, mirrored outside, lazy, and refuses what is no image."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_papernets.core.errors import InputError
from napari_papernets.core.image import ImageBlock, guess_axes, reflect_indices


@given(start=st.integers(-50, 50), size=st.integers(1, 80), length=st.integers(1, 20))
def test_mirroring_is_numpys(start, size, length):
    line = np.arange(length)
    padded = np.pad(line, 200, mode="reflect")
    expected = padded[200 + start : 200 + start + size]
    assert line[reflect_indices(start, start + size, length)].tolist() == expected.tolist()


@given(
    axes=st.permutations("TZCYX"),
    drop=st.sets(st.sampled_from("TZC")),
    window=st.tuples(*[st.integers(-9, 9), st.integers(1, 20)] * 2),
    lazy=st.booleans(),
)
@settings(deadline=None)
def test_a_window_is_that_of_the_transposed_padded_array(axes, drop, window, lazy):
    axes = "".join(a for a in axes if a not in drop)
    sizes = {"T": 2, "Z": 3, "C": 4, "Y": 5, "X": 7}
    data = np.random.default_rng(0).integers(0, 99, [sizes[a] for a in axes])
    image = ImageBlock(da.from_array(data, chunks=3) if lazy else data, axes)
    stack = [a for a in axes if a in "TZ"]
    plane = [sizes[a] - 1 for a in stack]
    y, x = (window[0], window[0] + window[1]), (window[2], window[2] + window[3])
    whole = data.transpose([axes.index(a) for a in [*stack, *("C" if "C" in axes else ""), "Y", "X"]])
    whole = whole[tuple(plane)].reshape(-1, 5, 7)
    padded = np.pad(whole, ((0, 0), (40, 40), (40, 40)), mode="reflect")
    expected = padded[:, 40 + y[0] : 40 + y[1], 40 + x[0] : 40 + x[1]]
    np.testing.assert_array_equal(image.read(plane, y, x), expected)


def test_only_the_window_is_computed():
    seen = []

    class Spy:
        shape, dtype = (10_000, 10_000), np.dtype("u1")

        def __getitem__(self, index):
            seen.append(index)
            return np.zeros([len(range(*i.indices(10_000))) for i in index], "u1")

    ImageBlock(Spy(), "YX").read((), (-4, 12), (100, 130))
    assert seen == [(slice(0, 12), slice(100, 130))]


def test_a_plane_is_an_image_that_knows_all_that_the_whole_one_knew():
    data = np.random.default_rng(0).random((3, 8, 9, 4))
    whole = ImageBlock(data, "TYXC", (1.0, 0.5, 0.25, 1.0), "cells", "µm", "a.tif", True, "TCYX")
    plane = whole.at((2,))
    np.testing.assert_array_equal(plane.data, data[2])
    told = (plane.axes, plane.scale, plane.name, plane.unit, plane.source, plane.alpha)
    assert told == ("YXC", (0.5, 0.25, 1.0), "cells", "µm", "a.tif", True)


def test_channels_are_picked_in_order():
    data = np.arange(3)[:, None, None] * np.ones((3, 2, 2))
    assert ImageBlock(data, "CYX").read(channels=(2, 0))[:, 0, 0].tolist() == [2, 0]


@pytest.mark.parametrize(
    ("shape", "rgb", "axes"),
    [
        ((9, 9), False, "YX"),
        ((90, 90, 3), True, "YXC"),
        ((90, 90, 3), False, "YXC"),
        ((90, 90, 2), False, "YXC"),
        ((90, 90, 4), False, "YXC"),
        ((2, 90, 90), False, "CYX"),
        ((30, 90, 90), False, "ZYX"),
        ((30, 2, 90, 90), False, "ZCYX"),
        ((5, 30, 90, 90), False, "TZYX"),
        ((5, 30, 2, 90, 90), False, "TZCYX"),
    ],
)
def test_guesses(shape, rgb, axes):
    assert guess_axes(shape, rgb) == axes


@pytest.mark.parametrize(
    ("data", "axes", "field"),
    [
        (np.zeros(5), "X", "image"),
        (np.zeros((1,) * 6), "TZCYX", "image"),
        (np.zeros((0, 5)), "YX", "image"),
        (np.zeros((5, 5), complex), "YX", "image"),
        (np.array([["a"]]), "YX", "image"),
        ([[1]], "YX", "image"),
        (da.zeros((5, 5))[da.ones(5) > 0], "YX", "image"),
        (np.ma.masked_less(np.eye(5), 0.5), "YX", "image"),
        (np.zeros((5, 5)), "YYX", "axes"),
        (np.zeros((5, 5)), "CX", "axes"),
        (np.zeros((5, 5)), "YQ", "axes"),
        (np.zeros((5, 5, 3)), "YX", "axes"),
    ],
)
def test_what_is_no_image_is_refused_by_field(data, axes, field):
    with pytest.raises(InputError) as error:
        ImageBlock(data, axes)
    assert error.value.field == field
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("scale", [(0, 1), (-0.5, 0.5), (np.nan, 1), (1, np.inf), (1,), ("a", 1)])
def test_a_scale_that_no_pixel_can_have_is_refused(scale):
    with pytest.raises(InputError, match="give one positive number for each axis of YX"):
        ImageBlock(np.zeros((4, 5)), "YX", scale)


@pytest.mark.parametrize("axes", ["CYX", "YXC", "ZCYX", "TZCYX"])
def test_picked_channels_are_those_of_the_array_and_nothing_else_is_read(axes: str) -> None:
    sizes = dict(T=2, Z=3, C=4, Y=7, X=9)
    data = np.arange(np.prod([sizes[a] for a in axes])).reshape([sizes[a] for a in axes])
    read: list[tuple[int | slice, ...]] = []

    class Recorded:
        shape, dtype = data.shape, data.dtype

        def __getitem__(self, index: tuple[int | slice, ...]) -> np.ndarray:
            read.append(index)
            return data[index]

    block = ImageBlock(Recorded(), axes, name="cells")
    picked = block.pick((2, 1))
    assert not read
    assert (picked.channels, picked.axes, picked.plane_shape) == (2, axes, (7, 9))
    for plane in picked.planes():
        expected = block.read(plane, (-2, 5), (3, 12))[[2, 1]]
        np.testing.assert_array_equal(picked.read(plane, (-2, 5), (3, 12)), expected)
        assert read[-1][axes.index("C")] == slice(1, 3)
        np.testing.assert_array_equal(picked.read(plane, channels=(1,)), block.read(plane)[[1]])
    whole = tuple(slice(None) for _ in axes)
    np.testing.assert_array_equal(picked.data[whole], data.take([2, 1], axes.index("C")))
    one = tuple(1 if a == "C" else slice(None) for a in axes)
    np.testing.assert_array_equal(picked.data[one], data.take(1, axes.index("C")))


def test_channels_that_are_not_there_are_named() -> None:
    with pytest.raises(InputError, match="cells has channels 0 to 1"):
        ImageBlock(np.zeros((2, 5, 6)), "CYX", name="cells").pick((2,))
    grey = ImageBlock(np.zeros((5, 6)), "YX", name="cells")
    assert grey.pick((1,)) is grey.pick(None) is grey
    told = ImageBlock(np.zeros((5, 6, 4)), "YXC", alpha=True)
    assert told.pick(None).alpha
    assert not told.pick((0, 1, 2, 3)).alpha
