"""Strokes on disk: nothing that was appended is lost, whatever happens to the program."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_papernets.core.annotation import Patch
from napari_papernets.core.errors import InputError
from napari_papernets.journal import Journal, read_journal

SHAPES = {0: (40, 50), 1: (30, 30)}

WRITER = """
import sys
import numpy as np
from pathlib import Path
from napari_papernets.core.annotation import Patch
from napari_papernets.journal import Journal

journal = Journal(Path(sys.argv[1]))
number = journal.newest
while True:
    number += 1
    labels = np.full((9, 9), number % 251, np.uint8)
    journal.append(Patch(0, (), number % 30, number % 40, labels, number))
    print(number, flush=True)
"""


def patch(number: int, image: int = 0, plane: tuple[int, ...] = (), y: int = 0, x: int = 0) -> Patch:
    return Patch(image, plane, y, x, np.full((4, 5), number % 200 + 1, np.uint8), number)


@st.composite
def patches(draw: st.DrawFn) -> list[Patch]:
    made = []
    for number in range(1, draw(st.integers(1, 12)) + 1):
        image = draw(st.integers(0, 1))
        height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
        y = draw(st.integers(0, SHAPES[image][0] - height))
        x = draw(st.integers(0, SHAPES[image][1] - width))
        values = np.random.default_rng(number).integers(0, 4, (height, width)).astype(np.uint8)
        made.append(Patch(image, (draw(st.integers(0, 2)),) * image, y, x, values, number))
    return made


def painted(made: list[Patch]) -> dict:
    planes: dict = {}
    for p in made:
        plane = planes.setdefault((p.image, p.plane), np.zeros(SHAPES[p.image], np.uint8))
        plane[p.y : p.y + p.labels.shape[0], p.x : p.x + p.labels.shape[1]] = p.labels
    return planes


def assert_equal(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for place, values in expected.items():
        np.testing.assert_array_equal(found[place], values)


@settings(max_examples=40, deadline=None)
@given(made=patches(), upto=st.integers(0, 12), cut=st.floats(0, 1))
def test_replay_is_painting_and_any_torn_file_is_a_prefix(tmp_path_factory, made, upto, cut) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    with Journal(path) as journal:
        for p in made:
            journal.append(p)
        assert_equal(journal.replay(SHAPES), painted(made))
        assert_equal(journal.replay(SHAPES, upto), painted([p for p in made if p.number <= upto]))
    content = path.read_bytes()
    path.write_bytes(content[: round(cut * len(content))])
    with Journal(path) as journal:
        assert_equal(journal.replay(SHAPES), painted(made[: journal.newest]))
        again = patch(journal.newest + 1)
        journal.append(again)
        assert_equal(journal.replay(SHAPES), painted([*made[: again.number - 1], again]))


def test_a_flipped_byte_ends_the_journal_there(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path) as journal:
        for number in range(1, 6):
            journal.append(patch(number))
    ends = [end for _, end in read_journal(path)]
    content = bytearray(path.read_bytes())
    content[ends[2] + 20] ^= 0xFF
    path.write_bytes(content)
    assert [p.number for p, _ in read_journal(path)] == [1, 2, 3]


def test_wide_labels_and_stacks_come_back(tmp_path: Path) -> None:
    labels = np.arange(12, dtype=np.uint16).reshape(3, 4) * 300
    with Journal(tmp_path / "journal") as journal:
        journal.append(Patch(7, (2, 5), 1, 2, labels, 1))
        (found,) = journal.patches()
    assert (found.image, found.plane, found.y, found.x, found.number) == (7, (2, 5), 1, 2, 1)
    np.testing.assert_array_equal(found.labels, labels)


def test_foreign_and_newer_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    for content, word in ((b"PK\x03\x04 something else", "no journal"), (b"PNJL\xff\x00", "update")):
        path = tmp_path / "journal"
        path.write_bytes(content)
        with pytest.raises(InputError, match=word):
            Journal(path)
        assert path.read_bytes() == content


def test_kill_at_any_moment_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    path, dice = tmp_path / "journal", random.Random(0)
    for _ in range(12):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        first = int(writer.stdout.readline())
        time.sleep(dice.uniform(0, 0.1))
        writer.send_signal(signal.SIGKILL)
        told = [int(line) for line in writer.stdout.read().split(b"\n")[:-1] if line]
        writer.wait()
        newest = max([first, *told])
        with Journal(path) as journal:
            assert journal.newest >= newest
            numbers = [p.number for p in journal.patches()]
            assert numbers == list(range(1, journal.newest + 1))


def test_ten_thousand_strokes_replay(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with Journal(tmp_path / "journal") as journal:
        for number in range(1, 10_001):
            y, x = (int(v) for v in rng.integers(0, 2048 - 60, 2))
            labels = (rng.random((60, 60)) < 0.1).astype(np.uint8)
            journal.append(Patch(0, (), y, x, labels, number))
        planes = journal.replay({0: (2048, 2048)})
    assert planes[0, ()][y : y + 60, x : x + 60].tolist() == labels.tolist()
