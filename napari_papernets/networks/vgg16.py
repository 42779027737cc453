"""VGG-16's weights re-purposed for DeepLab (Chen et al. 2015, section 3.1).

The convolutions are taken as they are. The classifier's first two layers become convolutions, fc6 of
7×7×512×4096 and fc7 of 1×1×4096×4096, and are decimated: of fc6 the taps 0, 3 and 6 along each side
(in general equidistant ones), and of both every fourth filter. The last layer is the task's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..core.errors import InputError, ModelError
from .deeplab import DeepLabLargeFOV

FC6_SIDE, FC6_CHANNELS, FC_UNITS = 7, 512, 4096
FC6, FC7 = "classifier.0", "classifier.3"  # torchvision's names

# Root mean square of VGG's last map: 34 to 56 measured on micrographs.
LAST_MAP_SIZE = 40.0
CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # in torchvision's `features`


def from_vgg16(weights: Mapping[str, Tensor], classes: int = 21, **options: Any) -> DeepLabLargeFOV:
    """DeepLab on VGG-16's weights.

    Parameters
    ----------
    weights : mapping of str to Tensor
        State dict with torchvision's names, "features.N.weight" … and "classifier.N.weight" …; a trunk
        without its classifier will do. Any floating type.
    classes : int
        K; the last layer is drawn.
    options
        Of `DeepLabLargeFOV`; `width` is 1.

    Returns
    -------
    DeepLabLargeFOV
        In float32. fc6 and fc7 are drawn where there is no classifier.

    Raises
    ------
    ModelError
        If these are not VGG-16's weights: the first tensor that does not fit is named.
    InputError
        If the classifier cannot be decimated to the wanted fc6, or `width` is not 1.
    """
    if options.get("width", 1.0) != 1:
        raise InputError("width", options["width"], "VGG-16's weights need a width of 1")
    network = DeepLabLargeFOV(3, classes, **options)
    own = network.state_dict()
    taken = {name: own[name] for name in own if name.startswith("features.")}
    for name in taken:
        taken[name] = _fitting(weights, name, tuple(own[name].shape)).float()
    if f"{FC6}.weight" in weights:
        filters, kernel = (network.options[name] for name in ("filters", "kernel"))
        taken |= _decimated(weights, kernel, filters)
    network.load_state_dict({**own, **taken})
    return network


def with_unit_maps(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """VGG's convolutions, in float32, with every map scaled so that the last is about of unit size.

    A ReLU and a pool let a factor pass, so each layer takes an equal part of it, and what the maps say
    stays the same. Layers that are drawn behind them, and steps that do not know how large a map is
    (Adam's), need maps like those of any other network.
    """
    factor = LAST_MAP_SIZE ** (-1 / len(CONVOLUTIONS))
    scaled = {name: tensor.float().clone() for name, tensor in features.items()}
    for depth, number in enumerate(CONVOLUTIONS, start=1):
        for name, part in (("weight", factor), ("bias", factor**depth)):
            key = f"features.{number}.{name}"
            if key in scaled:  # `from_vgg16` tells what is missing
                scaled[key] *= part
    return scaled


def _decimated(weights: Mapping[str, Tensor], kernel: int, filters: int) -> dict[str, Tensor]:
    """Tensors of fc6 and fc7."""
    if FC_UNITS % filters or not 1 <= kernel <= FC6_SIDE:
        received = f"{kernel}×{kernel} with {filters} filters"
        mend = f"VGG's fc6 of 7×7 with {FC_UNITS} can be decimated to a smaller side and a divisor"
        raise InputError("fc6", received, mend)
    wide = FC6_CHANNELS * FC6_SIDE**2
    fc6 = _fitting(weights, f"{FC6}.weight", (FC_UNITS, wide)).float()
    fc7 = _fitting(weights, f"{FC7}.weight", (FC_UNITS, FC_UNITS)).float()
    biases = [_fitting(weights, f"{name}.bias", (FC_UNITS,)).float() for name in (FC6, FC7)]
    every, taps = FC_UNITS // filters, _taps(kernel)
    fc6 = fc6.view(FC_UNITS, FC6_CHANNELS, FC6_SIDE, FC6_SIDE)[::every]
    return {
        "fc6.0.weight": fc6[:, :, taps][:, :, :, taps].contiguous(),  # (filters, 512, kernel, kernel)
        "fc6.0.bias": biases[0][::every].contiguous(),
        "fc7.0.weight": fc7[::every, ::every, None, None].contiguous(),
        "fc7.0.bias": biases[1][::every].contiguous(),
    }


def _taps(kernel: int) -> Tensor:
    """Which of seven taps are kept: equidistant, the outermost among them (of one, the middle)."""
    if kernel == 1:
        return torch.tensor([FC6_SIDE // 2])
    return torch.linspace(0, FC6_SIDE - 1, kernel).round().long()


def _fitting(weights: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    if name not in weights:
        mend = "give the state dict of torchvision's vgg16 (the one without batch norm)"
        raise ModelError("model", f"weights without tensor {name}", mend)
    if tuple(weights[name].shape) != shape:
        received = f"weights whose {name} has shape {tuple(weights[name].shape)}"
        raise ModelError("model", received, f"VGG-16 has {shape}")
    return weights[name]
