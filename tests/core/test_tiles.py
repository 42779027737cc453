"""Geometry: inner parts cover exactly once, windows obey the network, answers need no more context."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_papernets.core.errors import InputError
from napari_papernets.core.tiles import SizeRule, TilePlan, halve_tiles, plan_tiles

RULES = [
    SizeRule("same", step=16, context=96, minimum=16),
    SizeRule("same", step=4, context=24, minimum=4),
    SizeRule("valid", step=16, context=92, minimum=188),
    SizeRule("valid", step=2, context=8, minimum=18),
]
rules = st.sampled_from(RULES)
shapes = st.tuples(st.integers(1, 700), st.integers(1, 700))
tiles = st.none() | st.integers(1, 600)
budgets = st.none() | st.integers(1, 400_000)


@st.composite
def regions(draw: st.DrawFn, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    y0, x0 = (draw(st.integers(0, n - 1)) for n in shape)
    return y0, draw(st.integers(y0 + 1, shape[0])), x0, draw(st.integers(x0 + 1, shape[1]))


def coverage(plan: TilePlan) -> np.ndarray:
    count = np.zeros(plan.shape, int)
    for tile in plan:
        count[tile.write] += 1
    return count


@given(shape=shapes, rule=rules, tile=tiles, budget=budgets)
@settings(deadline=None, max_examples=150)
def test_every_pixel_is_written_exactly_once(shape, rule, tile, budget):
    assert (coverage(plan_tiles(shape, rule, tile, budget)) == 1).all()


@given(data=st.data(), shape=shapes, rule=rules, tile=tiles)
@settings(deadline=None, max_examples=150)
def test_a_region_is_written_exactly_once_and_nothing_else(data, shape, rule, tile):
    y0, y1, x0, x1 = region = data.draw(regions(shape))
    count = coverage(plan_tiles(shape, rule, tile, region=region))
    assert count[y0:y1, x0:x1].min() == count.max() == 1
    assert count.sum() == (y1 - y0) * (x1 - x0)


@given(shape=shapes, rule=rules, tile=tiles, budget=budgets)
@settings(deadline=None, max_examples=150)
def test_windows_are_equal_valid_and_in_phase(shape, rule, tile, budget):
    plan = plan_tiles(shape, rule, tile, budget)
    origin = -rule.context if rule.padding == "valid" else 0
    for part in plan:
        for span, side in zip((part.y, part.x), plan.window, strict=True):
            assert span.read[1] - span.read[0] == side == rule.round_up(side)
            assert (span.read[0] - origin) % rule.step == 0


@given(shape=shapes, rule=rules, tile=tiles, budget=budgets)
@settings(deadline=None, max_examples=150)
def test_written_pixels_have_their_context(shape, rule, tile, budget):
    """For "same": the window goes on for `context` around the blocks that are written, or the image
    ends there. For "valid": the written part lies within the (smaller) output."""
    plan = plan_tiles(shape, rule, tile, budget)
    for part in plan:
        for span, length in zip((part.y, part.x), shape, strict=True):
            size = span.read[1] - span.read[0]
            if rule.padding == "valid":
                assert span.crop[0] >= 0
                assert span.crop[1] <= size - 2 * rule.context
                assert span.write[0] - span.crop[0] == span.read[0] + rule.context
                continue
            first = span.write[0] // rule.step * rule.step
            last = -(-span.write[1] // rule.step) * rule.step
            assert span.read[0] == 0 or first - span.read[0] >= rule.context
            assert span.read[1] == rule.whole(length) or span.read[1] - last >= rule.context


@given(shape=shapes, rule=rules, budget=st.integers(60_000, 400_000))
@settings(deadline=None, max_examples=80)
def test_the_planner_stays_within_its_budget_or_takes_the_smallest(shape, rule, budget):
    height, width = plan_tiles(shape, rule, max_pixels=budget).window
    smallest = rule.smallest_tile(shape[0]), rule.smallest_tile(shape[1])
    assert height * width <= budget or (height, width) == smallest


def test_the_papers_own_sizes():
    rule = SizeRule("valid", step=16, context=92, minimum=188)
    assert [rule.round_up(n) for n in (1, 188, 189, 572, 573)] == [188, 188, 204, 572, 588]
    assert plan_tiles((388, 388), rule).window == (572, 572)


def test_large_tiles_are_few():
    plan = plan_tiles((2048, 2048), RULES[0], max_pixels=1_300_000)
    assert (plan.window, len(plan)) == ((1120, 1120), 4)


def test_halving_ends_at_the_smallest_window():
    plan = plan_tiles((2000, 1500), RULES[0])
    areas = []
    while plan is not None:
        areas.append(plan.window[0] * plan.window[1])
        assert (coverage(plan) == 1).all()
        plan = halve_tiles(plan)
    assert areas == sorted(areas, reverse=True)
    assert areas[-1] == 208 * 208


def test_nearest_first_starts_at_the_point():
    plan = plan_tiles((1000, 1000), RULES[0], tile=400)
    first = plan.nearest_first(990, 10)[0]
    assert first.y.write[1] == 1000
    assert first.x.write[0] == 0


@pytest.mark.parametrize(
    ("shape", "arguments", "field"),
    [
        ((0, 5), {}, "image"),
        ((9, 9), {"tile": 0}, "tile"),
        ((9, 9), {"region": (0, 10, 0, 9)}, "region"),
        ((9, 9), {"region": (5, 5, 0, 9)}, "region"),
    ],
)
def test_bad_plans_are_refused(shape, arguments, field):
    with pytest.raises(InputError) as error:
        plan_tiles(shape, RULES[0], **arguments)
    assert error.value.field == field
