"""What fresh interpreters import: discovery and the screen stay light, and torch stays out."""

from __future__ import annotations

import subprocess
import sys

import pytest


def modules_after(code: str) -> set[str]:
    """Names of the modules that a fresh interpreter holds after running `code`."""
    script = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    loaded = modules_after("import napari_papernets as pn; dir(pn); pn.__version__")
    assert not loaded & {"torch", "numpy", "napari", "qtpy", "skimage", "scipy"}


@pytest.mark.parametrize(
    "module",
    [
        "napari_papernets.core.tune_settings",
        "napari_papernets.model_files",
        "napari_papernets.files",
        "napari_papernets.samples",
        "napari_papernets.engine.door",
        "napari_papernets.cli",
    ],
)
def test_light_modules_load_no_torch_and_no_screen(module):
    assert not modules_after(f"import {module}") & {"torch", "napari", "qtpy"}


def test_listing_models_needs_no_torch():
    assert "torch" not in modules_after("import napari_papernets as pn; pn.list_models()")


def test_a_prediction_needs_neither_napari_nor_qt_nor_what_is_slow_to_import():
    blank = "import napari_papernets as pn, numpy; pn.predict(numpy.zeros((32, 32), 'uint8'), 'nuclei')"
    loaded = modules_after(f"import napari_papernets.engine.verbs; {blank}")
    assert "torch" in loaded
    assert not loaded & {"napari", "qtpy", "magicgui", "superqt"}
    assert not loaded & {"torchvision", "torch._dynamo", "sympy", "numba", "sklearn"}
