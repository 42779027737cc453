"""The session beside the window, to its end; and what repeats its trainings."""

from __future__ import annotations

import shlex
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import ref

from napari_papernets import session as sessions
from napari_papernets.core.annotation import Patch
from napari_papernets.core.events import Version
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import class_infos
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.files import write_image
from napari_papernets.model_files import check_name
from napari_papernets.session import create_session, describe_image
from napari_papernets.widgets import session_bar
from napari_papernets.widgets.live_plan import LivePlan
from napari_papernets.widgets.round_files import write_round
from napari_papernets.widgets.session_bar import RestoreBar
from napari_papernets.widgets.session_store import Contents, SessionStore

pytestmark = pytest.mark.gui

CLASSES = class_infos(["background", "object"])
STROKE = Patch(0, (), 2, 3, np.ones((4, 5), np.uint8), 1)


class OpenSession:
    closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def store(qapp, monkeypatch, tmp_path):
    monkeypatch.setattr(sessions, "sessions_folder", lambda: tmp_path / "sessions")
    store = SessionStore()
    yield store
    store.close()


def picture(source: str = "") -> ImageBlock:
    return ImageBlock(np.arange(24 * 30, dtype=np.uint16).reshape(24, 30), "YX", source=source)


def planned(*images: ImageBlock) -> LivePlan:
    numbers, strokes = tuple(range(len(images))), [np.zeros(i.plane_shape, np.uint8) for i in images]
    return LivePlan(
        numbers, list(images), strokes, "scratch", TuneSettings(), CLASSES, "auto", Path(), None, 1
    )


def made_version(folder: Path) -> Version:
    model = replace(ref("semantic"), path=folder / "live.safetensors")
    model.path.write_bytes(b"weights")
    return Version(model, 1, 7, 0.8, 0.7, "trained", "nothing improved any more")


def options_of(command: str) -> dict[str, str]:
    words = shlex.split(command)
    return {word: words[i + 1] for i, word in enumerate(words) if word.startswith("--")}


def test_the_name_of_any_folder_of_a_session_becomes_the_name_of_a_model(tmp_path) -> None:
    session = create_session([describe_image(0, picture())], folder=tmp_path / "my cells (2)")
    strokes = {(0, ()): np.ones((24, 30), np.uint8)}
    command = write_round(session, 3, made_version(tmp_path), planned(picture()), strokes, "scratch")
    session.close()
    check_name(options_of(command)["--name"])


def test_the_command_tells_axes_of_files_but_not_of_what_the_session_keeps(tmp_path) -> None:
    images = [picture("a.tif"), picture()]
    session = create_session([describe_image(n, i) for n, i in enumerate(images)], folder=tmp_path / "s")
    told = []
    for number in (0, 1):
        strokes = {(number, ()): np.ones((24, 30), np.uint8)}
        command = write_round(session, 1, made_version(tmp_path), planned(*images), strokes, "scratch")
        told.append(options_of(command).get("--axes"))
    session.close()
    assert told == ["YX", None]


def test_files_of_a_round_are_numbered_as_its_version_also_beside_damaged_ones(
    store, qtbot, tmp_path
) -> None:
    store.describe(Contents({0: picture()}, CLASSES))
    store.append(STROKE)
    damaged = store.session.folder / "versions" / "0001"
    damaged.mkdir(parents=True)
    kept = []
    store.added.connect(kept.append)
    store.add_version(made_version(tmp_path), planned(picture()), 0)
    qtbot.waitUntil(lambda: len(kept) == 1)
    assert kept[0].number == 2
    assert "0002" in kept[0].command
    assert options_of(kept[0].command)["--name"].endswith(" 2")


def test_the_command_of_a_round_names_a_file_that_stays(store, qtbot, tmp_path) -> None:
    """A round that goes on from an earlier one began with a file of the viewer's, which goes with it."""
    store.describe(Contents({0: picture()}, CLASSES))
    store.append(STROKE)
    kept = []
    store.added.connect(kept.append)
    first = made_version(tmp_path)
    store.add_version(first, planned(picture()), 0)
    store.add_version(made_version(tmp_path), replace(planned(picture()), model=first.model), 1)
    qtbot.waitUntil(lambda: len(kept) == 2)
    assert options_of(kept[1].command)["--model"] == str(kept[0].model)
    assert kept[0].model.is_file()


def test_a_session_is_let_go_of_without_waiting_and_gets_all_that_was_its_own(
    store, qtbot, monkeypatch, tmp_path
) -> None:
    busy = threading.Event()
    store.later(busy.wait, 30)
    store.describe(Contents({0: picture()}, CLASSES))
    store.append(STROKE)
    first, kept = store.session, []
    store.added.connect(kept.append)
    store.add_version(made_version(tmp_path), planned(picture()), 0)
    store.let_go()
    assert store.session is None
    assert first._is_open
    store.describe(Contents({0: picture()}, CLASSES))
    store.append(STROKE)
    busy.set()
    qtbot.waitUntil(lambda: not first._is_open)
    assert first.kept_image(0) is not None
    assert [version.number for version in first.versions()] == [1]
    assert store.session.versions() == ()
    assert kept == []  # nobody is shown a version of another session


def test_unfinished_sessions_are_looked_for_beside_the_window(qtbot, monkeypatch, tmp_path) -> None:
    looked = []
    monkeypatch.setattr(
        session_bar, "unfinished_sessions", lambda: looked.append(threading.get_ident()) or []
    )
    bar = RestoreBar()
    qtbot.addWidget(bar)
    bar.look()
    qtbot.waitUntil(lambda: len(looked) == 1)
    assert looked[0] != threading.get_ident()


@pytest.mark.parametrize("python_ends", [False, True])
def test_the_session_is_closed_once_also_when_python_has_ended_its_threads(qapp, python_ends) -> None:
    store = SessionStore()
    session = store._session = OpenSession()
    if python_ends:
        store._lane.shutdown()
    store.close()
    assert session.closed == 1
    assert store.session is None
    assert not store.work.exists()


def test_an_image_that_is_not_as_its_file_has_it_is_kept(store, qtbot, tmp_path):
    path = tmp_path / "cells.tif"
    write_image(path, picture().data, "YX")
    whole = replace(picture(), source=str(path))
    turned = replace(whole, data=np.ascontiguousarray(np.flip(picture().data, 1)), name="turned")
    store.describe(Contents({0: whole, 1: turned}, CLASSES))
    store.append(STROKE)
    store.append(replace(STROKE, image=1, number=STROKE.number + 1))
    qtbot.waitUntil(lambda: store.session.kept_image(1) is not None, timeout=5000)
    assert store.session.kept_image(0) is None
    np.testing.assert_array_equal(store.session.image(1).data, turned.data)
