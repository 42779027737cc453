"""Curves: what is kept of a training, when it is drawn, and what is written of it."""

from __future__ import annotations

import csv
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from fakes import ref
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QImage, QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_papernets.core.errors import InputError
from napari_papernets.core.events import EpochDone, Notice, Started, Step, Version
from napari_papernets.widgets.curve_data import CurveData
from napari_papernets.widgets.curves import Curves

pytestmark = pytest.mark.gui


def step(number: int, loss: float = 0.5) -> Step:
    return Step(number, loss, 1e-3, 0.1 * number)


def version(number: int, score: float | None = None) -> Version:
    return Version(ref("semantic"), 3, number, score, None, "trained", "nothing improved")


@pytest.fixture
def data() -> CurveData:
    return CurveData()


@pytest.fixture
def curves(qtbot):
    widget = Curves()
    qtbot.addWidget(widget)
    return widget


@pytest.fixture
def shown(curves, qtbot):
    with qtbot.waitExposed(curves):
        curves.show()
    return curves


def drawn(curves):
    """Steps of the loss that the plot holds."""
    x, _ = curves.plots._raw.getOriginalDataset()
    return [] if x is None else list(x)


def test_rows_are_those_of_a_history(data):
    for event in (Started(2, "step"), step(1, 0.7), step(2, 0.6), EpochDone(2, 0.8, True, 0.2)):
        assert data.add(event)
    assert data.rows() == [
        dict(step=1, loss=0.7, learning_rate=1e-3, seconds=0.1),
        dict(step=2, loss=0.6, learning_rate=1e-3, seconds=0.2, score=0.8),
    ]
    assert data.best == (2, 0.8)
    assert data.total == 2


def test_other_events_change_nothing(data):
    assert not data.add(Notice("out of memory"))
    assert not data.rows()


def test_the_running_mean_starts_at_the_first_loss_and_is_calmer(data):
    losses = np.random.default_rng(0).random(200)
    for number, loss in enumerate(losses, 1):
        data.add(step(number, float(loss)))
    _, means = data.means()
    assert means[0] == pytest.approx(losses[0])
    assert means[50:].std() < 0.5 * losses.std()
    assert means[-1] == pytest.approx(losses.mean(), abs=0.2)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_kept_marked_and_not_drawn(data, bad):
    for number, loss in enumerate((0.5, bad, bad, 0.4), 1):
        data.add(step(number, loss))
    assert list(data.losses()[0]) == [1, 4]
    assert np.isfinite(data.means()[1]).all()
    assert [(mark.kind, mark.step) for mark in data.marks] == [("not finite", 2)]
    assert len(data.rows()) == 4


def test_a_training_that_begins_anew_goes_on_along_the_axis(data):
    for event in (step(1), step(2), version(2), step(1), EpochDone(1, 0.7, True, 0.1), version(1)):
        data.add(event)
    assert [row["step"] for row in data.rows()] == [1, 2, 3]
    assert data.scores == {3: 0.7}
    assert [(m.kind, m.step, m.text) for m in data.marks] == [
        ("version", 2, "v1"),
        ("start", 2, "start"),
        ("version", 3, "v2"),
    ]


def test_the_score_of_a_version_may_be_the_best(data):
    for event in (EpochDone(0, 0.5, True, 0.1), step(1), version(1, 0.9), step(2), version(2, 0.7)):
        data.add(event)
    assert data.best == (1, 0.9)


def test_a_best_score_needs_a_score(data):
    data.add(step(1))
    data.add(EpochDone(1, None, False, 0.1))
    assert data.best is None
    assert not data.scores


def test_the_pace_is_that_of_the_last_steps(data):
    assert data.pace is None
    for number in range(1, 101):
        data.add(Step(number, 0.5, 1e-3, number if number < 50 else 50 + (number - 50) / 10))
    assert data.pace == pytest.approx(10)


def test_many_events_are_one_repaint(shown, qtbot, monkeypatch):
    calls = []
    monkeypatch.setattr(shown.plots, "draw", lambda data: calls.append(len(data)))
    qtbot.waitUntil(lambda: not shown._timer.isActive())
    calls.clear()
    for number in range(1, 501):
        shown.add(step(number))
    assert not calls
    qtbot.waitUntil(lambda: bool(calls), timeout=5000)
    assert calls == [500]


def test_nothing_is_drawn_while_hidden_and_all_when_shown(curves, qtbot):
    curves.add(step(1))
    assert not curves._timer.isActive()
    assert drawn(curves) == []
    with qtbot.waitExposed(curves):
        curves.show()
    qtbot.waitUntil(lambda: drawn(curves) == [1], timeout=5000)
    curves.hide()
    curves.add(step(2))
    assert not curves._timer.isActive()


def test_the_axes_stay_sane_when_the_loss_does_not(shown, qtbot):
    for number, loss in enumerate((0.5, math.inf, math.nan, 0.4), 1):
        shown.add(step(number, loss))
    qtbot.waitUntil(lambda: drawn(shown) == [1, 4], timeout=5000)
    shown.plots.view.grab()
    (left, right), (low, high) = shown.plots.loss.viewRange()
    assert left < 1 < 4 < right < 10
    assert 0 < low < 0.4 < 0.5 < high < 1


def test_without_a_score_the_plot_says_why(shown, qtbot):
    shown.add(step(1))
    qtbot.waitUntil(lambda: drawn(shown) == [1], timeout=5000)
    assert shown.plots._why.isVisible()
    assert "five strokes of a class" in shown.plots._why.toPlainText()
    shown.add(EpochDone(1, 0.8, True, 0.1))
    qtbot.waitUntil(lambda: not shown.plots._why.isVisible(), timeout=5000)
    assert "best held-out 0.800" in shown.numbers.text()


def test_versions_are_marked_and_cleared(shown, qtbot):
    shown.set_next_version(7)
    for event in (step(1), version(1), step(2), version(2)):
        shown.add(event)
    qtbot.waitUntil(lambda: len(shown.plots._lines) == 2, timeout=5000)
    assert [mark.text for mark, _ in shown.plots._lines] == ["v7", "v8"]
    first, second = (lines[0].label.orthoPos for _, lines in shown.plots._lines)
    assert first != second  # close ones would lie on each other
    before = len(shown.plots.loss.items)
    shown.clear()
    qtbot.waitUntil(lambda: not shown.plots._lines, timeout=5000)
    assert len(shown.plots.loss.items) == before - 2
    assert shown.rows() == []
    assert shown.numbers.text() == "No step yet"


def test_numbers_tell_device_and_memory_of_the_engine(qtbot, engine):
    engine.info, engine.pid = {"device": "cuda:0", "device_name": "Toy"}, os.getpid()
    curves = Curves(lambda: engine)
    qtbot.addWidget(curves)
    curves.add(Started(500, "step"))
    curves.add(step(1))
    curves._repaint()
    text = curves.numbers.text()
    assert text.startswith("step 1 of 500")
    assert "cuda:0 (Toy)" in text
    assert text.endswith(" GB")
    engine.pid = None
    curves._repaint()
    assert not curves.numbers.text().endswith(" GB")


def test_export_writes_numbers_and_a_picture(curves, tmp_path):
    for event in (step(1, 0.7), step(2, math.nan), EpochDone(2, 0.8, True, 0.2)):
        curves.add(event)
    curves.export(tmp_path / "c.csv")
    with (tmp_path / "c.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["loss"] for row in rows] == ["0.7", "nan"]
    assert [row["score"] for row in rows] == ["", "0.8"]
    curves.export(tmp_path / "c.png")
    picture = QImage(str(tmp_path / "c.png"))
    assert picture.width() == 2 * curves.plots.view.width()
    colours = {picture.pixel(x, y) for x in range(0, picture.width(), 3) for y in range(0, 400, 3)}
    assert len(colours) > 3
    with pytest.raises(InputError, match=r"\.csv"):
        curves.export(tmp_path / "c.txt")


def test_the_plot_follows_the_theme_of_the_viewer(make_napari_viewer_proxy, qtbot):
    from napari.utils.theme import get_theme

    viewer, curves = make_napari_viewer_proxy(show=True), Curves()
    viewer.window.add_dock_widget(curves, name="Curves")
    qtbot.waitUntil(curves.isVisible, timeout=10_000)
    for name in ("light", "dark"):
        viewer.theme = name
        wanted = get_theme(name).background.as_hex(format="long")
        assert curves.plots.view.backgroundBrush().color().name() == wanted


def test_the_wheel_zooms_only_with_the_focus(shown, qtbot, monkeypatch):
    for number in range(1, 50):
        shown.add(step(number))
    qtbot.waitUntil(lambda: len(drawn(shown)) == 49, timeout=5000)
    before, port = shown.plots.loss.viewRange(), shown.plots.view.viewport()
    middle = QPointF(port.width() / 2, port.height() / 4)

    def turn(focus):
        monkeypatch.setattr(shown.plots.view, "hasFocus", lambda: focus)
        event = QWheelEvent(
            middle, QPointF(port.mapToGlobal(middle.toPoint())), QPoint(0, 0), QPoint(0, 120),
            Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(port, event)
        return shown.plots.loss.viewRange()

    assert turn(focus=False) == before
    assert turn(focus=True) != before


def test_pyqtgraph_comes_when_plots_are_wanted_and_on_the_binding_at_hand():
    code = (
        "import sys, qtpy\n"
        "from qtpy.QtWidgets import QApplication\n"
        "from napari_papernets.widgets.curves import Curves\n"
        "app = QApplication([]); curves = Curves()\n"
        "assert 'pyqtgraph' not in sys.modules and 'torch' not in sys.modules\n"
        "curves.show()\n"
        "import pyqtgraph; assert pyqtgraph.Qt.QT_LIB == qtpy.API_NAME\n"
        "assert 'torch' not in sys.modules\n"
    )
    env = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYQTGRAPH_QT_LIB": "PySide6"}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)
