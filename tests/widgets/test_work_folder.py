"""Folders that a killed program left behind are cleared, those of others stay."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from napari_papernets.widgets.work_folder import PREFIX, clear_old_folders, make_work_folder


def test_only_old_folders_of_dead_processes_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine = make_work_folder()
    names = [f"{PREFIX}{ended.pid}-a", f"{PREFIX}{10**12}-a", f"{PREFIX}{ended.pid}-b", f"{PREFIX}abc"]
    dead, impossible, fresh, foreign = (tmp_path / name for name in names)
    for folder in (dead, impossible, fresh, foreign):
        folder.mkdir()
        (folder / "live 1.safetensors").touch()
    for folder in (mine, dead, impossible, foreign):
        os.utime(folder, (1, 1))
    clear_old_folders()
    assert set(tmp_path.iterdir()) == {mine, fresh, foreign}
