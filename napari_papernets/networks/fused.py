"""Networks as prediction wants them: the same answers with less memory and fewer passes over it.

A convolution adds its bias and cuts off at zero in one pass (oneDNN, on a CPU), and nothing is
concatenated where the paths of a U-Net meet: ``conv(cat(skip, up)) = conv₁(skip) + conv₂(up)``, with the
weights split by input channel and the second sum added to the first in place. In float32 only the order
of summation changes. Maps are let go as soon as they were used, so that at most two and a half maps of
the first level are held at a time, where the layers one by one hold four and a half.
"""

from __future__ import annotations

from functools import cache
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .unet import Expansion, UNet, centre

EXPANSION = [nn.Conv2d, nn.ReLU, nn.Conv2d, nn.ReLU]  # its layers once batch norm is folded


class Convolution(nn.Module):
    """A convolution and the ReLU behind it, or without either, in one pass where the device has that.

    Parameters
    ----------
    layer : nn.Conv2d
        In its final type, on its final device; its weights are not changed.
    relu : bool
        Whether to cut off at zero.
    inputs : slice
        Which input channels to take; all by default.
    bias : bool
        Whether to add the layer's bias.
    """

    def __init__(
        self, layer: nn.Conv2d, relu: bool = True, inputs: slice = slice(None), bias: bool = True
    ) -> None:
        super().__init__()
        self._weight = layer.weight.detach()[:, inputs].contiguous(memory_format=torch.channels_last)
        self._bias = layer.bias.detach() if layer.bias is not None and bias else None
        self._relu = relu
        self._geometry = layer.stride, layer.padding, layer.dilation, layer.groups
        self._fused = self._weight.device.type == "cpu" and can_fuse(self._weight.dtype)
        if self._fused:
            stride, padding, dilation, groups = self._geometry
            reorder = torch.ops.mkldnn._reorder_convolution_weight
            self._weight = reorder(self._weight, padding, stride, dilation, groups, None)

    def forward(self, x: Tensor) -> Tensor:
        """The sum over the input channels, bias added and cut off as asked."""
        if not self._fused:
            y = F.conv2d(x, self._weight, self._bias, *self._geometry)
            return y.relu_() if self._relu else y
        unary = "relu" if self._relu else "none"
        operator = torch.ops.mkldnn._convolution_pointwise
        return operator(_dense(x), self._weight, self._bias, *self._places(), unary, [], "")

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """Add to `total`, in place, what `forward` would return before the cut; then cut off."""
        if not self._fused:
            total += F.conv2d(x, self._weight, self._bias, *self._geometry)
            return total.relu_() if self._relu else total
        unary = "relu" if self._relu else None
        operator = torch.ops.mkldnn._convolution_pointwise_
        places = self._places()
        return operator(total, _dense(x), self._weight, self._bias, *places, "add", 1.0, unary, [], "")

    def _places(self) -> tuple[object, ...]:
        """Padding, stride, dilation and groups, as oneDNN's operators want them."""
        stride, padding, dilation, groups = self._geometry
        return padding, stride, dilation, groups


class Pooling(nn.Module):
    """2×2 max-pooling of what a ReLU gave, without the indices that torch makes beside it."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W), nowhere below zero, to maps (B, C, H/2, W/2)."""
        kind = x.dtype
        if kind == torch.bfloat16:  # as whole numbers they have the same order, and are faster
            x = x.view(torch.int16)
        x = torch.maximum(x[..., ::2, :], x[..., 1::2, :])  # (B, C, H/2, W)
        return torch.maximum(x[..., ::2], x[..., 1::2]).view(kind)


class LeanExpansion(nn.Module):
    """`Expansion` without the concatenation.

    Parameters
    ----------
    block : Expansion
        Two convolutions, each followed by a ReLU.
    """

    def __init__(self, block: Expansion) -> None:
        super().__init__()
        first, second = (layer for layer in block if isinstance(layer, nn.Conv2d))
        half = first.in_channels // 2
        self._skip = Convolution(first, relu=False, inputs=slice(0, half))
        self._up = Convolution(first, inputs=slice(half, None), bias=False)
        self._second = Convolution(second)

    def forward(self, skips: list[Tensor], up: nn.Module, x: Tensor) -> Tensor:
        """As for `Expansion`."""
        height, width = 2 * x.shape[-2], 2 * x.shape[-1]
        total = self._skip(centre(skips.pop(), height, width))  # (B, C, H', W')
        total = self._up.add_to(total, up(x))
        return self._second(total)


def lean(module: nn.Module) -> nn.Module:
    """Bring a network into this form, in place.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode, batch norm folded, in its final type on its final device. Layers that are
        not known here stay as they are.
    """
    if isinstance(module, nn.Sequential):
        layers = fuse_relu(list(module))
        del module[:]
        module.extend(layers)
    if isinstance(module, UNet):
        module.pool = Pooling()
    for name, child in module.named_children():
        setattr(module, name, lean_child(child))
    return module


def lean_child(module: nn.Module) -> nn.Module:
    """What takes the place of a part of a network."""
    if isinstance(module, Expansion) and [type(layer) for layer in module] == EXPANSION:
        return LeanExpansion(module)
    return Convolution(module, relu=False) if _is_plain(module) else lean(module)


def fuse_relu(layers: list[nn.Module]) -> list[nn.Module]:
    """The layers of a chain, each convolution in one with the ReLU behind it."""
    fused: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.ReLU) and fused and _is_plain(fused[-1]):
            fused[-1] = Convolution(fused[-1])
        else:
            fused.append(layer)
    return fused


@cache
def can_fuse(dtype: torch.dtype) -> bool:
    """Whether torch brings oneDNN's fused operators for this machine, and they answer as plain ones do.

    They are not part of torch's promised interface (its compiler uses them), hence the trial.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    x = torch.linspace(-1, 1, 2 * 4 * 4).view(1, 2, 4, 4).to(dtype)
    weight = torch.linspace(-1, 1, 2 * 2 * 9).view(2, 2, 3, 3).to(dtype)
    x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    places = [1, 1], [1, 1], [1, 1], 1
    expected = F.conv2d(x.float(), weight.float(), padding=1)
    try:
        packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *places, None)
        y = torch.ops.mkldnn._convolution_pointwise(x, packed, None, *places, "none", [], "")
        y = torch.ops.mkldnn._convolution_pointwise_(
            y, x, packed, None, *places, "add", 1.0, "relu", [], ""
        )
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.allclose(y.float(), 2 * expected.relu(), rtol=0.05, atol=0.05)


def _is_plain(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    return type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and layer.padding != "same"


def _dense(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
