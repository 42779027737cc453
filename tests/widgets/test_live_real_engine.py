"""The panel “Annotate & fine-tune” with the engine's own process: from two strokes to a version."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from napari_papernets import session
from napari_papernets.core.events import Preview
from napari_papernets.model_files import read_spec
from napari_papernets.session import open_session
from napari_papernets.widgets import start_picker
from napari_papernets.widgets.annotate_panel import AnnotatePanel

pytestmark = [
    pytest.mark.gui,
    pytest.mark.skipif(sys.platform == "win32", reason="kills with a POSIX signal"),
]

TINY = dict(width=4, depth=2, crop=32, batch=1, steps=3, held_out=0.0)


@pytest.fixture
def opened(make_napari_viewer_proxy, monkeypatch, tmp_path):
    """A viewer with a small image, bright on the right, and the panel."""
    monkeypatch.setattr(session, "sessions_folder", lambda: tmp_path / "sessions")
    monkeypatch.setattr(start_picker, "list_models", lambda: ())
    viewer = make_napari_viewer_proxy()
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    image[:, 32:] += 3
    viewer.add_image(image, name="halves")
    panel = AnnotatePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Annotate", area="right")
    panel.parts.form.setValue(panel.parts.form.value().replace(**TINY))
    return viewer, panel


def paint(viewer, x, k, name="halves strokes"):
    layer = viewer.layers[name]
    layer.selected_label = k
    for y in range(10, 46, 2):
        layer.paint((y, x), k)


def test_two_strokes_are_learnt_and_kept_and_a_killed_engine_comes_back(opened, qtbot, tmp_path):
    viewer, panel = opened
    previews: list[Preview] = []
    panel.parts.control.happened.connect(
        lambda event: previews.append(event) if isinstance(event, Preview) else None
    )
    panel.parts.image.annotate.click()
    qtbot.waitUntil(lambda: panel.parts.control.state.kind == "waiting", timeout=60_000)
    paint(viewer, 10, 1)
    paint(viewer, 54, 2)
    qtbot.waitUntil(lambda: any(p.source == "quick" for p in previews), timeout=30_000)
    qtbot.waitUntil(lambda: any(p.source == "trained" for p in previews), timeout=60_000)
    qtbot.waitUntil(lambda: len(panel.parts.keeper.records()) > 0, timeout=60_000)
    qtbot.waitUntil(lambda: panel.parts.control.state.kind == "resting", timeout=60_000)
    labels = viewer.layers["halves prediction"].data
    assert (labels[:, :24] == 1).mean() > 0.8
    assert (labels[:, 40:] == 2).mean() > 0.8
    record = panel.parts.keeper.records()[-1]
    assert [c.name for c in read_spec(record.model).classes] == ["background", "object"]
    assert record.step >= 3

    count = len(previews)
    with qtbot.waitSignal(panel.parts.control.failed, timeout=10_000):
        os.kill(panel._hold.engine().pid, signal.SIGKILL)
    assert panel.parts.message.is_error
    paint(viewer, 12, 1)
    qtbot.waitUntil(lambda: len(previews) > count, timeout=60_000)
    panel.shut_down()
    (folder,) = (tmp_path / "sessions").iterdir()
    kept = open_session(folder)
    assert sorted(np.unique(kept.annotation()[0, ()])) == [0, 1, 2]
    assert kept.versions()[0].model.stat().st_size > 1000
    kept.close()
    assert "torch" not in sys.modules


def test_the_copied_command_of_a_version_gives_its_weights_again(opened, qtbot, tmp_path):
    viewer, panel = opened
    other = np.random.default_rng(1).random((48, 64)).astype(np.float32)
    other[:, 32:] += 3
    panel.parts.form.setValue(panel.parts.form.value().replace(held_out=0.4, steps=6))
    panel.parts.image.annotate.click()
    qtbot.waitUntil(lambda: panel.parts.control.state.kind == "waiting", timeout=60_000)
    for x, k in ((10, 1), (54, 2), (20, 1), (44, 2), (28, 1), (60, 2)):
        paint(viewer, x, k)
        qtbot.wait(150)  # as a person would: some strokes come while it learns
    qtbot.waitUntil(lambda: len(panel.parts.keeper.records()) > 0, timeout=60_000)
    paint(viewer, 5, 1)
    qtbot.waitUntil(lambda: len(panel.parts.keeper.records()) > 1, timeout=60_000)
    qtbot.waitUntil(lambda: panel.parts.control.state.kind == "resting", timeout=60_000)
    viewer.add_image(other, name="halves too")
    panel.parts.image.annotate.click()
    qtbot.waitUntil(lambda: "halves too strokes" in viewer.layers, timeout=30_000)
    qtbot.waitUntil(lambda: panel.parts.control.state.kind in ("resting", "waiting"), timeout=60_000)
    count = len(panel.parts.keeper.records())
    paint(viewer, 50, 2, "halves too strokes")
    qtbot.waitUntil(lambda: len(panel.parts.keeper.records()) > count, timeout=60_000)
    records = panel.parts.keeper.records()
    panel.shut_down()
    usual = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    for record in (records[0], records[-1]):
        command = [*shlex.split(record.command), "--out", str(tmp_path / "again")]
        assert command[:2] == ["papernets", "finetune"]
        assert "--course" in command
        words = [sys.executable, "-m", "napari_papernets.cli", *command[1:]]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=usual)
        assert done.returncode == 0, done.stderr
        then, now = load_file(record.model), load_file(done.stdout.strip().splitlines()[-1])
        assert then.keys() == now.keys()
        for name, value in then.items():
            np.testing.assert_array_equal(value, now[name], err_msg=f"{name}: {done.stderr}")
