"""An error of the disk tells which file was being written, and nothing is left of it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from napari_papernets.whole_files import writing


@pytest.mark.parametrize("name", [False, True])
def test_a_full_disk_names_the_file_and_not_the_one_beside_it(tmp_path: Path, name: bool) -> None:
    def write(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", *[str(temporary)] * name)

    path = tmp_path / "a.tif"
    with pytest.raises(OSError, match="No space") as error, writing(path) as temporary:
        write(temporary)
    assert (error.value.filename, error.value.errno) == (str(path), errno.ENOSPC)
    assert not list(tmp_path.iterdir())


def test_an_error_without_a_number_names_the_file_too(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r"a\.npy: 10 requested and 0 written"),
        writing(tmp_path / "a.npy"),
    ):
        raise OSError("10 requested and 0 written")


def test_an_error_of_another_file_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error, writing(tmp_path / "a.tif"):
        (tmp_path / "source.tif").read_bytes()
    assert "source.tif" in str(error.value.filename)


def test_what_is_written_takes_its_place(tmp_path: Path) -> None:
    with writing(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
