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
result = pn.predict(read_image(sys.argv[1]), "nuclei")
numpy.save(sys.argv[2], result.labels)
"""


@pytest.mark.parametrize("name", ["nuclei", "tissue"])
def test_all_faces_give_equal_arrays(make_napari_viewer_proxy, qtbot, tmp_path: Path, name: str):
    sample = load_sample(name)
    crop = np.ascontiguousarray(np.asarray(sample.image.data)[:200, :240])
    path = tmp_path / "crop.tif"
    rgb = crop.ndim == 3
    tifffile.imwrite(path, crop, photometric="rgb" if rgb else "minisblack")

    viewer = make_napari_viewer_proxy()
    viewer.add_image(crop, name="crop", rgb=rgb)
    panel = UNetPanel(viewer)
    qtbot.addWidget(panel)
    panel.model.choose("nuclei")
    with qtbot.waitSignal(panel.runFinished, timeout=120_000) as finished:
        panel.start_run("plane")
    layer, result = finished.args
    seen = np.asarray(layer.data)

    command = [sys.executable, "-m", "napari_papernets.cli", "predict", str(path), "-o", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run([sys.executable, "-c", API, str(path), str(tmp_path / "api.npy")], check=True)
    from_api = np.load(tmp_path / "api.npy")

    assert seen.max() > 3
    np.testing.assert_array_equal(seen, from_api)
    np.testing.assert_array_equal(result.labels, from_api)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "crop_labels.tif"), from_api)
    assert "torch" not in sys.modules
