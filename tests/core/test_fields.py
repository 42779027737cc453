"""One description makes the checks; JSON goes round; repr shows what differs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_papernets.core.errors import InputError
from napari_papernets.core.feature_settings import FeatureSettings
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.core.tune_settings import TuneSettings

ALL = (FeatureSettings, PredictSettings, TuneSettings)


@pytest.mark.parametrize("kind", ALL)
def test_every_field_has_label_help_and_sane_bounds(kind):
    for info in kind.fields():
        assert info.label
        assert info.tooltip.endswith(".")
        if info.type in (int, float):
            assert info.min is not None
            assert info.step


@pytest.mark.parametrize("kind", ALL)
def test_json_goes_round(kind):
    settings = kind()
    assert kind.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_repr_shows_what_differs():
    assert repr(PredictSettings()) == "PredictSettings()"
    assert repr(PredictSettings(zoom=2)) == "PredictSettings(zoom=2.0)"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("zoom", 0), ("zoom", "big"), ("zoom", float("nan")), ("zoom", True),
        ("threshold", 1.5), ("min_size", None), ("tile", 0), ("tile", 2.5),
        ("output", "both"), ("min_size", -1), ("tile", float("nan")), ("tile", float("inf")),
        ("channels", 0), ("channels", [0.7]), ("channels", "01"), ("channels", [None]), ("channels", ()),
        ("min_size", 10**400), ("min_size", np.datetime64("2020")),
        ("zoom", np.array("a")), ("output", np.array(["auto", "x"])), ("output", 1),
    ],
)  # fmt: skip
def test_bad_values_name_the_field_and_the_mend(field, value):
    with pytest.raises(InputError) as error:
        PredictSettings(**{field: value})
    assert error.value.field == field
    assert error.value.mend.startswith(("give", "choose"))


def test_numpys_numbers_and_truths_do():
    settings = TuneSettings(rotate=np.bool_(False), steps=np.int32(7), w0=np.float32(2))
    assert (settings.rotate, settings.steps, settings.w0) == (False, 7, 2.0)
    assert type(settings.rotate) is bool


def test_a_number_too_long_to_write_is_told_by_its_type():
    with pytest.raises(InputError, match="very long int"):
        PredictSettings(tile=10**5000)


def test_replace_validates_anew():
    with pytest.raises(InputError):
        PredictSettings().replace(threshold=7)


def test_unknown_fields_are_refused():
    with pytest.raises(InputError, match="known settings are"):
        PredictSettings.from_dict({"zom": 1})
