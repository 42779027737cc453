"""The table of classes: what it tells, and that it can be used with keys."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QMessageBox

from napari_papernets.core.model import PALETTE, ClassInfo, class_infos
from napari_papernets.widgets.class_rows import COLOUR, NAME, PIXELS, STROKES
from napari_papernets.widgets.classes_table import ClassesTable

pytestmark = pytest.mark.gui


@pytest.fixture
def table(qtbot):
    table = ClassesTable()
    qtbot.addWidget(table)
    table.resize(310, 200)
    table.show()
    return table


@pytest.fixture
def armed(table):
    told = []
    table.armed.connect(told.append)
    return told


def click(qtbot, table, row, column=NAME):
    at = table.table.visualItemRect(table.table.item(row, column)).center()
    qtbot.mouseClick(table.table.viewport(), Qt.MouseButton.LeftButton, pos=at)


def names(table):
    return [c.name for c in table.classes()]


def test_two_classes_exist_from_the_start(table):
    assert table.classes() == class_infos(("background", "object"))
    assert not table.remove.isEnabled()


def test_a_click_on_a_row_arms_its_brush_even_if_it_was_chosen(table, armed, qtbot):
    click(qtbot, table, 1)
    assert set(armed) == {2}
    armed.clear()
    click(qtbot, table, 1)
    assert armed == [2]


def test_arrow_and_number_keys_arm(table, armed, qtbot):
    table.table.setFocus()
    qtbot.keyClick(table.table, Qt.Key.Key_Down)
    assert armed == [2]
    qtbot.keyClick(table.table, Qt.Key.Key_1)
    assert armed == [2, 1]
    qtbot.keyClick(table.table, Qt.Key.Key_9)
    assert armed == [2, 1]
    qtbot.keyClick(table.table, Qt.Key.Key_0)
    assert armed == [2, 1, 0]
    assert table.eraser.isChecked()
    assert table.current() == 0


def test_the_eraser_stays_pressed_until_a_class_is_chosen(table, armed, qtbot):
    table.eraser.click()
    table.eraser.click()
    assert armed == [0, 0]
    assert table.eraser.isChecked()
    click(qtbot, table, 0)
    assert not table.eraser.isChecked()
    assert armed[2:] == [1] * len(armed[2:])


def test_what_the_layer_chose_is_shown_without_arming(table, armed):
    table.show_class(2)
    assert table.current() == 2
    table.show_class(0)
    assert table.current() == 0
    assert not armed


def test_added_classes_get_free_names_and_colours(table, armed, qtbot):
    table.set_classes([ClassInfo("class 3", PALETTE[2]), ClassInfo("b", PALETTE[0])])
    with qtbot.waitSignal(table.classesChanged):
        table.add.click()
    assert table.classes()[2] == ClassInfo("class 4", PALETTE[1])
    assert armed == [3]
    for _ in range(20):
        table.add.click()
    assert len(set(names(table))) == 23


def test_names_are_edited_in_place(table, qtbot):
    with qtbot.waitSignal(table.classesChanged):
        table.table.item(1, NAME).setText(" nucleus ")
    assert names(table) == ["background", "nucleus"]
    assert table.table.item(1, NAME).text() == "nucleus"


@pytest.mark.parametrize("name", ["", "  ", "background"])
def test_empty_and_repeated_names_are_not_taken(table, name, qtbot):
    with qtbot.waitSignal(table.problem) as told, qtbot.assertNotEmitted(table.classesChanged):
        table.table.item(1, NAME).setText(name)
    assert "class name" in str(told.args[0])
    assert table.table.item(1, NAME).text() == "object"


def test_the_swatch_recolours(table, monkeypatch, qtbot):
    monkeypatch.setattr(QColorDialog, "getColor", lambda *a: QColor("#12ab34"))
    with qtbot.waitSignal(table.classesChanged):
        click(qtbot, table, 1, COLOUR)
    assert table.classes()[1] == ClassInfo("object", "#12AB34")
    pixels = table.table.item(1, COLOUR).icon().pixmap(8, 8).toImage()
    assert QColor(pixels.pixel(4, 4)).name() == "#12ab34"


def test_a_cancelled_colour_changes_nothing(table, monkeypatch, qtbot):
    monkeypatch.setattr(QColorDialog, "getColor", lambda *a: QColor())
    with qtbot.assertNotEmitted(table.classesChanged):
        click(qtbot, table, 1, COLOUR)


def test_counts_are_shown_and_move_down_with_their_class(table, monkeypatch):
    table.set_classes(class_infos("abc"))
    table.set_counts({1: (2, 1234), 3: (1, 5)})
    shown = [[table.table.item(r, c).text() for c in (STROKES, PIXELS)] for r in range(3)]
    assert shown == [["2", "1,234"], ["–", "–"], ["1", "5"]]
    removed = []
    table.removed.connect(removed.append)
    table.remove_class(2)
    assert removed == [2]
    assert names(table) == ["a", "c"]
    assert table.table.item(1, PIXELS).text() == "5"


@pytest.mark.parametrize("yes", [True, False])
def test_removing_a_painted_class_asks(table, monkeypatch, qtbot, yes):
    asked = []

    def question(parent, title, text):
        asked.append(text)
        return QMessageBox.StandardButton.Yes if yes else QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", question)
    table.set_classes(class_infos("abc"))
    table.set_counts({2: (4, 100)})
    order = []
    table.removed.connect(lambda k: order.append(k))
    table.classesChanged.connect(lambda: order.append("changed"))
    click(qtbot, table, 1)
    qtbot.keyClick(table.table, Qt.Key.Key_Delete)
    assert "4 strokes (100 pixels)" in asked[0]
    assert order == ([2, "changed"] if yes else [])
    assert names(table) == (["a", "c"] if yes else ["a", "b", "c"])


def test_two_classes_remain(table):
    table.remove_class(1)
    assert len(table.classes()) == 2


def test_nothing_is_removed_while_the_eraser_is_chosen(table):
    table.set_classes(class_infos("abc"))
    table.choose(0)
    assert not table.remove.isEnabled()


def test_it_fits_a_narrow_dock(table):
    table.set_classes(class_infos("abcdefghi"))
    table.set_counts({1: (123, 1_234_567)})
    assert table.minimumSizeHint().width() <= 300
    assert table.table.horizontalHeader().length() <= table.table.viewport().width()
    assert table.table.columnWidth(NAME) > 60
