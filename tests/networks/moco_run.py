"""A few steps of MoCo, alone or as one of several processes that `torchrun` starts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from napari_papernets.engine.processes import joined, mean_over_processes, share_gradients
from napari_papernets.networks import MoCo
from napari_papernets.networks.encoders import encoder_factory
from napari_papernets.networks.moco import world_and_rank

STEPS, BATCH = 4, 8


def small_moco(bn_groups: int) -> MoCo:
    torch.manual_seed(0)
    encoder = encoder_factory("contracting", 3, width=4, depth=2)
    return MoCo(encoder, dim=8, K=20, m=0.5, T=0.2, bn_groups=bn_groups)


def train(model: nn.Module, trained: nn.Module, losses: list[float], mine: slice) -> None:
    """`STEPS` steps on images of which this process sees `mine`; appends its loss of each step."""
    optimiser = torch.optim.SGD(trained.parameters(), lr=0.1)
    model.train()
    for step in range(STEPS):
        generator = torch.Generator().manual_seed(step)
        im_q, im_k = torch.randn(2, BATCH, 3, 16, 16, generator=generator)
        torch.manual_seed(step)  # the permutation
        loss = F.cross_entropy(*model(im_q[mine], im_k[mine]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())


def main(folder: Path) -> None:
    with joined("cpu") as device:
        world, rank = world_and_rank()
        model, losses = small_moco(bn_groups=1), []
        share = BATCH // world
        called = share_gradients(model, device)
        train(called, model.encoder_q, losses, slice(rank * share, (rank + 1) * share))
        mean = mean_over_processes(torch.tensor(losses))
        if rank == 0:
            weight = model.encoder_k.unet.contract[1][0].weight.flatten()[:8]
            facts = dict(losses=mean.tolist(), queue=model.queue.sum().item(), weight=weight.tolist())
            (folder / "run.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
