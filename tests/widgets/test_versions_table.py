"""Versions: what is shown, what may be pressed, and the comparison of two."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from qtpy.QtCore import QItemSelectionModel, Qt
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QApplication, QFileDialog, QStyleOptionViewItem

from napari_papernets.widgets.comparison import ComparisonDialog, ComparisonRow, summary
from napari_papernets.widgets.versions_model import NOTE, signed
from napari_papernets.widgets.versions_table import VersionRow, VersionsTable

pytestmark = pytest.mark.gui

SCORES = {1: (None, None), 2: (0.7, 0.72), 3: (0.81, 0.7)}


def version(number: int, current: bool = False, **changes) -> VersionRow:
    score, before = SCORES[number]
    when = datetime(2026, 1, 2, 10, 30) + timedelta(minutes=number)
    values = dict(
        number=number, when=when, strokes=10 * number, step=1500 * number, score=score, before=before,
        source="quick" if number == 1 else "trained", reason="nothing improved", name=f"cells v{number}",
        path=Path(f"/models/v{number}.safetensors"), command=f"papernets finetune --steps {number}",
        current=current,
    )  # fmt: skip
    return VersionRow(**{**values, **changes})


@pytest.fixture
def table(qtbot):
    widget = VersionsTable()
    qtbot.addWidget(widget)
    with qtbot.waitExposed(widget):
        widget.show()
    widget.set_rows([version(1), version(2, current=True), version(3)])
    return widget


def cells(table, row):
    model = table.model
    return [model.index(row, column).data() for column in range(model.columnCount())]


def choose(table, *numbers):
    table.view.clearSelection()
    flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
    for row, one in enumerate(table.model.versions):
        if one.number in numbers:
            table.view.selectionModel().select(table.model.index(row, 0), flags)


def enabled(table):
    return [b.isEnabled() for b in (table.back, table.against, table.save, table.command)]


def test_newest_on_top_with_signed_change_and_the_current_one_marked(table):
    assert cells(table, 0)[:5] == ["3", "0.810", "+0.110", "30", "4,500"]
    assert cells(table, 1)[:3] == ["● 2", "0.700", "−0.020"]
    assert cells(table, 2)[:3] == ["1", "–", "–"]
    assert cells(table, 2)[4] == "quick"
    fonts = [table.model.index(row, 0).data(Qt.ItemDataRole.FontRole) for row in range(3)]
    assert [font is not None and font.bold() for font in fonts] == [False, True, False]


def test_better_is_green_and_worse_red(table):
    up, down, none = (table.model.index(row, 2).data(Qt.ItemDataRole.ForegroundRole) for row in range(3))
    assert up.green() > up.red()
    assert down.red() > down.green()
    assert none is None


def test_the_tooltip_tells_what_has_no_column(table):
    text = table.model.index(1, 0).data(Qt.ItemDataRole.ToolTipRole)
    for part in ("cells v2", "In use", "0.720 → 0.700", "nothing improved"):
        assert part in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "+0.012"), (-0.0123, "−0.012"), (-0.0001, "±0.000"), (None, "–"), (float("nan"), "–")],
)
def test_changes_are_signed(value, text):
    assert signed(value) == text


def test_nobody_is_left_with_an_old_version_selected_that_he_did_not_choose(table):
    rows = list(table.model.versions)
    table.set_rows(rows[-1:])
    assert [one.number for one in table.selected()] == [1]
    table.set_rows(rows)
    assert [one.number for one in table.selected()] == [3]
    choose(table, 1)
    table.set_rows(rows[1:])
    table.set_rows(rows)
    assert [one.number for one in table.selected()] == [1]


def test_what_can_be_pressed_depends_on_what_is_selected(table):
    assert [one.number for one in table.selected()] == [3]  # the newest, until one chooses
    assert enabled(table) == [True] * 4
    choose(table)
    assert enabled(table) == [False] * 4
    assert "Select one version" in table.back.toolTip()
    choose(table, 2)
    assert "in use already" in table.back.toolTip()
    assert enabled(table) == [False, False, True, True]
    choose(table, 1, 3)
    assert enabled(table) == [False, True, False, False]
    choose(table, 1, 2, 3)
    assert enabled(table) == [False] * 4
    table.set_rows([version(1, command="")])
    choose(table, 1)
    assert enabled(table) == [True, False, True, False]


def test_going_back_and_comparing_name_the_versions(table, qtbot):
    choose(table, 1)
    with qtbot.waitSignal(table.goBack) as back:
        table.back.click()
    assert back.args == [1]
    with qtbot.waitSignal(table.compare) as pair:
        table.against.click()
    assert pair.args == [1, 2]
    choose(table, 1, 3)
    with qtbot.waitSignal(table.compare) as pair:
        table.against.click()
    assert pair.args == [1, 3]


@pytest.mark.parametrize("given", ["/tmp/mine", "/tmp/mine.safetensors"])
def test_a_model_is_saved_under_the_name_that_was_given(table, qtbot, monkeypatch, given):
    proposed = []

    def ask(parent, title, name, kinds):
        proposed.append(name)
        return given, kinds

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    choose(table, 3)
    with qtbot.waitSignal(table.exported) as saved:
        table.save.click()
    assert saved.args == [3, "/tmp/mine.safetensors"]
    assert proposed == ["cells v3.safetensors"]


def test_no_name_saves_nothing(table, qtbot, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("", ""))
    choose(table, 3)
    with qtbot.assertNotEmitted(table.exported):
        table.save.click()


def test_the_command_is_copied(table):
    choose(table, 3)
    told = []
    table.told.connect(told.append)
    table.command.click()
    assert QApplication.clipboard().text() == "papernets finetune --steps 3"
    assert told == ["Copied: papernets finetune --steps 3"]


def test_a_note_is_kept_and_told_once(table, qtbot):
    index = table.model.index(1, NOTE)
    assert table.model.flags(index) & Qt.ItemFlag.ItemIsEditable
    assert not table.model.flags(table.model.index(1, 0)) & Qt.ItemFlag.ItemIsEditable
    with qtbot.waitSignal(table.noteChanged) as noted:
        table.model.setData(index, " dim ones too ")
    assert noted.args == [2, "dim ones too"]
    assert index.data() == "dim ones too"
    with qtbot.assertNotEmitted(table.noteChanged):
        table.model.setData(index, "dim ones too")


def test_what_is_selected_stays_so_when_versions_come(table):
    choose(table, 1)
    table.set_rows([*table.model.versions, replace(version(3), number=4)])
    assert [one.number for one in table.selected()] == [1]


ROWS = [
    ComparisonRow("a", "cell", 0.5, 0.7, 100),
    ComparisonRow("a", "background", 0.9, 0.85, 400),
    ComparisonRow("b", "cell", None, 0.4, 10),
]


@pytest.fixture
def dialog(qtbot):
    window = ComparisonDialog(ROWS, "version 1", "version 3")
    window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(window)
    return window


def painted(dialog, row, column):
    """Text and colour of a cell as it is drawn."""
    index = dialog.view.model().index(row, column)
    option = QStyleOptionViewItem()
    dialog.view.itemDelegateForColumn(column).initStyleOption(option, index)
    return option.text, option.palette.color(QPalette.ColorRole.Text)


def test_a_comparison_shows_both_scores_and_a_coloured_difference(dialog):
    assert painted(dialog, 0, 2)[0] == "0.500"
    text, green = painted(dialog, 0, 4)
    assert text == "+0.200"
    assert green.green() > green.red()
    text, red = painted(dialog, 1, 4)
    assert text == "−0.050"
    assert red.red() > red.green()
    assert painted(dialog, 2, 4)[0] == painted(dialog, 2, 2)[0] == "–"


def test_a_comparison_is_summed_up_copied_and_saved(dialog, tmp_path):
    assert "0.700 (version 1) → 0.775 (version 3), +0.075; 1 of 2 better, 1 worse" in dialog.summary
    dialog.save(tmp_path / "c.csv")
    lines = (tmp_path / "c.csv").read_text().splitlines()
    assert lines[0] == "image,class,IoU version 1,IoU version 3,difference,annotated pixels"
    assert lines[2].startswith("a,background,0.9,0.85,-0.05")
    assert dialog.text().splitlines()[3].split("\t")[:2] == ["b", "cell"]


def test_nothing_to_compare_is_said():
    assert "Nothing is annotated" in summary([ROWS[2]], "old", "new")
