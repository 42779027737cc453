"""The verb `pretrain`: what it yields and keeps, resuming, stopping, NaN, processes, transfer."""

from __future__ import annotations

import gc
import json
import shlex
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretrain_run import SETTINGS, images

from napari_papernets.api import drain
from napari_papernets.core.errors import InputError, ModelError
from napari_papernets.core.events import Checkpoint, Event, LookUps, Notice, Started, Step, StrokeProbe
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.moco_settings import MoCoSettings
from napari_papernets.core.model import class_infos
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine import pretrain_account, pretraining, stroke_probe
from napari_papernets.engine.finetune import finetune
from napari_papernets.engine.pretrain import open_pretraining, pretrain
from napari_papernets.engine.pretrain_account import Request, fingerprint_of, repeating_command
from napari_papernets.engine.starts import live_start
from napari_papernets.engine.weights import load_weights
from napari_papernets.networks import MoCo
from napari_papernets.networks.encoders import encoder_factory
from napari_papernets.networks.public_moco import public_state


def weights(ref: Any) -> dict[str, torch.Tensor]:
    return load_weights(ref).state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_a_training_that_is_closed_lets_go_of_its_memory(tmp_path: Path) -> None:
    """At once, not when Python next looks for cycles: on a GPU that would be gigabytes."""
    request = Request(images(), "scratch", SETTINGS.replace(steps=2), "x", tmp_path, None, {})
    _, training, _ = open_pretraining(request, torch.device("cpu"), resume=False)
    gc.collect()
    gc.disable()
    try:
        assert [type(event) for event in training.run()].count(Step) == 2
        training.close()
        alive = weakref.ref(training)
        del training
        assert alive() is None
    finally:
        gc.enable()


def test_a_run_tells_what_it_does_and_keeps_an_encoder(tmp_path: Path) -> None:
    events: list[Any] = []
    tuned = drain(pretrain(images(), settings=SETTINGS, folder=tmp_path), events.append)
    assert isinstance(events[0], Started)
    assert events[0].total == SETTINGS.steps
    steps = [e for e in events if isinstance(e, Step)]
    assert [s.step for s in steps] == [1, 2, 3, 4, 5, 6]
    assert [r["loss"] for r in tuned.history] == [s.loss for s in steps]
    told = [e for e in events if isinstance(e, LookUps)]
    keys = SETTINGS.batch * SETTINGS.places
    assert told[-1].positives.sum() == keys
    assert told[-1].negatives.sum() == keys * (SETTINGS.K + SETTINGS.places - 1)
    assert told[-1].queue_age == pytest.approx(SETTINGS.K / keys)
    assert told[-1].fresh == 1
    assert [e.step for e in events if isinstance(e, Checkpoint)] == [4, 6]
    assert tuned.model.spec.task == "features"
    assert tuned.model.path == tmp_path / "moco.safetensors"
    facts = tuned.provenance
    assert (facts["steps_done"], facts["verb"], facts["repeats_exactly"]) == (6, "pretrain", True)
    assert "--steps 6" in facts["command"]


def test_axes_and_folder_are_in_the_command(tmp_path: Path) -> None:
    request = Request(images()[:1], "scratch", SETTINGS, "x", tmp_path, None, {}, inputs=["my frames"])
    words = shlex.split(repeating_command(request, 3))
    assert words[:3] == ["papernets", "pretrain", "my frames"]
    assert words[words.index("--axes") + 1] == images()[0].axes
    assert words[words.index("--out") + 1] == str(tmp_path)


def test_a_command_under_torchrun_names_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrain_account, "world_and_rank", lambda: (2, 0))
    request = Request(images(), "scratch", SETTINGS, "x", tmp_path, None, {})
    command = repeating_command(request, 3)
    assert command.startswith("torchrun --nproc-per-node 2 -m napari_papernets.cli pretrain ")


@pytest.mark.parametrize("where", [(0, 0), (50, 50), (-1, -1)])
def test_changed_pixels_are_other_data(tmp_path: Path, where: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 101, 101)).astype(np.uint8)

    def found(array: np.ndarray) -> str:
        block = ImageBlock(array, "ZYX")
        return fingerprint_of(Request([block], "scratch", SETTINGS, "x", tmp_path, None, {}))

    for plane in range(3):
        changed = pixels.copy()
        changed[(plane, *where)] ^= 1
        assert found(changed) != found(pixels)
    assert found(pixels.copy()) == found(pixels)


def test_it_learns(tmp_path: Path) -> None:
    """Beside the same run that does not move: fewer keys are mistaken for the positive one."""
    settings = SETTINGS.replace(steps=120, grey=0.3, noise=0.01, places=16)
    losses = {}
    for rate in (0.0, 5e-3):
        still = settings.replace(learning_rate=rate)
        tuned = drain(pretrain(images(), settings=still, folder=tmp_path))
        losses[rate] = np.mean([row["loss"] for row in tuned.history[-20:]])
    assert losses[5e-3] < losses[0.0] - 0.15


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    settings = SETTINGS.replace(schedule="constant")
    whole = drain(pretrain(images(), settings=settings, folder=tmp_path, name="whole"))
    job = pretrain(images(), settings=settings, folder=tmp_path, name="parts")
    while not isinstance(next(job), Checkpoint):
        pass
    next(job)  # a step further than the checkpoint
    job.close()
    rest = drain(pretrain(images(), settings=settings, folder=tmp_path, name="parts", resume=True))
    assert same(weights(whole.model), weights(rest.model))
    assert [r["loss"] for r in rest.history] == [r["loss"] for r in whole.history]
    other = settings.replace(K=50)
    with pytest.raises(InputError, match="K"):
        next(pretrain(images(), settings=other, folder=tmp_path, name="parts", resume=True))
    with pytest.raises(InputError, match="other data"):
        next(pretrain(images()[:1], settings=settings, folder=tmp_path, name="parts", resume=True))


def test_an_encoder_that_was_not_trained_is_told_so(tmp_path: Path) -> None:
    events: list[Event] = []
    tuned = drain(pretrain(images(), settings=SETTINGS.replace(steps=0), folder=tmp_path), events.append)
    (told,) = [e.message for e in events if isinstance(e, Notice)]
    assert told.startswith("Not trained")
    assert tuned.provenance["notices"] == [told]


def test_a_resumed_run_must_have_started_from_the_same_weights(tmp_path: Path) -> None:
    settings = SETTINGS.replace(steps=1, schedule="constant")
    first = drain(pretrain(images(), settings=settings, folder=tmp_path, name="first")).model
    drain(pretrain(images(), first, settings, folder=tmp_path, name="second"))
    more: dict[str, Any] = dict(settings=settings.replace(steps=2), folder=tmp_path, resume=True)
    with pytest.raises(InputError, match=r"(?s)model.*'scratch'.*started from 'first'"):
        next(pretrain(images(), name="second", **more))
    with pytest.raises(InputError, match=r"(?s)model.*started from 'scratch'"):
        next(pretrain(images(), first, name="first", **more))
    by_file = drain(pretrain(images(), first.path, name="second", **more))
    assert by_file.provenance["steps_done"] == 2


def test_stop_keeps_and_close_cancels(tmp_path: Path) -> None:
    job = pretrain(images(), settings=SETTINGS.replace(steps=1000), folder=tmp_path, name="stopped")
    while not isinstance(next(job), Step):
        pass
    job.send("stop")
    tuned = drain(job)
    assert tuned.model.path.exists()
    assert tuned.provenance["stopped"] == "asked to stop"
    assert tuned.provenance["steps_done"] < 5
    job = pretrain(images(), settings=SETTINGS, folder=tmp_path, name="cancelled")
    next(job)
    job.close()
    assert not (tmp_path / "cancelled.safetensors").exists()


def test_stop_is_heard_while_strokes_are_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stroke_probe, "EVERY", 0.0)
    painted = np.zeros(images()[0].shape, np.uint8)
    painted[..., 2:4, 2:20], painted[..., 12:14, 2:20] = 1, 2
    painted[..., 22:24, 2:20], painted[..., 32:34, 2:20] = 1, 2
    job = pretrain(
        images()[:1], settings=SETTINGS.replace(steps=1000), folder=tmp_path, strokes=[painted]
    )
    while not isinstance(next(job), StrokeProbe):
        pass
    job.send("stop")
    assert drain(job).provenance["stopped"] == "asked to stop"


def test_a_loss_that_is_no_number_ends_the_run_with_good_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = pretraining.Pretraining._look_up

    def break_step_4(self: Any, rate: float) -> Any:
        loss, logits = plain(self, rate)
        return (loss * float("nan"), logits) if self.step == 3 else (loss, logits)

    short = SETTINGS.replace(steps=2, schedule="constant")  # before them, the loss was still a number
    two = drain(pretrain(images(), settings=short, folder=tmp_path))
    monkeypatch.setattr(pretraining.Pretraining, "_look_up", break_step_4)
    events: list[Any] = []
    settings = SETTINGS.replace(schedule="constant")
    tuned = drain(pretrain(images(), settings=settings, folder=tmp_path, name="broken"), events.append)
    assert any(isinstance(e, Notice) and "not finite at step 4" in e.message for e in events)
    assert not any(isinstance(e, Checkpoint) for e in events)
    ours, good = weights(tuned.model), weights(two.model)
    assert all(torch.isfinite(ours[k]).all() for k in ours)
    assert all(torch.equal(ours[k], good[k]) for k in ours if k.endswith("weight"))


def test_two_processes_give_the_losses_of_one(tmp_path: Path) -> None:
    """The whole verb under torchrun (gloo): BN in two groups, the same permutation, the same views."""
    script = Path(__file__).with_name("pretrain_run.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*command, str(script), str(tmp_path / "two")], check=True, timeout=240)
    two = json.loads((tmp_path / "two" / "losses.json").read_text())
    one = drain(pretrain(images(), settings=SETTINGS, folder=tmp_path / "one"))
    assert [r["loss"] for r in one.history] == pytest.approx(two, abs=1e-4)
    assert one.model.path.exists()
    theirs = {k: v for k, v in weights(ref_in(tmp_path / "two")).items() if v.is_floating_point()}
    ours = weights(one.model)
    assert all(torch.allclose(ours[k], v, atol=1e-3) for k, v in theirs.items())


def ref_in(folder: Path) -> Any:
    from napari_papernets.model_files import find_model

    return find_model(folder / "moco.safetensors")


@pytest.mark.parametrize(
    ("changes", "field"), [({"batch": 5}, "batch"), ({"crop": 30}, "crop"), ({"batch": 2}, "batch")]
)
def test_impossible_settings_are_refused(tmp_path: Path, changes: dict[str, int], field: str) -> None:
    with pytest.raises(InputError, match=field):
        next(pretrain(images(), settings=SETTINGS.replace(**changes), folder=tmp_path))


def test_what_does_not_fit_is_refused_before_the_training(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(InputError, match="is a file: name another folder"):
        next(pretrain(images(), settings=SETTINGS, folder=tmp_path / "notes"))
    with pytest.raises(InputError, match="strokes: got 0"):
        next(pretrain(images(), settings=SETTINGS, folder=tmp_path, strokes=[]))
    with pytest.raises(ModelError, match="model: got None"):
        next(pretrain(images(), None, SETTINGS, folder=tmp_path))


def test_the_checkpoint_of_the_other_verb_is_refused(tmp_path: Path) -> None:
    drain(pretrain(images(), settings=SETTINGS.replace(steps=1), folder=tmp_path, name="mine"))
    image, painted = images()[0], strokes()[0]
    job = finetune([image], [painted], "scratch", folder=tmp_path, name="mine", resume=True)
    with pytest.raises(InputError, match="a checkpoint of pretrain"):
        next(job)
    settings = TuneSettings(steps=1, width=2, depth=1, crop=32, held_out=0.0)
    again = dict(folder=tmp_path, name="other")
    drain(finetune([image], [painted], "scratch", settings, **again))
    with pytest.raises(InputError, match="a checkpoint of finetune"):
        next(pretrain(images(), settings=SETTINGS, resume=True, **again))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("moco")
    settings = SETTINGS.replace(encoder="unet", steps=2)
    return drain(pretrain(images(), settings=settings, folder=folder)).model


def test_what_the_model_has_in_place_of_what_was_set_is_told(pretrained: Any, tmp_path: Path) -> None:
    told: list[Event] = []
    asked = SETTINGS.replace(encoder="vgg16", width=16, steps=1)
    tuned = drain(pretrain(images(), pretrained, asked, folder=tmp_path, name="more"), told.append)
    (notice,) = [e for e in told if isinstance(e, Notice)]
    assert "encoder unet, not vgg16; width 4, not 16." in notice.message
    assert notice.message in tuned.provenance["notices"]
    words = shlex.split(tuned.provenance["command"])
    assert (words[words.index("--width") + 1], "vgg16" in words) == ("4", False)
    told.clear()
    default = SETTINGS.replace(encoder="unet", width=MoCoSettings().width, steps=1)
    drain(pretrain(images(), pretrained, default, folder=tmp_path, name="same"), told.append)
    assert not [e for e in told if isinstance(e, Notice)]


def strokes() -> list[np.ndarray]:
    painted = np.zeros((80, 80), np.uint8)
    painted[10:20, 10:40], painted[50:60, 10:40] = 1, 2
    return [painted]


def test_an_encoder_starts_a_unet(pretrained: Any, tmp_path: Path) -> None:
    """Its weights are those of the U-Net before the first step, under a new last layer."""
    settings = TuneSettings(steps=0, crop=32)
    tuned = drain(finetune(images()[:1], strokes(), pretrained, settings, folder=tmp_path))
    assert tuned.model.spec.architecture == "hypercolumn_unet"
    ours, encoder = weights(tuned.model), weights(pretrained)
    body = {k.removeprefix("encoder.unet."): v for k, v in encoder.items() if ".unet." in k}
    assert len(body) > 20
    assert all(torch.equal(ours[k], v) for k, v in body.items())


def test_an_encoder_stays_frozen_under_a_linear_head(pretrained: Any, tmp_path: Path) -> None:
    settings = TuneSettings(steps=3, crop=32, train="head")
    tuned = drain(finetune(images()[:1], strokes(), pretrained, settings, folder=tmp_path))
    assert tuned.model.spec.architecture == "encoder"
    ours, before = weights(tuned.model), weights(pretrained)
    assert all(torch.equal(ours[k], before[k]) for k in before if k.startswith("encoder."))
    assert not torch.equal(ours["head.weights.0.weight"], before["head.weights.0.weight"])


def test_what_an_encoder_lacks_is_drawn_by_the_seed(tmp_path: Path) -> None:
    """Whatever torch's own generator did before."""
    encoder = drain(pretrain(images(), settings=SETTINGS.replace(steps=0), folder=tmp_path)).model
    settings = TuneSettings(steps=0, crop=32)
    made = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        tuned = drain(finetune(images()[:1], strokes(), encoder, settings, folder=tmp_path))
        made.append(weights(tuned.model))
    assert same(*made)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Any:
    settings = SETTINGS.replace(encoder="vgg16", steps=3)
    return drain(pretrain(images(), settings=settings, folder=tmp_path_factory.mktemp("vgg"))).model


@pytest.mark.parametrize("architecture", ["deeplab", "unet"])
def test_an_encoder_starts_a_deeplab(trunk: Any, tmp_path: Path, architecture: str) -> None:
    """Its maps are those of the trunk before the first step; the setting is for a start from scratch."""
    settings = TuneSettings(steps=0, crop=33, architecture=architecture)
    tuned = drain(finetune(images()[:1], strokes(), trunk, settings, folder=tmp_path))
    assert tuned.model.spec.architecture == "deeplab"
    assert tuned.model.spec.options["width"] == 4 / 64
    deeplab, encoder = load_weights(tuned.model), load_weights(trunk).encoder
    x = torch.rand(1, 1, 65, 65)
    with torch.no_grad():
        expected = encoder.eval().maps(x)[-1]
        torch.testing.assert_close(deeplab.eval().features(x), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0
    start = live_start(images()[:1], trunk, settings, "mine", class_infos(["ground", "cell"]))
    assert (start.spec.architecture, start.fits_head, start.fresh) == ("deeplab", True, True)


def test_a_trunk_goes_on_and_serves_a_linear_head(trunk: Any, tmp_path: Path) -> None:
    again = drain(pretrain(images(), trunk, SETTINGS.replace(steps=0), folder=tmp_path, name="again"))
    assert same(weights(again.model), weights(trunk))
    settings = TuneSettings(steps=1, crop=32, train="head")
    tuned = drain(finetune(images()[:1], strokes(), trunk, settings, folder=tmp_path))
    assert tuned.model.spec.architecture == "encoder"


def test_a_deeplab_is_refused_the_part_of_a_unet(pretrained: Any, tmp_path: Path) -> None:
    settings = TuneSettings(steps=0, crop=33, architecture="deeplab")
    with pytest.raises(InputError, match="an encoder vgg16"):
        next(finetune(images()[:1], strokes(), pretrained, settings, folder=tmp_path))


def test_a_public_checkpoint_goes_on_and_serves_a_linear_head(tmp_path: Path) -> None:
    torch.manual_seed(0)
    public = MoCo(encoder_factory("resnet18", 1), dim=8, K=16, mlp=True)
    path = tmp_path / "moco_v2.pth.tar"
    torch.save({"state_dict": public_state(public)}, path)
    settings = SETTINGS.replace(steps=0, crop=64)
    tuned = drain(pretrain(images(), path, settings, folder=tmp_path, name="public"))
    ours = weights(tuned.model)
    assert torch.equal(ours["encoder.layer3.1.conv2.weight"], public.encoder_q.layer3[1].conv2.weight)
    head = TuneSettings(steps=1, crop=64, train="head")
    drain(finetune(images()[:1], strokes(), tuned.model, head, folder=tmp_path))
    assert (tmp_path / "tuned.safetensors").exists()
    with pytest.raises(ModelError, match="resnet18"):
        next(finetune(images()[:1], strokes(), tuned.model, TuneSettings(crop=64), folder=tmp_path))


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": Path("x")}, path)
    with pytest.raises(ModelError, match=r"evil\.pth"):
        next(pretrain(images(), path, SETTINGS, folder=tmp_path))


@pytest.mark.slow
def test_a_stack_larger_than_memory(tmp_path: Path) -> None:
    """50 GB that exist only where they are read: the process grows by far less than 4 GB."""
    import psutil
    from test_windows import Lazy

    image = ImageBlock(Lazy(), "ZYX")
    assert np.prod(image.shape) * 2 > 50e9
    before = psutil.Process().memory_info().rss
    drain(pretrain([image], settings=SETTINGS, folder=tmp_path))
    assert psutil.Process().memory_info().rss - before < 1e9


def test_defaults_are_valid() -> None:
    assert MoCoSettings.from_dict(MoCoSettings().to_dict()) == MoCoSettings()


def test_live_learning_starts_from_an_encoder_too(pretrained: Any) -> None:
    classes = class_infos(["ground", "cell"])
    start = live_start(images()[:1], pretrained, TuneSettings(), "mine", classes)
    assert (start.spec.architecture, start.fits_head) == ("hypercolumn_unet", True)
    assert start.spec.classes == classes
    encoder = weights(pretrained)
    first = start.network.state_dict()["contract.0.0.weight"]
    assert torch.equal(first, encoder["encoder.unet.contract.0.0.weight"])


def test_images_without_signal_are_refused_and_small_ones_told(tmp_path: Path) -> None:
    flat = ImageBlock(np.full((80, 80), 7, np.uint8), "YX", name="flat")
    with pytest.raises(InputError, match="flat of one grey value"):
        drain(pretrain([flat], settings=SETTINGS, folder=tmp_path))
    far = ImageBlock(2**60 + np.arange(6400).reshape(80, 80), "YX")
    drain(pretrain([far], settings=SETTINGS, folder=tmp_path))
    small = ImageBlock(np.random.default_rng(0).random((10, 12), np.float32), "YX", name="small")
    told: list[Event] = []
    tuned = drain(pretrain([small, *images()], settings=SETTINGS, folder=tmp_path), told.append)
    (notice,) = [e.message for e in told if isinstance(e, Notice)]
    assert "1 of" in notice
    assert "small (10×12)" in notice
    assert notice in tuned.provenance["notices"]


def test_four_stains_at_the_end_are_four_channels(tmp_path: Path) -> None:
    stains = ImageBlock(np.random.default_rng(0).random((80, 80, 4), np.float32), "YXC")
    assert drain(pretrain([stains], settings=SETTINGS, folder=tmp_path)).model.spec.in_channels == 4
