"""Several processes that train together, one for each GPU, as torch's ``torchrun`` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from ..networks.moco import world_and_rank
from .device import pick_device


@contextmanager
def joined(device: str) -> Iterator[torch.device]:
    """This process's device; in it, all that ``torchrun`` started know of each other.

    Each process takes the GPU of its own number; without GPUs they share the processor.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield pick_device(device)
        return
    mine = pick_device(device)
    if mine.type == "cuda":
        mine = pick_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(mine)
    dist.init_process_group("nccl" if mine.type == "cuda" else "gloo")
    try:
        yield mine
        # Nobody leaves before the others are done, nor while a thread of gloo still holds the last
        # tensor: let go during the interpreter's end, it aborts the process.
        dist.barrier(device_ids=[mine.index] if mine.type == "cuda" else None)
    finally:
        dist.destroy_process_group()


def share_gradients(model: nn.Module, device: torch.device) -> nn.Module:
    """`model` as it is to be called: where there are several processes, gradients are averaged."""
    if world_and_rank()[0] == 1:
        return model
    devices = [device] if device.type == "cuda" else None
    shared = DistributedDataParallel(model, devices)
    shared.broadcast_buffers = False  # as an argument it is deprecated; what succeeds it is too new
    return shared


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of a tensor over all processes; with one process itself."""
    world, _ = world_and_rank()
    if world == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / world


def average_statistics(model: nn.Module) -> None:
    """Batch normalisation's running statistics become their mean over all processes."""
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(mean_over_processes(buffer))
