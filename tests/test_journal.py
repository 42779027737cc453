"""Strokes on disk: nothing that was appended is lost, whatever happens to the program."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_papernets import journal as module
from napari_papernets.core.annotation import Patch
from napari_papernets.core.errors import InputError
from napari_papernets.journal import Journal, Place
from napari_papernets.journal_records import HEAD, read_journal

SHAPES = {0: (40, 50), 1: (30, 30)}
PATIENCE = 20.0  # seconds after which something is taken to have hung

# Every third patch is half a megabyte of noise, so that the kill may fall into a write.
PATTERN = """
import numpy as np
from napari_papernets.core.annotation import Patch

def pattern(number):
    side = 700 if number % 3 == 0 else 9
    labels = np.random.default_rng(number).integers(0, 255, (side, side)).astype(np.uint8)
    return Patch(0, (number % 2,), number * 7 % 60, number * 13 % 80, labels, number)
"""
WRITER = f"""
import sys
from pathlib import Path
from napari_papernets.journal import Journal
{PATTERN}
journal = Journal(Path(sys.argv[1]))
for number in range(journal.newest + 1, 100_000):
    patch = pattern(number)
    journal.append(patch)
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


def painted(made: list[Patch], upto: int = 10**9, size: tuple[int, int] | None = None) -> dict:
    planes: dict[Place, np.ndarray] = {}
    for p in made:
        shape = size or SHAPES[p.image]
        plane = planes.setdefault((p.image, p.plane), np.zeros(shape, np.uint8))
        if p.number <= upto:
            plane[p.y : p.y + p.labels.shape[0], p.x : p.x + p.labels.shape[1]] = p.labels
    return planes


def assert_equal(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for place, values in expected.items():
        np.testing.assert_array_equal(found[place], values)


def numbers(path: Path) -> list[int]:
    return [p.number for p, _ in read_journal(path)]


def write(path: Path, count: int) -> list[int]:
    """Write so many patches, and return where each record ends."""
    with Journal(path) as journal:
        for number in range(1, count + 1):
            journal.append(patch(number, y=number))
    return [end for _, end in read_journal(path)]


@settings(max_examples=40, deadline=None)
@given(made=patches(), upto=st.integers(0, 12), cut=st.floats(0, 1))
def test_replay_is_painting_and_any_torn_file_is_a_prefix(tmp_path_factory, made, upto, cut) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    with Journal(path) as journal:
        for p in made:
            journal.append(p)
        assert_equal(journal.replay(SHAPES), painted(made))
        assert_equal(journal.replay(SHAPES, upto), painted(made, upto))
        assert [p.number for p in journal.patches(upto, 3)] == list(range(4, min(upto, len(made)) + 1))
    content = path.read_bytes()
    path.write_bytes(content[: round(cut * len(content))])
    with Journal(path) as journal:
        assert_equal(journal.replay(SHAPES), painted(made[: journal.newest]))
        again = patch(journal.newest + 1)
        journal.append(again)
        assert_equal(journal.replay(SHAPES), painted([*made[: again.number - 1], again]))


def test_a_file_cut_at_any_byte_goes_on_after_the_last_whole_patch(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    ends = write(path, 3)
    content = path.read_bytes()
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        whole = sum(end <= cut for end in ends)
        with Journal(path) as journal:
            assert (journal.newest, journal.damaged) == (whole, 0)
            journal.append(Patch(0, (), 0, 0, np.ones((1, 1), np.uint8), whole + 1))
        assert numbers(path) == list(range(1, whole + 2))
        assert list(read_journal(path))[-1][1] == path.stat().st_size


def test_a_damaged_byte_costs_one_patch_and_none_of_those_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    ends = write(path, 4)
    content = path.read_bytes()
    for at in range(HEAD.size, len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        lost = 1 + sum(end <= at for end in ends)
        with Journal(path) as journal:
            assert journal.damaged == (lost < 4)  # a damaged end is a torn one
            journal.append(patch(journal.newest + 1))
        expected = [n for n in (1, 2, 3, 4) if n != lost]
        assert numbers(path) == [*expected, expected[-1] + 1]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "uint32", ">u2", "int64", "uint64"])
def test_labels_of_every_type_and_stacks_come_back(tmp_path: Path, dtype: str) -> None:
    labels = (np.arange(12).reshape(4, 3).T * 20).astype(dtype)
    with Journal(tmp_path / "journal") as journal:
        journal.append(Patch(7, (2, 5), 1, 2, labels, 1))
        (found,) = journal.patches()
        plane = journal.replay({7: (9, 9)})[7, (2, 5)]
    assert (found.image, found.plane, found.y, found.x, found.number) == (7, (2, 5), 1, 2, 1)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.labels.dtype.kind == "u"
    np.testing.assert_array_equal(plane[1:4, 2:6], labels)


def test_a_plane_widens_with_its_labels(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        journal.append(patch(1))
        journal.append(Patch(0, (), 10, 10, np.full((2, 2), 300, np.uint16), 2))
        plane = journal.replay(SHAPES)[0, ()]
    assert (plane[0, 0], plane[10, 10]) == (2, 300)


@pytest.mark.parametrize("labels", [np.full((2, 2), -1), np.full((2, 2), 0.5), np.full((2, 2), 2**40)])
def test_labels_that_are_none_are_refused(tmp_path: Path, labels: np.ndarray) -> None:
    with Journal(tmp_path / "journal") as journal:
        with pytest.raises(InputError, match="labels"):
            journal.append(Patch(0, (), 0, 0, labels, 1))
        journal.append(patch(1))


def test_numbers_only_grow(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        journal.append(patch(5))
        for number in (5, 2):
            with pytest.raises(InputError, match="6"):
                journal.append(patch(number))
    assert numbers(tmp_path / "journal") == [5]


def test_a_smaller_image_is_refused(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        journal.append(patch(1, y=20))
        with pytest.raises(InputError, match="larger"):
            journal.replay({0: (22, 50)})
        assert journal.replay({1: (22, 50)}) == {}


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"PK\x03\x04 something else", "not a journal"), (b"no", "a journal"), (b"PNJL\xff\x00", "update")],
)
def test_foreign_and_newer_files_are_refused_and_left_alone(
    tmp_path: Path, content: bytes, word: str
) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(InputError, match=word):
        Journal(path)
    assert path.read_bytes() == content


def test_a_closed_journal_takes_nothing_and_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append(patch(1))
    journal.close()
    journal.close()
    with pytest.raises(InputError, match="open"):
        journal.append(patch(2))
    assert numbers(journal.path) == [1]


def test_it_reaches_the_disk_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, synced = [], threading.Semaphore(0)

    def note(file: int) -> None:
        sizes.append(os.fstat(file).st_size)
        synced.release()

    monkeypatch.setattr(module.os, "fsync", note)
    monkeypatch.setattr(module, "SYNC_SECONDS", 0.01)
    with Journal(tmp_path / "journal") as journal:
        for number in (1, 2):
            journal.append(patch(number))
            assert synced.acquire(timeout=PATIENCE)
            while sizes[-1] < journal.path.stat().st_size:
                assert synced.acquire(timeout=PATIENCE)


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files")
def test_strokes_wait_for_room_on_a_full_disk(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    journal = Journal(tmp_path / "journal")
    journal.append(patch(1))
    size = journal.path.stat().st_size
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 30, before[1]))
        for number in (2, 3):
            with pytest.raises(InputError, match="room"):
                journal.append(patch(number))
            assert numbers(journal.path) == [1]
        with pytest.raises(InputError, match="room"):
            journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert journal.path.stat().st_size == size
    journal.append(patch(4))
    assert numbers(journal.path) == [1, 2, 3, 4]
    journal.close()


def test_strokes_wait_for_a_disk_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SYNC_SECONDS", 0.01)
    journal = Journal(tmp_path / "journal")
    journal.append(patch(1))
    disk, size = journal._file, journal.path.stat().st_size

    class Torn:
        """Writes a part, and then nothing goes any more."""

        tries = 0

        def write(self, content: bytes) -> int:
            disk.write(content[:7])
            raise OSError(5, "Input/output error")

        def truncate(self, size: int) -> None:
            self.tries += 1
            raise OSError(5, "Input/output error")

        def __getattr__(self, name: str) -> Any:
            return getattr(disk, name)

    journal._file = torn = Torn()
    with pytest.raises(InputError, match="Input/output"):
        journal.append(patch(2))
    assert journal.path.stat().st_size > size
    end = time.monotonic() + PATIENCE
    while torn.tries < 4:  # the thread goes on trying
        assert time.monotonic() < end
        time.sleep(0.01)
    journal._file = disk
    while numbers(journal.path) != [1, 2]:
        assert time.monotonic() < end
        time.sleep(0.01)
    journal.close()


def test_it_is_read_while_it_is_written(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        writer = threading.Thread(target=lambda: [journal.append(patch(n)) for n in range(1, 400)])
        writer.start()
        while writer.is_alive():
            found = [p.number for p in journal.patches()]
            assert found == list(range(1, len(found) + 1))
            journal.sync()
        writer.join()
        assert len(list(journal.patches())) == 399


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_kill_at_any_moment_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    path, dice, space = tmp_path / "journal", random.Random(0), {}
    exec(PATTERN, space)
    for _ in range(20):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        told = [writer.stdout.readline()]
        time.sleep(dice.uniform(0, 0.05))
        writer.kill()
        told += writer.stdout.read().splitlines(keepends=True)
        writer.wait()
        newest = max(int(line) for line in told if line.endswith(b"\n"))
        with Journal(path) as journal:
            assert journal.newest in (newest, newest + 1)  # one may not have been told any more
            assert journal.damaged == 0
            journal.append(space["pattern"](journal.newest + 1))
    assert numbers(path) == list(range(1, journal.newest + 1))
    made = [space["pattern"](n) for n in range(1, journal.newest + 1)]
    with Journal(path) as journal:
        assert_equal(journal.replay({0: (800, 800)}), painted(made, size=(800, 800)))


def test_ten_thousand_strokes_replay(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with Journal(tmp_path / "journal") as journal:
        for number in range(1, 10_001):
            y, x = (int(v) for v in rng.integers(0, 2048 - 60, 2))
            labels = (rng.random((60, 60)) < 0.1).astype(np.uint8)
            journal.append(Patch(0, (), y, x, labels, number))
        planes = journal.replay({0: (2048, 2048)})
    np.testing.assert_array_equal(planes[0, ()][y : y + 60, x : x + 60], labels)
