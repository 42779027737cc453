"""Batch normalisation whose statistics are those of a part of the batch.

On several devices each computes the statistics of its own share of the batch, and MoCo's shuffling
relies on it (section 3.3). One device does the same with a batch that is split into groups.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import InputError


class SplitBatchNorm2d(nn.BatchNorm2d):
    """`BatchNorm2d` with statistics of consecutive groups of the batch, while it trains.

    The running statistics follow the mean over the groups, as the mean over several devices would.

    Parameters
    ----------
    num_features : int
        Channels.
    groups : int
        G; the batch must be a multiple of it.
    """

    def __init__(self, num_features: int, groups: int = 1) -> None:
        super().__init__(num_features)
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Normalise (B, C, H, W), group by group of B/G images.

        Raises
        ------
        InputError
            If B is no multiple of G.
        """
        if not self.training or self.groups == 1:
            return super().forward(x)
        if x.shape[0] % self.groups:
            mend = f"give a multiple of the {self.groups} groups of batch normalisation"
            raise InputError("batch", x.shape[0], mend)
        means = self.running_mean.repeat(self.groups, 1)  # (G, C)
        variances = self.running_var.repeat(self.groups, 1)
        done = [
            F.batch_norm(part, mean, var, self.weight, self.bias, True, self.momentum, self.eps)
            for part, mean, var in zip(x.chunk(self.groups), means, variances, strict=True)
        ]
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.copy_(means.mean(0))
            self.running_var.copy_(variances.mean(0))
        return torch.cat(done)


def split_batch_norm(module: nn.Module, groups: int) -> None:
    """Replace every `BatchNorm2d` inside `module` in place; weights and names stay as they are."""
    for parent, name, norm in list(_norms(module)):
        split = SplitBatchNorm2d(norm.num_features, groups)
        split.eps, split.momentum = norm.eps, norm.momentum
        split.load_state_dict(norm.state_dict())
        setattr(parent, name, split.train(norm.training))


def _norms(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.BatchNorm2d]]:
    for parent in module.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                yield parent, name, child
