"""On a GPU every verb gives what the processor gives, and goes on when the GPU has no room."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from discs import random_discs
from pretrain_run import SETTINGS as TINY_MOCO
from pretrain_run import images as unlabelled
from skimage import data

import napari_papernets as pn
from napari_papernets.api import drain
from napari_papernets.core.annotation import Patch, View
from napari_papernets.core.crf_settings import CRFSettings
from napari_papernets.core.errors import EngineError
from napari_papernets.core.events import Preview, Step
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import class_infos
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.core.results import Refinement, Tuned
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine import pretraining
from napari_papernets.engine.door import Engine
from napari_papernets.engine.encoder_graphs import EncoderGraphs
from napari_papernets.engine.optimisation import reproducible_kernels
from napari_papernets.engine.refine import refine
from napari_papernets.engine.views import Views
from napari_papernets.engine.weights import load_weights
from napari_papernets.model_files import find_model
from napari_papernets.networks import DeepLab, UNet, VisionTransformer
from napari_papernets.networks.densecrf import DenseCRF
from napari_papernets.networks.encoders import encoder_factory
from napari_papernets.networks.moco import MoCo

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
PATIENCE = 120.0  # seconds after which something is taken to have hung
EXACT = PredictSettings(precision="float32", zoom=1.0)


@pytest.fixture
def no_room() -> Iterator[Any]:
    """A function that leaves a share of the GPU's memory to this process."""
    yield torch.cuda.set_per_process_memory_fraction
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def discs(shape: tuple[int, int] = (300, 340)) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs on noisy ground, and their numbers."""
    ids = random_discs(0, shape)
    noise = np.random.default_rng(0).normal(0, 12, shape)
    return ((ids > 0) * 100 + 50 + noise).astype(np.float32), ids


def strokes(ids: np.ndarray) -> np.ndarray:
    painted = np.zeros(ids.shape, np.uint8)
    painted[8::20] = 1 + (ids[8::20] > 0)
    painted[:, ::3] = 0
    return painted


@pytest.mark.parametrize("name", ["unet", "valid", "deeplab"])
def test_probabilities_are_those_of_the_processor_for_any_tile(name: str) -> None:
    torch.manual_seed(0)
    network = {
        "unet": lambda: UNet(1, 3, width=8, depth=3, padding="same", norm="batch"),
        "valid": lambda: UNet(1, 3, width=8, depth=3),
        "deeplab": lambda: DeepLab(1, 3, width=0.125),
    }[name]().eval()
    image, _ = discs()
    expected = pn.predict(image, network, settings=EXACT, device="cpu").probabilities
    whole = pn.predict(image, network, settings=EXACT, device="cuda")
    tiled = pn.predict(image, network, settings=EXACT.replace(tile=200), device="cuda")
    assert whole.provenance["device"].startswith("cuda")
    np.testing.assert_allclose(whole.probabilities, expected, atol=1e-4)
    np.testing.assert_allclose(tiled.probabilities, whole.probabilities, atol=1e-5)


def test_the_bundled_model_finds_the_same() -> None:
    image, _ = discs()
    here, there = (pn.predict(image, find_model("nuclei"), device=d) for d in ("cpu", "cuda"))
    assert (here.labels > 0).mean() == pytest.approx((there.labels > 0).mean(), abs=0.01)
    assert ((here.labels > 0) == (there.labels > 0)).mean() > 0.995


def test_bfloat16_is_chosen_and_told() -> None:
    image, _ = discs()
    found = pn.predict(image, find_model("nuclei"), device="cuda")
    assert found.provenance["precision"] == "bfloat16"
    assert 0 < found.provenance["bf16_max_difference"] <= 0.05


@pytest.mark.parametrize(("room", "side", "words"), [(0.9e9, 1600, "tiles reduced"), (1e6, 400, "CPU")])
def test_where_the_memory_does_not_suffice_it_goes_on_with_less(
    no_room: Any, room: float, side: int, words: str
) -> None:
    """In smaller tiles, or where there is hardly any on the processor; the answer stays the same."""
    torch.manual_seed(0)
    network = UNet(1, 2, width=32, depth=4, padding="same", norm="batch").eval()
    image = np.random.default_rng(0).random((side, side)).astype(np.float32)
    expected = pn.predict(image, network, settings=EXACT, device="cuda")
    assert "out_of_memory" not in str(expected.provenance)
    torch.cuda.empty_cache()
    no_room(room / torch.cuda.get_device_properties(0).total_memory)
    found = pn.predict(image, network, settings=EXACT, device="cuda")
    assert words in str(found.provenance["notices"])
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)


@pytest.mark.parametrize("model", ["scratch", "strokes"])
@pytest.mark.parametrize("kind", ["strokes", "instances"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_learns(tmp_path: Path, model: str, kind: Any, precision: Any) -> None:
    image, ids = discs()
    settings = TuneSettings(
        kind=kind, width=8, depth=2, steps=60, crop=96, batch=4, precision=precision, learning_rate=3e-3
    )
    labels = ids if kind == "instances" else strokes(ids)
    tuned = pn.finetune(image, labels, model, settings, folder=tmp_path, device="cuda")
    found = pn.predict(image, tuned.model, device="cuda", settings=PredictSettings(zoom=1.0))
    inside = found.labels > (0 if kind == "instances" else 1)
    assert (inside == (ids > 0)).mean() > 0.9
    assert tuned.provenance["device"].startswith("cuda")
    assert not tuned.provenance["repeats_exactly"]


def test_training_resumes(tmp_path: Path) -> None:
    image, ids = discs()
    settings = TuneSettings(width=4, depth=2, steps=4, crop=48, batch=2, checkpoint_every=2)
    pn.finetune(image, strokes(ids), "scratch", settings, folder=tmp_path, name="a", device="cuda")
    events: list[Any] = []
    more = pn.finetune(
        image, strokes(ids), "scratch", settings.replace(steps=8), folder=tmp_path, name="a",
        device="cuda", resume=True, on_event=events.append,
    )  # fmt: skip
    assert [e.step for e in events if isinstance(e, Step)] == [5, 6, 7, 8]
    assert all(torch.isfinite(v).all() for v in load_weights(more.model).state_dict().values())


@pytest.mark.parametrize("contrast", ["image", "dense"])
@pytest.mark.parametrize("encoder", ["contracting", "resnet18"])
def test_pre_training_runs_and_resumes(tmp_path: Path, contrast: Any, encoder: Any) -> None:
    settings = TINY_MOCO.replace(contrast=contrast, encoder=encoder, crop=64, batch=8, precision="auto")
    tuned = pn.pretrain(unlabelled(), settings=settings, folder=tmp_path, device="cuda")
    before = load_weights(tuned.model).state_dict()
    assert np.isfinite([row["loss"] for row in tuned.history]).all()
    more = settings.replace(steps=settings.steps + 2)
    again = pn.pretrain(unlabelled(), settings=more, folder=tmp_path, device="cuda", resume=True)
    assert again.provenance["steps_done"] == more.steps
    after = load_weights(again.model).state_dict()
    assert all(torch.isfinite(v).all() for v in after.values())
    assert any(not torch.equal(before[k], after[k]) for k in before)


@pytest.mark.parametrize("encoder", ["unet", "contracting", "vgg16", "resnet18", "resnet50"])
@pytest.mark.parametrize("bn_groups", [1, 2])
def test_recorded_passes_give_the_losses_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: Any, bn_groups: int
) -> None:
    settings = TINY_MOCO.replace(encoder=encoder, crop=64, batch=8, bn_groups=bn_groups, steps=5)
    settings = settings.replace(contrast="dense", precision="float32", learning_rate=1e-4)
    losses = []
    for recorded in (True, False):
        monkeypatch.setattr(pretraining, "can_record", lambda *_, so=recorded: so)
        folder = tmp_path / str(recorded)
        tuned = pn.pretrain(unlabelled(), settings=settings, folder=folder, device="cuda")
        losses.append([row["loss"] for row in tuned.history])
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_recorded_passes_follow_the_weights() -> None:
    torch.manual_seed(0)
    make = encoder_factory("contracting", 1, 4, 2, dense=True)
    model = MoCo(make, dim=16, K=40, bn_groups=2).to("cuda", memory_format=torch.channels_last)
    images = [torch.rand(8, 1, 32, 32, device="cuda") for _ in range(2)]
    places = [torch.rand(8, 5, 2, device="cuda") * 2 - 1 for _ in range(2)]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with reproducible_kernels():
        graphs = EncoderGraphs(model, Views(*images, *places), bf16=False)
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        for _ in range(3):
            found = []
            for how in (graphs.in_use(), nullcontext()):
                model.zero_grad(set_to_none=True)
                with how:
                    q = model.encoder_q(images[1].clone(), places[1].clone())
                    k = model.encoder_k(images[0].clone(), places[0].clone())
                    q.square().mean().backward()
                gradients = [p.grad.clone() for p in model.encoder_q.parameters() if p.grad is not None]
                found.append([q.detach().clone(), k.detach().clone(), *gradients])
            for ours, theirs in zip(*found, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
            with torch.no_grad():
                for p in model.parameters():
                    p.add_(0.1 * torch.randn_like(p))


@pytest.mark.parametrize("density", [1, 2])
def test_tokens_are_those_of_the_processor(density: int) -> None:
    torch.manual_seed(0)
    network = VisionTransformer(64, 8, 48, 4, 3).eval()
    image = np.random.default_rng(0).random((90, 110, 3)).astype(np.float32)
    settings = pn.FeatureSettings(density=density)
    here, there = (pn.features(image, network, "YXC", settings, device=d) for d in ("cpu", "cuda"))
    largest = np.abs(here.tokens).max()
    np.testing.assert_allclose(there.tokens, here.tokens, atol=2e-4 * largest)


def refined(
    shares: np.ndarray, image: ImageBlock, device: str, settings: CRFSettings | None = None
) -> Refinement:
    return drain(refine(shares, image, settings, device=device))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("classes", [2, 5])
def test_the_crf_believes_what_it_believes_on_the_processor(channels: int, classes: int) -> None:
    pixels = data.immunohistochemistry()[:300, :280]
    image = ImageBlock(pixels, "YXC") if channels == 3 else ImageBlock(pixels[..., 1].copy(), "YX")
    rng = np.random.default_rng(0)
    levels = np.linspace(60, 220, classes)[:, None, None]
    logits = rng.normal(0, 0.7, (classes, 300, 280)) - ((pixels.mean(-1) - levels) / 25) ** 2
    shares = np.exp(logits - logits.max(0))
    shares = (shares / shares.sum(0)).astype(np.float32)
    here, there = (refined(shares, image, d) for d in ("cpu", "cuda"))
    assert there.provenance["device"].startswith("cuda")
    assert (here.labels == there.labels).mean() >= 0.999
    assert np.abs(here.probabilities - there.probabilities).max() <= 1e-3
    np.testing.assert_allclose(here.energies[0], there.energies[0], rtol=1e-4)


def test_a_volume_is_refined() -> None:
    rng = np.random.default_rng(0)
    stack = (rng.random((4, 60, 50)) * 255).astype(np.uint16)
    shares = rng.random((2, 4, 60, 50)).astype(np.float32)
    shares /= shares.sum(0)
    settings = CRFSettings(volume=True, iterations=4)
    image = ImageBlock(stack, "ZYX")
    here, there = (refined(shares, image, d, settings) for d in ("cpu", "cuda"))
    assert np.abs(here.probabilities - there.probabilities).max() <= 1e-3


def test_the_crf_learns_on_the_device() -> None:
    image = torch.from_numpy(data.immunohistochemistry()[:40, :40].copy()).movedim(-1, 0)
    unary = torch.rand(3, 40, 40) * 3
    gradients = {}
    for device in ("cpu", "cuda"):
        crf = DenseCRF().to(device)
        u = unary.clone().to(device).requires_grad_()
        crf(u, image.to(device))[0].sum().backward()
        gradients[device] = u.grad.cpu(), crf.w1.grad.cpu(), crf.w2.grad.cpu()
    for ours, theirs in zip(gradients["cuda"], gradients["cpu"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-4)


def test_where_the_crf_does_not_fit_the_processor_goes_on(no_room: Any) -> None:
    pixels = data.immunohistochemistry()[:200, :200].copy()
    shares = np.full((2, 200, 200), 0.5, np.float32)
    shares[0, :, :100], shares[1, :, :100] = 0.8, 0.2
    expected = refined(shares, ImageBlock(pixels, "YXC"), "cpu")
    torch.cuda.empty_cache()
    no_room(1e6 / torch.cuda.get_device_properties(0).total_memory)
    found = refined(shares, ImageBlock(pixels, "YXC"), "cuda")
    assert found.provenance["device"] == "cpu"
    np.testing.assert_array_equal(found.labels, expected.labels)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    one = Engine()
    yield one
    one.close()


class Watched:
    """A job, and what it told."""

    def __init__(self, engine: Engine, verb: str, **arguments: Any) -> None:
        self.told: queue.Queue[Any] = queue.Queue()
        self.job = engine.submit(
            verb,
            on_event=self.told.put,
            on_returned=self.told.put,
            on_failed=self.told.put,
            on_cancelled=lambda: self.told.put(None),
            **arguments,
        )

    def until(self, fits: Any) -> Any:
        while True:
            value = self.told.get(timeout=PATIENCE)
            if fits(value):
                return value
            if isinstance(value, Exception) or value is None:
                raise AssertionError(f"ended: {value}")


@pytest.mark.parametrize("model", ["strokes", "scratch"])
def test_a_stroke_is_answered_at_once_and_then_by_training(
    engine: Engine, tmp_path: Path, model: str
) -> None:
    image, ids = discs()
    watched = Watched(
        engine, "live", images=[ImageBlock(image, "YX")], annotations=[np.zeros(ids.shape, np.uint8)],
        settings=TuneSettings(width=8, depth=2, held_out=0.0, crop=96), classes=class_infos(["a", "b"]),
        folder=tmp_path, model=model, view=View(0, (), (0, 300, 0, 340)),
    )  # fmt: skip
    watched.job.send(Patch(0, (), 0, 0, strokes(ids), 1))
    watched.until(lambda e: isinstance(e, Preview) and e.patch >= 1)
    trained = watched.until(lambda e: isinstance(e, Preview) and e.source == "trained")
    assert trained.labels.shape == (300, 340)
    watched.job.cancel()
    while not isinstance(watched.told.get(timeout=PATIENCE), Tuned | None):
        pass


def test_a_killed_engine_leaves_the_gpu_to_the_next(engine: Engine) -> None:
    image = ImageBlock(np.random.default_rng(0).random((4096, 4096)).astype(np.float32), "YX")
    settings = PredictSettings(tile=512, zoom=1.0)
    first = Watched(engine, "predict", image=image, model=find_model("nuclei"), settings=settings)
    first.told.get(timeout=PATIENCE)
    os.kill(engine.pid, signal.SIGKILL)
    assert isinstance(first.until(lambda e: isinstance(e, EngineError)), EngineError)
    second = Watched(engine, "predict", image=image, model=find_model("nuclei"), settings=settings)
    found = second.until(lambda e: hasattr(e, "labels") and hasattr(e, "provenance"))
    assert found.provenance["device"].startswith("cuda")
