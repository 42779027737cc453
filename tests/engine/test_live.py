"""A network learns while strokes arrive: what is told, in which order, and what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from live_person import CLASSES, TINY, Person, picture, run, stroke

from napari_papernets.core.annotation import Naming, Patch, View
from napari_papernets.core.errors import InputError, ModelError
from napari_papernets.core.events import (
    Compared,
    EpochDone,
    Notice,
    Preview,
    Resting,
    Started,
    Step,
    Version,
)
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import class_infos
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.engine import learner as learner_module
from napari_papernets.engine import live as live_module
from napari_papernets.engine.live import live
from napari_papernets.engine.plateau import LEAST, PATIENCE, WINDOW, Plateau
from napari_papernets.engine.predict import predict
from napari_papernets.engine.quick import fit_head
from napari_papernets.model_files import find_model


def test_strokes_are_answered_then_trained_then_kept(tmp_path: Path) -> None:
    person = Person(tmp_path)
    person.see(Started)
    waiting = person.see(Resting)
    assert "ground" in waiting.reason
    one = person.see(Resting, stroke(1, 1))
    assert "only 'ground'" in one.reason
    quick = person.see(Preview, stroke(2, 2))
    assert (quick.source, quick.step, quick.patch) == ("quick", 0, 2)
    assert quick.labels.shape == (64, 96)
    assert (quick.labels == person.truth).mean() > 0.9
    assert quick.uncertainty.dtype == np.uint8
    version = person.see(Version)
    assert (version.step, version.patch, version.source) == (6, 2, "trained")
    steps = [e.step for e in person.events if isinstance(e, Step)]
    assert steps == [1, 2, 3, 4, 5, 6]
    trained = [e for e in person.events if isinstance(e, Preview)][-1]
    assert (trained.source, trained.step) == ("trained", 6)
    assert person.see(Resting)
    person.see(Version, "stop")
    assert person.result.model.path == version.model.path
    plain = PredictSettings(precision="float32")
    labels = run(predict(picture()[0], version.model, plain)).labels
    np.testing.assert_array_equal(labels, trained.labels)


def test_new_strokes_enter_within_one_step(tmp_path: Path) -> None:
    person = Person(tmp_path, TINY.replace(steps=50))
    person.see(Started)
    person.see(Step, stroke(1, 1), stroke(2, 2))
    before = len(person.events)
    shown = person.see(Preview, stroke(2, 3, row=30))
    while shown.patch < 3:  # one that was due anyway
        shown = person.see(Preview)
    between = [e for e in person.events[before:] if isinstance(e, Step)]
    assert len(between) <= 1


def test_without_auto_it_trains_when_told(tmp_path: Path) -> None:
    person = Person(tmp_path, auto=False)
    person.see(Started)
    person.see(Preview, stroke(1, 1), stroke(2, 2))
    person.see(Resting)
    assert "Step" not in person.kinds()
    version = person.see(Version, "keep")
    assert (version.source, version.step) == ("quick", 0)
    person.see(Step, "train")
    assert person.see(Version).step == 6


def test_versions_are_never_overwritten_and_a_later_one_starts_from_an_earlier(tmp_path: Path) -> None:
    person = Person(tmp_path)
    person.see(Started)
    first = person.see(Version, stroke(1, 1), stroke(2, 2))
    kept = first.model.path.read_bytes()
    second = person.see(Version, stroke(1, 3, row=40))
    assert second.model.path != first.model.path
    assert first.model.path.read_bytes() == kept
    painted = np.zeros((64, 96), np.uint8)
    painted[10:13, 5:30], painted[10:13, 60:85] = 1, 2
    again = Person(tmp_path, model=first.model, annotation=painted, patch=2, name="again")
    again.see(Started)
    quick = again.see(Preview)
    assert quick.patch == 2
    assert (quick.labels == again.truth).mean() > 0.9


def test_strokes_sent_before_the_stop_are_in_the_version_that_is_kept(tmp_path: Path) -> None:
    person = Person(tmp_path, auto=False)
    person.see(Preview, stroke(1, 1), stroke(2, 2))
    person.see(Resting)
    assert person.see(Version, stroke(2, 3, row=30), "stop").patch == 3


def test_strokes_that_came_while_it_started_are_in_the_first_answer(tmp_path: Path) -> None:
    """The annotation is copied after the number of its newest patch was told: it holds them already."""
    painted = np.zeros((64, 96), np.uint8)
    painted[10:13, 5:30], painted[10:13, 60:85], painted[30:33, 60:85] = 1, 2, 2
    person = Person(tmp_path, annotation=painted, patch=1)
    person.see(Preview, stroke(2, 2), stroke(2, 3, row=30))
    assert next(e.patch for e in person.events if isinstance(e, Preview)) == 3
    person.job.close()


def test_strokes_of_one_class_make_no_version(tmp_path: Path) -> None:
    person = Person(tmp_path)
    person.see(Resting, stroke(1, 1))
    assert person.see(Version, "stop") is None


@pytest.mark.parametrize("model", ["auto", "scratch"])
def test_to_look_at_an_image_changes_no_weights_and_what_is_shown_is_what_is_kept(
    tmp_path: Path, model: str
) -> None:
    settings = TINY.replace(steps=None, precision="float32")
    person = Person(tmp_path, settings, model=model, auto=False)
    person.see(Resting)
    learner = person.job.gi_frame.f_locals["learner"]
    begun = {k: v.clone() for k, v in learner.network.state_dict().items() if "running" in k}
    assert begun
    person.see(Preview, stroke(1, 1), stroke(2, 2))
    version = person.see(Version, "keep")
    kept = learner.network.state_dict()
    for name, value in begun.items():
        assert torch.equal(value, kept[name]), name
    shown = [e for e in person.events if isinstance(e, Preview)][-1]
    plain = PredictSettings(precision="float32", zoom=1.0)
    labels = run(predict(picture()[0], version.model, plain)).labels
    assert (labels == shown.labels).mean() > 0.9  # in which the forest did not vote yet


def test_a_version_that_the_end_of_the_job_leaves_is_compared_too(tmp_path: Path) -> None:
    person = Person(tmp_path, auto=False)
    person.see(Preview, stroke(1, 1), stroke(2, 2))
    person.see(Version, "keep")
    person.see(Compared, stroke(1, 3, row=30), "stop")
    last = [e for e in person.events if isinstance(e, Version)][-1]
    assert (last.reason, last.compares) == ("stopped", True)


def test_erased_strokes_are_forgotten(tmp_path: Path) -> None:
    person = Person(tmp_path, TINY.replace(steps=30))
    person.see(Started)
    person.see(Step, stroke(1, 1), stroke(2, 2))
    gone = Patch(0, (), 0, 48, np.zeros((64, 48), np.uint8), 3)
    resting = person.see(Resting, gone)
    assert "only 'ground'" in resting.reason


def test_another_view_is_answered_without_new_strokes(tmp_path: Path) -> None:
    person = Person(tmp_path, auto=False)
    person.see(Started)
    person.see(Preview, stroke(1, 1), stroke(2, 2))
    view = View(0, (), (16, 48, 30, 70))
    shown = person.see(Preview, view)
    assert shown.view == view
    assert shown.labels.shape == (32, 40)
    whole = next(e for e in person.events if isinstance(e, Preview))
    np.testing.assert_array_equal(shown.labels, whole.labels[16:48, 30:70])


def test_an_interrupted_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    settings = TINY.replace(steps=40, checkpoint_every=5)
    person = Person(tmp_path, settings)
    person.see(Started)
    person.see(Step, stroke(1, 1), stroke(2, 2))
    while person.see(Step).step < 7:
        pass
    person.job.close()
    painted = np.zeros((64, 96), np.uint8)
    painted[10:13, 5:30], painted[10:13, 60:85] = 1, 2
    again = Person(tmp_path, settings, annotation=painted, patch=2, resume=True)
    again.see(Started)
    assert again.see(Step).step == 6
    wider = Person(tmp_path, settings.replace(width=6), annotation=painted, patch=2, resume=True)
    wider.see(Started)
    assert wider.see(Step).step == 1  # what was left does not fit: it begins anew


def test_loss_that_is_no_number_is_rolled_back_and_said(tmp_path: Path) -> None:
    person = Person(tmp_path, TINY.replace(steps=50, learning_rate=10.0, optimiser="sgd"))
    person.see(Started)
    notice = person.see(Notice, stroke(1, 1), stroke(2, 2))
    assert "not finite" in notice.message
    version = person.see(Version)
    weights = find_model(version.model.path)
    labels = run(predict(picture()[0], weights, probabilities=True))
    assert np.isfinite(labels.probabilities).all()


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    image, truth = picture()
    with pytest.raises(InputError, match="two classes"):
        next(live([image], [truth * 0], "scratch", classes=CLASSES[:1], folder=tmp_path))
    with pytest.raises(ModelError, match="no-such"):
        next(live([image], [truth * 0], "no-such", classes=CLASSES, folder=tmp_path))
    person = Person(tmp_path)
    person.see(Started)
    with pytest.raises(InputError, match="send a Patch"):
        person.see(Resting, 3.5)


def test_other_names_are_those_of_a_new_version_and_nothing_is_learnt_anew(tmp_path: Path) -> None:
    person = Person(tmp_path)
    person.see(Started)
    first = person.see(Version, stroke(1, 1), stroke(2, 2))
    person.see(Resting)
    second = person.see(Version, Naming(class_infos(["ground", "nucleus"])))
    assert (second.step, second.reason) == (first.step, "classes renamed")
    assert [c.name for c in second.model.spec.classes] == ["ground", "nucleus"]
    assert [c.name for c in find_model(second.model.path).spec.classes] == ["ground", "nucleus"]
    before = len(person.events)
    person.see(Resting)
    assert "Step" not in person.kinds()[before:]
    with pytest.raises(InputError, match="the training has 2"):
        person.see(Version, Naming(class_infos("abc")))


def test_other_names_stick_where_the_training_goes_on_from_a_version(tmp_path: Path) -> None:
    person = Person(tmp_path)
    person.see(Started)
    first = person.see(Version, stroke(1, 1), stroke(2, 2))
    again = Person(tmp_path, model=first.model, auto=False)
    again.see(Started)
    again.see(Resting)
    version = again.see(Version, Naming(class_infos(["ground", "nucleus"])))
    assert [c.name for c in version.model.spec.classes] == ["ground", "nucleus"]


def test_names_given_before_the_first_version_make_none(tmp_path: Path) -> None:
    person = Person(tmp_path, auto=False)
    person.see(Started)
    person.see(Preview, Naming(class_infos("ab")), stroke(1, 1), stroke(2, 2))
    person.see(Resting)
    assert "Version" not in person.kinds()
    version = person.see(Version, "stop") or [e for e in person.events if isinstance(e, Version)][-1]
    assert [c.name for c in version.model.spec.classes] == ["a", "b"]


def test_one_of_two_channels_is_learnt_and_shown(tmp_path: Path) -> None:
    image, truth = picture()
    noise = np.random.default_rng(3).integers(0, 255, truth.shape).astype(np.uint8)
    two = ImageBlock(np.stack([noise, image.data]), "CYX")
    person = Person(tmp_path, TINY.replace(channels=(1,)), image=two)
    person.see(Started)
    quick = person.see(Preview, stroke(1, 1), stroke(2, 2))
    assert (quick.labels == truth).mean() > 0.9
    version = person.see(Version)
    assert (version.model.spec.channels, version.model.spec.in_channels) == ((1,), 1)
    again = Person(tmp_path, image=two, model=version.model, annotation=(truth * 0).astype(np.uint8))
    again.see(Started)
    assert (again.see(Preview, stroke(1, 1), stroke(2, 2)).labels == truth).mean() > 0.9


def test_channels_in_another_order_are_seen_in_that_order(tmp_path: Path) -> None:
    image, _ = picture()
    dark = np.zeros_like(image.data)
    turned = ImageBlock(np.stack([dark, image.data]), "CYX")
    person = Person(tmp_path, TINY.replace(channels=(1, 0)), image=turned)
    person.see(Started)
    person.see(Preview, stroke(1, 1), stroke(2, 2))
    version = person.see(Version)
    assert version.model.spec.channels == (1, 0)
    shown = [e for e in person.events if isinstance(e, Preview)][-1]
    plain = PredictSettings(precision="float32")
    np.testing.assert_array_equal(run(predict(turned, version.model, plain)).labels, shown.labels)


def test_held_out_strokes_give_a_score(tmp_path: Path) -> None:
    settings = TINY.replace(held_out=0.5, steps=8, checkpoint_every=8)
    person = Person(tmp_path, settings)
    person.see(Started)
    strokes = [stroke(c, 2 * n + c, row=5 + 15 * n) for n in range(3) for c in (1, 2)]
    version = person.see(Version, *strokes)
    judged = [e for e in person.events if isinstance(e, EpochDone)]
    assert judged
    assert 0 <= version.score <= 1
    assert version.before is not None


def test_a_stroke_does_not_wait_for_a_forest_that_grows(tmp_path: Path, monkeypatch: Any) -> None:
    steps: list[int] = []

    def growing(_: Any) -> Any:  # takes for ever, in short steps
        while True:
            steps.append(1)
            yield

    monkeypatch.setattr(learner_module.Learner, "growing", growing)
    monkeypatch.setattr(live_module, "PAUSE", 0.0)
    person = Person(tmp_path, model="auto", auto=False)
    person.see(Preview, stroke(1, 1), stroke(2, 2))
    while len(steps) < 5:
        person.job.send(None)
    answer = person.see(Preview, stroke(2, 3, row=30))
    assert (answer.patch, answer.source) == (3, "quick")
    person.job.close()


def test_while_it_trains_a_stroke_waits_for_a_step_and_not_for_the_forest(
    tmp_path: Path, monkeypatch: Any
) -> None:
    begun: list[int] = []

    def growing(_: Any) -> Any:  # takes for ever, in short steps
        begun.append(1)
        while True:
            yield

    monkeypatch.setattr(live_module, "PAUSE", 0.0)
    person = Person(tmp_path, TINY.replace(steps=1000), model="auto")
    person.see(Preview, stroke(1, 1), stroke(2, 2), "train")
    person.see(Step)
    monkeypatch.setattr(learner_module.Learner, "growing", growing)
    while not begun:
        person.see(Preview, stroke(1, len(person.events) + 3, row=20))
        for _ in range(20):
            person.job.send(None)
    before = len(person.events)
    shown = person.see(Preview, stroke(2, 10_000, row=30))
    while shown.patch < 10_000:
        shown = person.see(Preview)
    assert shown.source == "quick"
    assert sum(isinstance(e, Step) for e in person.events[before:]) <= 1
    person.job.close()


def test_what_is_painted_after_a_class_was_erased_while_it_trained_is_answered(tmp_path: Path) -> None:
    person = Person(tmp_path, TINY.replace(steps=1000))
    person.see(Preview, stroke(1, 1), stroke(2, 2))
    person.see(Step)
    erased = Patch(0, (), 10, 60, np.zeros((3, 25), np.uint8), 3)
    assert "only 'ground'" in person.see(Resting, erased).reason
    shown = person.see(Preview, stroke(2, 4, row=30))
    assert shown.patch == 4
    person.see(Step)
    person.job.close()


def test_while_it_trains_strokes_are_answered_without_reading_the_view_again(
    tmp_path: Path, monkeypatch: Any
) -> None:
    person = Person(tmp_path, TINY.replace(steps=1000))
    person.see(Preview, stroke(1, 1), stroke(2, 2))
    person.see(Step)
    learner = person.job.gi_frame.f_locals["learner"]
    for name in ("PREVIEW_SECONDS", "PAUSE"):  # no other previews meanwhile
        monkeypatch.setattr(live_module, name, 1e9)
    read: list[int] = []
    monkeypatch.setattr(learner.network, "read", lambda x: read.append(1))
    shown = person.see(Preview, stroke(2, 3, row=30))
    assert (shown.patch, shown.source, read) == (3, "quick", [])
    person.job.close()


def test_painting_without_a_pause_puts_training_off_for_a_while_only(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(live_module, "PAUSE", 1e9)
    monkeypatch.setattr(live_module, "PATIENCE", 0.2)
    person = Person(tmp_path, TINY)
    person.see(Preview, stroke(1, 1), stroke(2, 2))
    assert person.see(Step).step == 1
    person.job.close()


def test_steady_painting_keeps_it_from_no_training(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(live_module, "PAUSE", 1e9)
    monkeypatch.setattr(live_module, "PATIENCE", 0.0)
    person = Person(tmp_path, TINY)
    person.see(Preview, stroke(1, 1), stroke(2, 2))
    seen: list[type] = []
    for number in range(3, 40):  # there is always a stroke that waits
        seen += [type(person.job.send(sent)) for sent in (stroke(2, number, row=30), None)]
    assert seen.count(Step) >= 3
    assert seen.count(Preview) >= 3
    person.job.close()


def test_a_round_that_is_told_to_rest_says_so(tmp_path: Path) -> None:
    person = Person(tmp_path, TINY.replace(steps=None))
    person.see(Preview, stroke(1, 1), stroke(2, 2))
    person.see(Step)
    assert person.see(Version, "rest", "keep").reason == live_module.BY_YOU
    person.job.close()


def test_what_cannot_be_judged_is_not_trained_unless_one_says_so(tmp_path: Path) -> None:
    settings = TINY.replace(held_out=0.2, steps=1)
    person = Person(tmp_path, settings, model="auto")
    person.see(Preview, stroke(1, 1), stroke(2, 2))
    assert "5 strokes" in person.see(Resting).reason
    assert "Step" not in person.kinds()
    assert person.see(Step, "train").step == 1
    person.job.close()
    person = Person(tmp_path, settings, model="auto", name="more")
    strokes = [stroke(c, 5 * c + n, row=5 + 10 * n) for c in (1, 2) for n in range(5)]
    person.see(Preview, *strokes)
    assert person.see(Step).step == 1
    person.job.close()


def test_a_plateau_is_noticed_by_score_and_by_loss() -> None:
    by_score, by_loss = Plateau(), Plateau()
    for n in range(LEAST):
        by_score.stepped(1.0)
        by_loss.stepped(1.0 - 0.01 * n)
    by_score.judged(0.8)
    assert not by_score.reached
    for _ in range(PATIENCE):
        by_score.judged(0.79)
    assert by_score.reached
    perfect = Plateau()
    perfect.judged(1.0)
    assert not perfect.reached
    for _ in range(LEAST):
        perfect.stepped(1.0)
    assert perfect.reached
    assert not by_loss.reached
    for _ in range(2 * WINDOW):
        by_loss.stepped(0.2)
    assert by_loss.reached


def test_the_fit_agrees_with_scikit_learn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    x = (rng.standard_normal((300, 6)) + y[:, None] * [1, 0, -1, 0.5, 0, 0]).astype(np.float32)
    penalty = 0.01
    counts = np.bincount(y)
    peer = linear_model.LogisticRegression(C=1 / penalty, max_iter=5000, tol=1e-8)
    peer.fit(x, y, sample_weight=1 / counts[y] / 3)
    weights = fit_head(torch.from_numpy(x), torch.from_numpy(y), 3, penalty=penalty)
    ours = torch.softmax(torch.from_numpy(x) @ weights[:-1] + weights[-1], 1).numpy()
    assert np.abs(ours - peer.predict_proba(x)).max() < 0.02


@pytest.mark.parametrize("kind", ["separable", "constant", "twice the same"])
def test_the_fit_bears_features_that_leave_it_free(kind: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    x = rng.random((400, 8)).astype(np.float32)
    if kind == "separable":
        x[:, 0] = 50 * y
    elif kind == "constant":
        x[:] = 0.25
    else:
        x = np.repeat(x, 2, axis=1)
    features, classes = torch.from_numpy(x), torch.from_numpy(y)
    weights = fit_head(features, classes, 2)
    again = fit_head(features, classes, 2, start=weights)
    assert torch.isfinite(weights).all()
    torch.testing.assert_close(again, weights, atol=0.02, rtol=0.02)
    if kind == "separable":
        assert torch.equal((features @ weights[:-1] + weights[-1]).argmax(1), classes)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e25])
def test_the_fit_of_features_that_are_of_no_use_keeps_what_there_was(value: float) -> None:
    """As a network that diverges gives them, before the next step finds that out."""
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    y = torch.arange(50) % 2
    start = fit_head(x, y, 2)
    x[3, 1] = value
    weights = fit_head(x, y, 2, start=start)
    assert torch.isfinite(weights).all()
    if value != 1e25:  # of which something can still be made
        torch.testing.assert_close(weights, start)


def test_a_stroke_in_the_midst_of_a_divergence_stops_nothing(tmp_path: Path) -> None:
    person = Person(tmp_path, TINY.replace(steps=50, learning_rate=10.0))
    person.see(Started)
    person.see(Step, stroke(1, 1), stroke(2, 2))
    for number in range(3, 9):
        person.see(Preview, stroke(1 + number % 2, number, row=5 * number))
    version = person.see(Version, "stop")
    answer = run(predict(picture()[0], find_model(version.model.path), probabilities=True))
    assert np.isfinite(answer.probabilities).all()


def test_a_class_without_pixels_is_never_answered() -> None:
    x = torch.randn(50, 4)
    y = torch.arange(50) % 2
    weights = fit_head(x, y, 3)
    assert (x @ weights[:-1] + weights[-1]).argmax(1).max() <= 1


@pytest.mark.parametrize("as_prior", [False, True])
def test_a_class_that_is_painted_late_is_learnt_as_if_it_were_there_at_once(as_prior: bool) -> None:
    """Whatever fits without it went before, each from the last one."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(300) % 3
    x = torch.nn.functional.one_hot(y, 3) + 0.5 * torch.randn(300, 3, generator=generator)
    fresh = fit_head(x, y, 3)
    early, weights = y < 2, None
    for _ in range(20):
        prior = weights if as_prior else None
        weights = fit_head(x[early], y[early], 3, start=weights, prior=prior)
    weights = fit_head(x, y, 3, start=weights)
    torch.testing.assert_close(weights, fresh, atol=0.05, rtol=0.05)


def test_going_on_from_a_version_without_new_strokes_makes_no_version(tmp_path: Path) -> None:
    person = Person(tmp_path)
    person.see(Started)
    first = person.see(Version, stroke(1, 1), stroke(2, 2))
    painted = np.zeros((64, 96), np.uint8)
    painted[10:13, 5:30], painted[10:13, 60:85] = 1, 2
    options: dict[str, Any] = dict(model=first.model, annotation=painted, patch=2, auto=False)
    again = Person(tmp_path, **options)
    again.see(Started)
    again.see(Preview)
    assert again.see(Version, "stop") is None
    assert "Version" not in again.kinds()
