"""The collector is held while somebody asks for it, and nothing stays set aside afterwards."""

from __future__ import annotations

import gc
import weakref

import pytest

from napari_papernets.widgets.calm_collector import hold_collector

pytestmark = pytest.mark.gui


class Ring:
    def __init__(self) -> None:
        self.me = self


def test_what_exists_is_set_aside_until_the_last_lets_go():
    assert gc.get_freeze_count() == 0
    first = hold_collector()
    old = Ring()
    second = hold_collector()
    assert gc.get_freeze_count() > 1000
    gone = weakref.ref(old)
    del old
    gc.collect()
    assert gone() is not None
    first()
    first()
    assert gc.get_freeze_count() > 0
    second()
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert gone() is None


def test_what_is_new_is_collected_meanwhile():
    let_go = hold_collector()
    gone = weakref.ref(Ring())
    gc.collect()
    assert gone() is None
    let_go()
