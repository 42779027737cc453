"""The collector is held while somebody asks for it, and is as it was afterwards."""

from __future__ import annotations

import gc
import weakref

import pytest

from napari_papernets.widgets.calm_collector import NEVER, hold_collector

pytestmark = pytest.mark.gui


class Ring:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def thresholds():
    before = gc.get_threshold()
    gc.set_threshold(123, 4, 5)
    yield (123, 4, 5)
    gc.set_threshold(*before)


def test_not_everything_is_collected_until_the_last_lets_go(thresholds):
    first = hold_collector()
    second = hold_collector()
    assert gc.get_threshold() == (123, 4, NEVER)
    first()
    first()
    assert gc.get_threshold() == (123, 4, NEVER)
    second()
    assert gc.get_threshold() == thresholds
    hold_collector()()
    assert gc.get_threshold() == thresholds


def test_what_is_young_is_collected_meanwhile(thresholds):
    let_go = hold_collector()
    gone = [weakref.ref(Ring()) for _ in range(1000)]
    assert sum(one() is None for one in gone) > 500  # by itself
    let_go()
