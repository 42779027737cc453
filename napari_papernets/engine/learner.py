"""The state of a live training: the scene, the network, its quick head, its rounds and versions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.annotation import Patch, View
from ..core.errors import InputError
from ..core.events import Event, Version
from ..core.image import ImageBlock
from ..core.model import ClassInfo, ModelRef, ModelSpec
from ..core.results import Tuned
from ..core.tune_settings import TuneSettings
from ..model_files import check_name
from ..networks.forested import Forested
from ..session_info import checksum_of
from .annotated import Plane
from .checkpoints import checkpoint_path, read_state
from .course import BEGIN, FIT, GROW, KEEP, LOOK, MOST_BEGUN, READ, STEP, TAKE, Course
from .crops import Problem, pose_problem
from .device import pick_device, trains_in_bf16
from .in_use import InUse
from .live_round import LiveRound
from .optimisation import with_rates
from .provenance import made_with, where_trained
from .quick_answers import QuickAnswers
from .readiness import lack_of_judges, lack_of_strokes
from .recipes import recipe_of
from .scene import Scene
from .shared_scale import with_shared_scale
from .starts import live_start
from .training import Training
from .version_files import VersionFiles
from .weights import checksum_of_state, save_weights

Source = Literal["quick", "trained"]


class Learner:
    """Everything that `live` knows; see there for the parameters.

    Attributes
    ----------
    ready : bool
        Two classes are annotated.
    source : {"quick", "trained"}
        Whether the network was trained since the start.
    patch : int
        Number of the newest patch taken.
    unsaved : bool
        Something was learnt since the last version.
    renamed : bool
        The last version has former names of the classes.
    answers : QuickAnswers
        What it says at once.
    in_use : InUse
        The version that a new one has to be as good as.
    score : float or None
        Of what was settled last, on what is held out; None without any.
    made : dict
        What decides, beside the strokes, what comes of them: checksums of images and start, and how it
        is rounded.
    course : Course or None
        What was done so far; None where it depends on the clock or on what a former run has left, so
        that it cannot be repeated, and where too much was annotated to be kept with every version.
    """

    def __init__(
        self,
        images: Sequence[ImageBlock],
        annotations: Sequence[Any],
        model: str | Path | ModelRef,
        settings: TuneSettings,
        classes: Sequence[ClassInfo],
        device: str,
        name: str,
        folder: Path,
        patch: int,
        resume: bool,
    ) -> None:
        check_name(name)
        self.name, self.folder, self.patch = name, folder, patch
        self.device = pick_device(device)
        self._whole, images = images, [image.pick(settings.channels) for image in images]
        start = live_start(images, model, settings, name, classes)
        if isinstance(start.network, Forested):
            start = replace(start, spec=with_shared_scale(start.spec, images[0]))
        self.start, recipe = start, recipe_of(start.spec.architecture)
        asked, self.settings = settings, with_rates(settings, recipe, start.fresh)
        settings = self.settings
        self.base_name = getattr(model, "name", str(model))
        self.scene = Scene(images, annotations, self.start.spec, settings.held_out)
        self.bf16 = trains_in_bf16(settings.precision, self.device)
        begun = dict(
            images=[checksum_of(image) for image in images],
            start=checksum_of_state(start.network.state_dict()),
        )
        self.made = begun | made_with(self.device, self.bf16)
        self.course = self._begin_course(asked)
        self.network = start.network.to(self.device, memory_format=torch.channels_last)
        self.answers = QuickAnswers(self.network, start, images, self.device, self.bf16, settings.seed)
        self._training: Training | None = None
        self._lessons_are_due = False
        self._round = LiveRound(settings)
        self.score: float | None = None
        self._before: float | None = None
        self._files = VersionFiles(folder, name)
        begun_with = model if isinstance(model, ModelRef) else None
        self.in_use = InUse(begun_with, self.device, self.bf16)
        self._resume = resume
        self.unsaved = self.renamed = False

    # What is there.

    @property
    def ready(self) -> bool:
        return not self.lack

    @property
    def lack(self) -> str:
        """What is missing before anything can be learnt."""
        return lack_of_strokes(self.start.spec.classes, self.scene.classes)

    @property
    def blind(self) -> str:
        """Why nobody could tell whether training makes the quick answer better or worse; empty if one
        can, or where the quick answer is no match for training (no forest stands beside the network)."""
        forested = self.answers.has_forest and not self.start.fresh
        if not forested or not self.settings.held_out or any(p.held.any() for p in self.scene.planes):
            return ""
        return lack_of_judges(self.settings.held_out, goes_on=not self.start.fits_head)

    @property
    def step(self) -> int:
        return self._training.step if self._training else 0

    @property
    def source(self) -> Source:
        return "trained" if self.step else "quick"

    @property
    def view(self) -> View | None:
        return self.answers.view

    # What the person does.

    def look_at(self, view: View) -> None:
        """Another part is visible.

        Raises
        ------
        InputError
            If there is no such image or plane.
        """
        if not 0 <= view.image < len(self.scene.images):
            raise InputError("view", f"image {view.image}", f"there are {len(self.scene.images)}")
        self.answers.look_at(view)
        self._note(LOOK, view)

    def take(self, patches: Sequence[Patch]) -> None:
        """Take up new strokes."""
        self.scene.take(patches)
        self._note(TAKE, *patches)
        self.patch = max([self.patch, *(p.number for p in patches)])
        self.unsaved = self.unsaved or (bool(patches) and self.ready)
        self._lessons_are_due = True

    def rename(self, classes: Sequence[ClassInfo]) -> None:
        """Classes have other names or colours; versions made from now on bear them.

        Raises
        ------
        InputError
            If there are more or fewer of them.
        """
        known = self.start.spec.classes
        if len(classes) != len(known):
            names = [c.name for c in classes]
            raise InputError("classes", names, f"the training has {len(known)}; start another for these")
        self.start = replace(self.start, spec=replace(self.start.spec, classes=tuple(classes)))
        if self._training is not None:
            self._training.identity["spec"] = self.start.spec.to_dict()
        goes_on = not (self.start.fresh or self.start.fits_head)  # from a version
        if self._files.last is not None or goes_on:
            self.unsaved = self.renamed = True

    # Answers.

    def fit_quickly(self) -> None:
        """Fit the head to all strokes, on what was last read of the network."""
        self.answers.fit(self.scene.planes)
        self._note(FIT)
        self.unsaved = self.unsaved or self.start.fits_head

    def grow(self) -> None:
        """Grow the forest for the strokes there are, where the network takes one."""
        for _ in self._forest_steps():
            pass

    def growing(self) -> Iterator[None]:
        """As `grow`, and let it vote on the view, in short steps; given up half-way, it is still due."""
        yield from self._forest_steps()
        yield from self.answers.voting()

    def _forest_steps(self) -> Iterator[None]:
        if self.answers.has_forest:
            yield from self.answers.growing(self.scene.planes)
            self._note(GROW)

    def read_view(self) -> None:
        """Read the view under the network as it is, where it was not."""
        if self.answers.outdated:
            self._note(READ)
        self.answers.read()

    def preview(self, fresh: bool = True) -> tuple[View, NDArray[np.uint8], NDArray[np.uint8]]:
        """Classes and uncertainty of the view; `fresh`: by the network as it is, else as it was read
        last."""
        if fresh or self.answers.unread:
            self.read_view()
        return self.answers.answer()

    # Rounds.

    @property
    def round_is_over(self) -> bool:
        return bool(self.why_over)

    @property
    def why_over(self) -> str:
        """Why the round ended; empty while it goes on."""
        training = self._training
        if training is None:
            return ""
        return training.stopped or self._round.why_over(training.step, training.seconds)

    def begin_round(self) -> None:
        """Train until nothing improves; a round that goes on takes what is new and counts anew."""
        self._note(BEGIN)
        training, self._round = self._training, LiveRound(self.settings)
        if training is not None:
            training.stopped = ""
            training.forget_best()
            self._round = LiveRound(self.settings, training.step, training.seconds)

    def advance(self) -> Iterator[Event]:
        """One optimiser step."""
        if self._training is None:
            self._training, self._lessons_are_due = self._open(), False
            if self._training.judged:
                first = self._training.judge()
                self._before = first.score
                yield first
        if self._lessons_are_due:
            self._lessons_are_due = False
            self._training.learn_from(*self._lessons())
        self._training.be_taught_by(self.answers.teacher)
        self._note(STEP)
        for event in self._training.advance():
            self._round.take(event)
            yield event
        self.answers.network_changed()
        self.unsaved = True

    def settle(self) -> None:
        """Make what was learnt the best of this round, where that is known."""
        if self.answers.forest_is_due:
            self.grow()
        self._note(KEEP)
        training, self.score = self._training, None
        if training is not None and training.judged:
            training.judge()
            training.keep()
            self.score = training.best_score
            self.answers.network_changed()

    def save(self, path: Path, reason: str, **facts: Any) -> ModelRef:
        """Write the network as it is, with an account of how it came about."""
        described = self._describe(path.stem, reason, facts)
        return save_weights(described, self.network.state_dict(), path)

    def keep(self, reason: str) -> Version:
        """Write what was learnt as a new version: of this round the best, where that is known."""
        self.settle()
        new = self.save(self._files.free_path(), reason)
        self._files.add(new, self.course)
        compares = self.in_use.challenge(new, self.scene.planes)
        self.unsaved = self.renamed = False
        scores = self.score, self._before
        self._before = self.score
        return Version(new, self.patch, self.step, *scores, self.source, reason, compares)

    def result(self) -> Tuned:
        """The last version; without one, the start as a description that lies in no file."""
        model = self._files.last or ModelRef(self.start.spec, Path())
        return Tuned(model, self.history, model.spec.provenance)

    @property
    def history(self) -> tuple[Mapping[str, Any], ...]:
        """Of every step of training its loss, and what else is known of it."""
        return tuple(self._training.history) if self._training else ()

    def close(self) -> None:
        """Let go of threads."""
        if self._training is not None:
            self._training.close()

    def _begin_course(self, settings: TuneSettings) -> Course | None:
        begun = self.scene.patches()
        by_clock = settings.seconds is not None and settings.schedule != "constant"
        if by_clock or sum(patch.labels.size for patch in begun) > MOST_BEGUN:
            return None
        return Course(settings.to_dict(), [*begun], self.made, len(self.start.spec.classes))

    def _note(self, kind: str, *values: Any) -> None:
        if self.course is not None:
            self.course.note(kind, *values)

    def _open(self) -> Training:
        planes, chances, problem = self._lessons()
        path = checkpoint_path(self.folder, self.name)
        spec = self.start.spec.to_dict()
        identity = dict(spec=spec, fresh=self.start.fresh, fingerprint="live")
        training = Training(
            self.network, planes, chances, problem, self.device, self.bf16, False, path, identity
        )
        if self._resume and path.is_file():
            state = read_state(path)
            known = state.facts["spec"]["classes"] == list(spec["classes"])
            if known and state.fits(self.network):
                training.restore(state)
                self.course = None
        return training

    def _lessons(self) -> tuple[list[Plane], NDArray[np.float64], Problem]:
        planes = self.scene.planes
        chances = np.full(len(planes), 1 / len(planes))
        return planes, chances, pose_problem(planes, self.start.spec, self.settings, self.start.fresh)

    def _describe(self, name: str, reason: str, more: Mapping[str, Any]) -> ModelSpec:
        facts = dict(
            verb="live", base=self.base_name, settings=self.settings.to_dict(), patch=self.patch,
            steps_done=self.step, score=self.score, stopped=reason, source=self.source,
            **where_trained(self.scene.images, self.device, self.bf16),
        ) | dict(more)  # fmt: skip
        spec = self.start.spec.trained_on(self.settings.channels, self._whole[0])
        spec = replace(spec, options=self.network.options)
        return replace(spec, name=name, provenance=json.loads(json.dumps(facts)))
