"""A version beside the one before it: the numbers, and when they are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from live_person import TINY, Person, picture, run, stroke

from napari_papernets.core.events import Compared, Preview, Version
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import ModelRef, class_infos
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine import live as live_module
from napari_papernets.engine.annotated import read_planes
from napari_papernets.engine.compare import can_compare, comparing
from napari_papernets.engine.finetune import finetune
from napari_papernets.engine.predict import predict
from napari_papernets.model_files import find_model

NAMES = "ground", "cell", "rim"


@pytest.fixture(scope="module")
def scene() -> tuple[ImageBlock, np.ndarray]:
    """Three bands, and strokes on some of it."""
    rng = np.random.default_rng(0)
    truth = np.repeat([1, 2, 3], 24)[:, None] * np.ones((1, 90), np.uint8)
    image = ImageBlock((truth * 60 + rng.integers(0, 50, truth.shape)).astype(np.uint8), "YX")
    strokes = np.where(rng.random((72, 18)).repeat(5, 1) < 0.2, truth, 0).astype(np.uint8)
    return image, strokes


def model(folder: Path, scene: Any, steps: int, names: tuple[str, ...] = NAMES) -> ModelRef:
    image, strokes = scene
    settings = TuneSettings(kind="strokes", width=4, depth=2, crop=32, batch=2, steps=steps,
                            held_out=0.0, precision="float32")  # fmt: skip
    kept = np.where(strokes <= len(names), strokes, 0)
    options: dict[str, Any] = dict(class_names=names, folder=folder, name=f"{len(names)} by {steps}")
    return run(finetune([image], [kept], "scratch", settings, **options)).model


def judge(old: ModelRef, new: ModelRef, scene: Any) -> Compared:
    image, strokes = scene
    planes = read_planes([image], [strokes], "strokes", new.spec)
    planes = [plane.on_scale(new.spec.normalisation.shared) for plane in planes]
    return run(comparing(old, new, planes, torch.device("cpu"), False))


def test_the_iou_of_each_class_is_that_of_its_prediction(tmp_path: Path, scene: Any) -> None:
    image, strokes = scene
    old, new = model(tmp_path, scene, 0), model(tmp_path, scene, 8)
    told = judge(old, new, scene)
    assert [s.number for s in told.scores] == [1, 2, 3]
    known = strokes > 0
    for ref, name in ((old, "old"), (new, "new")):
        said = run(predict(image, ref, PredictSettings(output="semantic", precision="float32"))).labels
        for score in told.scores:
            truth, answer = strokes[known] == score.number, said[known] == score.number
            assert getattr(score, name) == pytest.approx((truth & answer).sum() / (truth | answer).sum())
            assert score.pixels == truth.sum()
    before, after = told.means
    assert before == pytest.approx(np.mean([s.old for s in told.scores]))
    assert after == pytest.approx(np.mean([s.new for s in told.scores]))


def test_classes_are_known_by_their_names(tmp_path: Path, scene: Any) -> None:
    """The old model knows two of three, in another order."""
    two = model(tmp_path, scene, 0, NAMES[:2])
    turned = replace(two, spec=replace(two.spec, classes=class_infos(["cell", "ground"])))
    three = model(tmp_path, scene, 0)
    straight, told = judge(two, three, scene), judge(turned, three, scene)
    assert [s.number for s in told.scores] == [1, 2]
    assert straight.scores[0].old > 0.9
    assert told.scores[0].old < 0.1
    named = replace(three.spec, classes=class_infos(["a", "b", "c"]))
    assert not can_compare(two, replace(three, spec=named))
    assert can_compare(two, three)


def test_a_start_that_is_fed_otherwise_is_not_compared_with(tmp_path: Path) -> None:
    """A plain U-Net takes no channels on a shared scale; the versions that grow from it do."""
    image, truth = picture()
    plain = TINY.replace(kind="classes")
    options: dict[str, Any] = dict(class_names=NAMES[:2], folder=tmp_path, name="plain")
    start = run(finetune([image], [truth - 1], "scratch", plain, **options)).model
    person = Person(tmp_path, model=start, auto=False)
    person.see(Preview, stroke(1, 1), stroke(2, 2))
    assert not person.see(Version, "keep").compares
    person.see(Preview, stroke(1, 3, row=30))
    assert person.see(Version, "keep").compares
    assert person.see(Compared).scores


def test_classes_that_were_renamed_meanwhile_are_the_same(tmp_path: Path, scene: Any) -> None:
    old = model(tmp_path, scene, 0)
    new = replace(old, spec=replace(old.spec, classes=class_infos(["soil", "bud", "edge"])))
    assert not can_compare(old, new)
    assert can_compare(old, new, renamed=True)
    image, strokes = scene
    planes = read_planes([image], [strokes], "strokes", new.spec)
    told = run(comparing(old, new, planes, torch.device("cpu"), False, renamed=True))
    assert [(s.number, s.old) for s in told.scores] == [(s.number, s.new) for s in told.scores]
    assert len(told.scores) == 3


def test_a_version_that_comes_before_its_comparison_ends_is_beside_the_one_that_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def never(old: Any, new: Any, *_: Any) -> Any:
        asked.append((old.name, new.name))
        return iter(lambda: None, 0)

    monkeypatch.setattr("napari_papernets.engine.in_use.comparing", never)
    person = Person(tmp_path, auto=False)
    person.see(Preview, stroke(1, 1), stroke(2, 2))
    for number in (3, 4, 5):
        person.see(Version, "keep")
        person.see(Preview, stroke(1, number, row=10 + 5 * number))
    assert asked == [("toy 1", "toy 2"), ("toy 1", "toy 3")]


def test_a_file_that_is_gone_is_no_end_of_the_training(tmp_path: Path, scene: Any) -> None:
    old, new = model(tmp_path, scene, 0), model(tmp_path, scene, 0, NAMES[:2])
    old.path.unlink()
    assert judge(old, new, scene).scores == ()


def test_each_version_but_the_first_is_compared_with_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "PAUSE", 0.0)
    person = Person(tmp_path)
    first = person.see(Version, stroke(1, 1), stroke(2, 2))
    assert not first.compares
    second = person.see(Version, stroke(1, 3, row=30))
    assert second.compares
    told = person.see(Compared)
    assert (told.old.path, told.new.path) == (first.model.path, second.model.path)
    assert [s.pixels for s in told.scores] == [150, 75]
    assert sum(isinstance(e, Compared) for e in person.events) == 1
    assert find_model(first.model.path)


def test_a_stroke_goes_before_a_comparison_and_training_takes_turns_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "PAUSE", 0.0)
    steps: list[int] = []

    def slowly(old: Any, new: Any, *_: Any) -> Any:
        for n in range(5):
            steps.append(n)
            yield
        return Compared(old, new, ())

    monkeypatch.setattr("napari_papernets.engine.in_use.comparing", slowly)
    person = Person(tmp_path, TINY.replace(steps=20))
    person.see(Version, stroke(1, 1), stroke(2, 2))
    person.see(Version, stroke(1, 3, row=30))
    begun = len(person.events)
    person.see(Compared, stroke(2, 4, row=30))
    kinds = person.kinds()[begun:]
    assert kinds.index("Preview") < kinds.index("Compared")
    assert "Step" in kinds
    assert steps == list(range(5))
