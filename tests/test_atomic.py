"""Files and folders that appear whole or not at all, and take the place of nothing else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from napari_papernets import atomic
from napari_papernets.atomic import FORGOTTEN, replacing
from napari_papernets.core.errors import InputError


def write(path: Path, text: str = "new") -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def test_after_a_failure_the_old_file_is_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write(path, "old")
    with pytest.raises(TypeError), replacing(path) as temporary:
        temporary.open("w").write(3)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_folder_of_something_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    path.mkdir()
    (path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="move it away"):
        write(path)
    assert (path / "mine.txt").read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("within", [(), ("zarr.json",), (".zgroup", "0")])
def test_an_empty_folder_and_a_zarr_image_are_replaced(tmp_path: Path, within: tuple[str, ...]) -> None:
    path = tmp_path / "labels.zarr"
    path.mkdir()
    for name in within:
        (path / name).touch()
    with replacing(path) as temporary:
        temporary.mkdir()
        (temporary / "zarr.json").write_text("new")
    assert (path / "zarr.json").read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_cleared_a_day_later(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    old, young, other = (
        tmp_path / name
        for name in (".0123456789ab-labels.tif", ".ba9876543210-labels.tif", ".0123456789ab-other.tif")
    )
    for left in (old, young, other):
        left.write_text("half")
    for left in (old, other):
        long_ago = left.stat().st_mtime - FORGOTTEN - 60
        os.utime(left, (long_ago, long_ago))
    write(path)
    assert sorted(tmp_path.iterdir()) == sorted([young, other, path])


@pytest.mark.parametrize("name", [False, True])
def test_a_full_disk_names_the_file_and_not_the_one_beside_it(tmp_path: Path, name: bool) -> None:
    def write(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", *[str(temporary)] * name)

    path = tmp_path / "a.tif"
    with pytest.raises(OSError, match="No space") as error, replacing(path) as temporary:
        write(temporary)
    assert (error.value.filename, error.value.errno) == (str(path), errno.ENOSPC)
    assert not list(tmp_path.iterdir())


def test_an_error_without_a_number_names_the_file_too(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r"a\.npy: 10 requested and 0 written"),
        replacing(tmp_path / "a.npy"),
    ):
        raise OSError("10 requested and 0 written")


def test_an_error_of_another_file_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error, replacing(tmp_path / "a.tif"):
        (tmp_path / "source.tif").read_bytes()
    assert "source.tif" in str(error.value.filename)


def test_what_cannot_be_cleared_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / ".0123456789ab-labels.tif"
    left.write_text("half")
    os.utime(left, (0, 0))

    def refuse(path: Path) -> None:
        raise PermissionError(13, "not yours", str(path))

    with replacing(tmp_path / "labels.tif") as temporary:
        temporary.write_text("new")
        monkeypatch.setattr(atomic, "_remove", lambda p: refuse(p) if p == left else None)
    assert (tmp_path / "labels.tif").read_text() == "new"
