"""A training from annotations in progress: one step after another, judged, saved and taken up again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.events import Checkpoint, EpochDone, Event, Step
from ..core.tune_settings import TuneSettings
from .annotated import Plane
from .checkpoints import State
from .crops import Crop, Problem, draw_crop, judged_crops
from .judging import judge_crops
from .losses import answer_to_learn_from, taught_cross_entropy, weighted_cross_entropy
from .optimisation import (
    WeightAverage,
    learnt_state,
    make_optimiser,
    restore_state,
    set_training,
    share_of_rate,
    snapshot,
)
from .recipes import recipe_of
from .stepwise import Stepwise
from .teacher import Teacher

JUDGINGS = 4  # for each checkpoint
TIE = 0.02  # a few strokes tell no less: what was taught stands unless its start was better by that


class Training(Stepwise[TuneSettings, list[Crop]]):
    """The state of a training, advanced step by step.

    Parameters
    ----------
    network : nn.Module
        A U-Net or a DeepLab with its starting weights; it is trained in place.
    planes : sequence of Plane
        With annotation, part of it perhaps held out.
    chances : ndarray, shape (len(planes),)
        How often each is drawn, relative to the others.
    problem : Problem
        What to learn, and the settings.
    device : torch.device
        Where to train.
    bf16 : bool
        Compute in bfloat16 where autocast does (weights stay float32).
    fresh : bool
        The weights were just drawn. Only then, and when all is trained, does batch normalisation
        follow the crops: a few strokes say too little about the statistics that a trained network
        relies on.
    path : Path
        Of the checkpoint.
    identity : dict
        JSON-able facts that go into every checkpoint beside the progress; "spec" describes the network.
    teacher : Teacher, optional
        What to learn of pixels that are not annotated.

    Attributes
    ----------
    plans : list of [int, int or None]
        From which step on how many steps were asked for: more than one where a resumed training was
        given another length.
    """

    default_steps = 500

    def __init__(
        self,
        network: nn.Module,
        planes: Sequence[Plane],
        chances: NDArray[np.float64],
        problem: Problem,
        device: torch.device,
        bf16: bool,
        fresh: bool,
        path: Path,
        identity: dict[str, Any],
        teacher: Teacher | None = None,
    ) -> None:
        self.network = network.to(device, memory_format=torch.channels_last)
        settings, recipe = problem.settings, recipe_of(identity["spec"]["architecture"])
        super().__init__(
            self.network,
            make_optimiser(network, settings, recipe),
            settings,
            device,
            bf16,
            path,
            identity,
            ThreadPoolExecutor(max_workers=1, thread_name_prefix="crops"),
        )
        self.fresh, self.teacher = fresh, teacher
        self.judged_step, self.best_score, self.best_step = -1, -1.0, 0
        self.best: dict[str, Tensor] = {}
        self.average = WeightAverage(self.network, settings.average)
        self.plans = [[0, self.total_steps]]
        self.learn_from(planes, chances, problem)

    def learn_from(
        self, planes: Sequence[Plane], chances: NDArray[np.float64], problem: Problem
    ) -> None:
        """Take up annotation: at the start, and where some was added or erased since."""
        seen = [len(p.centres(problem.settings.seed)) > 0 for p in planes]
        self.problem = problem
        self.planes = [p for p, there in zip(planes, seen, strict=True) if there]
        self.chances = chances[seen] / chances[seen].sum()
        self.judged = judged_crops(planes, problem)
        self._next = None

    def be_taught_by(self, teacher: Teacher | None) -> None:
        """Learn from another teacher, or from none, from the next step on."""
        if teacher is not self.teacher:
            self.teacher, self._next = teacher, None

    @property
    def finished(self) -> bool:
        """Whether the steps are done, the time is over, or the training was stopped."""
        return bool(self.stopped) or self.progress >= 1

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        rate = self.settings.learning_rate
        assert rate is not None  # see `with_rates`
        return rate * share_of_rate(self.settings.schedule, self.progress)

    def advance(self) -> Iterator[Event]:
        """One optimiser step, with the judging and the checkpoint that are due after it."""
        rate = self.learning_rate
        crops = self._batch()
        with self._enough_memory(self.problem.side, "batch, crop or width"):
            loss = self._optimise(crops, rate)
        if not math.isfinite(loss):
            yield self._roll_back(rate)
            return
        self.step += 1
        self.history.append(
            dict(step=self.step, loss=loss, learning_rate=rate, seconds=round(self.seconds, 3))
        )
        yield Step(self.step, loss, rate, self.seconds)
        every = self.settings.checkpoint_every
        if self.judged and self.step % max(1, every // JUDGINGS) == 0:
            yield self.judge()
        if self.step % every == 0:
            yield self.save()

    def judge(self) -> EpochDone:
        """Score the model on what was held out, and remember it if it is the best so far."""
        self.judged_step = self.step
        k = len(self.problem.class_weights)
        since_start = self.teacher is not None and self.best_step == 0 < self.step
        least = self.best_score - (TIE if since_start else 0)
        with self.average.in_place():
            score = judge_crops(self.network, self.judged, k, self.device, self.bf16)
            best = score is not None and score > least
            if best and score is not None:
                self.best_score, self.best_step = score, self.step
                self.best = snapshot(self.network)
        if score is not None and self.history:
            self.history[-1]["score"] = score
        return EpochDone(self.step, score, best, self.seconds)

    def save(self) -> Checkpoint:
        """Write the checkpoint."""
        tensors = {f"network.{k}": v for k, v in learnt_state(self.network).items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state.items()}
        if self.teacher is not None:
            tensors |= {f"teacher.{k}": v for k, v in self.teacher.state.items()}
        best = dict(best_score=self.best_score, best_step=self.best_step)
        self._write(tensors, plans=self.plans, **best)
        return Checkpoint(self.step, str(self.path))

    def restore(self, state: State) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        InputError
            If its weights are no finite numbers.
        """
        restore_state(self.network, state.part("network"))
        super().restore(state)
        self.best = {k: v.to(self.device) for k, v in state.part("best").items()}
        self.average.restore(state.part("average"))
        taught = state.part("teacher")
        if self.teacher is not None and taught:
            self.teacher.restore(taught)
        else:
            self.teacher = None
        facts = state.facts
        self.best_score, self.best_step = facts["best_score"], facts["best_step"]
        self.plans = [list(plan) for plan in facts.get("plans", self.plans)]
        if self.plans[-1][1] != self.total_steps:
            self.plans.append([self.step, self.total_steps])

    def keep(self) -> tuple[str, int]:
        """Leave the best weights in the network, or the last where nothing was judged; tell which.

        With `settings.average` those are means of the weights.
        """
        if self.best:
            restore_state(self.network, self.best)
            return "best", self.best_step
        if self.average.state:
            restore_state(self.network, self.average.state)
        self._mend_weights()
        return "last", self.step

    def forget_best(self) -> None:
        """What was best so far does not count any more: there is other annotation."""
        self.best, self.best_score, self.best_step = {}, -1.0, self.step

    def _read(self, step: int) -> list[Crop]:
        items = range(self.settings.batch)
        teacher = self.teacher  # another thread may set it
        shown = self.planes, self.chances, self.problem, step
        return [draw_crop(*shown, i, teacher) for i in items]

    def _optimise(self, crops: Sequence[Crop], rate: float) -> float:
        self._note_weights()
        set_training(self.network, self.settings, self.fresh)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        with self._repeatable():
            loss = self._loss(crops)
            self.optimiser.zero_grad(set_to_none=True)
            value = float(loss.detach())
            if math.isfinite(value):
                self._trust_weights()
                self.average.take(self.safe, self.step)
                loss.backward()
                self.optimiser.step()
        return value

    def _loss(self, crops: Sequence[Crop]) -> Tensor:
        images = torch.stack([c.image for c in crops]).to(self.device)
        images = images.contiguous(memory_format=torch.channels_last)  # (B, C, H, W)
        classes = torch.stack([c.classes for c in crops]).to(self.device)
        weights = torch.stack([c.weights for c in crops]).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits, every = answer_to_learn_from(self.network, images, self.settings.kind)
        classes, weights = classes[:, ::every, ::every], weights[:, ::every, ::every]
        loss = weighted_cross_entropy(logits, classes, weights)
        taught = [c.taught for c in crops if c.taught is not None]
        if taught:
            loss = loss + taught_cross_entropy(logits, torch.stack(taught).to(self.device), classes)
        return loss
