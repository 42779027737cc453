"""What every test may use."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

# Tiny networks on tiny images: threads would only wait for each other. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

# What platformdirs and programs look at; numba keeps what it compiled beside the sources, not there.
HOMES = {
    "HOME": "",
    "USERPROFILE": "",
    "XDG_DATA_HOME": ".local/share",
    "XDG_CONFIG_HOME": ".config",
    "XDG_CACHE_HOME": ".cache",
    "XDG_STATE_HOME": ".local/state",
}
HOME = pytest.StashKey[Path]()
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure(config: pytest.Config) -> None:
    """Tests are about the processor, where answers repeat bit by bit; `-m gpu` runs those of a GPU."""
    if config.getoption("markexpr") != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    config.stash[HOME] = Path(tempfile.mkdtemp(prefix="papernets-home-"))
    # Before anything is imported that looks once; processes that tests start get it too.
    os.environ.update({name: str(config.stash[HOME] / place) for name, place in HOMES.items()})


def pytest_unconfigure(config: pytest.Config) -> None:
    """The developer's own models, sessions and settings were neither read nor written."""
    shutil.rmtree(config.stash[HOME], ignore_errors=True)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and weights beside the checkout; tests are skipped without it."""
    if not (SHARED / "data").is_dir():
        pytest.skip("no folder of real images beside the checkout")
    return SHARED
