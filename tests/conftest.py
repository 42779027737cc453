"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

# Tiny networks on tiny images: threads would only wait for each other. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure(config: pytest.Config) -> None:
    """Tests are about the processor, where answers repeat bit by bit; `-m gpu` runs those of a GPU."""
    if config.getoption("markexpr") != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and weights beside the checkout; tests are skipped without it."""
    if not (SHARED / "data").is_dir():
        pytest.skip("no folder of real images beside the checkout")
    return SHARED
