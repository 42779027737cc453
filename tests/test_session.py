"""A session's folder: complete, never half written, and found again after a crash."""

from __future__ import annotations

import json
import os
import platform
import random
import shlex
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_papernets import session as module
from napari_papernets import session_info
from napari_papernets.core.annotation import Patch
from napari_papernets.core.errors import InputError
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import class_infos
from napari_papernets.files import read_image, write_image
from napari_papernets.session import (
    Session,
    VersionRecord,
    check_image,
    create_session,
    describe_image,
    discard_session,
    open_session,
    read_info,
    unfinished_sessions,
)
from napari_papernets.session_image import read_again
from napari_papernets.session_lock import is_held, lock

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

KEEPER = """
import sys
from dataclasses import replace
from pathlib import Path
from napari_papernets.session import VersionRecord, open_session

session, model = open_session(Path(sys.argv[1])), Path(sys.argv[2])
while True:
    number = len(session.versions()) + 1
    model.write_bytes(str(number).encode() * 300_000)
    session.add_version(model, VersionRecord(0, Path(), patch=number))
    print(number, flush=True)
    session.set_note(number, f"note {number}")
    session.save_info(replace(session.info, start=f"version {number}"))
"""

LEAN = """
import sys
import napari_papernets.session
sys.exit(any(name in sys.modules for name in ("torch", "napari", "qtpy")))
"""
on_posix = pytest.mark.skipif(os.name != "posix", reason="kills by signal")


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
    written = first.model.with_name("version.json")
    values = json.loads(written.read_text())
    del values["strokes"]  # as it was before strokes were counted
    written.write_text(json.dumps(values))
    session.set_note(1, "before the second image")
    assert session.versions()[0].note == "before the second image"
    assert session.versions()[0].strokes is None


def test_strokes_are_on_the_disk_before_a_version_that_names_them(
    session: Session, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    here = threading.get_ident()  # the journal has a thread that syncs now and then

    def sync() -> None:
        if threading.get_ident() == here:
            order.append("strokes")

    monkeypatch.setattr(session.journal, "sync", sync)
    monkeypatch.setattr(module, "copy_to_disk", lambda *_: order.append("model"))
    session.add_version(model, VersionRecord(0, Path(), patch=1))
    assert order == ["strokes", "model"]


def test_a_failing_copy_leaves_no_version(session: Session, model: Path) -> None:
    with pytest.raises(FileNotFoundError):
        session.add_version(model.with_name("gone"), VersionRecord(0, Path(), patch=1))
    assert session.versions() == ()
    assert list((session.folder / "versions").glob("[!.]*")) == []


@on_posix
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


def test_commands_and_links_of_a_copy_name_the_copy(
    session: Session, model: Path, tmp_path: Path
) -> None:
    image = session.keep_image(0, IMAGE.data)
    round_ = session.folder / "rounds" / "0001"
    (round_ / "images").mkdir(parents=True)
    (round_ / "images" / "cells.tif").symlink_to(image.resolve())
    (round_ / "images" / "own.tif").symlink_to(tmp_path / "own.tif")
    words = ["papernets", "finetune", str(image), str(tmp_path / "own.tif"), "--classes", "a, b"]
    words += ["--course", str(round_ / "course.json")]
    session.add_version(model, VersionRecord(0, Path(), patch=1, command=shlex.join(words)))
    new = tmp_path / "a copy"
    session.save_as(new)
    expected = [*words]
    expected[2], expected[-1] = str(new / "images/0.tif"), str(new / "rounds/0001/course.json")
    copy = open_session(new)
    assert shlex.split(copy.versions()[0].command) == expected
    assert copy.versions()[0].model.parent.parent.parent == new
    copy.close()
    assert os.readlink(new / "rounds/0001/images/cells.tif") == str(new / "images/0.tif")
    assert os.readlink(new / "rounds/0001/images/own.tif") == str(tmp_path / "own.tif")
    assert shlex.split(session.versions()[0].command) == words


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


def test_the_checksum_knows_numbers_but_no_axes_or_types() -> None:
    data = np.random.default_rng(0).integers(0, 255, (2, 70, 3, 80)).astype(np.uint8)
    image = ImageBlock(data, "ZYCX")
    info = describe_image(0, image)
    check_image(info, ImageBlock(data.transpose(2, 0, 1, 3).astype(np.float32), "CZYX"))
    for at in ((0, 0, 0, 0), (1, 69, 2, 79)):
        other = data.copy()
        other[at] ^= 1
        with pytest.raises(InputError, match="pixels"):
            check_image(info, ImageBlock(other, "ZYCX"))
    with pytest.raises(InputError, match="2×70×3×80"):
        check_image(info, ImageBlock(data[:1], "ZYCX"))


@pytest.mark.parametrize(
    ("axes", "shape", "dtype"),
    [
        ("YX", (20, 30), "bool"),
        ("YX", (20, 30), "int64"),
        ("XY", (20, 20), "uint8"),
        ("YXC", (20, 30, 3), "uint8"),
        ("YXC", (20, 30, 3), "float32"),
        ("ZYX", (1, 20, 30), "uint16"),
        ("ZTCYX", (2, 3, 1, 20, 30), "float16"),
    ],
)
def test_a_kept_image_comes_back_as_it_was(axes: str, shape: tuple, dtype: str) -> None:
    data = (np.random.default_rng(0).random(shape) * 2).astype(dtype)
    block = ImageBlock(data, axes, tuple(0.5 for _ in axes), "cells", "µm")
    session = create_session([describe_image(3, block)])
    assert session.kept_image(3) is None
    path = session.keep_image(3, data)
    before = path.stat().st_mtime_ns
    assert session.keep_image(3, data) == session.kept_image(3) == path
    assert path.stat().st_mtime_ns == before
    again = session.image(3)
    assert (again.axes, again.scale, again.name, again.unit) == (axes, block.scale, "cells", "µm")
    np.testing.assert_array_equal(np.asarray(again.data), data)
    with pytest.raises(InputError, match="pixels"):
        session.keep_image(3, 1 - data.astype(np.float32))
    session.close()


def test_an_image_is_read_from_its_own_file_and_another_is_noticed(tmp_path: Path) -> None:
    source = tmp_path / "stack.tif"
    data = np.arange(4 * 20 * 30, dtype=np.uint16).reshape(4, 20, 30)
    write_image(source, data, "ZYX")
    named = replace(read_image(source), axes="TYX", name="movie")  # by the user
    session = create_session([describe_image(0, named), describe_image(1, IMAGE)])
    again = session.image(0)
    assert (again.axes, again.name, again.source) == ("TYX", "movie", str(source))
    np.testing.assert_array_equal(np.asarray(again.data), data)
    with pytest.raises(InputError, match="layer"):
        session.image(1)  # it has no file
    with pytest.raises(InputError, match="number 2"):
        session.image(2)
    write_image(source, data[:, ::-1], "ZYX")
    with pytest.raises(InputError, match="pixels"):
        session.image(0)
    write_image(source, data[:2], "ZYX")
    with pytest.raises(InputError, match="4×20×30"):
        session.image(0)
    source.unlink()
    with pytest.raises(InputError, match="no such file"):
        session.image(0)
    session.close()


def test_an_image_painted_on_as_indices_of_a_colour_table_is_found_again(tmp_path: Path) -> None:
    """The viewer shows a palette's indices, files.read_image its colours."""
    source = tmp_path / "palette.tif"
    data = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)
    table = np.random.default_rng(0).integers(0, 65536, (3, 256)).astype(np.uint16)
    tifffile.imwrite(source, data, photometric="palette", colormap=table)
    shown = ImageBlock(data, "YX", source=str(source))
    session = create_session([describe_image(0, shown), describe_image(1, read_image(source))])
    np.testing.assert_array_equal(session.image(0).data, data)
    assert session.image(1).axes == "YXC"
    session.close()


def test_a_plane_painted_later_is_empty_before(session: Session) -> None:
    session.append_patch(Patch(0, (), 0, 0, np.ones((1, 1), np.uint8), 2))
    assert session.annotation(0)[0, ()].sum() == 0
    assert session.annotation(1)[0, ()].sum() == 6
    assert session.annotation(2)[0, ()].sum() == 7


@on_posix
def test_kill_at_any_moment_loses_no_version(session: Session, tmp_path: Path) -> None:
    session.close()
    dice, model, total = random.Random(0), tmp_path / "some.safetensors", 0
    for _ in range(10):
        command = [sys.executable, "-c", KEEPER, str(session.folder), str(model)]
        keeper = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert keeper.stdout is not None
        told = [keeper.stdout.readline()]
        time.sleep(dice.uniform(0, 0.05))
        keeper.kill()
        told += keeper.stdout.read().splitlines(keepends=True)
        keeper.wait()
        newest = max(int(line) for line in told if line.endswith(b"\n"))
        again = open_session(session.folder)
        versions = again.versions()
        assert len(versions) in (newest, newest + 1)
        for number, version in enumerate(versions, 1):
            assert (version.number, version.patch) == (number, number)
            assert version.model.read_bytes() == str(number).encode() * 300_000
            assert version.note in ("", f"note {number}")
        assert again.info.start in ("", *(f"version {v.number}" for v in versions))
        assert not list(session.folder.rglob(".*"))  # what was half written is gone
        assert len(versions) > total
        total = len(versions)
        again.close()


def test_a_damaged_version_is_left_out_and_its_number_not_given_again(
    session: Session, model: Path
) -> None:
    first = session.add_version(model, VersionRecord(0, Path(), patch=1))
    second = session.add_version(model, VersionRecord(0, Path(), patch=1))
    (second.model.parent / "version.json").write_text("{")
    assert [v.number for v in session.versions()] == [first.number]
    assert session.next_number() == 3
    assert session.add_version(model, VersionRecord(0, Path(), patch=1)).number == 3
    assert second.model.exists()


def test_opacity_is_still_known_as_such_in_an_image_that_is_read_again(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 4)).astype(np.uint8)
    write_image(tmp_path / "a.png", pixels, "YXC")
    block = read_image(tmp_path / "a.png")
    assert block.alpha
    assert read_again(describe_image(0, block), None).alpha


def test_a_session_that_knew_no_places_opens(session: Session) -> None:
    session.close()
    path = session.folder / session_info.INFO
    values = json.loads(path.read_text())
    for image in values["images"]:
        del image["place"]
    path.write_text(json.dumps({**values, "format": 1}))
    assert [image.place for image in read_info(session.folder).images] == [{}] * len(values["images"])


def test_an_older_format_is_brought_up(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.close()

    def rename(values: dict) -> dict:
        return {**values, "start": values["start"] + " brought up"}

    now = session_info.FORMAT
    monkeypatch.setattr(session_info, "FORMAT", now + 2)
    monkeypatch.setattr(session_info, "MIGRATIONS", {now: rename, now + 1: rename})
    assert read_info(session.folder).start == " brought up brought up"
    again = open_session(session.folder)
    again.save_info(again.info)
    assert json.loads((session.folder / "session.json").read_text())["format"] == now + 2
    again.close()


def test_programs_are_noted_once(session: Session) -> None:
    programs = session.info.programs
    assert "numpy" in programs
    session.save_info(replace(session.info, start="scratch", programs={}))
    assert session.info.programs == programs == read_info(session.folder).programs


def test_a_closed_session_writes_no_more(session: Session, model: Path) -> None:
    session.close()
    session.close()
    again = open_session(session.folder)
    session.close()  # does not let go of the other's lock
    assert is_held(session.folder)
    for act in (
        lambda: session.save_info(session.info),
        lambda: session.add_version(model, VersionRecord(0, Path(), patch=1)),
        lambda: session.set_note(1, ""),
        lambda: session.append_patch(Patch(0, (), 0, 0, np.ones((1, 1), np.uint8), 2)),
    ):
        with pytest.raises(InputError, match="closed"):
            act()
    again.close()


def test_delete_leaves_what_is_not_the_session(session: Session, model: Path) -> None:
    session.add_version(model, VersionRecord(0, Path(), patch=1))
    notes = session.folder / "notes.txt"
    notes.write_text("mine")
    session.delete()
    assert list(session.folder.iterdir()) == [notes]
    with pytest.raises(InputError, match="choose"):
        discard_session(session.folder)
    empty = create_session(folder=session.folder.with_name("empty"))
    empty.delete()
    assert not empty.folder.exists()


def test_save_as_within_itself_is_refused(session: Session) -> None:
    with pytest.raises(InputError, match="outside"):
        session.save_as(session.folder / "copy")


def test_two_that_begin_at_once_get_a_folder_each(home: Path) -> None:
    made = [create_session([describe_image(0, replace(IMAGE, name="a/b: c"))]) for _ in range(3)]
    assert len({session.folder for session in made}) == 3
    assert all(session.folder.parent == home for session in made)
    for session in made:
        session.close()


def test_only_one_of_many_gets_the_lock_of_a_dead_program(tmp_path: Path) -> None:
    for _ in range(20):
        (tmp_path / "open").write_text(json.dumps({"process": 2**30, "started": 0.0}))
        start, got = threading.Barrier(4), []

        def contend(start: threading.Barrier, got: list) -> None:
            start.wait()
            try:
                lock(tmp_path)
            except InputError:
                got.append(False)
            else:
                got.append(True)

        threads = [threading.Thread(target=contend, args=(start, got)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got.count(True) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["open"]


def test_a_session_open_on_another_computer_is_refused_with_a_way_out(session: Session) -> None:
    session.close()
    path = session.folder / "open"
    path.write_text(json.dumps({"process": 1, "started": 0.0, "computer": platform.node() + "2"}))
    with pytest.raises(InputError, match="delete the file"):
        open_session(session.folder)
    path.unlink()
    open_session(session.folder).close()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"process": "x", "started": 1}'])
def test_a_damaged_lock_keeps_nobody_out(session: Session, content: str) -> None:
    session.close()
    (session.folder / "open").write_text(content)
    assert unfinished_sessions(session.folder.parent) == [session.folder]
    open_session(session.folder).close()


def test_crashed_before_the_first_stroke_is_not_offered(home: Path) -> None:
    session = create_session()
    (session.folder / "open").write_text("{}")
    assert unfinished_sessions(home) == []
    (session.folder / "journal").write_bytes(b"something else")
    assert unfinished_sessions(home) == []


def test_it_needs_neither_torch_nor_a_window() -> None:
    assert subprocess.run([sys.executable, "-c", LEAN], check=False).returncode == 0
