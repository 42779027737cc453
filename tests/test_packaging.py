"""The wheel holds everything: it is built, installed beside the dependencies only, and used."""

from __future__ import annotations

import ast
import configparser
import os
import re
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXTRA = {"napari", "vispy", "pydensecrf"}

USE = """
import importlib.metadata as metadata
from pathlib import Path
import numpy as np
import napari_papernets as pn
from napari_papernets.samples import load_sample
assert Path(pn.__file__).is_relative_to(Path(__import__("sys").prefix)), pn.__file__
names = {e.name for e in metadata.entry_points(group="napari.manifest")}
assert "napari-papernets" in names, names
assert (Path(pn.__file__).parent / "napari.yaml").is_file()
sample = load_sample("nuclei")
result = pn.predict(sample.image, "nuclei", settings=pn.PredictSettings(zoom=1.0))
assert result.labels.max() > 5, result.labels.max()
print("objects", result.labels.max())
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """Interpreter of a new environment that holds the wheel; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(build, check=True, capture_output=True, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=True)
    scripts = "Scripts" if os.name == "nt" else "bin"
    interpreter = folder / "env" / scripts / "python"
    install = [interpreter, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([interpreter, "-c", where], check=True, capture_output=True, text=True)
    # A plain path, not a site directory: the editable install's own hooks are not followed.
    (Path(site.stdout.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return interpreter


def test_what_the_package_imports_is_what_it_asks_for():
    """Napari, which brings a Qt binding, and another CRF come with extras."""
    told = configparser.ConfigParser()
    told.read(ROOT / "setup.cfg", "utf-8")
    asked = plain_names(told["options"]["install_requires"])
    brings = metadata.packages_distributions()
    names = imports_of(ROOT / "napari_papernets") - EXTRA
    imported = {plain_names(brings[name][0]).pop() for name in names}
    assert imported - asked == set()
    assert asked - imported == {"pyqtgraph"}  # imported by its name, beside the window


def plain_names(requirements: str) -> set[str]:
    return {re.split(r"[\[<>=]", line)[0].strip().lower() for line in requirements.split("\n") if line}


def imports_of(folder: Path) -> set[str]:
    """Other packages that its modules import, wherever in them; none of Python's own."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(str(node.module).split(".")[0])
    return found - sys.stdlib_module_names - {"napari_papernets"}


def test_the_installed_wheel_works(python, tmp_path):
    done = subprocess.run([python, "-c", USE], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("objects")


def test_its_command_line_works(python, tmp_path):
    command = python.with_name("papernets")
    done = subprocess.run([command, "models"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nuclei" in done.stdout
