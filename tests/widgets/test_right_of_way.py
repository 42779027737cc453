"""The engine gives way during strokes on the annotated layers, and at no other time."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from fakes import FakeEngine
from napari.layers import Labels

from napari_papernets.widgets.calm_collector import NEVER
from napari_papernets.widgets.right_of_way import LIFTED, RightOfWay

pytestmark = pytest.mark.gui


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def layer() -> Labels:
    return Labels(np.zeros((32, 32), np.uint8))


@pytest.fixture
def right(qtbot, engine, layer):
    one = RightOfWay(lambda: engine)
    one.follow([layer])
    yield one
    one.leave()


@pytest.fixture(autouse=True)
def thresholds():
    before = gc.get_threshold()
    yield before
    assert gc.get_threshold() == before, "the collector is as it was"


def test_from_the_first_dab_until_the_button_is_released(right, engine, layer):
    with layer.block_history():
        layer.paint((3, 3), 1)
        assert engine.gives_way
        assert gc.get_threshold()[2] == NEVER
        layer.paint((4, 4), 1)
        assert engine.gives_way
    assert not engine.gives_way
    assert gc.get_threshold()[2] == NEVER, "the next stroke follows soon"


def test_a_hand_that_holds_still_keeps_nobody_waiting(right, engine, layer, qtbot):
    with layer.block_history():
        layer.paint((3, 3), 1)
        qtbot.waitUntil(lambda: not engine.gives_way, timeout=20 * LIFTED)
        layer.paint((5, 5), 1)
        assert engine.gives_way


def test_the_collector_runs_again_when_the_hand_rests(right, layer, thresholds, qtbot):
    right._rests.setInterval(20)
    layer.paint((3, 3), 1)
    assert gc.get_threshold()[2] == NEVER
    qtbot.waitUntil(lambda: gc.get_threshold() == thresholds)


def test_other_layers_are_none_of_its_business(right, engine, layer):
    other = Labels(np.zeros((8, 8), np.uint8))
    with other.block_history():
        other.paint((3, 3), 1)
        assert not engine.gives_way
    right.follow([other])
    with layer.block_history():
        layer.paint((3, 3), 1)
        assert not engine.gives_way
    with other.block_history():
        other.paint((4, 4), 1)
        assert engine.gives_way


def test_who_leaves_in_the_middle_of_a_stroke_leaves_everything_as_it_was(
    right, engine, layer, thresholds
):
    with layer.block_history():
        layer.paint((3, 3), 1)
        right.leave()
        assert not engine.gives_way
        assert gc.get_threshold() == thresholds
        layer.paint((4, 4), 1)
        assert not engine.gives_way
