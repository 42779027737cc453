"""Integers of 64 bits far from zero give what they give near it."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from napari_papernets.core.crf_settings import CRFSettings
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import Normalisation, class_infos
from napari_papernets.engine.annotated import make_plane
from napari_papernets.engine.crf_greys import open_greys
from napari_papernets.engine.far_greys import near_zero
from napari_papernets.engine.shared_scale import with_shared_scale
from napari_papernets.engine.tiling import open_source
from napari_papernets.engine.windows import WindowSource
from napari_papernets.networks.build import unet_spec

PICTURE = np.random.default_rng(0).integers(0, 4000, (40, 50))
SPEC = unet_spec("n", 1, class_infos(["a", "b"]), width=2, depth=1, padding="same")
FAR = [(np.int64, 2**60), (np.int64, -(2**62)), (np.uint64, 2**63 + 2**62), (">i8", 2**60)]


def block(dtype: object = np.int64, offset: int = 0) -> ImageBlock:
    pixels = np.array([[int(v) + offset for v in row] for row in PICTURE], dtype)
    return ImageBlock(pixels, "YX")


@pytest.mark.parametrize(("dtype", "offset"), FAR)
def test_every_reader_gives_what_it_gives_of_the_picture_near_zero(dtype: object, offset: int) -> None:
    def all_of(image: ImageBlock) -> list[np.ndarray]:
        source = open_source(image, (), (0,), Normalisation())
        plane = make_plane(0, image, (), np.ones(image.shape, np.uint8), "strokes", SPEC)
        drawn = WindowSource([image], SPEC, 16, 16).draw(3, 0)
        greys = open_greys(image, CRFSettings(), [()])
        shared = with_shared_scale(SPEC, image).normalisation.shared
        window = plane.window((0, 40), (0, 50))
        read = [source.read((0, 40), (0, 50)), window, drawn.normalised(), np.array(shared)]
        return [*read, greys.read([()], (0, 40, 0, 50))]

    for near, far in zip(all_of(block()), all_of(block(dtype, offset)), strict=True):
        np.testing.assert_array_equal(near, far)


def test_other_images_stay_as_they_are() -> None:
    wide = ImageBlock(np.array([[0, 2**64 - 1], [5, 2**63]], np.uint64), "YX")
    for image in (block(), wide, ImageBlock(PICTURE.astype(np.float64) + 2**60, "YX")):
        assert near_zero(image) is image


def test_what_is_far_from_the_first_plane_keeps_its_order() -> None:
    lowest, highest = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    stack = np.array([[[2**60, 2**60 + 1]], [[lowest, highest]]])
    moved = near_zero(ImageBlock(stack, "ZYX")).read((1,))
    np.testing.assert_array_equal(moved, [[[-(2.0**63) - 2.0**60, 2.0**63 - 2.0**60]]])


def test_an_image_that_was_looked_at_is_not_kept() -> None:
    pixels = np.arange(100, dtype=np.int64).reshape(10, 10)
    image = ImageBlock(pixels, "YX")
    assert near_zero(image) is image
    gone = weakref.ref(image)
    del image
    gc.collect()
    assert gone() is None
