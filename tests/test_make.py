"""What `make` does before anything is installed: the environment, and where the demo draws."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fakes are shell scripts")

ROOT = Path(__file__).resolve().parents[1]
PYTHON = f"""#!/bin/bash
# A Python whose venv lacks ensurepip until apt-get has been called, as on Debian.
if [ ! -e "$FAKES/installed" ]; then
    case "$*" in
        *"import ensurepip"*) exit 1 ;;
        "-m venv "*) "{sys.executable}" -m venv --without-pip "$3"
            echo "ensurepip is not available"; exit 1 ;;
    esac
fi
exec "{sys.executable}" "$@"
"""


@pytest.fixture
def fakes(tmp_path: Path) -> Path:
    """A folder of programs that stand before the machine's own."""
    folder = tmp_path / "fakes"
    folder.mkdir()
    add(folder, "python3", PYTHON)
    add(folder, "dpkg-query", "#!/bin/bash\nexit 0\n")
    add(folder, "id", "#!/bin/bash\necho ${FAKE_ID:-0}\n")
    add(folder, "uname", "#!/bin/bash\necho ${FAKE_UNAME:-Linux}\n")
    asked = '#!/bin/bash\necho "$*" >> "$FAKES/asked"\n[ "$1" != install ] || touch "$FAKES/installed"\n'
    add(folder, "apt-get", asked)
    return folder


def add(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def call(fakes: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    known = {k: v for k, v in os.environ.items() if k not in ("CI", "DISPLAY", "WAYLAND_DISPLAY")}
    path = f"{fakes}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        words, cwd=fakes.parent, env={**known, "PATH": path, "FAKES": str(fakes), **more},
        capture_output=True, text=True,
    )  # fmt: skip


def make_environment(fakes: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return call(fakes, str(ROOT / ".ci/environment"), "python3", "env", "env/bin", **more)


def has_pip(folder: Path) -> bool:
    done = subprocess.run([folder / "bin/python", "-m", "pip", "--version"], capture_output=True)
    return done.returncode == 0


@pytest.mark.parametrize("half_made", [False, True])
def test_root_on_debian_gets_what_venv_needs(fakes: Path, half_made: bool) -> None:
    if half_made:
        call(fakes, "python3", "-m", "venv", "env")
        assert (fakes.parent / "env/bin/python").exists()
    done = make_environment(fakes)
    assert done.returncode == 0, done.stdout + done.stderr
    assert has_pip(fakes.parent / "env")
    package = "python{}.{}-venv".format(*sys.version_info)
    assert (fakes / "asked").read_text().splitlines() == ["update -qq", f"install -y -qq {package}"]
    assert make_environment(fakes).returncode == 0
    assert len((fakes / "asked").read_text().splitlines()) == 2


def test_others_are_told_the_command_and_nothing_is_left_behind(fakes: Path) -> None:
    done = make_environment(fakes, FAKE_ID="1000")
    assert done.returncode == 1
    assert "sudo apt-get install -y python{}.{}-venv".format(*sys.version_info) in done.stdout
    assert not (fakes.parent / "env").exists()


def test_what_apt_cannot_mend_is_told_and_leaves_nothing_behind(fakes: Path) -> None:
    add(fakes, "dpkg-query", "#!/bin/bash\nexit 1\n")
    done = make_environment(fakes)
    assert done.returncode == 1
    assert "choose another" in done.stdout
    assert not (fakes.parent / "env").exists()
    assert not (fakes / "asked").exists()


@pytest.mark.parametrize(
    ("system", "variables", "virtual"),
    [
        ("Linux", {}, True),
        ("Linux", {"DISPLAY": ":0"}, False),
        ("Linux", {"WAYLAND_DISPLAY": "wayland-0"}, False),
        ("Linux", {"DISPLAY": ":0", "CI": "1"}, True),
        ("Darwin", {}, False),
        ("MINGW64_NT-10.0", {}, False),
    ],
)
def test_the_demo_closes_itself_on_a_virtual_screen_only(
    fakes: Path, system: str, variables: dict[str, str], virtual: bool
) -> None:
    shutil.copy(ROOT / "Makefile", fakes.parent)
    for name in ("setup.cfg", "pyproject.toml"):
        (fakes.parent / name).touch()
    done = call(fakes, "make", "--dry-run", "demo", FAKE_UNAME=system, **variables)
    assert done.returncode == 0, done.stderr
    assert ("--output demo-output" in done.stdout) == virtual
    assert "papernets demo" in done.stdout
