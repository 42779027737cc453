"""A session's folder: complete, never half written, and found again after a crash."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_papernets import session as module
from napari_papernets.core.annotation import Patch
from napari_papernets.core.errors import InputError
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import class_infos
from napari_papernets.files import read_image
from napari_papernets.session import (
    Session,
    VersionRecord,
    create_session,
    describe_image,
    discard_session,
    open_session,
    unfinished_sessions,
)

IMAGE = ImageBlock(np.arange(600, dtype=np.uint16).reshape(20, 30), "YX", (0.5, 0.5), "cells", "µm")
CLASSES = class_infos(["background", "cell"])

CRASH = """
import os, sys
import numpy as np
from pathlib import Path
from napari_papernets.core.annotation import Patch
from napari_papernets.core.image import ImageBlock
from napari_papernets.session import create_session, describe_image

image = ImageBlock(np.zeros((20, 30), np.uint8), "YX", name="cells")
session = create_session([describe_image(0, image)], folder=Path(sys.argv[1]))
session.append_patch(Patch(0, (), 1, 2, np.full((5, 5), 2, np.uint8), 1))
os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(module, "sessions_folder", lambda: tmp_path / "sessions")
    return tmp_path / "sessions"


@pytest.fixture
def session(home: Path) -> Session:
    made = create_session([describe_image(0, IMAGE)], CLASSES)
    made.append_patch(Patch(0, (), 3, 4, np.ones((2, 3), np.uint8), 1))
    return made


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "some.safetensors"
    path.write_bytes(b"weights")
    return path


def test_it_opens_as_it_was_closed(session: Session, model: Path) -> None:
    session.save_info(replace(session.info, settings={"live": True}, start="strokes"))
    session.add_version(model, VersionRecord(0, Path(), patch=1, score=0.8, source="quick"))
    session.close()
    again = open_session(session.folder)
    assert again.info == session.info
    assert again.info.classes == CLASSES
    assert again.info.images[0].scale == (0.5, 0.5)
    assert again.annotation()[0, ()][3:5, 4:7].all()
    (version,) = again.versions()
    assert (version.number, version.patch, version.score, version.source) == (1, 1, 0.8, "quick")
    assert version.model.read_bytes() == b"weights"
    again.close()


def test_versions_never_replace_one_another_and_strokes_go_back(session: Session, model: Path) -> None:
    first = session.add_version(model, VersionRecord(0, Path(), patch=1))
    session.append_patch(Patch(0, (), 0, 0, np.full((20, 30), 2, np.uint8), 2))
    model.write_bytes(b"better")
    second = session.add_version(model, VersionRecord(0, Path(), patch=2, parent=1))
    assert [v.number for v in session.versions()] == [first.number, second.number] == [1, 2]
    assert first.model.read_bytes() == b"weights"
    assert session.annotation(first.patch)[0, ()].max() == 1
    assert session.annotation(second.patch)[0, ()].min() == 2
    session.set_note(1, "before the second image")
    assert session.versions()[0].note == "before the second image"


def test_a_failing_copy_leaves_no_version(session: Session, model: Path) -> None:
    with pytest.raises(FileNotFoundError):
        session.add_version(model.with_name("gone"), VersionRecord(0, Path(), patch=1))
    assert session.versions() == ()
    assert list((session.folder / "versions").glob("[!.]*")) == []


def test_a_crashed_session_is_offered_and_a_living_one_is_not(home: Path, session: Session) -> None:
    assert unfinished_sessions(home) == []  # this process has it open
    crashed = home / "crashed"
    subprocess.run([sys.executable, "-c", CRASH, str(crashed)], check=False)
    assert unfinished_sessions(home) == [crashed]
    again = open_session(crashed)
    assert again.annotation()[0, ()][1:6, 2:7].min() == 2
    again.close()
    assert unfinished_sessions(home) == []
    discard_session(crashed)
    assert not crashed.exists()


def test_another_process_of_the_same_number_does_not_hold_it(home: Path, session: Session) -> None:
    lock = session.folder / "open"
    held = json.loads(lock.read_text())
    lock.write_text(json.dumps({**held, "started": held["started"] - 1000}))
    assert unfinished_sessions(home) == [session.folder]


def test_it_cannot_be_opened_or_discarded_twice(session: Session) -> None:
    for act in (open_session, discard_session):
        with pytest.raises(InputError, match="open"):
            act(session.folder)


def test_an_empty_session_leaves_nothing(home: Path) -> None:
    session = create_session()
    session.close()
    assert list(home.iterdir()) == []


def test_save_as_is_complete_and_overwrites_nothing(
    session: Session, model: Path, tmp_path: Path
) -> None:
    session.add_version(model, VersionRecord(0, Path(), patch=1))
    session.keep_image(0, IMAGE.data)
    session.save_as(tmp_path / "copy")
    copy = open_session(tmp_path / "copy")
    assert len(copy.versions()) == 1
    assert copy.annotation()[0, ()].sum() == 6
    stored = read_image(tmp_path / "copy" / "images" / "0.tif")
    np.testing.assert_array_equal(stored.data, IMAGE.data)
    copy.close()
    with pytest.raises(InputError, match="empty"):
        session.save_as(tmp_path / "copy")


@pytest.mark.parametrize("damage", ["cut", "newer", "gone", "fields"])
def test_damaged_and_newer_sessions_are_refused(session: Session, damage: str) -> None:
    session.close()
    path = session.folder / "session.json"
    values = json.loads(path.read_text())
    if damage == "cut":
        path.write_text(path.read_text()[:50])
    elif damage == "newer":
        path.write_text(json.dumps({**values, "format": 99}))
    elif damage == "fields":
        path.write_text(json.dumps({"format": 1}))
    else:
        shutil.rmtree(session.folder)
    with pytest.raises(InputError, match="update" if damage == "newer" else "choose"):
        open_session(session.folder)
    assert not (session.folder / "open").exists()


def test_the_checksum_tells_images_apart() -> None:
    other = ImageBlock(np.asarray(IMAGE.data)[::-1].copy(), "YX", name="cells")
    assert describe_image(0, IMAGE).checksum != describe_image(0, other).checksum
