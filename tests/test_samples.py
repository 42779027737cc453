"""The samples are what they say, open in napari's terms, and come out of their script."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources

import numpy as np
import pytest

from napari_papernets import samples
from napari_papernets.core.errors import InputError
from napari_papernets.samples import SAMPLES, class_colours, load_sample, real_layers, sample_layers

REAL = ("cell", "immunohistochemistry", "retina", "microaneurysms")


@pytest.mark.parametrize("name", SAMPLES)
def test_strokes_lie_where_they_belong(name: str) -> None:
    sample = load_sample(name)
    info, strokes, truth = sample.info, sample.strokes, sample.truth
    assert truth is not None
    assert strokes.shape == truth.shape == (*sample.image.stack_shape, *sample.image.plane_shape)
    assert set(np.unique(strokes)) == set(range(len(info.classes) + 1))
    assert 0.002 < (strokes > 0).mean() < 0.03  # a few strokes, not a finished annotation
    if info.instances:
        assert (truth[strokes == 2] > 0).all()
        assert (truth[(strokes > 0) & (strokes != 2)] == 0).all()
    else:
        assert (truth[strokes > 0] == strokes[strokes > 0]).all()


@pytest.mark.parametrize("name", SAMPLES)
def test_pictures_use_their_range(name: str) -> None:
    sample = load_sample(name)
    data = np.asarray(sample.image.data)
    assert data.dtype in (np.uint8, np.uint16)
    low, high = np.percentile(data, (1, 99))
    assert high - low > 0.3 * min(255, data.max())
    assert (data == np.iinfo(data.dtype).max).mean() < 0.01  # hardly saturated
    assert sample.image.unit == "µm"
    assert sample.image.axes == sample.info.axes
    assert sample.class_names == sample.info.classes


def test_objects_touch_and_are_numbered_without_gaps() -> None:
    for name in ("nuclei", "rods", "tissue", "nuclei_stack"):
        truth = load_sample(name).truth
        assert truth is not None
        assert truth.max() > 50
        assert len(np.unique(truth)) == truth.max() + 1
        left, right = truth[..., :-1], truth[..., 1:]
        assert ((left > 0) & (right > 0) & (left != right)).sum() > 20


def test_stored_axes_and_scale_agree_with_the_description() -> None:
    from napari_papernets.files import read_image

    with resources.as_file(resources.files("napari_papernets.sample_data")) as folder:
        for info in SAMPLES.values():
            block = read_image(folder / info.image_file)
            assert (block.axes, block.unit) == (info.axes, info.unit)
            assert block.scale == pytest.approx(info.scale)


def test_samples_are_small() -> None:
    with resources.as_file(resources.files("napari_papernets.sample_data")) as folder:
        sizes = [p.stat().st_size for p in folder.iterdir() if p.suffix in (".tif", ".png")]
    assert len(sizes) == 3 * len(SAMPLES)
    assert sum(sizes) < 3_000_000


@pytest.mark.parametrize("name", ["nuclei", "nuclei_stack"])
def test_the_script_draws_what_is_shipped(name: str) -> None:
    from napari_papernets.sample_data.generate import draw

    drawn, shipped = draw(name), load_sample(name)
    np.testing.assert_array_equal(drawn.truth, shipped.truth)
    np.testing.assert_array_equal(drawn.strokes, shipped.strokes)
    np.testing.assert_array_equal(drawn.image, shipped.image.data)


def test_unknown_sample_is_refused() -> None:
    with pytest.raises(InputError, match="nuclei, membranes"):
        load_sample("neurons")


@pytest.mark.parametrize("name", SAMPLES)
def test_layers_of_a_sample(name: str) -> None:
    image, truth, strokes = sample_layers(name)
    info = SAMPLES[name]
    assert [layer[2] for layer in (image, truth, strokes)] == ["image", "labels", "labels"]
    assert [layer[1]["name"] for layer in (image, truth, strokes)] == [
        name,
        f"{name} truth",
        f"{name} strokes",
    ]
    assert image[1]["rgb"] == ("C" in info.axes)
    assert truth[1]["visible"] is False
    assert strokes[1].get("visible", True)
    assert image[1]["scale"] == truth[1]["scale"] == strokes[1]["scale"]
    assert strokes[1]["metadata"]["class_names"] == info.classes


def test_class_colours_are_distinct_and_nothing_else_is_shown() -> None:
    colours = class_colours(("a", "b", "c"))
    assert colours[0] == colours[None] == "transparent"
    assert len({colours[i] for i in (1, 2, 3)}) == 3


@pytest.mark.parametrize("name", REAL)
def test_real_images_need_no_download(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    image, strokes = real_layers(name)
    assert strokes[0].shape == image[0].shape[:2]
    assert not strokes[0].any()


def test_manifest_opens_every_sample_as_layers() -> None:
    """In a process of its own: napari's layers, every sample of the manifest, and never torch."""
    code = """
import sys
from napari.layers import Layer
from npe2 import PluginManager
manager = PluginManager.instance()
manager.discover()
manifest = manager.get_manifest("napari-papernets")
for sample in manifest.contributions.sample_data:
    layers = [Layer.create(*data) for data in sample.open()]
    print(sample.key, *(layer._type_string for layer in layers))
assert "torch" not in sys.modules
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    opened = dict(line.split(maxsplit=1) for line in ran.stdout.splitlines())
    assert set(opened) == {*SAMPLES, *REAL}
    assert all(opened[name] == "image labels labels" for name in SAMPLES)


def test_manifest_is_valid_and_names_what_exists() -> None:
    from npe2 import PluginManifest

    path = resources.files("napari_papernets") / "napari.yaml"
    manifest = PluginManifest.from_file(str(path))
    commands = {c.id: c for c in manifest.contributions.commands or ()}
    for contribution in manifest.contributions.sample_data or ():
        module, _, function = (commands[contribution.command].python_name or "").partition(":")
        assert module == samples.__name__
        assert callable(getattr(samples, function))
    widgets = {
        w.display_name: commands[w.command].python_name for w in manifest.contributions.widgets or ()
    }
    assert widgets["U-Net"] == "napari_papernets.widgets.unet_panel:UNetPanel"
