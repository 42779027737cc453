"""Objects from classes: connected parts, cut where they touch."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_papernets.core.errors import InputError
from napari_papernets.core.model import class_infos
from napari_papernets.objects import ObjectRule, to_objects

SHAPE = (40, 60)


def classes() -> np.ndarray:
    """Ones, and two squares and a speck of twos."""
    labels = np.ones(SHAPE, np.uint8)
    labels[2:10, 2:10], labels[20:30, 20:30], labels[35, 50] = 2, 2, 2
    return labels


def test_objects_are_unique_over_a_stack_and_specks_are_dropped() -> None:
    stack = np.stack([classes(), classes()])
    objects = to_objects(stack, 2, 15)
    assert sorted(np.unique(objects[0])) == [0, 1, 2]
    assert sorted(np.unique(objects[1])) == [0, 3, 4]
    assert to_objects(stack, 3).max() == 0


def disc(y: int, x: int, radius: int) -> np.ndarray:
    rows, columns = np.ogrid[:80, :120]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def shape_of(name: str) -> np.ndarray:
    """A mask of one class: two objects that touch, or one that is long or ragged."""
    y, x = np.mgrid[:80, :120]
    rng = np.random.default_rng(0)
    ragged = ndimage.gaussian_filter(rng.normal(size=(80, 120)), 2) * 120
    bar = disc(40, 30, 8) | disc(40, 90, 8) | ((abs(y - 40) <= 8) & (abs(x - 60) <= 30))
    return {
        "alike": disc(40, 40, 14) | disc(40, 65, 14),
        "large and small": disc(40, 40, 25) | disc(40, 72, 8),
        "tiny": disc(40, 40, 5) | disc(40, 50, 5),
        "long": bar,
        "bent": (abs(np.hypot(y - 75, x - 60) - 45) <= 6) & (y < 75),
        "ellipse": ((y - 40) / 12) ** 2 + ((x - 60) / 50) ** 2 <= 1,
        "ragged": (y - 40) ** 2 + (x - 60) ** 2 + 4 * ragged <= 25**2,
        "thin": abs(y - 40 - 6 * np.sin(x / 9)) <= 1,
        "holes": disc(40, 60, 25) & ~disc(40, 52, 1) & ~disc(44, 65, 1),
    }[name]


@pytest.mark.parametrize(
    ("name", "count"),
    [("alike", 2), ("large and small", 2), ("tiny", 2)]
    + [(name, 1) for name in ("long", "bent", "ellipse", "ragged", "thin", "holes")],
)
def test_what_touches_is_split_and_what_is_one_stays_whole(name: str, count: int) -> None:
    mask = shape_of(name)
    mask = ndimage.label(mask)[0] == np.argmax(np.bincount(ndimage.label(mask)[0].ravel())[1:]) + 1
    labels = mask + np.uint8(1)
    objects = to_objects(labels, 2, 15, split=True)
    assert objects.max() == count
    np.testing.assert_array_equal(objects > 0, mask)
    assert to_objects(labels, 2, 15, split=False).max() == 1


def test_parts_are_as_without_splitting_where_nothing_touches() -> None:
    np.testing.assert_array_equal(to_objects(classes(), 2, split=True) > 0, to_objects(classes(), 2) > 0)
    assert to_objects(classes(), 2, split=True).max() == 3
    assert to_objects(np.ones(SHAPE, np.uint8), 1, split=True).max() == 1
    assert to_objects(np.ones(SHAPE, np.uint8), 2, split=True).max() == 0


def test_a_class_is_called_by_name_or_number() -> None:
    infos = class_infos(["ground", "2", "cell"])
    assert ObjectRule.of(infos, "cell").number == ObjectRule.of(infos, 3).number == 3
    assert ObjectRule.of(infos, "3").name == "cell"
    assert ObjectRule.of(infos, "2").name == "2"
    for wrong in ("cells", "0", "4", 0, 4):
        with pytest.raises(InputError, match="1 ground, 2 2, 3 cell"):
            ObjectRule.of(infos, wrong)


def test_the_account_tells_the_rule_and_the_command_that_gives_the_objects() -> None:
    rule = ObjectRule(2, "red cell", 20, split=True)
    account = rule.account({"verb": "predict", "command": "papernets predict a.tif"})
    assert account["command"] == "papernets predict a.tif --objects 'red cell' --min-size 20 --split"
    assert account["objects"] == {"number": 2, "name": "red cell", "min_size": 20, "split": True}
    again = ObjectRule(1, "a", 7, split=False).account({"command": "papernets predict a --min-size 7"})
    assert again["command"] == "papernets predict a --min-size 7 --objects a"
    assert rule.account({})["command"] == ""
