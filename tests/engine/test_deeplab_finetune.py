"""DeepLab learns by the same verbs: on its coarse maps, from strokes, from VGG's weights, live."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from napari_papernets import model_files
from napari_papernets.api import drain
from napari_papernets.core.annotation import Patch, View
from napari_papernets.core.checkpoints import IMAGENET_MEAN
from napari_papernets.core.errors import InputError, ModelError
from napari_papernets.core.events import Idle, Notice, Preview, Started, Step, Version
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import class_infos
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine.finetune import finetune
from napari_papernets.engine.live import live
from napari_papernets.engine.losses import answer_to_learn_from, weighted_cross_entropy
from napari_papernets.engine.optimisation import make_optimiser, share_of_rate, with_rates
from napari_papernets.engine.predict import predict
from napari_papernets.engine.recipes import DEEPLAB, UNET, recipe_of
from napari_papernets.engine.vgg_files import import_vgg16
from napari_papernets.engine.weights import load_weights
from napari_papernets.networks import DeepLab, UNet
from napari_papernets.networks.vgg16 import with_unit_maps

TINY = TuneSettings(
    architecture="deeplab",
    kind="classes",
    width=8,
    steps=4,
    batch=1,
    crop=65,
    held_out=0.0,
    precision="float32",
)


def picture(shape: tuple[int, int] = (120, 150)) -> tuple[ImageBlock, np.ndarray]:
    """Fine stripes on the right, noise on the left: 0 and 1."""
    rng = np.random.default_rng(0)
    truth = np.zeros(shape, np.uint8)
    truth[:, shape[1] // 2 :] = 1
    stripes = (np.arange(shape[0]) % 8 < 4)[:, None] * 60.0
    grey = rng.normal(60, 10, shape) + np.where(truth == 1, stripes, 30.0)
    return ImageBlock(grey.astype(np.float32), "YX"), truth


def train(annotation: np.ndarray, folder: Path, settings: TuneSettings = TINY, **more: Any) -> Any:
    image, _ = picture()
    model = more.pop("model", "scratch")
    return drain(finetune([image], [annotation], model, settings, device="cpu", folder=folder, **more))


@pytest.mark.parametrize("kind", ["classes", "strokes"])
def test_steps_lower_the_loss(kind: str) -> None:
    """One image, learnt by heart: on coarse maps, and on the pixels of two strokes."""
    torch.manual_seed(0)
    network = DeepLab(1, 2, 1 / 8, dropout=0.0)
    target = torch.zeros(1, 65, 65, dtype=torch.long)
    target[:, :, 32:] = 1
    images = 0.2 + 0.6 * target[:, None] + 0.05 * torch.randn(1, 1, 65, 65)
    weights = torch.ones(1, 65, 65)
    if kind == "strokes":
        weights[:] = 0
        weights[:, 30:33, 5:20] = weights[:, 30:33, 45:60] = 1
    settings = with_rates(TuneSettings(learning_rate=1e-3), DEEPLAB, fresh=True)
    optimiser, losses = make_optimiser(network, settings, DEEPLAB), []
    for _ in range(40):
        logits, every = answer_to_learn_from(network, images, kind)
        part = slice(None), slice(None, None, every), slice(None, None, every)
        loss = weighted_cross_entropy(logits, target[part], weights[part])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < 0.3 * losses[0]


def test_a_start_from_scratch_is_fitted_to_the_annotation(tmp_path: Path) -> None:
    image, truth = picture()
    tuned = train(truth, tmp_path, TINY.replace(steps=0))
    assert tuned.model.spec.architecture == "deeplab"
    assert tuned.model.spec.options["width"] == 8 / 64
    labels = drain(predict(image, tuned.model, PredictSettings(precision="float32"))).labels
    assert (labels == truth + 1).mean() > 0.9


def test_auto_starts_a_deeplab_from_scratch_where_one_is_asked_for(tmp_path: Path) -> None:
    annotation = np.zeros((120, 150), np.uint8)
    annotation[5, ::3], annotation[50, ::3] = 1, 2
    tuned = train(annotation, tmp_path, TINY.replace(kind="strokes", steps=1), model="auto")
    assert tuned.model.spec.architecture == "deeplab"


def test_dense_annotation_is_compared_with_every_eighth_pixel(tmp_path: Path) -> None:
    """The loss of the first step, computed by hand from the paper's words."""
    torch.manual_seed(0)
    network = DeepLab(1, 2, 1 / 8).eval()
    images, classes = torch.rand(2, 1, 33, 41), torch.randint(0, 2, (2, 33, 41))
    logits, every = answer_to_learn_from(network, images, "classes")
    by_hand = F.cross_entropy(network.scores(images), classes[:, 0::8, 0::8])
    assert every == 8
    assert logits.shape == (2, 2, 5, 6)
    torch.testing.assert_close(F.cross_entropy(logits, classes[:, ::every, ::every]), by_hand)


def test_every_pixel_of_a_stroke_counts() -> None:
    torch.manual_seed(0)
    network = DeepLab(1, 2, 1 / 8).eval()
    logits, every = answer_to_learn_from(network, torch.rand(1, 1, 33, 41), "strokes")
    assert (every, logits.shape[-2:]) == (1, (33, 41))
    unet = UNet(1, 2, width=2, depth=1, padding="same").eval()
    assert answer_to_learn_from(unet, torch.rand(1, 1, 8, 8), "classes")[1] == 1


def test_a_stroke_between_the_scores_is_learnt_from(tmp_path: Path) -> None:
    """No annotated pixel lies on a multiple of 8, and still the weights move."""
    annotation = np.zeros((120, 150), np.uint8)
    annotation[3:5, 10:60], annotation[3:5, 90:140] = 1, 2
    still = dict(elastic=0.0, rotate=False, zoom_range=1.0, grey=0.0)
    tuned = train(annotation, tmp_path, TINY.replace(kind="strokes", **still))
    assert all(row["loss"] > 0 for row in tuned.history)


def test_with_sgd_the_last_layer_learns_ten_times_as_fast() -> None:
    network = DeepLab(1, 2, 1 / 8)
    settings = with_rates(TuneSettings(optimiser="sgd"), DEEPLAB, fresh=False)
    assert (settings.learning_rate, settings.weight_decay) == (1e-3, 5e-4)
    optimiser = make_optimiser(network, settings, DEEPLAB)
    body, last = optimiser.param_groups
    assert (body["momentum"], body["weight_decay"]) == (0.9, 5e-4)
    assert last["factor"] / body["factor"] == 10
    assert {id(p) for p in last["params"]} == {id(p) for p in network.head.parameters()}
    assert len(body["params"]) + len(last["params"]) == len(list(network.parameters()))
    (alike,) = make_optimiser(network, settings.replace(optimiser="adamw"), DEEPLAB).param_groups
    assert alike["factor"] == 1
    (only,) = make_optimiser(UNet(1, 2, width=2, depth=1), settings, UNET).param_groups
    assert (only["factor"], only["momentum"]) == (1.0, 0.99)


@pytest.mark.parametrize(
    ("architecture", "optimiser", "fresh", "rate", "decay"),
    [
        ("unet", "adamw", True, 2e-3, 1e-4),
        ("hypercolumn_unet", "adamw", False, 5e-4, 1e-4),
        ("unet", "sgd", True, 2e-3, 0.0),
        ("deeplab", "adamw", True, 1e-4, 1e-4),
        ("deeplab", "sgd", False, 1e-3, 5e-4),
    ],
)
def test_what_is_left_open_is_filled_in(architecture, optimiser, fresh, rate, decay) -> None:
    settings = TuneSettings(optimiser=optimiser)
    filled = with_rates(settings, recipe_of(architecture), fresh)
    assert (filled.learning_rate, filled.weight_decay) == (rate, decay)
    chosen = settings.replace(learning_rate=0.1, weight_decay=0.2)
    assert with_rates(chosen, recipe_of(architecture), fresh) == chosen


def test_schedules() -> None:
    at = [0.0, 0.2, 0.34, 0.7, 1.0]
    np.testing.assert_allclose([share_of_rate("poly", p) for p in at], [(1 - p) ** 0.9 for p in at])
    np.testing.assert_allclose([share_of_rate("step", p) for p in at], [1, 1, 0.1, 0.01, 0.01])
    assert share_of_rate("constant", 0.5) == 1
    assert share_of_rate("cosine", 0.5) == pytest.approx(0.5)


def test_a_saved_deeplab_goes_on_and_gets_other_classes(tmp_path: Path) -> None:
    _, truth = picture()
    base = train(truth, tmp_path, name="base")
    on = train(truth, tmp_path, TINY.replace(steps=1), model=base.model, name="on")
    assert not any("classes anew" in n for n in on.provenance["notices"])
    three = truth.copy()
    three[60:] += 1
    other = train(three, tmp_path, TINY.replace(learning_rate=0.0), model=base.model, name="other")
    told = "The model knows 2 classes and you have 3: it keeps what it sees in images"
    assert any(n.startswith(told) for n in other.provenance["notices"])
    before, after = (load_file(t.model.path) for t in (base, other))
    assert all(torch.equal(before[k], after[k]) for k in before if not k.startswith("head."))
    assert len(other.model.spec.classes) == 3


@pytest.mark.parametrize(("part", "free"), [("head", "head."), ("decoder", ("head.", "fc6.", "fc7."))])
def test_only_the_chosen_part_is_trained(tmp_path: Path, part: str, free: Any) -> None:
    _, truth = picture()
    base = train(truth, tmp_path, name="base")
    tuned = train(truth, tmp_path, TINY.replace(train=part), model=base.model, name="t")
    before, after = (load_file(t.model.path) for t in (base, tuned))
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed
    assert all(k.startswith(free) for k in changed)


# VGG's weights.


def small_vgg(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """A trunk of VGG's depth that is quick to write, read and run."""
    from napari_papernets.networks import vgg16

    torch.manual_seed(0)

    def thin(channels: int, classes: int, **options: Any) -> DeepLab:
        return DeepLab(channels, classes, width=1 / 16, **options)

    monkeypatch.setattr(vgg16, "DeepLabLargeFOV", thin)
    state = DeepLab(3, 2, 1 / 16).state_dict()
    return {k: v for k, v in state.items() if k.startswith("features.")}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's models, in a folder of the test."""
    from napari_papernets.engine import vgg_files

    for module in (model_files, vgg_files):
        monkeypatch.setattr(module, "user_folder", lambda: tmp_path / "models")
    return tmp_path / "models"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_vgg_weights_starts_a_training_and_is_kept(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    weights = small_vgg(monkeypatch)
    path = tmp_path / f"vgg16-1234{suffix}"
    torch.save(weights, path) if suffix == ".pth" else save_file(weights, path)
    _, truth = picture()
    settings = TINY.replace(steps=1, learning_rate=0.0)
    tuned = train(truth, tmp_path, settings, model=str(path), name="t")
    assert tuned.model.spec.architecture == "deeplab"
    after, scaled = load_file(tuned.model.path), with_unit_maps(weights)
    assert all(torch.equal(after[k], scaled[k]) for k in weights)
    kept = model_files.find_model("vgg16")
    assert kept.path == home / "vgg16.safetensors"
    assert kept.spec.task == "features"
    assert kept.spec.options["mean"] == list(IMAGENET_MEAN)
    assert import_vgg16(path).path == kept.path  # once
    by_name = train(truth, tmp_path, settings, model="vgg16", name="named")
    assert all(torch.equal(after[k], v) for k, v in load_file(by_name.model.path).items())


def test_another_file_becomes_another_model(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = small_vgg(monkeypatch)
    save_file(weights, tmp_path / "a.safetensors")
    save_file({k: v * 2 for k, v in weights.items()}, tmp_path / "b.safetensors")
    one, two = (import_vgg16(tmp_path / f"{n}.safetensors") for n in "ab")
    assert (one.name, two.name[:6]) == ("vgg16", "vgg16-")
    assert sorted(home.iterdir()) == sorted([one.path, two.path])


class Bomb:
    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was opened",)


def test_a_file_that_is_no_vgg_is_refused(tmp_path: Path, home: Path) -> None:
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps(Bomb()))
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    _, truth = picture()
    for name, words in [("bomb", "could run code"), ("list", "state dict"), ("other", "features")]:
        with pytest.raises(ModelError, match=words):
            train(truth, tmp_path, model=str(tmp_path / f"{name}.pth"))
    assert not home.exists()


def test_a_start_is_refused_by_predict_until_it_has_learnt(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(small_vgg(monkeypatch), tmp_path / "v.safetensors")
    ref = import_vgg16(tmp_path / "v.safetensors")
    assert isinstance(load_weights(ref), DeepLab)
    with pytest.raises(ModelError, match="fine-tune"):
        drain(predict(picture()[0], ref))


# Live.


def test_live_answers_from_its_last_map_then_trains(tmp_path: Path) -> None:
    image, truth = picture()
    settings = TINY.replace(kind="strokes", width=16, steps=3)
    view = View(0, (), (0, *truth.shape[:1], 0, truth.shape[1]))
    job = live(
        [image], [np.zeros_like(truth)], "scratch", settings,
        classes=class_infos(["noise", "stripes"]), folder=tmp_path, view=view, name="toy",
    )  # fmt: skip
    strokes = [Patch(0, (), 10, 5, np.full((90, 40), 1, np.uint8), 1),
               Patch(0, (), 10, 90, np.full((90, 40), 2, np.uint8), 2)]  # fmt: skip
    events: list[Any] = [job.send(None)]
    assert isinstance(events[0], Started)
    while not isinstance(events[-1], Version):
        event = job.send(strokes.pop(0) if strokes else None)
        if not isinstance(event, Idle):
            events.append(event)
    quick = next(e for e in events if isinstance(e, Preview))
    assert quick.source == "quick"
    assert (quick.labels == truth + 1).mean() > 0.85
    assert sum(isinstance(e, Step) for e in events) == 3
    trained = [e for e in events if isinstance(e, Preview)][-1]
    assert not any(isinstance(e, Notice) for e in events)
    saved = events[-1].model
    assert saved.spec.architecture == "deeplab"
    labels = drain(predict(image, saved, PredictSettings(precision="float32"))).labels
    np.testing.assert_array_equal(labels, trained.labels)
    job.close()


def test_a_deeplab_of_other_classes_starts_live_with_a_new_last_layer(tmp_path: Path) -> None:
    _, truth = picture()
    base = train(truth, tmp_path, name="base").model
    image, _ = picture()
    job = live([image], [truth * 0], base, TINY.replace(kind="strokes"),
               classes=class_infos("abc"), folder=tmp_path)  # fmt: skip
    assert isinstance(next(job), Started)
    assert "classes anew" in next(job).message
    job.close()


def test_settings_refuse_an_unknown_network() -> None:
    with pytest.raises(InputError, match="unet, deeplab"):
        TuneSettings(architecture="resnet")  # type: ignore[arg-type]
