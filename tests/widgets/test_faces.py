"""The panel, the Python API and the command line give equal arrays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_papernets.samples import load_sample
from napari_papernets.widgets.unet_panel import UNetPanel

pytestmark = pytest.mark.gui

API = """
import numpy, sys, napari_papernets as pn
from napari_papernets.files import read_image
for path in sys.argv[1:]:
    numpy.save(path + ".npy", pn.predict(read_image(path), "nuclei").labels)
"""


@pytest.fixture(scope="module")
def crops(tmp_path_factory) -> dict[str, Path]:
    """Files of a grey and of an RGB image; beside each what the API and the command line made of it."""
    folder = tmp_path_factory.mktemp("crops")
    paths = {name: folder / f"{name}.tif" for name in ("nuclei", "tissue")}
    for name, path in paths.items():
        crop = np.asarray(load_sample(name).image.data)[:200, :240]
        tifffile.imwrite(path, crop, photometric="rgb" if crop.ndim == 3 else "minisblack")
    files = [str(path) for path in paths.values()]
    command = [sys.executable, "-m", "napari_papernets.cli", "predict", *files, "-o", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run([sys.executable, "-c", API, *files], check=True)
    return paths


@pytest.mark.parametrize("name", ["nuclei", "tissue"])
def test_all_faces_give_equal_arrays(make_napari_viewer_proxy, qtbot, crops: dict[str, Path], name: str):
    path = crops[name]
    crop = tifffile.imread(path)
    viewer = make_napari_viewer_proxy()
    viewer.add_image(crop, name="crop", rgb=crop.ndim == 3)
    panel = UNetPanel(viewer)
    qtbot.addWidget(panel)
    panel.model.choose("nuclei")
    with qtbot.waitSignal(panel.runFinished, timeout=120_000) as finished:
        panel.start_run("plane")
    layer, result = finished.args
    seen = np.asarray(layer.data)

    from_api = np.load(f"{path}.npy")
    assert seen.max() > 3
    np.testing.assert_array_equal(seen, from_api)
    np.testing.assert_array_equal(result.labels, from_api)
    np.testing.assert_array_equal(tifffile.imread(path.with_name(f"{name}_labels.tif")), from_api)
    assert "torch" not in sys.modules
