"""What is trained and how: parameters, optimiser, modes of the layers, and copies of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, optim

from ..core.errors import InputError
from ..core.tune_settings import TuneSettings
from .recipes import ADAMW_DECAY, Recipe

POLY_POWER, STAGES = 0.9, 3


def trained_parameters(network: nn.Module, settings: TuneSettings) -> list[nn.Parameter]:
    """The parameters of the part that is trained; the others are frozen."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    trained = [p for m in network.part(settings.train) for p in m.parameters()]
    for parameter in trained:
        parameter.requires_grad_(True)
    return trained


def with_rates(settings: TuneSettings, recipe: Recipe, fresh: bool) -> TuneSettings:
    """The settings with a learning rate and a weight decay in place of "automatic"."""
    sgd = settings.optimiser == "sgd"
    rate = recipe.fresh_rate if fresh else recipe.taught_rate
    if sgd and recipe.sgd_rate is not None:
        rate = recipe.sgd_rate
    decay = recipe.sgd_decay if sgd else ADAMW_DECAY
    return settings.replace(
        learning_rate=rate if settings.learning_rate is None else settings.learning_rate,
        weight_decay=decay if settings.weight_decay is None else settings.weight_decay,
    )


def warm() -> None:
    """Import what the first optimiser of a process imports, which takes seconds."""
    optim.AdamW([nn.Parameter(torch.zeros(1))])


def make_optimiser(network: nn.Module, settings: TuneSettings, recipe: Recipe) -> optim.Optimizer:
    """AdamW, or the papers' SGD, for the part that is trained.

    Each group of parameters holds as "factor" by what its learning rate is larger than that of a step.
    """
    rate, decay = settings.learning_rate, settings.weight_decay
    assert rate is not None
    assert decay is not None  # see `with_rates`
    sgd, factor = settings.optimiser == "sgd", recipe.sgd_last_factor
    groups: list[dict[str, Any]] = [{"params": trained_parameters(network, settings), "factor": 1.0}]
    if sgd and factor != 1:
        last = [p for m in network.part("head") for p in m.parameters()]
        known = {id(p) for p in last}
        body = [p for p in groups[0]["params"] if id(p) not in known]
        groups = [{"params": body, "factor": 1.0}, {"params": last, "factor": factor}]
        groups = [group for group in groups if group["params"]]
    if sgd:
        return optim.SGD(groups, lr=rate, momentum=recipe.momentum, weight_decay=decay)
    return optim.AdamW(groups, lr=rate, weight_decay=decay)


def share_of_rate(schedule: str, progress: float) -> float:
    """What a schedule leaves of the learning rate at `progress` (0…1) of a run."""
    if schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    if schedule == "poly":
        return (1 - progress) ** POLY_POWER
    if schedule == "step":
        return 0.1 ** min(int(STAGES * progress), STAGES - 1)
    return 1.0


def set_training(network: nn.Module, settings: TuneSettings, fresh: bool) -> None:
    """Training mode, with the statistics of batch normalisation held unless all is trained afresh."""
    network.train()
    if not fresh or settings.train != "all":
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def reproducible_kernels() -> Any:
    """Context in which cuDNN chooses the same kernel every time, without TF32."""
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )


def learnt_state(network: nn.Module) -> dict[str, Tensor]:
    """All weights and statistics; a forest beside the network is not learnt by steps."""
    return {k: v for k, v in network.state_dict().items() if not k.startswith("forest.")}


def restore_state(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put back what `learnt_state` gave."""
    network.load_state_dict({**network.state_dict(), **state})


def check_finite(network: nn.Module, checkpoint: Path) -> None:
    """Refuse weights of a checkpoint that are no finite numbers.

    Raises
    ------
    InputError
        Naming the file.
    """
    if not is_finite(network):
        mend = "train anew, with a smaller learning rate"
        raise InputError("checkpoint", f"{checkpoint.name}, whose weights are not finite", mend)


def is_finite(network: nn.Module) -> bool:
    """Whether all weights are finite numbers."""
    return all(bool(torch.isfinite(p).all()) for p in network.parameters())


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights and statistics."""
    return {k: v.detach().clone() for k, v in learnt_state(network).items()}


class WeightAverage:
    """Running mean of the weights and statistics that training went through.

    Parameters
    ----------
    network : nn.Module
        What is trained.
    rate : float
        Share of the mean that each step keeps, in 0…1; less in the first steps, so that the weights
        that were drawn are soon forgotten. 0 keeps no mean.
    """

    def __init__(self, network: nn.Module, rate: float) -> None:
        self.network, self.rate = network, rate
        self.state = snapshot(network) if rate else {}

    def take(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Take in the weights that step number `step` (from 0) began with."""
        share = 1 - min(self.rate, (1 + step) / (10 + step))
        for name, mean in self.state.items():
            if mean.is_floating_point():
                mean.lerp_(weights[name], share)
            else:
                mean.copy_(weights[name])

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a mean that was saved."""
        for name, mean in self.state.items():
            mean.copy_(state[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network has the mean weights meanwhile, where there are any."""
        if not self.state:
            yield
            return
        current = snapshot(self.network)
        restore_state(self.network, self.state)
        try:
            yield
        finally:
            restore_state(self.network, current)


@torch.no_grad()
def copy_into(kept: dict[str, Tensor], network: nn.Module) -> None:
    """Renew a snapshot in place."""
    pairs: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    live = network.state_dict(keep_vars=True)  # to detach hundreds of tensors takes milliseconds
    for name, copy in kept.items():
        to, of = pairs.setdefault(copy.dtype, ([], []))
        to.append(copy)
        of.append(live[name])
    for to, of in pairs.values():  # all of a type in one call: hundreds would cost a GPU milliseconds
        torch._foreach_copy_(to, of)
