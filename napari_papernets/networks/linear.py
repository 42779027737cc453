"""Linear layers as fast as a CPU allows in float32.

torch hands them to MKL, which does not use the 512-bit registers of processors of other makers; oneDNN,
which torch brings too, does. Only the order of summation changes.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAST_ROWS = 64  # below, the call itself takes most of the time


def fast_linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """What ``layer(x)`` gives, by oneDNN where that is of use: on a CPU, in float32, for inference.

    Parameters
    ----------
    x : Tensor, shape (..., in_features)
    layer : nn.Linear

    Returns
    -------
    Tensor, shape (..., out_features)
    """
    wanted = x.device.type == "cpu" and x.dtype is torch.float32 and not torch.is_grad_enabled()
    if (
        not wanted
        or torch.is_autocast_enabled("cpu")
        or x.numel() < LEAST_ROWS * layer.in_features
        or not can_use_onednn()
    ):
        return F.linear(x, layer.weight, layer.bias)
    return torch.ops.mkldnn._linear_pointwise(x, layer.weight, layer.bias, "none", [], "")


@cache
def can_use_onednn() -> bool:
    """Whether oneDNN's linear operator is there and of use, and answers as it should.

    It is not part of torch's promised interface (its compiler uses it), hence the trial.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return False
    x, weight = torch.linspace(-1, 1, 6 * 8).view(6, 8), torch.linspace(-1, 1, 4 * 8).view(4, 8)
    try:
        y = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.allclose(y, F.linear(x, weight), rtol=1e-5, atol=1e-5)
