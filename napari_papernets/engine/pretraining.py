"""A contrastive training in progress: one step after another, saved and taken up again."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, optim

from ..core.events import Checkpoint, Event, LookUps, Notice, Step
from ..core.moco_settings import MoCoSettings
from ..networks.moco import LookUpLoss, MoCo, world_and_rank
from .checkpoints import State
from .encoder_graphs import EncoderGraphs, can_record
from .optimisation import reproducible_kernels, share_of_rate
from .processes import average_statistics, mean_over_processes, share_gradients
from .stepwise import USING_GPU, Stepwise
from .views import Views, draw_views
from .windows import WindowBatch, WindowSource, batch_of

WARM_UP = 50  # steps over which the learning rate rises
BINS = 64
TELL_EVERY = 0.5  # seconds between two `LookUps`
SHOWN = 2**17  # similarities that one of them counts, about
ADAMW_RATE, SGD_RATE, SGD_MOMENTUM = 2e-3, 0.03, 0.9

# Gives the views. With CUDA they are made ahead, beside the training; elsewhere, where the training
# keeps all cores busy, only their windows are read ahead, and they are made when asked for.
Batch = Callable[[], Views]


class Pretraining(Stepwise[MoCoSettings, Batch]):
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

    Attributes
    ----------
    as_planned : bool
        It was never resumed with another number of steps.
    """

    default_steps = 2000

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
        self._called = share_gradients(self.model, device)
        super().__init__(
            model.encoder_q,
            make_optimiser(model, settings, device),
            settings,
            device,
            bf16,
            path,
            identity,
            ThreadPoolExecutor(1, "windows"),
        )
        world, rank = world_and_rank()
        share = settings.batch // world
        self.source, self.items = source, range(rank * share, (rank + 1) * share)
        self.as_planned, self._told = True, -TELL_EVERY
        self._beside = torch.cuda.Stream(device) if device.type == "cuda" else None  # makes views
        self._graphs: EncoderGraphs | None = None
        self._records = can_record(device, self._called)  # before its first step

    def learning_rate(self, progress: float) -> float:
        """Of the next step."""
        rate = self.settings.learning_rate
        assert rate is not None  # see `with_rate`
        warm = min(1.0, (self.step + 1) / WARM_UP)
        return rate * warm * share_of_rate(self.settings.schedule, progress)

    def run(self) -> Iterator[Event]:
        """Steps until the end, with the checkpoints that are due."""
        while not self.stopped and (progress := self.progress) < 1:
            yield from self.advance(self.learning_rate(progress))

    def advance(self, rate: float) -> Iterator[Event]:
        """One optimiser step, and the checkpoint that is due after it."""
        if self._records:
            yield from self._record()
        with self._enough_memory(self.settings.crop, "batch, crop, K or width"):
            loss, logits = self._look_up(rate)
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

    def save(self) -> Checkpoint:
        """Write the checkpoint (the first process does; the queue and the statistics are alike)."""
        average_statistics(self.model)
        if world_and_rank()[1] == 0:
            tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
            self._write(tensors)
        return Checkpoint(self.step, str(self.path))

    def restore(self, state: State) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        InputError
            If its weights are no finite numbers.
        """
        self.model.load_state_dict(state.part("model"))
        super().restore(state)
        lay_out_like_weights(self.optimiser)
        self.as_planned = state.facts["settings"]["steps"] == self.settings.steps
        self._told = self.seconds_before - TELL_EVERY

    def keep(self) -> None:
        """Leave the last good weights in the query encoder."""
        self._mend_weights()
        average_statistics(self.model)

    def close(self) -> None:
        """Let the loading thread end, and go of the memory of the graphs."""
        super().close()
        if self._graphs is not None:
            self._graphs = None
            self.optimiser.zero_grad(set_to_none=True)  # gradients lie in it
            gc.collect()

    def _agreed(self, spent: float) -> float:
        return float(mean_over_processes(torch.tensor(spent, device=self.device)))

    def _read(self, step: int) -> Batch:
        windows = batch_of([self.source.draw(step, item) for item in self.items])
        if self._beside is None:
            return partial(self._draw_views, windows, step)
        with torch.cuda.stream(self._beside):
            views = self._draw_views(windows, step)
            made = self._beside.record_event()
        return partial(self._take_views, views, made)

    def _draw_views(self, windows: WindowBatch, step: int) -> Views:
        return draw_views(windows.on(self.device), windows.grey, self.settings, step, self.items)

    def _take_views(self, views: Views, made: torch.cuda.Event) -> Views:
        """Views that the stream beside makes, for work on this thread's."""
        current = torch.cuda.current_stream(self.device)
        current.wait_event(made)
        for tensor in views.tensors:
            tensor.record_stream(current)
        return views

    def _record(self) -> Iterator[Event]:
        """Record the encoders' passes; where that fails a GPU is told them kernel by kernel."""
        self._records = False
        self._called.train()
        try:
            with USING_GPU, self._repeatable():
                views = self._read(self.step)()  # a batch for the graphs to keep
                self._graphs = EncoderGraphs(self.model, views, self.bf16)
        except RuntimeError as error:
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            yield Notice(f"Steps take longer: they could not be recorded ({why})", dict(why=why))

    def _look_up(self, rate: float) -> tuple[Tensor, Tensor]:
        """Loss (a scalar with its graph) and logits of this step's queries."""
        batch = self._batch()
        self._note_weights()
        self._called.train()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        replayed = self._graphs.in_use() if self._graphs else nullcontext()
        with self._repeatable(), replayed:  # the shuffling is drawn here
            views = batch()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                logits, _ = self._called(views.im_q, views.im_k, views.places_q, views.places_k)
            return LookUpLoss.apply(logits), logits.detach()

    def _finish_step(self, loss: Tensor, rate: float) -> None:
        self._trust_weights()
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
