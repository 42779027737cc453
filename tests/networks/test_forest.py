"""A forest read by torch answers as the one that scikit-learn grew."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

from napari_papernets.api import drain
from napari_papernets.core.errors import ModelError
from napari_papernets.core.model import ModelRef, class_infos
from napari_papernets.engine.grow import SMALLEST_LEAF, TREES, growing_forest
from napari_papernets.engine.weights import load_weights, save_weights
from napari_papernets.networks import HypercolumnUNet
from napari_papernets.networks import forest as forest_room
from napari_papernets.networks.build import unet_spec, with_hypercolumns
from napari_papernets.networks.filters import SIGMAS, filter_count, filters
from napari_papernets.networks.forest import PixelForest
from napari_papernets.networks.hypercolumn import mixed


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, filter_count(1))).astype(np.float32)
    return x, (x[:, 0] + x[:, 3] > 0).astype(int) + 2 * (x[:, 5] > 1.2)


def test_it_votes_as_scikit_learn_does_compiled_and_in_torch(
    data: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = data
    y = np.where(y == 1, 0, y)  # class 1 has no pixel
    forest = drain(growing_forest(x, y, 4, [0]))
    peer = RandomForestClassifier(
        TREES, min_samples_leaf=SMALLEST_LEAF, class_weight="balanced_subsample", random_state=0
    ).fit(x, y)
    expected = np.zeros((600, 4), np.float32)
    expected[:, peer.classes_] = peer.predict_proba(x)
    features = torch.from_numpy(x.T.reshape(1, -1, 20, 30).copy())
    compiled = forest.vote(features)[0].flatten(1).T
    assert np.abs(compiled.numpy() - expected).max() < 1e-5
    assert (forest._walk(torch.from_numpy(x)) - compiled).abs().max() < 1e-5
    monkeypatch.setattr(forest_room, "AT_ONCE", 7 * TREES)  # the pixels in many parts
    assert (forest._walk(torch.from_numpy(x)) - compiled).abs().max() < 1e-5
    assert compiled[:, 1].max() == 0


def chain(depth: int) -> PixelForest:
    """One tree whose right branches go on for so many levels; each leaf votes for its own class."""
    forest = PixelForest(1, 2 * depth + 1, [0], depth + 1)
    forest.left.fill_(-1)
    forest.right.fill_(-1)
    for level in range(depth):
        node = 2 * level
        forest.threshold[node], forest.left[node], forest.right[node] = level, node + 1, node + 2
        forest.value[node + 1, level] = 1
    forest.value[2 * depth, depth] = 1
    return forest


@pytest.mark.parametrize("depth", [0, 1, 64, 65, 200])
def test_trees_of_any_depth_are_walked_alike(depth: int) -> None:
    forest = chain(depth)
    rows = torch.zeros(depth + 1, filter_count(1))
    rows[:, 0] = torch.arange(depth + 1) - 0.5
    assert forest.is_sound()
    for walk in (forest._walk, forest._walk_compiled):
        assert walk(rows).argmax(1).tolist() == list(range(depth + 1))


@pytest.mark.parametrize(
    ("name", "value"), [("left", 0), ("right", 99), ("right", -1), ("feature", 20), ("roots", 9)]
)
def test_a_forest_that_leads_nowhere_is_refused(tmp_path: Path, name: str, value: int) -> None:
    """Its walk would not end, or read what lies beside its arrays."""
    forest = chain(2)
    getattr(forest, name)[0] = value
    network = HypercolumnUNet(1, 3, width=4, depth=2)
    network.set_forest(forest)
    spec = with_hypercolumns(unet_spec("a", 1, class_infos("abc"), width=4, depth=2, padding="same"))
    spec = replace(spec, options=network.options)
    ref = save_weights(spec, network.state_dict(), tmp_path / "a")
    with pytest.raises(ModelError, match="forest leads nowhere"):
        load_weights(ref)


def test_filters_are_those_of_scikit_image_away_from_the_border() -> None:
    image = np.random.default_rng(0).random((160, 160)).astype(np.float32)
    ours = filters(torch.from_numpy(image)[None, None])[0].numpy()
    assert ours.shape[0] == filter_count(1) == 20
    peer = multiscale_basic_features(image, sigma_min=SIGMAS[0], sigma_max=SIGMAS[-1], num_sigma=5)
    inner = (slice(50, -50), slice(50, -50))
    for n in range(len(SIGMAS)):
        ours_here, peer_here = ours[4 * n][inner], peer[..., n * 4][inner]
        assert np.corrcoef(ours_here.ravel(), peer_here.ravel())[0, 1] > 0.99


def test_it_is_saved_and_loaded_with_its_network(tmp_path: Path, data: tuple) -> None:
    network = HypercolumnUNet(1, 4, width=2, depth=2)
    network.set_forest(drain(growing_forest(*data, 4, [0])))
    spec = with_hypercolumns(unet_spec("toy", 1, class_infos(list("abcd")), 2, 2, "same", "batch", 0.0))
    spec = type(spec).from_dict({**spec.to_dict(), "options": network.options})
    ref = save_weights(spec, network.state_dict(), tmp_path / "toy.safetensors")
    again = load_weights(ModelRef(ref.spec, ref.path))
    x = torch.rand(1, 1, 32, 32)
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(again.forest(x), network.forest(x))
        both = mixed(again.forest, torch.softmax(again(x), 1), x)
        torch.testing.assert_close(both.sum(1), torch.ones(1, 32, 32))
        torch.testing.assert_close(2 * both - torch.softmax(again(x), 1), network.forest(x))


def test_sizes_of_the_first_format_are_read() -> None:
    network = HypercolumnUNet(3, 2, width=2, depth=2, forest=[5, 70, 1])
    assert network.forest.sees == (0,)
    assert network.forest.feature.shape == (70,)


THREADS = """
import torch
from napari_papernets.networks.filters import filter_count
from napari_papernets.networks.forest import PixelForest
forest = PixelForest(1, 1, (0,), 2)
forest.left.fill_(-1)
forest.vote(torch.zeros(1, filter_count(1), 40, 40))
print(torch.get_num_threads())
"""


def test_the_first_walk_leaves_the_number_of_threads(tmp_path: Path) -> None:
    """Of a process where numba has not run yet, and of which it would take all processors."""
    free = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    free |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", THREADS], env=free, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1"]
