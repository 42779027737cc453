"""The memory, the message line, the table, the run bar, the engine's share."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FakeEngine
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QFocusEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QPushButton

from napari_papernets.core.errors import InputError
from napari_papernets.core.events import Notice, Started, TileDone
from napari_papernets.widgets import remembered, run_bar
from napari_papernets.widgets.calm import CalmComboBox, elided
from napari_papernets.widgets.message_line import error_text
from napari_papernets.widgets.run_bar import RunBar, counted, duration
from napari_papernets.widgets.table_window import TableWindow
from napari_papernets.widgets.warm_up import import_ahead

pytestmark = pytest.mark.gui


def test_what_was_remembered_is_recalled(home):
    remembered.remember("panel", {"a": [1, 2]})
    assert remembered.recall("panel") == {"a": [1, 2]}
    assert [p.name for p in (home / "config").iterdir()] == ["panel.json"]


@pytest.mark.parametrize("content", ["", "{", "[1]", "\x00"])
def test_a_damaged_memory_is_an_empty_one(home, content):
    (home / "config").mkdir()
    (home / "config" / "panel.json").write_text(content)
    assert remembered.recall("panel") == {}


def test_errors_are_one_line():
    assert error_text(InputError("axes", "'Q'", "use\nletters")) == "axes: got 'Q'; use letters"
    assert error_text(ZeroDivisionError("no")) == "ZeroDivisionError: no"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (8.4, "8 s"), (59.6, "1:00 min"), (125, "2:05 min"), (4200, "1:10 h")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def tile(done: int, total: int = 4) -> TileDone:
    return TileDone(done, total, (), (0, 1), (0, 1), np.zeros((1, 1), np.uint8))


def test_the_bar_tells_the_time_left(qtbot):
    now = [0.0]
    bar = RunBar(clock=lambda: now[0])
    qtbot.addWidget(bar)
    bar.set_waiting()
    bar.show_event(Started(4, "tile"))
    now[0] = 10.0
    bar.show_event(tile(1))
    assert bar.bar.value() == 1
    assert bar.status.text() == "1 of 4 tiles · 30 s left"
    bar.show_event(tile(4))
    assert bar.status.text() == "4 of 4 tiles · finishing"
    bar.show_event(Notice("Out of memory: batch halved to 2"))
    assert "batch halved" in bar.status.text()


def test_a_run_that_hears_nothing_says_what_it_waits_for(qtbot, monkeypatch):
    monkeypatch.setattr(run_bar, "PATIENCE", 10)
    bar = RunBar()
    qtbot.addWidget(bar)
    bar.set_waiting()
    qtbot.waitUntil(lambda: "Waiting for the engine" in bar.status.text())
    bar.show_event(Started(4, "tile"))
    assert bar.status.text() == "0 of 4 tiles"
    bar.set_idle()
    bar.set_waiting()
    bar.set_idle()
    qtbot.wait(30)
    assert bar.status.text() == ""


def test_while_a_run_goes_on_only_cancel_can_be_pressed(qtbot):
    bar = RunBar()
    qtbot.addWidget(bar)
    asked = []
    bar.runRequested.connect(asked.append)
    bar.buttons["view"].click()
    bar.set_waiting()
    bar.buttons["plane"].click()
    assert asked == ["view"]
    with qtbot.waitSignal(bar.cancelRequested):
        bar.cancel.click()
    assert not bar.cancel.isEnabled()
    bar.set_idle()
    assert bar.buttons["plane"].isEnabled()


@pytest.fixture
def table(qtbot):
    columns = {"label": np.array([2, 10, 1]), "area": np.array([3.14159, 2.0, np.nan])}
    window = TableWindow(columns, "Objects", "objects")
    window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(window)
    return window


def test_a_table_sorts_by_value_and_names_the_chosen_row(table, qtbot):
    model = table.view.model()
    assert [model.index(r, 0).data() for r in range(3)] == ["1", "2", "10"]
    assert model.index(1, 1).data() == "3.142"
    with qtbot.waitSignal(table.rowChosen) as chosen:
        table.view.selectRow(2)
    assert chosen.args == [1]


def test_a_row_is_shown_without_a_word(table, qtbot):
    told = []
    table.rowChosen.connect(told.append)
    table.show_row(1)
    assert table.view.currentIndex().row() == 2
    assert [index.row() for index in table.view.selectionModel().selectedRows()] == [2]
    table.show_row(None)
    assert not table.view.selectionModel().hasSelection()
    assert told == []
    table.view.selectRow(2)
    assert told == [1]


def click_row(table, row):
    place = table.view.visualRect(table.view.model().index(row, 0)).center()
    QTest.mouseClick(table.view.viewport(), Qt.MouseButton.LeftButton, pos=place)


def test_a_table_that_gets_the_focus_chooses_nothing_and_a_click_chooses_again(table, qtbot):
    told = []
    table.rowChosen.connect(told.append)
    table.show()
    qtbot.waitExposed(table)
    table.view.setFocus()
    QApplication.sendEvent(table.view, QFocusEvent(QEvent.Type.FocusIn))
    assert table.view.currentIndex().row() == 0
    assert told == []
    click_row(table, 0)
    assert set(told) == {2}
    told.clear()
    click_row(table, 0)
    assert told == [2]
    QTest.keyClick(table.view, Qt.Key.Key_Down)
    assert told == [2, 0]
    table.show_row(1)
    click_row(table, 2)
    assert told == [2, 0, 1]


def test_the_buttons_of_a_table_say_what_they_do(table):
    buttons = table.findChildren(QPushButton)
    assert sorted(b.text() for b in buttons) == ["Copy", "Save CSV…"]
    assert all(b.toolTip() for b in buttons)


def test_a_table_is_saved_and_copied(table, tmp_path):
    told = []
    table.saved.connect(told.append)
    table.save(tmp_path / "t.csv")
    assert told == [str(tmp_path / "t.csv")]
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == "2,3.14159"
    assert table.text().splitlines()[0] == "label\tarea"


def test_a_table_that_cannot_be_written_says_so(table, tmp_path, qtbot):
    (tmp_path / "file").write_text("")
    with qtbot.waitSignal(table.problem):
        table.save(tmp_path / "file" / "t.csv")


def test_the_engine_ends_with_its_last_holder(monkeypatch, qtbot):
    from napari_papernets.engine import door
    from napari_papernets.widgets.engine_access import EngineHold

    made: list[FakeEngine] = []

    def shared():
        if not made or made[-1].closed:
            made.append(FakeEngine())
        return made[-1]

    shared.cache_clear = lambda: None
    monkeypatch.setattr(door, "shared_engine", shared)
    first, second = EngineHold(), EngineHold()
    assert first.engine() is second.engine()
    first.release()
    first.release()
    assert not made[0].closed
    second.release()
    qtbot.waitUntil(lambda: made[0].closed)
    assert second.engine() is not made[0]
    second.release()


def test_a_choice_that_does_not_fit_ends_in_an_ellipsis(qtbot):
    combo = CalmComboBox()
    qtbot.addWidget(combo)
    combo.addItem("strokes (general)")
    assert elided(combo, combo.currentText(), 60).endswith("…")
    assert elided(combo, "short", 400) == "short"
    combo.resize(90, 28)
    assert not combo.grab().isNull()


def test_an_empty_choice_says_what_to_do(qtbot):
    combo = CalmComboBox()
    qtbot.addWidget(combo)
    combo.resize(200, 30)
    blank = combo.grab().toImage()
    narrow = combo.minimumSizeHint().width()
    combo.setPlaceholderText("press Look inside, and wait")
    assert combo.grab().toImage() != blank
    assert combo.minimumSizeHint().width() == narrow  # a panel is not made wider by it


def test_one_is_not_many():
    assert [counted(n, "object") for n in (0, 1, 1288)] == ["0 objects", "1 object", "1,288 objects"]


def test_after_the_warm_up_colours_of_labels_are_looked_up_without_compiling(qtbot):
    numba_events = pytest.importorskip("numba.core.event")
    from napari.utils.colormaps import DirectLabelColormap

    import_ahead().join()
    with numba_events.install_recorder("numba:compile") as record:
        DirectLabelColormap(color_dict={None: "black", 1: "red", 2: "blue"}).map(
            np.ones((3, 4), np.uint8)
        )
    assert not record.buffer
