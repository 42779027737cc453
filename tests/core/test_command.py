"""Command lines that repeat what was done: shell words that read back as the values that went in."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_papernets.core.command import command_line, training_command
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.core.tune_settings import TuneSettings


def words(*inputs: str, settings: object = None, **options: object) -> list[str]:
    return shlex.split(command_line("predict", inputs, options, settings or PredictSettings()))


def test_settings_that_are_the_usual_ones_are_left_out():
    assert words("cells.tif") == ["papernets", "predict", "cells.tif"]


def test_flags_and_what_is_not_given():
    found = words(table=True, probabilities=False, plane=None, out_dir="results")
    assert found[2:] == ["--table", "--no-probabilities", "--out-dir", "results"]


def test_a_list_of_lists_is_repeated():
    assert words(region=[(0, 5), (3, 9)])[2:] == ["--region", "0,5", "--region", "3,9"]
    assert words(levels=(1, 2.5))[2:] == ["--levels", "1,2.5"]


def test_a_training_tells_its_steps_and_the_axes_that_all_its_images_have():
    images = [ImageBlock(np.zeros((2,) * len(axes)), axes) for axes in ("YX", "YX", "ZYX")]
    settings = TuneSettings(steps=None, seconds=9.0)
    told = training_command("finetune", ["a", "b"], images[:2], settings, 7, "cpu", name="x")
    assert told == "papernets finetune a b --name x --axes YX --device cpu --steps 7"
    told = training_command("finetune", ["a", "b"], images, settings, 7, "auto")
    assert told == "papernets finetune a b --steps 7"


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1))
def test_any_file_name_is_one_word(name):
    assert words(name)[2] == (f"./{name}" if name.startswith("-") else name)  # no option


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_read_back_exactly(value):
    assert float(words(threshold=value)[3]) == value
    assert float(words(region=(value, 1.0))[3].split(",")[0]) == value


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.5"), (1e-5, "1e-05"), (30.0, "30"), (1 / 3, "0.3333333333333333")]
)
def test_numbers_are_as_short_as_they_may_be(value, text):
    assert words(threshold=value)[3] == text


def test_a_changed_setting_becomes_its_option():
    found = words(settings=TuneSettings(learning_rate=2 / 3e4))
    assert found[2] == "--learning-rate"
    assert float(found[3]) == 2 / 3e4
