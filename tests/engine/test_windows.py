"""Windows of any images, read as they are needed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_papernets.core.errors import InputError
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import ModelSpec, Normalisation, class_infos
from napari_papernets.engine.windows import WindowSource, batch_of, channels_of
from napari_papernets.networks.build import encoder_spec


def spec(channels: int = 1) -> ModelSpec:
    classes = class_infos(["a", "b"])
    return encoder_spec("e", channels, classes, "contracting", normalisation=Normalisation())


class Lazy:
    """A stack of 2000 planes of 4096×4096 pixels that exist only where they are read."""

    shape, dtype, ndim = (2000, 4096, 4096), np.dtype(np.uint16), 3

    def __init__(self) -> None:
        self.largest = 0

    def __getitem__(self, index: tuple) -> np.ndarray:
        pairs = zip(index, self.shape, strict=True)
        z, y, x = (np.arange(n)[i if isinstance(i, slice) else [i]] for i, n in pairs)
        self.largest = max(self.largest, len(z) * len(y) * len(x))
        block = (z[:, None, None] * 7 + y[:, None] * 3 + x * 5) % 1000
        block = block.astype(np.uint16)
        return block[0] if not isinstance(index[0], slice) else block


def test_a_window_depends_on_its_key_alone() -> None:
    rng = np.random.default_rng(0)
    images = [ImageBlock(rng.random((50, 60)), "YX"), ImageBlock(rng.random((3, 40, 70)), "ZYX")]
    first = WindowSource(images, spec(), 32, 16)
    windows = [first.draw(step, item).normalised() for step in range(3) for item in range(4)]
    again = WindowSource(images, spec(), 32, 16)
    assert np.array_equal(again.draw(2, 3).normalised(), windows[-1])
    assert len({w.tobytes() for w in windows}) == len(windows)
    assert all(w.shape == (1, 32, 32) and w.dtype == np.float32 for w in windows)
    assert not np.array_equal(
        WindowSource(images, spec(), 32, 16, seed=1).draw(2, 3).pixels, windows[-1]
    )


def test_little_is_read_of_a_large_stack() -> None:
    lazy = Lazy()
    source = WindowSource([ImageBlock(lazy, "ZYX")], spec(), 128, 96)
    for item in range(20):
        window = source.draw(0, item)
        assert window.grey
        assert -1 < window.normalised().min() < window.normalised().max() < 2
    assert lazy.largest <= 256**2


def test_grey_values_of_a_large_plane_are_those_of_the_whole() -> None:
    image = ImageBlock(Lazy(), "ZYX")
    low, high = WindowSource([image], spec(), 64, 32).grey_range(0, (3,))
    assert low[0] == pytest.approx(10, abs=5)
    assert high[0] == pytest.approx(997, abs=5)


def test_grey_is_repeated_for_colour_networks_and_told_apart() -> None:
    rng = np.random.default_rng(0)
    images = [ImageBlock(rng.random((50, 60)), "YX"), ImageBlock(rng.random((50, 60, 3)), "YXC")]
    assert channels_of(images)[0] == 3
    source = WindowSource(images, spec(3), 32, 16)
    drawn = [source.draw(0, item) for item in range(12)]
    assert {window.grey for window in drawn} == {True, False}
    for window in drawn:
        first, second = window.normalised()[:2]
        assert np.array_equal(first, second) == window.grey


@pytest.mark.parametrize(
    "types", [["u1"], ["u2"], ["u1", "?"], ["u1", "f4"], ["i4", "u2"], ["f8"]], ids="+".join
)
def test_a_batch_is_normalised_as_its_windows_are(types: list[str]) -> None:
    rng = np.random.default_rng(0)
    images = [ImageBlock((rng.random((2, 50, 60)) * 250).astype(kind), "CYX") for kind in types]
    images[0].data.flat[7] = 0
    source = WindowSource(images, spec(2), 32, 16)
    drawn = [source.draw(0, item) for item in range(8)]
    batch = batch_of(drawn)
    assert batch.pixels.dtype == (torch.uint8 if types == ["u1"] else torch.float32)
    expected = np.stack([window.normalised() for window in drawn])
    for _ in range(2):  # it stays as it is
        assert np.array_equal(batch.on(torch.device("cpu")), expected)


def test_what_is_no_number_is_nothing_in_a_batch() -> None:
    pixels = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    pixels[::7, ::5] = np.nan
    batch = batch_of([WindowSource([ImageBlock(pixels, "YX")], spec(), 32, 16).draw(0, 0)])
    assert bool(batch.on(torch.device("cpu")).isfinite().all())


def test_shares_say_how_often() -> None:
    images = [ImageBlock(np.random.default_rng(i).random((40, 40)) + i, "YX") for i in range(2)]
    source = WindowSource(images, spec(), 16, 16, shares=[0, 1])
    alone = WindowSource(images[1:], spec(), 16, 16)
    assert all(np.array_equal(source.draw(0, i).pixels, alone.draw(0, i).pixels) for i in range(5))
    with pytest.raises(InputError, match="2 numbers"):
        WindowSource(images, spec(), 16, 16, shares=[1])


def test_blank_places_are_avoided() -> None:
    pixels = np.zeros((400, 400), np.float32)
    pixels[:200] = np.random.default_rng(0).random((200, 400))
    source = WindowSource([ImageBlock(pixels, "YX")], spec(), 16, 16)
    blank = sum(source.draw(0, item).normalised().std() < 0.02 for item in range(60))
    assert blank < 12  # one in sixteen, not one in two


def test_impossible_images_are_refused() -> None:
    with pytest.raises(InputError, match="at least one image"):
        channels_of([])
    with pytest.raises(InputError, match="takes 1"):
        WindowSource([ImageBlock(np.zeros((2, 40, 40)), "CYX")], spec(1), 16, 16)
