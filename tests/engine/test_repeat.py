"""A live training is repeated to the same weights, whatever was done in it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_papernets.core.annotation import Patch, View
from napari_papernets.core.errors import InputError
from napari_papernets.core.events import Idle, Notice, Resting, Started, Step, Version
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import class_infos
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine import learner as learner_module
from napari_papernets.engine import live as live_module
from napari_papernets.engine.course import read_course
from napari_papernets.engine.finetune import finetune
from napari_papernets.engine.live import live
from napari_papernets.engine.weights import load_weights
from napari_papernets.model_files import COURSE_SUFFIX, find_model

SHAPE = 72, 88
NAMES = "ground", "cell", "rim"


def picture(seed: int) -> ImageBlock:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    discs = sum(np.exp(-((y - v) ** 2 + (x - u) ** 2) / 60) for v, u in rng.integers(8, 70, (9, 2)))
    grey = 120 * np.clip(discs, 0, 1) + rng.integers(0, 40, SHAPE)
    return ImageBlock(grey.astype(np.uint8), "YX", name=f"picture {seed}")


class Painter:
    """Paints at random while it is learnt from, erases, looks elsewhere, keeps, and lets it rest."""

    def __init__(self, seed: int, images: int) -> None:
        self._rng, self._number = np.random.default_rng(seed), 0
        self.annotations = [np.zeros(SHAPE, np.uint8) for _ in range(images)]

    def stroke(self, c: int | None = None) -> Patch:
        rng = self._rng
        image, c = int(rng.integers(len(self.annotations))), int(rng.integers(4)) if c is None else c
        height, width = int(rng.integers(1, 5)), int(rng.integers(4, 20))
        y, x = int(rng.integers(SHAPE[0] - height)), int(rng.integers(SHAPE[1] - width))
        self._number += 1
        labels = np.full((height, width), c, np.uint8)
        self.annotations[image][y : y + height, x : x + width] = labels
        return Patch(image, (), y, x, labels, self._number)

    def view(self) -> View:
        y, x = (int(v) for v in self._rng.integers(0, 20, 2))
        return View(int(self._rng.integers(len(self.annotations))), (), (y, y + 48, x, x + 60))

    def whim(self) -> Any:
        """What to do now, if anything."""
        kind = self._rng.choice(["stroke", "view", "wish", ""], p=[0.12, 0.04, 0.04, 0.8])
        if kind == "wish":
            return str(self._rng.choice(["keep", "train", "rest", "follow"]))
        return {"stroke": self.stroke, "view": self.view}.get(str(kind), lambda: None)()


def train(
    folder: Path, seed: int, settings: TuneSettings, model: str, begun: int = 0
) -> tuple[list[ImageBlock], list[Version], list[list[np.ndarray]]]:
    """A live training of a restless painter: its versions, and what was painted at each of them."""
    images = [picture(n) for n in range(2)]
    painter = Painter(seed, len(images))
    before = [painter.stroke(c % 4) for c in range(1, begun + 1)]
    start = [a.copy() for a in painter.annotations]
    job = live(images, start, model, settings, classes=class_infos(NAMES), folder=folder,
               name="toy", view=painter.view(), patch=len(before))  # fmt: skip
    states, versions, painted = {}, [], []
    first: list[Any] = [painter.stroke(c) for c in (1, 2, 3, 1, 2, 3)]
    sent, steps, event = None, 0, next(job)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if isinstance(event, Version):
            versions.append(event)
            painted.append(states[event.patch])
        steps += isinstance(event, Step)
        if (steps >= 40 or isinstance(event, Resting)) and len(versions) >= 3:
            break
        sent = first.pop(0) if first else painter.whim()
        if isinstance(sent, Patch):
            states[sent.number] = [a.copy() for a in painter.annotations]
        if isinstance(event, Idle):
            time.sleep(min(event.seconds, 0.01))
        event = job.send(sent)
    job.close()
    return images, versions, painted


def follow(job: Any, told: list[Any] | None = None) -> Any:
    told = [] if told is None else told
    while True:
        try:
            told.append(next(job))
        except StopIteration as end:
            return end.value


def again(folder: Path, images: Any, version: Version, painted: Any, model: str, **more: Any) -> Any:
    course = version.model.path.with_name(version.model.path.stem + COURSE_SUFFIX)
    options = dict(class_names=NAMES, folder=folder / "again", name="again", course=course) | more
    settings = options.pop("settings", None)
    return follow(finetune(images, painted, model, settings, **options))


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training does not wait for a pause of the painter."""
    monkeypatch.setattr(live_module, "PAUSE", 0.01)


@pytest.mark.parametrize(("model", "seed"), [("scratch", 0), ("auto", 2)])
def test_every_version_of_a_restless_painter_is_repeated_bit_by_bit(
    tmp_path: Path, model: str, seed: int
) -> None:
    settings = TuneSettings(
        width=4,
        depth=2,
        crop=32,
        batch=2,
        steps=7,
        held_out=0.3,
        checkpoint_every=8,
        precision="float32",
    )
    images, versions, painted = train(tmp_path, seed, settings, model, begun=3 * (seed == 2))
    assert len(versions) >= 3
    assert any(v.source == "trained" for v in versions)
    for version, strokes in zip(versions, painted, strict=True):
        tuned = again(tmp_path, images, version, strokes, model)
        assert tuned.provenance["repeats_exactly"]
        then, now = (
            load_weights(find_model(ref.path)).state_dict() for ref in (version.model, tuned.model)
        )
        assert then.keys() == now.keys()
        for name, value in then.items():
            assert torch.equal(value, now[name]), name


def test_what_is_no_course_or_another_is_refused(tmp_path: Path) -> None:
    settings = TuneSettings(width=4, depth=2, crop=32, batch=2, steps=2, precision="float32")
    images, versions, painted = train(tmp_path, 0, settings, "scratch")
    version, strokes = versions[0], painted[0]
    options: dict[str, Any] = dict(images=images, version=version, painted=strokes, model="scratch")
    with pytest.raises(InputError, match=r"annotations.*leave out the course"):
        again(tmp_path, **options | dict(painted=[s * 0 for s in strokes]))
    with pytest.raises(InputError, match=r"width.*trained with 4"):
        again(tmp_path, **options, settings=TuneSettings(width=8))
    with pytest.raises(InputError, match="resume"):
        again(tmp_path, **options, resume=True)
    for names in (None, ("ground", "cell")):
        with pytest.raises(InputError, match="classes"):
            again(tmp_path, **options, class_names=names)
    with pytest.raises(InputError, match="same order"):
        again(tmp_path, **options | dict(images=images[:1], painted=strokes[:1]))
    assert not (tmp_path / "again").exists() or not list((tmp_path / "again").glob("*.safetensors"))
    whole = version.model.path.with_name(version.model.path.stem + COURSE_SUFFIX)
    for text in ("", "[]", "{}", whole.read_text()[:-20], json.dumps(dict(format=1, deeds=[["leap"]]))):
        (broken := tmp_path / "broken.json").write_text(text)
        with pytest.raises(InputError, match="course"):
            read_course(broken)


def test_too_much_annotation_at_the_start_is_not_kept_with_every_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learner_module, "MOST_BEGUN", 5)
    settings = TuneSettings(width=4, depth=2, crop=32, batch=2, steps=2, precision="float32")
    train(tmp_path, 0, settings, "scratch", begun=3)
    assert list(tmp_path.glob("*.safetensors"))
    assert not list(tmp_path.glob(f"*{COURSE_SUFFIX}"))


def test_another_number_of_threads_is_told_and_not_called_exact(tmp_path: Path) -> None:
    settings = TuneSettings(width=4, depth=2, crop=32, batch=2, steps=2, precision="float32")
    images, versions, painted = train(tmp_path, 0, settings, "scratch")
    path = versions[0].model.path
    place = path.with_name(path.stem + COURSE_SUFFIX)
    known = json.loads(place.read_text())
    known["made"]["threads"] = 97
    place.write_text(json.dumps(known))
    told: list[Any] = []
    options = dict(class_names=NAMES, folder=tmp_path, course=place)
    tuned = follow(finetune(images, painted[0], "scratch", **options), told)
    assert any(isinstance(event, Notice) and "threads 97 then" in event.message for event in told)
    assert not tuned.provenance["repeats_exactly"]


def test_other_pixels_and_another_start_of_the_same_name_are_told(tmp_path: Path) -> None:
    settings = TuneSettings(width=4, depth=2, crop=32, batch=2, steps=2, precision="float32")
    images, versions, painted = train(tmp_path, 0, settings, "scratch")
    first, strokes = versions[0], painted[0]
    turned = [replace(image, data=255 - image.data) for image in images]
    told: list[Any] = []
    place = first.model.path.with_name(first.model.path.stem + COURSE_SUFFIX)
    options: dict[str, Any] = dict(class_names=NAMES, folder=tmp_path / "again", course=place)
    tuned = follow(finetune(turned, strokes, "scratch", **options), told)
    assert any(isinstance(e, Notice) and "other images" in e.message for e in told)
    assert not tuned.provenance["repeats_exactly"]
    told.clear()
    tuned = follow(finetune(images, strokes, first.model, **options), told)
    assert any(isinstance(e, Notice) and "other start" in e.message for e in told)
    assert not tuned.provenance["repeats_exactly"]


def test_a_deeplab_with_its_dropout_is_repeated_too(tmp_path: Path) -> None:
    settings = TuneSettings(
        architecture="deeplab", width=8, crop=33, batch=2, steps=2, precision="float32"
    )
    images, versions, painted = train(tmp_path, 3, settings, "scratch")
    tuned = again(tmp_path, images, versions[-1], painted[-1], "scratch")
    assert tuned.provenance["repeats_exactly"]
    then, now = (
        load_weights(find_model(r.path)).state_dict() for r in (versions[-1].model, tuned.model)
    )
    assert all(torch.equal(value, now[name]) for name, value in then.items())


def test_a_stop_keeps_what_was_learnt_so_far_and_says_so(tmp_path: Path) -> None:
    settings = TuneSettings(width=4, depth=2, crop=32, batch=2, steps=6, precision="float32")
    images, versions, painted = train(tmp_path, 1, settings, "scratch")
    last = versions[-1]
    course = last.model.path.with_name(last.model.path.stem + COURSE_SUFFIX)
    job = finetune(images, painted[-1], "scratch", class_names=NAMES, folder=tmp_path, course=course)
    assert isinstance(next(job), Started)
    while not isinstance(next(job), Step):
        pass
    with pytest.raises(StopIteration) as end:
        job.send("stop")
    assert not end.value.value.provenance["repeats_exactly"]
    assert end.value.value.model.path.exists()
