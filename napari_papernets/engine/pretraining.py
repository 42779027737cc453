"""A contrastive training in progress: one step after another, saved and taken up again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, optim

from ..core.errors import InputError
from ..core.events import Checkpoint, Event, LookUps, Notice, Step
from ..core.moco_settings import MoCoSettings
from ..networks.moco import LookUpLoss, MoCo, world_and_rank
from .checkpoints import State, optimiser_tensors, restore_optimiser, write_state
from .failures import is_out_of_memory
from .optimisation import (
    check_finite,
    copy_into,
    is_finite,
    reproducible_kernels,
    restore_state,
    snapshot,
)
from .processes import average_statistics, mean_over_processes, share_gradients
from .views import Views, draw_views
from .windows import WindowSource

DEFAULT_STEPS = 2000
WARM_UP = 50  # steps over which the learning rate rises
BINS = 64
TELL_EVERY = 0.5  # seconds between two `LookUps`
SHOWN = 2**17  # similarities that one of them counts, about
ADAMW_RATE, SGD_RATE, SGD_MOMENTUM = 2e-3, 0.03, 0.9

Batch = Views | tuple[Tensor, Tensor]  # or windows (B, C, S, S), grey (B,), where a GPU makes views


class Pretraining:
    """The state of a contrastive training, advanced step by step.

    Parameters
    ----------
    model : MoCo
        With its starting weights; trained in place.
    source : WindowSource
        Where windows come from.
    settings : MoCoSettings
        How to train; `learning_rate` must be set (`with_rate`).
    device : torch.device
        Where to train.
    bf16 : bool
        Compute in bfloat16 where autocast does (weights stay float32).
    path : Path
        Of the checkpoint.
    identity : dict
        JSON-able facts that go into every checkpoint beside the progress.
    """

    def __init__(
        self,
        model: MoCo,
        source: WindowSource,
        settings: MoCoSettings,
        device: torch.device,
        bf16: bool,
        path: Path,
        identity: dict[str, Any],
    ) -> None:
        self.model = model.to(device, memory_format=torch.channels_last)
        self.source, self.settings, self.device, self.bf16 = source, settings, device, bf16
        self.path, self.identity = path, identity
        self._called = share_gradients(self.model, device)
        self.optimiser = make_optimiser(model, settings, device)
        world, rank = world_and_rank()
        share = settings.batch // world
        self.items = range(rank * share, (rank + 1) * share)
        self.step, self.stopped, self.as_planned = 0, "", True
        self.history: list[dict[str, Any]] = []
        self.safe, self._before = snapshot(model.encoder_q), snapshot(model.encoder_q)
        self.started, self.seconds_before, self._told = time.monotonic(), 0.0, -TELL_EVERY
        self._loader = ThreadPoolExecutor(1, "windows", initializer=use_one_thread)
        self._next: tuple[int, Future[Batch]] | None = None

    @property
    def seconds(self) -> float:
        """Time spent training, interruptions left out."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def total_steps(self) -> int | None:
        """Steps that were asked for; None for training by the clock alone."""
        if self.settings.steps is None and self.settings.seconds is None:
            return DEFAULT_STEPS
        return self.settings.steps

    @property
    def progress(self) -> float:
        """Share of the run that is over, by steps or by the clock of the first process."""
        done = 0.0
        if self.total_steps is not None:
            done = self.step / self.total_steps if self.total_steps else 1.0
        if self.settings.seconds is not None:
            spent = self.seconds / self.settings.seconds if self.settings.seconds else 1.0
            done = max(done, float(mean_over_processes(torch.tensor(spent, device=self.device))))
        return min(done, 1.0)

    def learning_rate(self, progress: float) -> float:
        """Of the next step."""
        rate = self.settings.learning_rate
        assert rate is not None  # see `with_rate`
        rate *= min(1.0, (self.step + 1) / WARM_UP)
        if self.settings.schedule == "constant":
            return rate
        return rate * (1 + math.cos(math.pi * progress)) / 2

    def run(self) -> Iterator[Event]:
        """Steps until the end, with the checkpoints that are due."""
        while not self.stopped and (progress := self.progress) < 1:
            yield from self.advance(self.learning_rate(progress))

    def advance(self, rate: float) -> Iterator[Event]:
        """One optimiser step, and the checkpoint that is due after it."""
        loss, logits = self._optimise_or_explain(rate)
        hits = (logits[:, 0] >= logits.amax(1)).float().mean()  # a fraction of argmax's time
        mean = mean_over_processes(torch.stack([loss.detach().float(), hits])).tolist()
        if not math.isfinite(mean[0]):
            yield self._roll_back(rate)
            return
        self._finish_step(loss, rate)
        row = dict(step=self.step, loss=mean[0], accuracy=mean[1], learning_rate=rate)
        self.history.append(row | dict(seconds=round(self.seconds, 3)))
        yield Step(self.step, mean[0], rate, self.seconds)
        if self.seconds - self._told >= TELL_EVERY or self.step == self.total_steps:
            self._told = self.seconds
            yield self._look_ups(logits)
        if self.step % self.settings.checkpoint_every == 0:
            yield self.save()

    def stop(self, reason: str) -> None:
        """End the training after this step; the first reason stands."""
        self.stopped = self.stopped or reason

    def save(self) -> Checkpoint:
        """Write the checkpoint (the first process does; the queue and the statistics are alike)."""
        average_statistics(self.model)
        if world_and_rank()[1] == 0:
            tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
            facts = dict(
                self.identity,
                settings=self.settings.to_dict(),
                step=self.step,
                seconds=self.seconds,
                history=self.history,
            )
            write_state(State(facts, tensors | optimiser_tensors(self.optimiser)), self.path)
        return Checkpoint(self.step, str(self.path))

    def restore(self, state: State) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(state.part("model"))
        check_finite(self.model.encoder_q, self.path)
        self.safe = snapshot(self.model.encoder_q)
        self.as_planned = state.facts["settings"]["steps"] == self.settings.steps
        restore_optimiser(self.optimiser, state.part("optimiser"))
        lay_out_like_weights(self.optimiser)
        self.step, self.seconds_before = state.facts["step"], state.facts["seconds"]
        self.history = list(state.facts["history"])
        self.started, self._told = time.monotonic(), self.seconds_before - TELL_EVERY

    def keep(self) -> None:
        """Leave the last good weights in the query encoder."""
        if not is_finite(self.model.encoder_q):
            restore_state(self.model.encoder_q, self.safe)  # the very last step broke them
        average_statistics(self.model)

    def close(self) -> None:
        """Let the loading thread end."""
        self._loader.shutdown(wait=True, cancel_futures=True)

    def _batch(self) -> Batch:
        """What this step learns from; that of the next is made meanwhile."""
        if self._next is not None and self._next[0] == self.step:
            batch = self._next[1].result()
        else:
            batch = self._read(self.step)
        self._next = (self.step + 1, self._loader.submit(self._read, self.step + 1))
        return batch

    def _read(self, step: int) -> Batch:
        drawn = [self.source.draw(step, item) for item in self.items]
        windows = torch.from_numpy(np.stack([window for window, _ in drawn]))
        batch = windows, torch.tensor([grey for _, grey in drawn])
        return batch if self.device.type == "cuda" else self._views(batch, step)

    def _views(self, batch: Batch, step: int) -> Views:
        """The two views of a batch, on the device."""
        if isinstance(batch, Views):
            return batch
        windows, grey = (t.to(self.device, non_blocking=True) for t in batch)
        return draw_views(windows, grey, self.settings, step, self.items)

    def _optimise_or_explain(self, rate: float) -> tuple[Tensor, Tensor]:
        try:
            return self._look_up(rate)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            s = self.settings
            mend = f"the memory of {self.device} does not suffice; lower batch, crop, K or width"
            raise InputError("batch", f"{s.batch} crops of {s.crop}×{s.crop} pixels", mend) from error

    def _look_up(self, rate: float) -> tuple[Tensor, Tensor]:
        """Loss (a scalar with its graph) and logits of this step's queries."""
        batch = self._batch()
        copy_into(self._before, self.model.encoder_q)
        self._called.train()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices), reproducible_kernels():
            torch.manual_seed(self.settings.seed * 1_000_003 + self.step)  # the shuffling
            views = self._views(batch, self.step)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                logits, _ = self._called(views.im_q, views.im_k, views.places_q, views.places_k)
            return LookUpLoss.apply(logits.float()), logits.detach()

    def _finish_step(self, loss: Tensor, rate: float) -> None:
        self.safe, self._before = self._before, self.safe
        self.optimiser.zero_grad(set_to_none=True)
        with reproducible_kernels():
            loss.backward()
        self.optimiser.step()
        self.step += 1

    def _look_ups(self, logits: Tensor) -> LookUps:
        some = logits[:: max(1, logits.numel() // SHOWN)]  # of evenly spaced queries
        similar = some.float().cpu() * self.settings.T
        lately = [row["accuracy"] for row in self.history[-20:]]
        keys = len(logits) * world_and_rank()[0]  # of one step
        return LookUps(
            self.step,
            float(np.mean(lately)),
            histogram(similar[:, 0]),
            histogram(similar[:, 1:]),
            min(self.step, self.settings.K / keys),
            min(1.0, self.step * keys / self.settings.K),
        )

    def _roll_back(self, rate: float) -> Notice:
        """Return to the last weights whose loss was a finite number, and stop."""
        restore_state(self.model.encoder_q, self.safe)
        self.stop(f"the loss was no finite number at step {self.step + 1}")
        message = (
            f"Stopped: {self.stopped}. The last good weights are kept; train with a learning rate "
            f"well below {rate:g}."
        )
        return Notice(message, dict(reason="not finite", step=self.step, learning_rate=rate))


def histogram(similarities: Tensor) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Counts in `BINS` equal bins from −1 to 1."""
    counts = torch.histc(similarities.clamp(-1, 1), BINS, -1.0, 1.0)
    return counts.numpy().astype(np.int64)


def with_rate(settings: MoCoSettings) -> MoCoSettings:
    """The settings with a learning rate in place of "automatic"."""
    if settings.learning_rate is not None:
        return settings
    sgd = SGD_RATE * settings.batch / 256
    return settings.replace(learning_rate=sgd if settings.optimiser == "sgd" else ADAMW_RATE)


def make_optimiser(model: MoCo, settings: MoCoSettings, device: torch.device) -> optim.Optimizer:
    """AdamW, or the paper's SGD with momentum 0.9; of the query encoder only."""
    rate, parameters = settings.learning_rate, list(model.encoder_q.parameters())
    assert rate is not None
    chosen = dict(lr=rate, weight_decay=settings.weight_decay, fused=device.type in ("cpu", "cuda"))
    if settings.optimiser == "sgd":
        return optim.SGD(parameters, momentum=SGD_MOMENTUM, **chosen)
    return optim.AdamW(parameters, **chosen)


def lay_out_like_weights(optimiser: optim.Optimizer) -> None:
    """Give moments the memory order of their weights: fused kernels go through both as they lie."""
    for weights, moments in optimiser.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == weights.shape:
                moments[name] = torch.empty_like(weights, requires_grad=False).copy_(value)


def use_one_thread() -> None:
    """Let this thread alone compute without helpers: they would stand in the way of the training's."""
    torch.set_num_threads(1)
