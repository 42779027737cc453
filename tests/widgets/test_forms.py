"""Forms are made from the settings and give them back."""

from __future__ import annotations

import typing

import pytest
from magicgui.widgets import create_widget
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_papernets.core.crf_settings import CRFSettings
from napari_papernets.core.errors import InputError
from napari_papernets.core.feature_settings import FeatureSettings
from napari_papernets.core.moco_settings import MoCoSettings
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.widgets.calm import CalmDoubleSpinBox, CalmSpinBox
from napari_papernets.widgets.settings_form import FIELD_LABEL, SettingsForm, add_row, aligned_rows

pytestmark = pytest.mark.gui

ALL_SETTINGS = [PredictSettings, TuneSettings, CRFSettings, FeatureSettings, MoCoSettings]
OTHERS = [
    PredictSettings(zoom=0.35, output="semantic", threshold=0.123, min_size=0, tile=256),
    PredictSettings(precision="bfloat16", memory=2.5, channels=(2, 0)),
]


@pytest.fixture
def make_form(qtbot):
    def make(kind=PredictSettings, **options):
        form = SettingsForm(kind, basic=("zoom", "output"), **options)
        qtbot.addWidget(form)
        return form

    return make


@pytest.mark.parametrize("kind", [PredictSettings, TuneSettings])
def test_a_fresh_form_holds_the_defaults(make_form, kind):
    assert make_form(kind).value() == kind()


@pytest.mark.parametrize("kind", [PredictSettings, TuneSettings])
def test_a_screen_reader_is_told_every_field(make_form, kind):
    """It reads the widget that has the focus, which is inside of the editor."""
    form = make_form(kind)
    for info in kind.fields():
        editor = form.editor(info.name)
        if info.optional:
            assert editor.auto.accessibleName() == f"{info.label}: auto"
            editor = editor.inner
        assert editor.focusProxy().accessibleName() == info.label


def test_a_row_names_what_takes_the_focus_for_its_field(qtbot):
    field, inner = QWidget(), QLineEdit()
    QVBoxLayout(field).addWidget(inner)
    field.setFocusProxy(inner)
    qtbot.addWidget(field)
    add_row(aligned_rows(), "Size", field, "In pixels.")
    assert inner.accessibleName() == "Size"


@pytest.mark.parametrize("kind", [CalmSpinBox, CalmDoubleSpinBox])
def test_the_wheel_gives_no_number_the_focus(qtbot, kind):
    box = kind()
    qtbot.addWidget(box)
    assert box.focusPolicy() == Qt.FocusPolicy.StrongFocus


@pytest.mark.parametrize("settings", OTHERS)
def test_settings_survive_the_form(make_form, settings):
    form = make_form()
    form.setValue(settings)
    assert form.value() == settings


def test_a_change_of_many_fields_is_told_once_and_an_edit_at_once(make_form, qtbot):
    form, seen = make_form(), []
    form.valueChanged.connect(seen.append)
    form.setValue(OTHERS[0])
    assert seen == [OTHERS[0]]
    form.editor("min_size").setValue(7)
    assert seen[-1] == OTHERS[0].replace(min_size=7)


def test_automatic_is_none_and_starts_from_what_the_panel_says(make_form):
    form = make_form(starts={"tile": 512})
    editor = form.editor("tile")
    assert editor.value() is None
    assert not editor.inner.isEnabled()
    editor.auto.setChecked(False)
    assert form.value().tile == 512


def test_what_automatic_will_come_to_is_shown_greyed_and_changes_no_value(make_form):
    form = make_form(starts={"tile": 512})
    told = []
    form.valueChanged.connect(told.append)
    form.foresee("tile", 320)
    editor = form.editor("tile")
    assert (editor.inner.value(), form.value().tile, told) == (320, None, [])
    editor.auto.setChecked(False)
    form.foresee("tile", 640)
    assert form.value().tile == 320  # chosen by the person


def shown(editor):
    return editor.inner.spin.lineEdit().text()


@pytest.mark.parametrize(("name", "start", "known"), [("tile", 512, 320), ("zoom", 1.0, 0.5)])
def test_no_number_is_shown_while_automatic_may_come_to_another(make_form, name, start, known):
    form, told = make_form(starts={name: start}), []
    form.valueChanged.connect(told.append)
    editor = form.editor(name)
    assert shown(editor) == "auto"
    form.foresee(name, known)
    assert shown(editor) == str(known)
    form.foresee(name, None)
    assert (shown(editor), told) == ("auto", [])
    editor.auto.setChecked(False)
    assert shown(editor) == str(known)
    editor.inner.spin.stepUp()
    assert getattr(form.value(), name) > known
    editor.auto.setChecked(True)
    assert (shown(editor), getattr(form.value(), name)) == ("auto", None)


def test_a_field_that_is_left_out_keeps_what_was_given(make_form):
    form = make_form(leave_out=("channels",))
    form.setValue(PredictSettings(channels=(1,)))
    assert form.value().channels == (1,)
    with pytest.raises(KeyError):
        form.editor("channels")


def test_spin_boxes_obey_the_bounds_of_their_field(make_form):
    form = make_form()
    form.editor("threshold").setValue(7.0)
    assert form.value().threshold == 0.99


def test_numbers_show_no_trailing_zeros(make_form):
    form = make_form()
    form.setValue(PredictSettings(threshold=0.5))
    assert form.editor("threshold").inner.spin.text() == "0.5"


def test_channels_are_typed_as_a_list_and_letters_are_not_taken(make_form, qtbot):
    form = make_form()
    editor = form.editor("channels")
    editor.auto.setChecked(False)
    qtbot.keyClicks(editor.inner.line, "2,x 0")
    assert editor.value() == (2, 0)


def test_every_field_has_a_label_and_help(make_form):
    form = make_form(TuneSettings)
    for info in TuneSettings.fields():
        editor = form.editor(info.name)
        assert info.tooltip.split(".")[0] in editor.toolTip()
        assert editor.accessibleName() == info.label
    texts = {label.text() for label in form.findChildren(QLabel, FIELD_LABEL)}
    assert texts == {info.label for info in TuneSettings.fields()}


def test_the_wheel_changes_nothing_without_the_focus(make_form, qtbot):
    from qtpy.QtCore import QPoint, QPointF, Qt
    from qtpy.QtGui import QWheelEvent
    from qtpy.QtWidgets import QApplication

    form = make_form()
    for box in (form.editor("min_size").spin, form.editor("output").combo):
        event = QWheelEvent(
            QPointF(5, 5), QPointF(5, 5), QPoint(0, -120), QPoint(0, -120),
            Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(box, event)
    assert form.value() == PredictSettings()


def test_bad_values_name_the_field(make_form):
    with pytest.raises(InputError, match="zoom"):
        make_form().value().replace(zoom=99)


@pytest.mark.parametrize("settings", ALL_SETTINGS)
def test_magicgui_makes_a_widget_of_every_setting_that_is_not_automatic(settings, qapp):
    """The settings are described in its words, so that others' forms can be made of them."""
    automatic = {info.name for info in settings.fields() if info.optional}
    for name, annotation in typing.get_type_hints(settings, include_extras=True).items():
        if name not in automatic:
            default = getattr(settings(), name)
            made = create_widget(annotation=annotation, name=name, value=default)
            assert made.value == default, name
            assert made.label == next(i.label for i in settings.fields() if i.name == name)
