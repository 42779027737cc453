"""A name that is being trained is kept from other trainings, and never for longer than they live."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from napari_papernets.core.errors import InputError
from napari_papernets.model_files import CHECKPOINT_SUFFIX, is_taken, name_to_write, reserved
from napari_papernets.training_lock import is_trained, training

HOLDER = """
import sys, time
from pathlib import Path
from napari_papernets.training_lock import training
with training(Path(sys.argv[1]), "tuned") as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


def test_two_trainings_without_a_name_get_different_ones(tmp_path: Path) -> None:
    with (
        reserved(None, "tuned", tmp_path, resume=False) as first,
        reserved(None, "tuned", tmp_path, resume=False) as second,
    ):
        assert (first, second) == ("tuned", "tuned-2")
        assert is_taken("tuned", tmp_path)
    assert not is_taken("tuned", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_being_trained_is_refused(tmp_path: Path) -> None:
    with reserved("mine", "tuned", tmp_path, resume=False):
        with pytest.raises(InputError, match="name: got 'mine'; a training under way writes it"):
            reserved("mine", "tuned", tmp_path, resume=True).__enter__()
        assert is_trained(tmp_path, "mine")


def test_the_unfinished_one_goes_on_but_not_the_one_under_way(tmp_path: Path) -> None:
    for name in ("tuned", "tuned-2"):
        (tmp_path / f"{name}{CHECKPOINT_SUFFIX}").touch()
    assert name_to_write(None, "tuned", tmp_path, resume=True) == "tuned-2"
    with training(tmp_path, "tuned-2"):
        assert name_to_write(None, "tuned", tmp_path, resume=True) == "tuned"
        assert name_to_write(None, "tuned", tmp_path, resume=False) == "tuned-3"


def test_a_program_that_is_killed_leaves_its_name_free(tmp_path: Path) -> None:
    line = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as program:
        assert program.stdout.readline() == b"True\n"
        assert is_trained(tmp_path, "tuned")
        program.kill()
    assert not is_trained(tmp_path, "tuned")
    with training(tmp_path, "tuned") as mine:
        assert mine
    assert not list(tmp_path.iterdir())


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path: Path) -> None:
    with training(tmp_path / "a" / "b", "tuned"):
        assert is_trained(tmp_path / "a" / "b", "tuned")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("asked", ["moco", None])
def test_further_processes_of_torchrun_take_the_name_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str | None, resume: bool
) -> None:
    (tmp_path / f"moco{CHECKPOINT_SUFFIX}").touch()
    with reserved(asked, "moco", tmp_path, resume) as first:
        monkeypatch.setenv("RANK", "1")
        with reserved(asked, "moco", tmp_path, resume) as name:
            assert name == first
