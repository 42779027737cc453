"""DeepLab's trunk as an encoder: VGG-16's convolutions (`deeplab.BLOCKS`), which MoCo can train.

Thirteen convolutions without normalisation hardly learn from look-ups, and the paper's shuffling means
nothing without it: here batch normalisation follows each of them. Once trained it is a factor and an
offset for each channel, which `folded` puts into the convolution: the trunk of a DeepLab, which has no
normalisation, then answers with the same maps.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.tiles import SizeRule
from .deeplab import BLOCKS, scaled
from .encoders import at_places
from .unet import draw_weights

FULL_WIDTH = BLOCKS[0][0]  # channels of the first level at which the trunk is VGG-16's
TRUNK_RULE = SizeRule("same", 8, context=120, minimum=8)  # a map element sees 113 pixels to each side


class VGGEncoder(nn.Module):
    """The convolutions of DeepLab's trunk with batch normalisation, under a linear layer.

    Parameters
    ----------
    num_classes : int
        Dimension of the answer.
    in_channels : int
        Channels of the input.
    width : int
        Channels at the first level; 64 is VGG-16.
    dense : bool
        As for `encoders.UNetEncoder`.

    Attributes
    ----------
    strides : tuple of int
        Map l has an element on every `strides[l]`-th pixel, from the first on: after 3×3 pools they lie
        on pixels, not between them.
    """

    def __init__(
        self, num_classes: int, in_channels: int = 3, width: int = 16, dense: bool = False
    ) -> None:
        super().__init__()
        self.dense, self.width = dense, width
        self.blocks = nn.ModuleList()
        self.channels: list[int] = []
        inputs = in_channels
        for channels, convolutions, rate, _ in BLOCKS:
            outputs = scaled(channels, width / FULL_WIDTH)
            self.blocks.append(nn.Sequential(*_block(inputs, outputs, convolutions, rate)))
            self.channels.append(outputs)
            inputs = outputs
        self.strides = trunk_strides()
        self.apply(draw_weights)
        self.fc = nn.Linear(sum(self.channels) if dense else inputs, num_classes)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The last map of each block; of the fifth after its pool, as fc6 reads it."""
        found = []
        for block, (_, _, _, stride) in zip(self.blocks, BLOCKS, strict=True):
            x = block(x)
            found.append(x)
            x = F.max_pool2d(x, 3, stride, padding=1)
        return [*found[:-1], x]

    def forward(self, x: Tensor, places: Tensor | None = None) -> Tensor:
        """As for `encoders.UNetEncoder`."""
        if places is None:
            return self.fc(self.maps(x)[-1].mean((2, 3)))
        return self.fc(at_places(self.maps(x), places, self.strides))


def trunk_strides() -> tuple[int, ...]:
    """Pixels between elements of the last map of each block."""
    strides = [1]
    for _, _, _, stride in BLOCKS:
        strides.append(strides[-1] * stride)
    return *strides[: len(BLOCKS) - 1], strides[-1]


@torch.no_grad()
def folded(encoder: VGGEncoder) -> dict[str, Tensor]:
    """Weights of DeepLab's `features` that give the encoder's maps, in evaluation mode.

    Returns
    -------
    mapping of str to Tensor
        "N.weight" and "N.bias", N as in torchvision's VGG-16.
    """
    weights: dict[str, Tensor] = {}
    number = 0
    for block in encoder.blocks:
        layers = list(block)
        for convolution, norm in zip(layers[::3], layers[1::3], strict=True):
            factor = norm.weight / (norm.running_var + norm.eps).sqrt()
            weights[f"{number}.weight"] = convolution.weight * factor.view(-1, 1, 1, 1)
            weights[f"{number}.bias"] = norm.bias - norm.running_mean * factor
            number += 2  # a ReLU follows
        number += 1  # and a pool behind each block
    return weights


def _block(inputs: int, outputs: int, convolutions: int, rate: int) -> Iterator[nn.Module]:
    for _ in range(convolutions):
        yield nn.Conv2d(inputs, outputs, 3, padding=rate, dilation=rate, bias=False)
        yield nn.BatchNorm2d(outputs)
        yield nn.ReLU(inplace=True)
        inputs = outputs
