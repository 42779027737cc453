"""What every training does that goes step by step: it counts, loads ahead, stops, and can be resumed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn, optim

from ..core.errors import InputError
from ..core.events import Notice
from ..core.moco_settings import MoCoSettings
from ..core.tune_settings import TuneSettings
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

S = TypeVar("S", TuneSettings, MoCoSettings)
Batch = TypeVar("Batch")

USING_GPU = Lock()  # held by threads that load, which compute too, and by who needs a GPU for itself


class Stepwise(Generic[S, Batch]):
    """A training that is advanced by one optimiser step after the other.

    The kinds of training say what a batch is (`_read`), what a step does, and what else they keep.

    Parameters
    ----------
    trained : nn.Module
        What the optimiser changes, on its device, with its starting weights.
    optimiser : Optimizer
        Of its parameters.
    settings : TuneSettings or MoCoSettings
        How to train.
    device : torch.device
        Where to train.
    bf16 : bool
        Compute in bfloat16 where autocast does (weights stay float32).
    path : Path
        Of the checkpoint.
    identity : dict
        JSON-able facts that go into every checkpoint beside the progress.
    loader : ThreadPoolExecutor
        One thread, which reads the batch of the next step; it ends with the training.

    Attributes
    ----------
    step : int
        Steps done.
    history : list of dict
        Of every step its number, loss, learning rate and the seconds until then.
    stopped : str
        Why it was stopped; empty where it was not.
    diverged : bool
        It was, since the loss was no finite number.
    safe : dict of str to Tensor
        The last weights whose loss was a finite number.
    """

    default_steps: ClassVar[int]

    def __init__(
        self,
        trained: nn.Module,
        optimiser: optim.Optimizer,
        settings: S,
        device: torch.device,
        bf16: bool,
        path: Path,
        identity: dict[str, Any],
        loader: ThreadPoolExecutor,
    ) -> None:
        self.settings: S = settings
        self.optimiser, self.device, self.bf16 = optimiser, device, bf16
        self.path, self.identity = path, identity
        self.step, self.stopped, self.diverged = 0, "", False
        self.history: list[dict[str, Any]] = []
        self.safe, self._before = snapshot(trained), snapshot(trained)
        self.started, self.seconds_before = time.monotonic(), 0.0
        self._trained, self._loader = trained, loader
        self._next: tuple[int, Future[Batch]] | None = None

    @property
    def seconds(self) -> float:
        """Time spent training, interruptions left out."""
        return self.seconds_before + time.monotonic() - self.started

    def count_from(self, moment: float) -> None:
        """Count what was done before, since a moment of the monotonic clock, up to half of the seconds
        that were asked for: the rest is left to train in."""
        if self.settings.seconds is not None:
            self.seconds_before += min(self.started - moment, self.settings.seconds / 2)

    @property
    def total_steps(self) -> int | None:
        """Steps that were asked for; None for training by the clock alone."""
        if self.settings.steps is None and self.settings.seconds is None:
            return self.default_steps
        return self.settings.steps

    @property
    def progress(self) -> float:
        """Share of the run that is over, by steps or by the clock, whichever is further."""
        done = 0.0
        if self.total_steps is not None:
            done = self.step / self.total_steps if self.total_steps else 1.0
        if self.settings.seconds is not None:
            spent = self.seconds / self.settings.seconds if self.settings.seconds else 1.0
            done = max(done, self._agreed(spent))
        return min(done, 1.0)

    def stop(self, reason: str) -> None:
        """End the training after this step; the first reason stands."""
        self.stopped = self.stopped or reason

    def repeats(self, *, as_planned: bool, told: bool) -> bool:
        """Whether its command gives the same weights.

        That asks for the steps that were done, which at a falling learning rate must be those that were
        planned. On a GPU some of torch's kernels add in any order.

        Parameters
        ----------
        as_planned : bool
            It went by steps, and by one plan from start to end.
        told : bool
            The command names all that was learnt from, and how often.
        """
        in_time = as_planned and not self.stopped
        steps = in_time or (self.settings.schedule == "constant" and not self.diverged)
        return steps and told and self.device.type == "cpu"

    def restore(self, state: State) -> None:
        """Go on from a checkpoint, whose weights are in the network already.

        Raises
        ------
        InputError
            If they are no finite numbers.
        """
        check_finite(self._trained, self.path)
        self.safe = snapshot(self._trained)
        restore_optimiser(self.optimiser, state.part("optimiser"))
        self.step, self.seconds_before = state.facts["step"], state.facts["seconds"]
        self.history = list(state.facts["history"])
        self.started = time.monotonic()

    def close(self) -> None:
        """Let the loading thread end, and go of what it read last."""
        self._loader.shutdown(wait=True, cancel_futures=True)
        self._next = None

    def _read(self, step: int) -> Batch:
        """What a step learns from; called in the loading thread too."""
        raise NotImplementedError

    def _agreed(self, spent: float) -> float:
        """The share of the time that is over, where several processes have clocks of their own."""
        return spent

    def _batch(self) -> Batch:
        """What this step learns from; that of the next is read meanwhile."""
        if self._next is not None and self._next[0] == self.step:
            batch = self._next[1].result()
        else:
            batch = self._read(self.step)
        self._next = (self.step + 1, self._loader.submit(self._read_ahead, self.step + 1))
        return batch

    def _read_ahead(self, step: int) -> Batch:
        """As `_read`, in the loading thread."""
        with USING_GPU if self.device.type == "cuda" else nullcontext():
            return self._read(step)

    @contextmanager
    def _repeatable(self) -> Iterator[None]:
        """torch draws by seed and step alone, and the kernels of a GPU repeat exactly."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices), reproducible_kernels():
            torch.manual_seed(self.settings.seed * 1_000_003 + self.step)
            yield

    @contextmanager
    def _enough_memory(self, side: int, lower: str) -> Iterator[None]:
        """Tell what to lower where there is no room for a batch of crops of `side` pixels.

        Raises
        ------
        InputError
            Naming the batch.
        """
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            crops = f"{self.settings.batch} crops of {side}×{side} pixels"
            mend = f"{self.device} ran out of memory; lower {lower}"
            raise InputError("batch", crops, mend) from error

    def _note_weights(self) -> None:
        """Those that this step begins with."""
        copy_into(self._before, self._trained)

    def _trust_weights(self) -> None:
        """The loss of those that this step began with was a finite number."""
        self.safe, self._before = self._before, self.safe

    def _mend_weights(self) -> None:
        """Return to the last good ones where the very last step broke them."""
        if not is_finite(self._trained):
            restore_state(self._trained, self.safe)

    def _roll_back(self, rate: float) -> Notice:
        """Return to the last weights whose loss was a finite number, and stop."""
        restore_state(self._trained, self.safe)
        self.diverged = True
        self.stop(f"the loss was not finite at step {self.step + 1}")
        message = (
            f"Stopped: {self.stopped}. The last good weights are kept; train with a learning rate "
            f"well below {rate:g}."
        )
        return Notice(message, dict(reason="not finite", step=self.step, learning_rate=rate))

    def _write(self, tensors: Mapping[str, Tensor], **facts: Any) -> None:
        """Write the checkpoint: these, and what every training has."""
        progress = dict(step=self.step, seconds=self.seconds, history=self.history)
        known = dict(self.identity, settings=self.settings.to_dict(), **progress)
        write_state(State(known | facts, {**tensors, **optimiser_tensors(self.optimiser)}), self.path)
