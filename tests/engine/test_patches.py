"""Patches of images and their keys: where they are, what they look like, what lies near them."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pretrain_run import SETTINGS, images

from napari_papernets.api import drain
from napari_papernets.core.errors import InputError, ModelError
from napari_papernets.core.events import Progress
from napari_papernets.core.image import ImageBlock
from napari_papernets.engine.patches import centres_of, grid, patches, principal_components
from napari_papernets.engine.pretrain import pretrain


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("moco")
    return drain(pretrain(images(), settings=SETTINGS.replace(steps=0), folder=folder)).model


def test_every_patch_has_a_key_a_place_and_a_picture(encoder: Any) -> None:
    found = drain(patches(images(), encoder, side=32, most=40))
    n = len(found.places)
    assert 10 < n <= 40
    assert {tuple(p) for p in found.places[:, :2]} >= {(0, 0), (1, 0)}
    assert np.allclose(np.linalg.norm(found.keys, axis=1), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(found.positives, axis=1), 1, atol=1e-5)
    assert found.thumbnails.shape == found.views.shape == (n, 40, 40, 3)
    assert found.plane_map.shape == (n, 2)
    assert found.thumbnails.std() > 10
    assert not np.array_equal(found.thumbnails, found.views)
    *told, last = patches(images(), encoder, side=32, most=40)
    assert told[0].total == n
    assert last == Progress(n, n)
    again = drain(patches(images(), encoder, side=32, most=40))
    assert np.array_equal(again.positives, found.positives)


def test_neighbours_are_the_most_similar_and_negatives_lie_elsewhere(encoder: Any) -> None:
    """Two images that are the same: the nearest key of a patch is its twin."""
    plane = images()[0]
    found = drain(patches([plane, plane], encoder, side=32, most=60))
    half = len(found.places) // 2
    for query in (0, 3):
        assert found.nearest(query, 3)[0] == query + half
        similar = found.keys @ found.keys[query]
        assert similar[found.nearest(query, 3)[2]] == pytest.approx(np.sort(similar)[-4], abs=1e-6)
        for other in found.hardest(query, 5):
            image, _, y, x = found.places[other]
            apart = np.abs(found.places[query, 2:] - (y, x)).max() >= 32
            assert image != found.places[query, 0] or apart
    assert found.at(1, 0, *found.places[half + 2, 2:]) == half + 2
    assert found.at(5, 0, 3, 3) is None


@pytest.mark.parametrize("shape", [(64, 64), (50, 300), (20, 20), (1000, 33)])
def test_patches_lie_within_the_image_and_are_no_more_than_asked_for(shape: tuple[int, int]) -> None:
    centres = np.array(centres_of(shape, 32, 30))
    assert 1 <= len(centres) <= 30
    for axis, length in enumerate(shape):
        if length > 32:
            assert centres[:, axis].min() >= 16
            assert centres[:, axis].max() <= length - 16


def test_of_a_deep_stack_planes_are_taken_evenly() -> None:
    stack = ImageBlock(np.zeros((100, 64, 64), np.uint8), "ZYX")
    planes = sorted({p[1] for p in grid([stack], 32, 45)})
    assert planes == [0, 25, 50, 74, 99]


def test_the_map_is_that_of_principal_components() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(200, 1)) * 5 * [1, 0, 0] + rng.normal(size=(200, 3)) * 0.1).astype("f4")
    flat, shares = principal_components(vectors)
    assert abs(np.corrcoef(flat[:, 0], vectors[:, 0])[0, 1]) > 0.999
    assert shares[0] > 0.99
    assert principal_components(vectors[:1])[0].tolist() == [[0, 0]]


def test_umap_is_an_extra(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    monkeypatch.setattr("napari_papernets.engine.patches.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"napari-papernets\[umap\]"):
        next(patches(images(), encoder, side=32, layout="umap"))
    with pytest.raises(InputError, match="components or umap"):
        next(patches(images(), encoder, side=32, layout="round"))


def test_the_map_by_umap(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a stand-in for the extra: it gets the keys, and its answer is the map."""

    class Reducer:
        def __init__(self, n_neighbors: int, metric: str, **more: Any) -> None:
            assert (n_neighbors, metric) == (15, "cosine")

        def fit_transform(self, keys: Any) -> Any:
            return keys[:, :2].astype(np.float64)

    monkeypatch.setattr("napari_papernets.engine.patches.find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Reducer))
    found = drain(patches(images(), encoder, side=32, most=40, layout="umap"))
    assert np.array_equal(found.plane_map, found.keys[:, :2])
    assert found.axis_names() == ("UMAP 1", "UMAP 2")


def test_other_models_and_sizes_are_refused(encoder: Any) -> None:
    with pytest.raises(InputError, match="multiple of 4"):
        next(patches(images(), encoder, side=30))
    with pytest.raises(ModelError, match="encoder"):
        next(patches(images(), "nuclei", side=32))
