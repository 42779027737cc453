"""Judging tokens on strokes that were held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_papernets.api import drain
from napari_papernets.core.errors import InputError
from napari_papernets.core.image import ImageBlock
from napari_papernets.engine import features as module
from napari_papernets.engine.probe import judge, probe
from napari_papernets.engine.token_cache import TokenCache
from napari_papernets.networks import VisionTransformer


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE", TokenCache(tmp_path / "tokens"))


@pytest.fixture(scope="module")
def network() -> VisionTransformer:
    """Without positions: of random weights these would outweigh what is seen."""
    torch.manual_seed(0)
    made = VisionTransformer(64, 8, 48, 2, 3).eval()
    with torch.no_grad():
        made.pos_embed.zero_()
    return made


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Stripes across and stripes along, side by side, and three strokes on each."""
    y, x = np.mgrid[:64, :96]
    image = (np.where(x < 48, y, x) // 2 % 2).astype(np.float32)
    strokes = np.zeros((64, 96), np.uint8)
    for row in (4, 28, 52):
        strokes[row : row + 3, 4:44] = 1
        strokes[row : row + 3, 52:92] = 2
    return image, strokes


def test_textures_are_told_apart(network: VisionTransformer) -> None:
    image, strokes = scene()
    score = drain(probe(ImageBlock(image, "YX"), strokes, network))
    assert score.strokes == (3, 3)
    assert score.folds == 3
    assert score.linear > 0.9
    assert score.nearest > 0.9
    assert not score.random
    assert drain(probe(ImageBlock(image, "YX"), strokes, network, random_weights=True)).random


def test_meaningless_strokes_score_like_chance(network: VisionTransformer) -> None:
    """The same texture under both classes: what is reached is not knowledge of pixels held out."""
    rng = np.random.default_rng(1)
    image = rng.random((64, 96)).astype(np.float32)
    _, strokes = scene()
    score = drain(probe(ImageBlock(image, "YX"), strokes, network))
    assert score.linear < 0.7


def test_stacks_count_strokes_of_all_planes(network: VisionTransformer) -> None:
    image, strokes = scene()
    stack = ImageBlock(np.stack([image, image, image]), "ZYX")
    painted = np.stack([strokes, np.zeros_like(strokes), strokes])
    assert drain(probe(stack, painted, network)).strokes == (6, 6)


def test_too_few_strokes_are_told(network: VisionTransformer) -> None:
    image, strokes = scene()
    one = np.where(strokes == 1, strokes, 0)
    one[5:8, 52:92] = 2
    for painted in (one, np.zeros_like(strokes), np.where(strokes == 1, 1, 0)):
        with pytest.raises(InputError, match="two strokes"):
            drain(probe(ImageBlock(image, "YX"), painted, network))
    with pytest.raises(InputError, match="class 2 with 1 stroke"):
        drain(probe(ImageBlock(image, "YX"), one, network))
    with pytest.raises(InputError, match="shape"):
        drain(probe(ImageBlock(image, "YX"), strokes[:9], network))


def test_a_stroke_never_judges_itself() -> None:
    """Tokens that are the same within a stroke and different between strokes help nobody."""
    rng = np.random.default_rng(0)
    own = rng.normal(size=(40, 16)).astype(np.float32)
    stroke = np.repeat(np.arange(20), 2)
    tokens = np.repeat(own, 4, axis=0)
    numbers = np.repeat(np.concatenate([np.arange(20), np.arange(20)]), 4)
    classes = np.repeat(np.array([1, 2]).repeat(20), 4)
    score = judge([(tokens, classes, numbers, np.ones(len(tokens), int))])
    assert len(stroke) == 40
    assert score.linear < 0.6
    assert score.nearest < 0.6
