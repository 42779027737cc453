"""What is trained and how: parameters, optimiser, modes of the layers, and copies of the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn, optim

from ..core.settings import TuneSettings

MOMENTUM = 0.99  # the paper's, for its batch of one


def trained_parameters(network: nn.Module, settings: TuneSettings) -> list[nn.Parameter]:
    """The parameters of the part that is trained; the others are frozen."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    trained = [p for m in network.part(settings.train) for p in m.parameters()]
    for parameter in trained:
        parameter.requires_grad_(True)
    return trained


def make_optimiser(parameters: list[nn.Parameter], settings: TuneSettings) -> optim.Optimizer:
    """AdamW, or the paper's SGD with momentum 0.99."""
    if settings.optimiser == "sgd":
        return optim.SGD(parameters, lr=settings.learning_rate, momentum=MOMENTUM)
    return optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)


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


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights and statistics."""
    return {k: v.detach().clone() for k, v in network.state_dict().items()}


def copy_into(kept: dict[str, Tensor], network: nn.Module) -> None:
    """Renew a snapshot in place."""
    for name, value in network.state_dict().items():
        kept[name].copy_(value.detach())
