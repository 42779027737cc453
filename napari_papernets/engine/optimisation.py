"""What is trained and how: parameters, optimiser, modes of the layers, and copies of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn, optim

from ..core.settings import TuneSettings
from ..networks import ViTSegmenter

FRESH_RATE, TAUGHT_RATE = 2e-3, 5e-4
TRANSFORMER_RATE = 3e-5  # larger ones wipe out what a pre-trained transformer knows
MOMENTUM = 0.99  # the paper's, for its batch of one


def trained_parameters(network: nn.Module, settings: TuneSettings) -> list[nn.Parameter]:
    """The parameters of the part that is trained; the others are frozen."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    trained = [p for m in network.part(settings.train) for p in m.parameters()]
    for parameter in trained:
        parameter.requires_grad_(True)
    return trained


def with_rate(settings: TuneSettings, fresh: bool, network: nn.Module) -> TuneSettings:
    """The settings with a learning rate in place of "automatic", one that suits the network."""
    if settings.learning_rate is not None:
        return settings
    taught = TRANSFORMER_RATE if isinstance(network, ViTSegmenter) else TAUGHT_RATE
    return settings.replace(learning_rate=FRESH_RATE if fresh else taught)


def warm() -> None:
    """Import what the first optimiser of a process imports, which takes seconds."""
    optim.AdamW([nn.Parameter(torch.zeros(1))])


def make_optimiser(parameters: list[nn.Parameter], settings: TuneSettings) -> optim.Optimizer:
    """AdamW, or the paper's SGD with momentum 0.99."""
    rate = settings.learning_rate
    assert rate is not None
    if settings.optimiser == "sgd":
        return optim.SGD(parameters, lr=rate, momentum=MOMENTUM)
    return optim.AdamW(parameters, lr=rate, weight_decay=settings.weight_decay)


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


def copy_into(kept: dict[str, Tensor], network: nn.Module) -> None:
    """Renew a snapshot in place."""
    for name, value in learnt_state(network).items():
        kept[name].copy_(value.detach())
