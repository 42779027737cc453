"""How good a network is on crops of held-out annotation, and its answer to a window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..networks.hypercolumn import mixed
from .crops import Crop
from .metrics import mean_iou


@torch.no_grad()
def judge_crops(
    network: nn.Module, crops: Sequence[Crop], classes: int, device: torch.device, bf16: bool
) -> float | None:
    """Mean IoU over the classes, of the network and of the forest beside it where there is one.

    None where there are no crops.
    """
    if not crops:
        return None
    confusion = np.zeros((classes, classes), np.int64)
    for crop in crops:
        found = answer(network, crop.image[None], device, bf16).argmax(0)
        truth = crop.classes.numpy()
        known = truth >= 0
        pairs = truth[known] * classes + found[known]
        confusion += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    return mean_iou(confusion)


@torch.no_grad()
def answer(network: nn.Module, x: Tensor, device: torch.device, bf16: bool) -> NDArray[np.float32]:
    """Probabilities (K, h, w) of one window (1, C, H, W), of the network and the forest beside it."""
    network.eval()
    x = x.to(device).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        logits = network(x)
    forest = getattr(network, "forest", None)
    return mixed(forest, torch.softmax(logits.float(), dim=1), x)[0].cpu().numpy()
