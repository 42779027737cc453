"""The verb `live`: a network learns while a person paints.

New strokes change what is seen at once, by a linear head that is fitted to the network's features
(`quick`); then the network itself is trained, step by step, until nothing improves. Each such round
ends with a version: a model file that is never overwritten.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ..core.annotation import Naming, Patch, View
from ..core.errors import InputError
from ..core.events import Event, Idle, Notice, Preview, Resting, Started
from ..core.image import ImageBlock
from ..core.model import ClassInfo, ModelRef
from ..core.results import Tuned
from ..core.tune_settings import TuneSettings
from ..model_files import user_folder
from .learner import Learner
from .starts import AUTO

PREVIEW_SECONDS = 1.0  # between previews while it trains; on a GPU half of it
PREVIEW_SHARE = 0.2  # of the time, at most
BY_YOU = "stopped by you"  # why a round ended that was told to rest
RENAMED = "classes renamed"
WAIT = 1.0  # seconds, at rest, between looks at what was sent
LAST = 2.0  # seconds at the end for judging the last version
PAUSE = 0.4  # seconds without a stroke before training begins and the forest is grown
PATIENCE = 4.0  # seconds after which training begins though the person paints without a pause


def live(
    images: Sequence[ImageBlock],
    annotations: Sequence[Any],
    model: str | Path | ModelRef = AUTO,
    settings: TuneSettings | None = None,
    *,
    classes: Sequence[ClassInfo],
    device: str = "auto",
    name: str = "live",
    folder: Path | None = None,
    view: View | None = None,
    patch: int = 0,
    auto: bool = True,
    resume: bool = False,
) -> Generator[Event, Any, Tuned]:
    """Learn from strokes as they come.

    Parameters
    ----------
    images : sequence of ImageBlock
        That are annotated, all with channels that the model takes.
    annotations : sequence of array of unsigned integers, shape (*stack, Y, X)
        0 is not annotated, 1…K the class.
    model : str, Path or ModelRef
        Where to start: a model, "scratch", or "auto", the bundled start for strokes.
    settings : TuneSettings, optional
        How to train; `steps` and `seconds` limit one round, without them it ends when nothing improves.
    classes : sequence of ClassInfo
        The K classes, two at least.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to train.
    name, folder : str, Path
        Versions are "<name> 1", "<name> 2" … in that folder (the user's models by default).
    view : View, optional
        What the person looks at.
    patch : int
        Number of the newest patch that `annotations` contain.
    auto : bool
        Train whenever there is something new; otherwise only when told to.
    resume : bool
        Where the last training of that name was cut off, go on from its checkpoint.

    Yields
    ------
    Event
        `Preview` of the view after new strokes (source "quick") and about every second of training
        ("trained"); `Step`, `EpochDone`; `Version` at the end of a round, later `Compared`, how it does
        beside the one before; `Resting` when it waits; `Notice`. Send a `Patch`, a `View` or a `Naming`
        whenever there is one, or "train", "follow", "rest", "keep", "stop"; strokes that were sent
        before "stop" are learnt and kept.

    Returns
    -------
    Tuned
        The last version; where there is none, the start as a description that lies in no file.

    Raises
    ------
    InputError
        If images, annotations, classes and model do not fit.
    """
    if len(classes) < 2:
        raise InputError("classes", [c.name for c in classes], "name two classes at least")
    learner = Learner(
        images, annotations, model, settings or TuneSettings(), classes,
        device, name, folder or user_folder(), patch, resume,
    )  # fmt: skip
    loop = Loop(learner, view, auto)
    with closing(learner):
        sent = yield Started(0, "step", f"Starts from {learner.base_name}")
        loop.take(sent)
        for notice in learner.start.notices:
            loop.take((yield notice))
        while True:
            while (sent := (yield Idle(0))) is not None:
                loop.take(sent)
            if loop.stopping:
                break
            for event in loop.turn():
                loop.take((yield event))
        loop.finish()
        if learner.unsaved:
            yield learner.keep("stopped")
        yield from loop.judge_last()
        return learner.result()


class Loop:
    """What comes next: an answer to strokes, another view, a step of training, or rest."""

    def __init__(self, learner: Learner, view: View | None, auto: bool) -> None:
        self.learner, self.auto = learner, auto
        self.stopping = False
        self._patches: list[Patch] = []
        self._view = view
        self._told_to = False  # train whatever can be known of it
        self._training, self._keeping = False, False
        self._rest_reason = ""
        self._shown_at, self._cost = 0.0, 0.0
        self._stepped = False  # the turn before was a step of training
        # Seconds that its last step took, and that answering strokes took since: where a person paints
        # steadily, each has half of the time.
        self._training_took = self._answering = 0.0
        self._painted_at = 0.0
        self._wanted_at = 0.0  # since when it is to train
        self._only_quick = False  # has been shown since the last strokes
        self._growing: Iterator[None] | None = None  # a forest, in steps
        self._fresh = bool(learner.scene.planes)  # strokes that were there at the start

    def take(self, sent: Any) -> None:
        """A patch, a view, a naming or a wish was sent; None is nothing.

        Raises
        ------
        InputError
            If it is something else, or names another number of classes.
        """
        if isinstance(sent, Patch):
            self._patches.append(sent)
            self._painted_at = time.monotonic()
        elif isinstance(sent, View):
            self._view = sent
        elif isinstance(sent, Naming):
            self.learner.rename(sent.classes)
            self._rest_reason = ""
        elif sent == "train":
            self._told_to = True
            self._begin_round()
        elif sent == "follow":
            self.auto = True
            self._begin_round()
        elif sent == "rest":
            self._training, self._rest_reason = False, ""
        elif sent == "keep":
            self._keeping = True
        elif sent == "stop":
            self.stopping = True
        elif sent is not None:
            raise InputError(
                "sent",
                repr(sent),
                "send a Patch, a View, a Naming, train, follow, rest, keep or stop",
            )

    def turn(self) -> Iterator[Event]:
        """One piece of work, short enough for new strokes to wait for."""
        learner = self.learner
        stepped, self._stepped = self._stepped, False
        painted = bool(self._patches or self._fresh)
        may_train = self._trains and self._paused
        if painted and not (may_train and self._answering >= self._training_took):
            began = time.monotonic()
            yield from self._answer_strokes()
            self._answering += time.monotonic() - began
        elif self._view is not None and self._view != learner.view:
            yield from self._look()
        elif self._keeping:
            self._keeping = False
            if learner.unsaved:
                yield learner.keep(BY_YOU)
        elif not painted and (self._growing is not None or self._forest_is_next):
            yield from self._grow()
        elif learner.in_use.comparison is not None and (stepped or not may_train):
            yield from learner.in_use.compare()  # it takes turns with the training, if any goes on
        elif may_train:
            self._stepped, began = True, time.monotonic()
            yield from self._train()
            self._answering, self._training_took = 0.0, time.monotonic() - began
        else:
            yield from self._rest()

    @property
    def _trains(self) -> bool:
        """Whether a round goes on that can be learnt from. On its own, none begins whose good nobody
        could tell; told to, it does."""
        blind = self.learner.blind and not self._told_to and not self.learner.step
        return self._training and self.learner.ready and not blind

    @property
    def _forest_is_next(self) -> bool:
        """In a pause, and where it trains after the first trained answer: a forest takes its time."""
        if not self.learner.answers.forest_is_due or (self._trains and self._only_quick):
            return False
        return self._is_pause

    @property
    def _paused(self) -> bool:
        """Whether training may go on: it begins when the person pauses, or has painted for a while;
        then nothing stops it."""
        waited = time.monotonic() - self._wanted_at > PATIENCE
        return self.learner.step > 0 or self._is_pause or waited

    @property
    def _is_pause(self) -> bool:
        """Whether the person has seen the last answer and not painted for a moment."""
        return time.monotonic() - max(self._painted_at, self._shown_at) > PAUSE

    def _grow(self) -> Iterator[Event]:
        """A step towards a new forest; strokes that come meanwhile begin it anew."""
        if self._growing is None:
            self._growing = self.learner.growing()
        if next(self._growing, self) is self:
            self._growing = None
            yield from self._preview(self.learner.source)

    def judge_last(self) -> Iterator[Event]:
        """Compare the last version before the end, where that does not take long."""
        until = time.monotonic() + LAST
        while self.learner.in_use.comparison is not None and time.monotonic() < until:
            yield from self.learner.in_use.compare()

    def finish(self) -> None:
        """Learn the strokes that were sent before the stop, so that what is kept knows them."""
        if self._patches:
            self._learn_strokes()

    def _answer_strokes(self) -> Iterator[Event]:
        if self._view is not None:
            self.learner.look_at(self._view)
        self._learn_strokes()
        if not self.learner.ready:
            return
        yield from self._preview("quick")
        if self.auto:
            self._begin_round()

    def _learn_strokes(self) -> None:
        patches, self._patches, self._fresh = self._patches, [], False
        self._growing = None
        self.learner.take(patches)
        if self.learner.ready:
            self.learner.fit_quickly()

    def _look(self) -> Iterator[Event]:
        assert self._view is not None
        self.learner.look_at(self._view)
        if self.learner.ready:
            yield from self._preview(self.learner.source)
        else:
            self.learner.read_view()

    def _begin_round(self) -> None:
        if not self._training:
            self._wanted_at = time.monotonic()
        self._training, self._rest_reason = True, ""
        self.learner.begin_round()

    def _train(self) -> Iterator[Event]:
        for event in self.learner.advance():
            yield event
            if isinstance(event, Notice):  # the loss was no finite number: rolled back
                self._training = False
        if not self._training or self.learner.round_is_over:
            self._training = False
            if self.learner.answers.forest_is_due:
                self._growing = None
                self.learner.grow()
            yield from self._preview("trained")
            yield self.learner.keep(self.learner.why_over or BY_YOU)
        elif self._preview_is_due():
            yield from self._preview("trained")

    def _preview_is_due(self) -> bool:
        pause = PREVIEW_SECONDS / (2 if self.learner.device.type == "cuda" else 1)
        if self._only_quick:
            pause = PAUSE
        return time.monotonic() - self._shown_at > max(pause, self._cost / PREVIEW_SHARE)

    def _preview(self, source: Any) -> Iterator[Preview]:
        learner = self.learner
        if learner.view is None:
            return
        began = time.monotonic()
        view, labels, doubt = learner.preview(fresh=source == "trained")
        self._shown_at = time.monotonic()
        self._only_quick = source == "quick"
        self._cost = self._shown_at - began
        yield Preview(view, labels, doubt, source, learner.step, learner.patch)

    def _rest(self) -> Iterator[Event]:
        waits = self._trains  # for the person to pause
        if self.learner.renamed and not waits:
            yield self.learner.keep(RENAMED)
        blind = self.learner.blind if self._training else ""
        reason = self.learner.lack or blind or "Nothing new to learn: paint where it is wrong."
        if reason != self._rest_reason and not waits:
            self._rest_reason = reason
            yield Resting(reason, bool(self.learner.lack))
        yield Idle(PAUSE / 4 if self.learner.answers.forest_is_due or self._training else WAIT)
