"""How good a network is on crops of held-out annotation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

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
    network.eval()
    forest = getattr(network, "forest", None)
    confusion = np.zeros((classes, classes), np.int64)
    for crop in crops:
        x = crop.image[None].to(device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = network(x)
        found = mixed(forest, torch.softmax(logits.float(), dim=1), x).argmax(1)[0].cpu().numpy()
        truth = crop.classes.numpy()
        known = truth >= 0
        pairs = truth[known] * classes + found[known]
        confusion += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    return mean_iou(confusion)
