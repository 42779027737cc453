"""The live training of a panel: its job, its state, and how images are numbered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeEngine, FakeJob, ref

from napari_papernets.core.annotation import Patch, View
from napari_papernets.core.errors import EngineError, InputError
from napari_papernets.core.events import Preview, Resting, Started, Step, Version
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import class_infos
from napari_papernets.core.results import Tuned
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.widgets.live_control import LiveControl
from napari_papernets.widgets.live_plan import LivePlan

pytestmark = pytest.mark.gui

VIEW = View(5, (), (0, 8, 0, 9))
TUNED = Tuned(ref("semantic"), (), {})


class LiveJob(FakeJob):
    """A job that remembers what was sent to it."""

    def __init__(self, *values):
        super().__init__(*values)
        self.sent = []

    def send(self, value):
        self.sent.append(value)


class LiveEngine(FakeEngine):
    """Makes such jobs."""

    def submit(self, verb, **arguments):
        super().submit(verb, **arguments)
        plain = self.jobs[-1]
        self.jobs[-1] = LiveJob(plain.verb, plain.arguments, plain._callbacks)
        return self.jobs[-1]


PLAN = LivePlan(
    numbers=(2, 5),
    images=[ImageBlock(np.zeros((8, 9), np.uint8), "YX")] * 2,
    annotations=[np.zeros((8, 9), np.uint8)] * 2,
    model="scratch",
    settings=TuneSettings(),
    classes=class_infos("ab"),
    device="cpu",
    folder=Path("/nowhere"),
    view=VIEW,
    patch=3,
)


@pytest.fixture
def engine():
    return LiveEngine()


@pytest.fixture
def control(qapp, engine):
    control = LiveControl(lambda: engine, lambda: PLAN)
    control.errors, control.events = [], []
    control.failed.connect(control.errors.append)
    control.happened.connect(control.events.append)
    return control


def tell(job, control, qtbot, event, kind):
    job.tell(event)
    qtbot.waitUntil(lambda: control.state.kind == kind, timeout=3000)


def patch(image, number):
    return Patch(image, (), 1, 2, np.ones((2, 3), np.uint8), number)


def preview(image=1):
    maps = np.ones((8, 9), np.uint8)
    return Preview(View(image, (), (0, 8, 0, 9)), maps, maps, "quick", 0, 3)


def test_the_job_gets_images_by_position_and_events_come_by_number(control, engine, qtbot):
    control.start()
    job = engine.jobs[0]
    assert job.verb == "live"
    assert job.arguments["view"] == View(1, (), VIEW.region)
    assert (job.arguments["auto"], job.arguments["resume"], job.arguments["patch"]) == (True, False, 3)
    control.take(patch(5, 4))
    control.take(patch(2, 3))  # the annotations contain it
    control.take(patch(4, 5))  # an image that the job does not have
    control.look_at(View(2, (), VIEW.region))
    control.look_at(None)
    assert [(type(v).__name__, v.image) for v in job.sent] == [("Patch", 1), ("View", 0)]
    job.tell(preview(image=1))
    qtbot.waitUntil(lambda: bool(control.events))
    assert control.events[0].view.image == 5


def test_the_state_line_follows_the_events(control, engine, qtbot):
    control.start()
    job = engine.jobs[0]
    assert control.state.kind == "starting"
    reason = "Paint strokes of at least two classes (a, b): nothing is painted yet."
    tell(job, control, qtbot, Resting(reason, lacks=True), "waiting")
    assert control.state.text == reason
    job.tell(Step(1, 0.5, 1e-3, 0.5))
    tell(job, control, qtbot, Step(2, 0.4, 1e-3, 0.625), "learning")
    qtbot.waitUntil(lambda: "step 2, 8 steps/s" in control.state.text)
    job.tell(Version(ref("semantic"), 3, 2, None, None, "trained", "nothing improved any more"))
    qtbot.waitUntil(lambda: any(isinstance(e, Version) for e in control.events))
    control.name_version(3)
    tell(job, control, qtbot, Resting("Nothing new to learn"), "resting")
    assert control.state.text.startswith("Resting: nothing improved any more (version 3).")


@pytest.mark.parametrize("known", [True, False])
def test_what_a_job_begins_with_is_kept_only_in_a_model_of_its_classes(known, qapp, engine, qtbot):
    model = ref("semantic")
    classes = model.spec.classes if known else class_infos("xy")
    control = LiveControl(lambda: engine, lambda: replace(PLAN, model=model, classes=classes))
    control.start()
    engine.jobs[0].tell(preview())
    rest = Resting("Nothing new to learn: paint where it is wrong.", lacks=False)
    tell(engine.jobs[0], control, qtbot, rest, "resting")
    assert control.state.unsaved is not known


def test_an_answer_that_no_version_has_can_be_kept(qapp, engine, qtbot):
    model = ref("semantic")
    plan = replace(PLAN, model=model, classes=model.spec.classes)
    control = LiveControl(lambda: engine, lambda: plan)
    control.start()
    job = engine.jobs[0]
    rest = Resting("Not trained yet: paint 5 strokes of a class.", lacks=False)
    job.tell(preview())  # of the strokes that it began with
    tell(job, control, qtbot, rest, "resting")
    assert not control.state.unsaved
    job.tell(replace(preview(), patch=5))
    job.tell(rest)
    qtbot.waitUntil(lambda: control.state.unsaved, timeout=3000)
    control.rest()
    assert job.sent[-2:] == ["rest", "keep"]
    job.tell(Version(ref("semantic"), 5, 0, None, None, "quick", "stopped by you"))
    qtbot.waitUntil(lambda: not control.state.unsaved, timeout=3000)
    assert control.state.kind == "resting"


def test_stop_ends_a_round_and_keeps_it(control, engine, qtbot):
    control.start()
    control.rest()
    assert engine.jobs[0].sent == ["rest", "keep"]
    engine.jobs[0].tell(Version(ref("semantic"), 3, 2, None, None, "trained", "stopped by you"))
    qtbot.waitUntil(lambda: bool(control.events))
    assert control.events[0].reason == "stopped by you"


def test_a_restart_waits_for_the_end_and_takes_no_patch_meanwhile(control, engine, qtbot):
    control.start()
    control.restart()
    control.restart()
    control.take(patch(5, 4))
    assert engine.jobs[0].sent == ["stop"]
    engine.jobs[0].give(TUNED)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    control.take(patch(5, 4))
    assert engine.jobs[1].sent[0].number == 4
    assert not control.errors


def test_stop_for_good(control, engine, qtbot):
    control.start()
    control.stop()
    with qtbot.waitSignal(control.ended):
        engine.jobs[0].give(TUNED)
    assert control.state.kind == "off"
    assert not control.is_running


def test_a_crash_is_told_once_and_the_next_start_resumes(control, engine, qtbot):
    control.start()
    engine.jobs[0].fail(EngineError("The engine was killed"))
    qtbot.waitUntil(lambda: bool(control.errors))
    assert control.has_crashed
    assert control.state.kind == "failed"
    control.start()
    assert engine.jobs[1].arguments["resume"]
    assert not control.has_crashed


def test_after_a_crash_another_training_does_not_go_on_from_what_is_left(control, engine, qtbot):
    control.start()
    engine.jobs[0].fail(EngineError("The engine was killed"))
    qtbot.waitUntil(lambda: bool(control.errors))
    control.forget_crash()
    control.start()
    assert not engine.jobs[1].arguments["resume"]


def test_what_the_person_can_mend_is_no_crash(control, engine, qtbot):
    control.start()
    engine.jobs[0].fail(InputError("classes", ["a"], "name two"))
    qtbot.waitUntil(lambda: bool(control.errors))
    assert not control.has_crashed


def test_a_plan_that_fails_is_told(qapp, engine):
    def plan():
        raise InputError("image", "none", "choose one")

    control = LiveControl(lambda: engine, plan)
    errors = []
    control.failed.connect(errors.append)
    control.start()
    assert "choose one" in str(errors[0])
    assert not engine.jobs


def test_train_now_reaches_a_running_job_and_a_new_one(control, engine):
    control.auto = False
    control.start("train")
    control.start("train")
    assert engine.jobs[0].sent == ["train", "train"]
    assert not engine.jobs[0].arguments["auto"]


def test_after_leaving_nothing_comes(control, engine, qtbot):
    control.start()
    control.leave()
    assert engine.jobs[0].cancelled
    engine.jobs[0].tell(Started(0, "step"))
    qtbot.wait(20)
    assert not control.events


def test_the_plan_is_a_value_with_the_verb_arguments():
    arguments = replace(PLAN, view=None).arguments(auto=False, resume=True)
    assert arguments["view"] is None
    assert set(arguments) >= {"images", "annotations", "model", "classes", "folder", "auto", "resume"}
