"""Training: it learns, it repeats, it resumes exactly, it stops, and it refuses what it cannot use."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import torch
from discs import random_discs
from safetensors.torch import load_file, save

from napari_papernets.api import drain
from napari_papernets.core.errors import InputError, ModelError
from napari_papernets.core.events import Checkpoint, EpochDone, Event, Notice, Started, Step
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import ModelSpec
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.core.results import Tuned
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine import finetune as finetune_room
from napari_papernets.engine import training as training_room
from napari_papernets.engine.annotated import hold_out, read_planes
from napari_papernets.engine.checkpoints import checkpoint_path, read_state, write_state
from napari_papernets.engine.convexity import object_solidities
from napari_papernets.engine.crops import count_pixels, draw_crop, judged_crops, pose_problem
from napari_papernets.engine.finetune import chances_of, finetune
from napari_papernets.engine.losses import weighted_cross_entropy
from napari_papernets.engine.optimisation import WeightAverage
from napari_papernets.engine.predict import predict
from napari_papernets.engine.targets import encode_instances
from napari_papernets.engine.weights import load_weights
from napari_papernets.model_files import TRAINING_KEY, find_model, list_models

TINY = TuneSettings(
    kind="instances",
    width=4,
    depth=2,
    steps=6,
    batch=2,
    crop=48,
    checkpoint_every=4,
    precision="float32",
)


def scene(seed: int = 0, shape: tuple[int, int] = (90, 110)) -> tuple[ImageBlock, np.ndarray]:
    """Bright discs on noisy ground, and their numbers."""
    ids = random_discs(seed, shape)
    noise = np.random.default_rng(seed).normal(0, 12, shape)
    return ImageBlock(((ids > 0) * 100 + 50 + noise).astype(np.float32), "YX"), ids


def strokes(ids: np.ndarray) -> np.ndarray:
    """A few painted lines: 1 on the ground, 2 on objects."""
    painted = np.zeros(ids.shape, np.uint8)
    painted[8::20] = 1 + (ids[8::20] > 0)
    painted[:, ::3] = 0
    return painted


def train(
    images: Sequence[ImageBlock],
    annotations: Sequence[Any],
    folder: Path,
    settings: TuneSettings = TINY,
    stop_at: int | None = None,
    **more: Any,
) -> tuple[Tuned, list[Event]]:
    """Run to the end; say "stop" at that step."""
    model = more.pop("model", "scratch")
    job = finetune(images, annotations, model, settings, device="cpu", folder=folder, **more)
    events, answer = [], None
    while True:
        try:
            event = job.send(answer)
        except StopIteration as end:
            return end.value, events
        events.append(event)
        answer = "stop" if isinstance(event, Step) and event.step == stop_at else None


def weights_of(tuned: Tuned) -> dict[str, torch.Tensor]:
    return load_file(tuned.model.path)


def assert_same_weights(one: Tuned, other: Tuned) -> None:
    a, b = weights_of(one), weights_of(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_the_events_tell_the_plan_every_step_and_every_checkpoint(tmp_path: Path) -> None:
    image, ids = scene()
    tuned, events = train([image], [ids], tmp_path)
    assert isinstance(events[0], Started)
    assert events[0].total == 6
    assert [e.step for e in events if isinstance(e, Step)] == [1, 2, 3, 4, 5, 6]
    assert [e.step for e in events if isinstance(e, Checkpoint)] == [4, 6]
    assert len(tuned.history) == 6
    assert all(np.isfinite(row["loss"]) for row in tuned.history)


def test_stop_is_heard_at_every_event(tmp_path: Path) -> None:
    image, ids = scene()
    settings = TINY.replace(kind="strokes", steps=1000, checkpoint_every=5)
    first, _ = train([image], [strokes(ids)], tmp_path, settings.replace(steps=2), name="first")
    for kind in (Started, EpochDone, Checkpoint):
        job = finetune(
            [image], [strokes(ids)], first.model, settings, device="cpu", folder=tmp_path, name="second"
        )
        while not isinstance(next(job), kind):
            pass
        job.send("stop")
        assert drain(job).provenance["stopped"] == "by the user", kind


def test_it_learns_objects_from_one_image(tmp_path: Path) -> None:
    image, ids = scene()
    settings = TINY.replace(width=8, steps=60, batch=4, learning_rate=5e-3, w0=0.0, elastic=2.0)
    tuned, events = train([image], [ids], tmp_path, settings)
    scores = [e.score for e in events if isinstance(e, EpochDone)]
    assert max(scores) > 0.6
    assert tuned.provenance["kept"] == "best"
    assert tuned.provenance["score"] == max(scores)
    assert tuned.model.spec.task == "instances"
    assert [c.name for c in tuned.model.spec.classes] == ["background", "inside", "border"]
    assert tuned.model.spec.object_diameter == pytest.approx(15, abs=5)
    assert 0.15 <= tuned.model.spec.threshold <= 0.75


def test_it_learns_from_strokes(tmp_path: Path) -> None:
    image, ids = scene()
    settings = TINY.replace(kind="strokes", width=8, steps=40, batch=4, learning_rate=5e-3)
    tuned, _ = train([image], [strokes(ids)], tmp_path, settings, class_names=["ground", "disc"])
    assert [c.name for c in tuned.model.spec.classes] == ["ground", "disc"]
    assert tuned.model.spec.task == "semantic"
    assert tuned.provenance["score"] > 0.8


@pytest.mark.parametrize("architecture", ["unet", "deeplab"])
def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    tmp_path: Path, architecture: str
) -> None:
    image, ids = scene()
    settings = TINY.replace(architecture=architecture)
    one, _ = train([image], [ids], tmp_path, settings, name="one")
    two, _ = train([image], [ids], tmp_path, settings, name="two")
    other, _ = train([image], [ids], tmp_path, settings.replace(seed=1), name="other")
    assert_same_weights(one, two)
    name = next(n for n in weights_of(one) if n.startswith("head.") and n.endswith(".weight"))
    assert not torch.equal(weights_of(one)[name], weights_of(other)[name])


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize(
    "network", [{"norm": "batch"}, {"norm": "none"}, {"architecture": "deeplab"}]
)  # the last two have drop-out
def test_a_cancelled_and_resumed_training_equals_an_uninterrupted_one(
    tmp_path: Path, optimiser: str, network: dict[str, str]
) -> None:
    image, ids = scene()
    settings = TINY.replace(optimiser=optimiser, schedule="cosine", learning_rate=1e-3, **network)
    whole, _ = train([image], [ids], tmp_path, settings, name="whole")
    job = finetune([image], [ids], "scratch", settings, device="cpu", folder=tmp_path, name="parts")
    for event in job:
        if isinstance(event, Step) and event.step == 5:
            job.close()
    assert not (tmp_path / "parts.safetensors").exists()
    resumed, events = train([image], [ids], tmp_path, settings, name="parts", resume=True)
    assert [e.step for e in events if isinstance(e, Step)] == [5, 6]
    assert_same_weights(whole, resumed)
    assert [r["loss"] for r in resumed.history] == [r["loss"] for r in whole.history]


@pytest.mark.parametrize("held_out", [0.0, 0.3])
def test_mean_weights_are_kept_and_resumed_exactly(tmp_path: Path, held_out: float) -> None:
    image, ids = scene()
    settings = TINY.replace(average=0.5, held_out=held_out)
    whole, _ = train([image], [ids], tmp_path, settings, name="whole")
    parts, _ = train([image], [ids], tmp_path, settings, name="parts", stop_at=3)
    resumed, _ = train([image], [ids], tmp_path, settings, name="parts", resume=True)
    assert_same_weights(whole, resumed)
    plain, _ = train([image], [ids], tmp_path, TINY.replace(held_out=held_out), name="plain")
    assert [r["loss"] for r in plain.history] == [r["loss"] for r in whole.history]
    assert not torch.equal(weights_of(plain)["head.weight"], weights_of(whole)["head.weight"])
    assert all(bool(torch.isfinite(w).all()) for w in weights_of(parts).values())


def test_the_mean_is_that_of_the_weights_each_step_began_with() -> None:
    network = torch.nn.Linear(1, 1)
    average = WeightAverage(network, 0.9)
    seen = [3.0, 1.0, -2.0, 5.0]
    expected = float(network.weight.detach())
    for step, value in enumerate(seen):
        torch.nn.init.constant_(network.weight, value)
        average.take(network.state_dict(), step)
        rate = min(0.9, (1 + step) / (10 + step))
        expected = rate * expected + (1 - rate) * value
    with average.in_place():
        assert float(network.weight.detach()) == pytest.approx(expected)
    assert float(network.weight.detach()) == 5.0
    for step in range(200):
        average.take(network.state_dict(), 100 + step)
    assert float(average.state["weight"]) == pytest.approx(5.0)


def test_no_mean_is_kept_unless_asked_for() -> None:
    network = torch.nn.Linear(1, 1)
    before = float(network.weight.detach())
    average = WeightAverage(network, 0.0)
    average.take(network.state_dict(), 0)
    assert not average.state
    with average.in_place():
        assert float(network.weight.detach()) == before


@pytest.mark.parametrize("steps", [6, 0])
def test_strokes_resumed_give_the_weights_of_an_uninterrupted_training(
    tmp_path: Path, steps: int
) -> None:
    image, ids = scene()
    settings = TINY.replace(kind="strokes", steps=steps)
    whole, _ = train([image], [strokes(ids)], tmp_path, settings, name="whole")
    job = finetune([image], [strokes(ids)], "scratch", settings, folder=tmp_path, name="parts")
    for event in job:
        if isinstance(event, Checkpoint):  # after step 4, whose teacher is that of the start
            job.close()
    resumed, _ = train([image], [strokes(ids)], tmp_path, settings, name="parts", resume=True)
    assert_same_weights(whole, resumed)


def test_strokes_too_few_to_judge_by_are_fitted_quickly_and_no_more(tmp_path: Path) -> None:
    image, ids = scene()
    few = np.zeros(ids.shape, np.uint8)
    few[8, 5:40], few[ids == ids.max()] = 1, 2
    settings = TINY.replace(kind="strokes", held_out=0.2, steps=2)
    tuned, events = train([image], [few], tmp_path, settings, model="strokes")
    assert tuned.provenance["steps_done"] == 0
    assert any("five strokes" in e.message for e in events if isinstance(e, Notice))
    wish = settings.replace(held_out=0.0)
    asked, _ = train([image], [few], tmp_path, wish, name="asked", model="strokes")
    assert asked.provenance["steps_done"] == wish.steps


@pytest.mark.parametrize("length", [dict(steps=0), dict(steps=None, seconds=0.0)])
def test_a_model_that_was_not_trained_is_told_so(tmp_path: Path, length: dict[str, Any]) -> None:
    image, ids = scene()
    tuned, events = train([image], [ids], tmp_path, TINY.replace(**length))
    (told,) = [e.message for e in events if isinstance(e, Notice) and "Not trained" in e.message]
    assert told in tuned.provenance["notices"]
    fitted = TINY.replace(kind="strokes", **length)
    _, events = train([image], [strokes(ids)], tmp_path, fitted, name="fitted")
    assert not any("Not trained" in e.message for e in events if isinstance(e, Notice))


def test_what_was_held_out_is_learnt_in_the_end(tmp_path: Path) -> None:
    image, ids = scene()
    settings = TINY.replace(kind="strokes", steps=0)
    judged, _ = train([image], [strokes(ids)], tmp_path, settings.replace(held_out=0.5), name="half")
    whole, _ = train([image], [strokes(ids)], tmp_path, settings.replace(held_out=0.0), name="all")
    assert judged.provenance["score"] is not None
    assert judged.provenance["held_out_planes"] == 1
    assert_same_weights(judged, whole)


def test_stop_keeps_the_model_and_it_can_go_on(tmp_path: Path) -> None:
    image, ids = scene()
    whole, _ = train([image], [ids], tmp_path, name="whole")
    stopped, _ = train([image], [ids], tmp_path, name="parts", stop_at=3)
    assert stopped.provenance["steps_done"] == 3
    assert stopped.provenance["stopped"] == "by the user"
    assert stopped.model.path.is_file()
    resumed, _ = train([image], [ids], tmp_path, name="parts", resume=True)
    assert_same_weights(whole, resumed)


def test_a_run_by_the_clock_is_repeated_by_its_steps(tmp_path: Path) -> None:
    image, ids = scene()
    timed = TINY.replace(steps=None, seconds=0.6)
    by_clock, events = train([image], [ids], tmp_path, timed, name="clock")
    assert isinstance(events[0], Started)
    assert events[0].total == 0
    steps = by_clock.provenance["steps_done"]
    assert steps >= 1
    by_steps, _ = train([image], [ids], tmp_path, TINY.replace(steps=steps), name="steps")
    assert_same_weights(by_clock, by_steps)


def test_what_comes_before_the_first_step_counts_up_to_half_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, ids = scene()
    counted: list[float] = []

    class Counted(training_room.Training):
        def count_from(self, moment: float) -> None:
            super().count_from(moment)
            counted.append(self.seconds_before)

    def slowly(*given: Any) -> Any:
        time.sleep(0.3)
        return hold_out(*given)

    monkeypatch.setattr(finetune_room, "Training", Counted)
    monkeypatch.setattr(finetune_room, "hold_out", slowly)
    for seconds in (100.0, 0.4):
        timed = TINY.replace(steps=None, seconds=seconds)
        _, events = train([image], [ids], tmp_path, timed, stop_at=1)
        assert any(isinstance(e, Step) for e in events)
    assert 0.3 <= counted[0] < 50
    assert counted[1] == 0.2


def test_resume_refuses_other_settings_other_data_and_damage(tmp_path: Path) -> None:
    image, ids = scene()
    train([image], [ids], tmp_path)
    with pytest.raises(InputError, match="learning_rate"):
        train([image], [ids], tmp_path, TINY.replace(learning_rate=0.5), resume=True)
    with pytest.raises(InputError, match="other data"):
        train([image], [ids[::-1]], tmp_path, resume=True)
    with pytest.raises(InputError, match="other data"):
        train([image, image], [ids, ids], tmp_path, resume=True)
    with pytest.raises(InputError, match="no checkpoint"):
        train([image], [ids], tmp_path, name="another", resume=True)
    path = tmp_path / "tuned.checkpoint"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="damaged"):
        train([image], [ids], tmp_path, resume=True)


@pytest.mark.parametrize(
    "change",
    [
        {"step": None}, {"step": "x"}, {"settings": None}, {"spec": None}, {"version": None},
        {"history": {}}, {"seconds": True}, None,
    ],
)  # fmt: skip
def test_a_checkpoint_with_another_header_is_damaged(tmp_path: Path, change: Any) -> None:
    image, ids = scene()
    train([image], [ids], tmp_path, TINY.replace(steps=1))
    path = checkpoint_path(tmp_path, "tuned")
    facts = dict(read_state(path).facts)
    header = [1] if change is None else {k: v for k, v in (facts | change).items() if v is not None}
    path.write_bytes(save({}, {TRAINING_KEY: json.dumps(header)}))
    with pytest.raises(InputError, match="damaged"):
        train([image], [ids], tmp_path, TINY.replace(steps=1), resume=True)


def test_two_trainings_without_a_name_keep_both_models(tmp_path: Path) -> None:
    image, ids = scene()
    first, second = (finetune([image], [ids], "scratch", TINY, folder=tmp_path) for _ in range(2))
    next(first)
    next(second)
    kept = [drain(job).model for job in (first, second)]
    assert [ref.path.name for ref in kept] == ["tuned.safetensors", "tuned-2.safetensors"]
    assert [ref.name for ref in kept] == ["tuned", "tuned-2"]
    assert find_model(kept[1].path).name == "tuned-2"
    assert "--name" not in kept[1].spec.provenance["command"]


def test_more_steps_continue_a_finished_training(tmp_path: Path) -> None:
    image, ids = scene()
    train([image], [ids], tmp_path, name="parts")
    longer = TINY.replace(steps=8)
    continued, _ = train([image], [ids], tmp_path, longer, name="parts", resume=True)
    whole, _ = train([image], [ids], tmp_path, longer, name="whole")
    assert_same_weights(whole, continued)
    assert continued.provenance["plans"] == [[0, 6], [6, 8]]


def test_a_loss_that_is_no_number_rolls_back_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, ids = scene()
    calls = []

    def spoilt(*arguments: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return weighted_cross_entropy(*arguments) * (np.nan if len(calls) == 4 else 1.0)

    monkeypatch.setattr(training_room, "weighted_cross_entropy", spoilt)
    spoilt_run, events = train([image], [ids], tmp_path, TINY.replace(held_out=0.0), name="spoilt")
    notices = [e for e in events if isinstance(e, Notice)]
    assert len(notices) == 1
    assert "learning rate" in notices[0].message
    assert spoilt_run.provenance["steps_done"] == 3
    assert "finite" in spoilt_run.provenance["stopped"]
    monkeypatch.undo()
    two_steps, _ = train([image], [ids], tmp_path, TINY.replace(held_out=0.0, steps=2), name="two")
    assert_same_weights(spoilt_run, two_steps)  # the weights whose loss was still a number


def test_too_little_memory_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training_room, "weighted_cross_entropy", greedy)
    with pytest.raises(InputError, match="lower batch"):
        train([IMAGE], [IDS], tmp_path)


def test_without_held_out_annotation_the_last_model_is_kept_and_called_so(tmp_path: Path) -> None:
    image, ids = scene()
    tuned, events = train([image], [ids], tmp_path, TINY.replace(held_out=0.0))
    assert tuned.provenance["kept"] == "last"
    assert tuned.provenance["score"] is None
    assert [e.score for e in events if isinstance(e, EpochDone)] == [None]


@pytest.mark.parametrize(("part", "free"), [("head", "head."), ("decoder", ("head.", "up.", "expand."))])
def test_only_the_chosen_part_is_trained(tmp_path: Path, part: str, free: Any) -> None:
    image, ids = scene()
    base, _ = train([image], [ids], tmp_path, name="base")
    settings = TINY.replace(train=part, held_out=0.0)
    tuned, _ = train([image], [ids], tmp_path, settings, model=base.model, name="t")
    before, after = weights_of(base), weights_of(tuned)
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed
    assert all(k.startswith(free) and "running" not in k for k in changed)


def test_other_classes_get_a_new_head_on_the_old_body(tmp_path: Path) -> None:
    image, ids = scene()
    base, _ = train([image], [ids], tmp_path, name="base")
    settings = TINY.replace(kind="strokes", steps=1, learning_rate=0.0, weight_decay=0.0)
    tuned, events = train([image], [strokes(ids)], tmp_path, settings, model=base.model, name="t")
    (notice,) = [e.message for e in events if isinstance(e, Notice)]
    kept = "it keeps what it sees in images and learns the classes anew"
    assert notice == f"The model finds objects and you have classes: {kept}"
    assert len(tuned.model.spec.classes) == 2
    assert tuned.model.spec.task == "semantic"
    before, after = weights_of(base), weights_of(tuned)
    assert all(torch.equal(before[k], after[k]) for k in before if not k.startswith("head."))
    assert after["head.weights.0.weight"].shape[0] == 2


def test_a_class_that_is_never_annotated_is_named(tmp_path: Path) -> None:
    image, ids = scene()
    painted = strokes(ids)
    painted[painted == 2] = 3
    settings = TINY.replace(kind="strokes", steps=1)
    tuned, events = train([image], [painted], tmp_path, settings)
    (notice,) = [e for e in events if isinstance(e, Notice)]
    assert notice.details == {"missing": [2]}
    assert tuned.provenance["notices"] == [notice.message]
    assert len(tuned.model.spec.classes) == 3


def test_the_provenance_tells_how_to_repeat_the_run(tmp_path: Path) -> None:
    image, ids = scene()
    timed = TINY.replace(steps=None, seconds=0.3)
    tuned, _ = train([image], [ids], tmp_path, timed)
    steps = tuned.provenance["steps_done"]
    assert tuned.provenance["command"].startswith("papernets finetune image.tif annotations.tif")
    assert f"--steps {steps}" in tuned.provenance["command"]
    assert "--seconds" not in tuned.provenance["command"]
    assert tuned.provenance["repeats_exactly"]
    cosine, _ = train([image], [ids], tmp_path, timed.replace(schedule="cosine"))
    assert not cosine.provenance["repeats_exactly"]  # the rate followed the clock
    falling = TINY.replace(schedule="cosine")
    for more, exact in (({}, True), ({"stop_at": 3}, False), ({"shares": [2.0]}, False)):
        tuned, _ = train([image], [ids], tmp_path, falling, **more)
        assert tuned.provenance["repeats_exactly"] is exact, more


def test_a_checkpoint_without_finite_weights_is_refused(tmp_path: Path) -> None:
    image, ids = scene()
    train([image], [ids], tmp_path, name="parts")
    path = checkpoint_path(tmp_path, "parts")
    state = read_state(path)
    name = next(n for n in state.tensors if n.startswith("network.") and n.endswith("weight"))
    state.tensors[name].view(-1)[0] = torch.nan
    write_state(state, path)
    more = TINY.replace(steps=9)
    with pytest.raises(InputError, match="not finite"):
        train([image], [ids], tmp_path, more, name="parts", resume=True)


def test_after_resuming_the_last_good_weights_are_those_of_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, ids = scene()
    settings = TINY.replace(kind="strokes", held_out=0.0)
    whole, _ = train([image], [strokes(ids)], tmp_path, settings, name="parts")
    spoil = lambda *given: torch.tensor(torch.nan, requires_grad=True)  # noqa: E731
    monkeypatch.setattr(training_room, "weighted_cross_entropy", spoil)
    more = settings.replace(steps=9)
    broken, _ = train([image], [strokes(ids)], tmp_path, more, name="parts", resume=True)
    assert "finite" in broken.provenance["stopped"]
    assert_same_weights(whole, broken)


def test_the_solidity_of_the_objects_is_tried_and_kept_with_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, ids = scene()
    tried: list[float | None] = []

    def fit(
        network: object, planes: object, spec: ModelSpec, *more: object
    ) -> Generator[Event, None, Any]:
        tried.append(spec.object_solidity)
        yield from ()
        return 0.4, 0.8

    monkeypatch.setattr(finetune_room, "fit_threshold", fit)
    tuned, _ = train([image], [ids], tmp_path)
    assert tried == [pytest.approx(np.percentile(object_solidities(ids), 25))]
    assert (tuned.model.spec.threshold, tuned.model.spec.object_solidity) == (0.4, 0.8)


def test_without_a_name_no_model_is_replaced(tmp_path: Path) -> None:
    image, ids = scene()

    def run(**more: Any) -> Tuned:
        return drain(finetune([image], [ids], "scratch", TINY, folder=tmp_path, **more))

    first = run()
    kept = first.model.path.read_bytes()
    assert [run().model.name, run().model.name] == ["tuned-2", "tuned-3"]
    assert first.model.path.read_bytes() == kept
    checkpoint_path(tmp_path, "tuned-3").unlink()
    assert run(resume=True).model.name == "tuned-2"
    assert run(name="tuned-3").model.name == "tuned-3"


def test_two_trainings_at_once_without_a_name_keep_their_own_work(tmp_path: Path) -> None:
    image, ids = scene()
    jobs = [finetune([image], [ids], "scratch", TINY, folder=tmp_path) for _ in range(2)]
    for job in jobs:
        next(job)
    assert [drain(job).model.name for job in jobs] == ["tuned", "tuned-2"]
    assert all(checkpoint_path(tmp_path, name).exists() for name in ("tuned", "tuned-2"))


def test_a_resumed_training_tells_what_it_began_with(tmp_path: Path) -> None:
    image, ids = scene()
    base, _ = train([image], [ids], tmp_path, name="base")
    train([image], [ids], tmp_path, name="more", model=base.model)
    longer = TINY.replace(steps=9)
    second, events = train([image], [ids], tmp_path, longer, name="more", resume=True)
    assert any(isinstance(e, Notice) and str(base.model.path) in e.message for e in events)
    assert second.provenance["base"] == str(base.model.path)
    assert f"--model {base.model.path}" in second.provenance["command"]
    for same in (base.model, base.model.path):
        third, events = train([image], [ids], tmp_path, longer, name="more", model=same, resume=True)
        assert not any(isinstance(e, Notice) and "began" in e.message for e in events)
        assert "base" in third.provenance["base"]


def test_a_model_for_another_task_forgets_the_threshold_of_the_first(tmp_path: Path) -> None:
    image, ids = scene()
    base, _ = train([image], [ids], tmp_path, name="base")
    assert base.model.spec.object_diameter is not None
    classes = TINY.replace(kind="classes")
    tuned, _ = train([image], [(ids > 0).astype(np.uint8)], tmp_path, classes, model=base.model)
    assert (tuned.model.spec.threshold, tuned.model.spec.object_diameter) == (0.5, None)
    assert tuned.model.spec.object_solidity is None


def test_a_model_keeps_its_own_encoding(tmp_path: Path) -> None:
    image, ids = scene()
    ridge = TINY.replace(encoding="ridge")
    base, _ = train([image], [ids], tmp_path, ridge, name="base")
    tuned, events = train([image], [ids], tmp_path, TINY, model=str(base.model.path), name="t")
    assert tuned.model.spec.encoding == "ridge"
    assert any(isinstance(e, Notice) and "ridge" in e.message for e in events)


def test_the_paper_network_trains_unpadded(tmp_path: Path) -> None:
    image, ids = scene()
    paper = TINY.replace(
        padding="valid", norm="none", optimiser="sgd", learning_rate=1e-3, encoding="ridge"
    )
    tuned, _ = train([image], [ids], tmp_path, paper)
    assert tuned.model.spec.size_rule.padding == "valid"
    assert load_weights(tuned.model).options["norm"] == "none"


def test_a_channel_is_learnt_from_and_taken_by_default_afterwards(tmp_path: Path) -> None:
    image, ids = scene()
    noise = np.random.default_rng(5).random((90, 110)).astype(np.float32)
    noise_and_cells = np.stack([noise, np.asarray(image.data, np.float32), noise])
    two = ImageBlock(noise_and_cells, "CYX")
    alone, _ = train([image], [ids], tmp_path, name="alone")
    tuned, _ = train([two], [ids], tmp_path, TINY.replace(channels=(1,)), name="one of three")
    assert_same_weights(alone, tuned)
    spec = tuned.model.spec
    assert (spec.in_channels, spec.channels, spec.channels_of) == (1, (1,), 3)
    assert "--channels 1" in tuned.provenance["command"]
    plain = PredictSettings(precision="float32")
    labels = [drain(predict(block, tuned.model, plain)).labels for block in (image, two)]
    np.testing.assert_array_equal(*labels)
    with pytest.raises(InputError, match="2 channels"):
        drain(predict(ImageBlock(noise_and_cells[:2], "CYX"), tuned.model, plain))
    more, _ = train([two], [ids], tmp_path, model=tuned.model)
    assert more.model.spec.channels == (1,)
    with pytest.raises(ModelError, match="got 2 channels"):
        train([two], [ids], tmp_path, TINY.replace(channels=(0, 1)), model=tuned.model)


def test_channels_in_another_order_are_learnt_and_answered_in_that_order(tmp_path: Path) -> None:
    image, ids = scene()
    pixels = np.stack([np.asarray(image.data, np.float32), np.zeros((90, 110), np.float32)])
    pixels[1, ::7] = 1
    here, there = ImageBlock(pixels, "CYX"), ImageBlock(pixels[::-1].copy(), "CYX")
    straight, _ = train([here], [ids], tmp_path, name="straight")
    turned, _ = train([there], [ids], tmp_path, TINY.replace(channels=(1, 0)), name="turned")
    assert_same_weights(straight, turned)
    plain = PredictSettings(precision="float32")
    labels = [
        drain(predict(block, tuned.model, plain)).labels
        for block, tuned in ((here, straight), (there, turned))
    ]
    np.testing.assert_array_equal(*labels)


def test_grey_among_colour_and_stacks_are_taken_together(tmp_path: Path) -> None:
    grey, ids = scene()
    colour = ImageBlock(np.random.default_rng(0).integers(0, 255, (60, 70, 3)).astype("u1"), "YXC")
    stack = ImageBlock(dask.array.from_array(np.stack([grey.data] * 3)), "ZYX")
    marked = np.zeros(stack.shape, np.int64)
    marked[1] = ids
    annotations = [ids, random_discs(1, (60, 70)), dask.array.from_array(marked)]
    tuned, _ = train([grey, colour, stack], annotations, tmp_path, TINY.replace(steps=2))
    assert tuned.model.spec.in_channels == 3
    assert tuned.model.spec.normalisation.joint
    assert tuned.provenance["annotated_planes"] == 3  # one plane of the stack


def test_a_model_saved_elsewhere_is_found_by_its_file_and_checkpoints_are_no_models(
    tmp_path: Path,
) -> None:
    image, ids = scene()
    tuned, _ = train([image], [ids], tmp_path, TINY.replace(steps=1), name="mine")
    assert find_model(tuned.model.path).spec == tuned.model.spec
    assert "mine" in [m.name for m in list_models(tmp_path)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.checkpoint", "mine.safetensors"]


IMAGE, IDS = scene()
REFUSED = [
    ([], [], {}, "images"),
    ([IMAGE], [], {}, "annotations"),
    ([IMAGE], [IDS[:-1]], {}, "shape"),
    ([IMAGE], [IDS + 0.5], {}, "not whole"),
    ([IMAGE], [IDS - 1], {}, "start at 0"),
    ([IMAGE], [IDS * 0], {}, "no annotated"),
    ([IMAGE], [IDS * 0], dict(kind="strokes"), "no annotated"),
    ([IMAGE], [(IDS > 0).astype(int)], dict(kind="strokes"), "only class 1"),
    ([IMAGE], [IDS * 0], dict(kind="classes"), "only class 0"),
    ([IMAGE], [IDS * 10], dict(kind="classes"), "at most 64"),
    (
        [IMAGE],
        [np.where(IDS > 0, np.uint64(2**63 + 5), np.uint64(1))],
        dict(kind="strokes"),
        "at most 64",
    ),
    (
        [IMAGE],
        [strokes(IDS)],
        dict(kind="strokes", crop=16, depth=4, batch=1),
        "crop: got 16.*more than",
    ),
]


@pytest.mark.parametrize(("images", "annotations", "changes", "message"), REFUSED)
def test_what_cannot_be_learnt_from_is_refused_with_the_mend(
    tmp_path: Path, images: list, annotations: list, changes: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(images, annotations, tmp_path, TINY.replace(**changes))
    assert not list(tmp_path.iterdir())


def test_names_and_shares_must_fit(tmp_path: Path) -> None:
    sparse = TINY.replace(kind="strokes")
    with pytest.raises(InputError, match="class_names"):
        train([IMAGE], [strokes(IDS)], tmp_path, sparse, class_names=["only"])
    with pytest.raises(InputError, match="class_names"):
        train([IMAGE], [IDS], tmp_path, class_names=["a", "b"])
    with pytest.raises(InputError, match="shares"):
        train([IMAGE], [IDS], tmp_path, shares=[1.0, 2.0])
    for name in ("../outside", 7, "x" * 300):
        with pytest.raises(InputError, match="name"):
            train([IMAGE], [IDS], tmp_path, name=name)
    with pytest.raises(ModelError, match="no-such-model"):
        train([IMAGE], [IDS], tmp_path, model="no-such-model")


def test_a_file_in_place_of_the_folder_is_refused_before_the_training(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(InputError, match="is a file: name another folder"):
        next(finetune([IMAGE], [IDS], "scratch", TINY, device="cpu", folder=tmp_path / "notes"))


def planes_of(ids: np.ndarray, kind: str, spec: Any, images: int = 1) -> list:
    image = ImageBlock(np.random.default_rng(0).random(ids.shape), "YX")
    return read_planes([image] * images, [ids] * images, kind, spec)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("spec")
    return train([IMAGE], [IDS], folder, TINY.replace(steps=1))[0].model.spec


def test_held_out_objects_are_whole_and_unseen(spec: Any) -> None:
    (plane,) = hold_out(planes_of(IDS, "instances", spec), 0.3, seed=0)
    held = np.unique(plane.annotation[plane.held & (plane.annotation > 0)])
    assert len(held) == round(0.3 * IDS.max())
    assert plane.held[np.isin(plane.annotation, held)].all()
    problem = pose_problem([plane], spec, TINY)
    for item in range(8):
        crop = draw_crop([plane], np.ones(1), problem, 0, item)
        assert ((crop.weights > 0) == (crop.classes >= 0)).all()
    judged = judged_crops([plane], problem)
    shown = sum(int((c.classes > 0).sum()) for c in judged)
    assert 0 < shown < (plane.annotation > 0).sum() / 2
    kept = count_pixels([plane], "border", 3).sum()
    assert kept == (~plane.held).sum()


def test_images_are_held_out_whole_where_there_are_several(spec: Any) -> None:
    planes = hold_out(planes_of(IDS, "instances", spec, images=10), 0.2, seed=0)
    assert sorted(p.held.mean() for p in planes) == [0] * 8 + [1] * 2


def test_strokes_are_held_out_whole_and_every_class_keeps_one(spec: Any) -> None:
    painted = np.zeros((60, 60), np.uint8)
    painted[5, :20], painted[15, :20], painted[25, :20], painted[40:50, 40] = 1, 1, 1, 2
    (plane,) = hold_out(planes_of(painted, "strokes", spec), 0.4, seed=0)
    for row in (5, 15, 25):
        assert plane.held[row, :20].all() or not plane.held[row, :20].any()
    assert plane.held[:30].sum() == 20  # one of three strokes
    assert not plane.held[40:50, 40].any()  # the only stroke of its class


def test_crops_are_keyed_and_shares_are_kept(spec: Any) -> None:
    planes = planes_of(IDS, "instances", spec, images=2)
    problem = pose_problem(planes, spec, TINY)
    chances = chances_of(planes, [3.0, 1.0], 2)
    chances /= chances.sum()
    one, again = (draw_crop(planes, chances, problem, 5, 1) for _ in range(2))
    assert torch.equal(one.image, again.image)
    assert torch.equal(one.classes, again.classes)
    other = draw_crop(planes, chances, problem, 5, 0)
    assert not torch.equal(one.image, other.image)
    assert chances.tolist() == [0.75, 0.25]


def test_a_crop_shows_the_target_of_its_image(spec: Any) -> None:
    still = TINY.replace(elastic=0.0, rotate=False, zoom_range=1.0, grey=0.0, held_out=0.0)
    planes = planes_of(IDS, "instances", spec)
    crop = draw_crop(planes, np.ones(1), pose_problem(planes, spec, still), 0, 0)
    y, x = (np.rint(c).astype(int) for c in (crop.field.y, crop.field.x))
    inside = (y > 2) & (x > 2) & (y < IDS.shape[0] - 3) & (x < IDS.shape[1] - 3)
    whole = encode_instances(IDS, "border")
    rim = np.zeros(inside.shape, bool)
    rim[1:-1, 1:-1] = True
    check = inside & rim
    assert np.array_equal(crop.classes.numpy()[check], whole[y[check], x[check]])


def test_weighted_cross_entropy_is_the_weighted_mean() -> None:
    torch.manual_seed(0)
    logits, classes = torch.randn(2, 3, 5, 6), torch.randint(0, 3, (2, 5, 6))
    weights = torch.rand(2, 5, 6)
    losses = torch.nn.functional.cross_entropy(logits, classes, reduction="none")
    expected = (losses * weights).sum() / weights.sum()
    assert weighted_cross_entropy(logits, classes, weights) == pytest.approx(expected.item(), rel=1e-5)
    assert weighted_cross_entropy(logits, classes - 5, weights * 0) == 0


def test_objects_can_be_learnt_from_the_start_that_was_taught_by_strokes(tmp_path: Path) -> None:
    image, ids = scene()
    tuned, _ = train([image], [ids], tmp_path, TINY.replace(steps=1), model="strokes", name="t")
    assert tuned.model.spec.task == "instances"
    assert [c.name for c in tuned.model.spec.classes] == ["background", "inside", "border"]
