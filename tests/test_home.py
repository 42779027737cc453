"""Tests have a home of their own: the developer's models, sessions and settings stay out of them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from napari_papernets.model_files import user_folder
from napari_papernets.session import sessions_folder

WHERE = "from napari_papernets.model_files import user_folder; print(user_folder())"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell folders by the environment")
def test_neither_tests_nor_processes_that_they_start_see_the_developers_files() -> None:
    place = Path(tempfile.gettempdir()).resolve()
    child = subprocess.run([sys.executable, "-c", WHERE], capture_output=True, text=True, check=True)
    assert Path(child.stdout.strip()) == user_folder()
    for folder in (user_folder(), sessions_folder(), Path.home()):
        assert folder.resolve().is_relative_to(place)
