"""What the functions of `napari_papernets` take that the verbs behind them do not."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

import napari_papernets as pn
from napari_papernets.api import drain
from napari_papernets.core.errors import InputError
from napari_papernets.core.events import Event, Notice
from napari_papernets.networks import UNet, VisionTransformer

IMAGE = np.random.default_rng(0).random((24, 24), np.float32)
NETWORK = UNet(1, 2, width=2, depth=1, padding="same")
TOKENS = VisionTransformer(image_size=16, patch_size=8, dim=8, depth=1, heads=1)
STROKES = (np.indices(IMAGE.shape)[1] > 12) + 1
BELIEFS = np.full((2, 24, 24), 0.5, np.float32)
STACK = np.stack([IMAGE, IMAGE])

# What is called, and what the message must name.
MISUSES = {
    "settings of a mapping": (lambda: pn.predict(IMAGE, NETWORK, settings={"zoom": 1}), "settings"),
    "settings of another verb": (
        lambda: pn.predict(IMAGE, NETWORK, settings=pn.TuneSettings()),
        "settings",
    ),
    "settings of finetune": (lambda: pn.finetune(IMAGE, STROKES, settings={"steps": 1}), "settings"),
    "settings of refine": (lambda: pn.refine(BELIEFS, IMAGE, settings={"w1": 1}), "settings"),
    "settings of features": (lambda: pn.features(IMAGE, TOKENS, settings={"block": 1}), "settings"),
    "settings of pretrain": (lambda: pn.pretrain(IMAGE, settings={"K": 8}), "settings"),
    "a tensor": (lambda: pn.predict(torch.zeros(24, 24), NETWORK), "image"),
    "beliefs in a tensor": (lambda: pn.refine(torch.from_numpy(BELIEFS), IMAGE), "probabilities"),
    "no axes": (lambda: pn.predict(IMAGE, NETWORK, axes=None), "axes"),
    "no device": (lambda: pn.predict(IMAGE, NETWORK, device=None), "device"),
    "no model": (lambda: pn.predict(IMAGE, None), "model"),
    "no model to load": (lambda: pn.load_model(None), "model"),
    "no model to save": (lambda: pn.save_model(None, "x"), "model"),
    "no name to save as": (lambda: pn.save_model(NETWORK, ""), "path"),
    "no annotations": (lambda: pn.finetune(IMAGE, None), "annotations"),
    "no images": (lambda: pn.finetune(None, STROKES), "images"),
    "no images to look at": (lambda: pn.pretrain(None), "images"),
    "rows of unequal length": (lambda: pn.refine([[1], [1, 2]], IMAGE), "probabilities"),
    "class names that are numbers": (
        lambda: pn.finetune(IMAGE, STROKES, class_names=[1, 2]),
        "class_names",
    ),
    "class names in one text": (
        lambda: pn.finetune(IMAGE, STROKES, class_names="ab"),
        "class_names",
    ),
    "an empty class name": (
        lambda: pn.finetune(IMAGE, STROKES, class_names=["ground", " "]),
        "class_names",
    ),
    "two classes of one name": (
        lambda: pn.finetune(IMAGE, STROKES, class_names=["cell", "cell "]),
        "class_names",
    ),
    "half a region to segment": (lambda: pn.predict(IMAGE, NETWORK, region=(0, 8)), "region"),
    "planes of a plane": (lambda: pn.predict(IMAGE, NETWORK, planes=[(0,)]), "planes"),
    "half a region to refine": (lambda: pn.refine(BELIEFS, IMAGE, region=(0, 8)), "region"),
    "shares of others": (lambda: pn.finetune(IMAGE, STROKES, shares=[1, 1]), "shares"),
    "half a region": (lambda: pn.features(IMAGE, TOKENS, region=(0, 8)), "region"),
    "a region between pixels": (lambda: pn.features(IMAGE, TOKENS, region=(0.5, 8, 0, 8)), "region"),
    "planes that are numbers": (lambda: pn.features(STACK, TOKENS, axes="ZYX", planes=[0]), "planes"),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_what_cannot_be_used_is_named(misuse: str) -> None:
    call, field = MISUSES[misuse]
    with pytest.raises(InputError) as error:
        call()
    assert error.value.field == field


def test_a_network_that_is_given_stays_in_its_mode() -> None:
    network = UNet(1, 2, width=2, depth=1, padding="same", norm="batch").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pn.predict(IMAGE, network)
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_part_of_a_stack_is_segmented_and_refined_as_in_the_whole() -> None:
    stack = np.random.default_rng(1).random((3, 40, 40), np.float32)
    whole = pn.predict(stack, NETWORK, "ZYX", settings=pn.PredictSettings(precision="float32"))
    settings = pn.PredictSettings(precision="float32")
    region: tuple[int, int, int, int] = (8, 30, 4, 40)
    part = pn.predict(stack, NETWORK, "ZYX", settings=settings, region=region, planes=[(2,)])
    assert part.labels.shape == (1, 22, 36)
    np.testing.assert_array_equal(part.labels[0], whole.labels[2, 8:30, 4:40])
    assert whole.probabilities is not None
    refined = pn.refine(whole.probabilities, stack, "ZYX", region=region, planes=[(2,)])
    same = pn.refine(whole.probabilities[:, 2:, 8:30, 4:40], stack[2:], "ZYX", region=region)
    assert refined.shape == (2, 1, 22, 36)
    np.testing.assert_array_equal(refined, same)


def test_opaque_colours_are_colours_and_four_stains_are_not() -> None:
    three = UNet(3, 2, width=2, depth=1, padding="same")
    rgb = np.random.default_rng(2).integers(0, 255, (24, 24, 3)).astype(np.uint8)
    opaque = np.dstack([rgb, np.full((24, 24), 255, np.uint8)])
    plain = pn.predict(rgb, three, "YXC").labels
    np.testing.assert_array_equal(pn.predict(opaque, three, "YXC").labels, plain)
    with pytest.raises(InputError, match="4 channels"):
        pn.predict(np.dstack([rgb, rgb[..., 0]]), three, "YXC")


def test_a_job_is_closed_when_what_hears_of_it_raises() -> None:
    ended = []

    def job() -> Generator[Event, None, None]:
        try:
            while True:
                yield Notice("goes on")
        finally:
            ended.append(True)

    def stop(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drain(job(), stop)
    assert ended


def test_a_model_is_not_saved_beside_the_folder_that_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    with pytest.raises(InputError, match="not of a folder"):
        pn.save_model(NETWORK, folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_model_whose_file_is_gone_is_refused(tmp_path: Path) -> None:
    ref = pn.save_model(NETWORK, tmp_path / "kept")
    ref.path.unlink()
    for call in (lambda: pn.predict(IMAGE, ref), lambda: pn.save_model(ref, tmp_path / "copy")):
        with pytest.raises(InputError, match="the file is gone"):
            call()
    assert not list(tmp_path.iterdir())


def test_an_annotation_in_zarrs_format_is_one_array(tmp_path: Path) -> None:
    settings = pn.TuneSettings(steps=1)
    tuned = pn.finetune(IMAGE, zarr.array(STROKES), "scratch", settings, folder=tmp_path, name="a")
    assert tuned.model.path.is_file()


def test_refined_beliefs_are_never_the_callers_own_memory() -> None:
    found = pn.refine(BELIEFS, IMAGE, settings=pn.CRFSettings(iterations=0))
    np.testing.assert_array_equal(found, BELIEFS)
    assert not np.shares_memory(found, BELIEFS)


def test_models_are_written_to_a_folder_that_is_given_as_text(tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((48, 48), np.float32)
    classes = np.indices(image.shape)[1] > 24
    small = pn.TuneSettings(steps=1, width=2, depth=1, crop=32, batch=1, kind="classes", held_out=0.0)
    tuned = pn.finetune(image, classes.astype(np.uint8), settings=small, folder=str(tmp_path))
    assert tuned.model.path.parent == tmp_path

    looked_at = pn.MoCoSettings(steps=1, width=2, depth=1, K=8, dim=4, crop=32, batch=4, places=2)
    encoder = pn.pretrain(image, settings=looked_at, folder=str(tmp_path)).model
    assert encoder.path.parent == tmp_path


@pytest.mark.parametrize("shares", ["ab", ["a"], [[1], [2, 3]]])
def test_shares_that_are_no_numbers_are_refused(shares):
    for verb, more in ((pn.pretrain, ()), (pn.finetune, (np.eye(40, dtype=int),))):
        with pytest.raises(InputError, match=r"shares: got .*; give a number for each image"):
            verb(np.eye(40), *more, shares=shares)
