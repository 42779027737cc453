"""A pre-trained encoder as a network of its own: a linear layer on all its maps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import InputError
from ..core.tiles import SizeRule
from .deeplab import restore
from .encoders import EncoderName, encoder_factory
from .hypercolumn import HypercolumnHead
from .unet import size_rule
from .vgg_encoder import TRUNK_RULE

RESNET_RULE = SizeRule("same", 32, context=256, minimum=32)


class EncoderNetwork(nn.Module):
    """An encoder under a linear layer that reads all its maps at every pixel.

    Parameters
    ----------
    in_channels, classes : int
        Channels of the input; K, channels of the output.
    encoder : {"unet", "contracting", "vgg16", "resnet18", "resnet50"}
        What is under it.
    width : int
        Channels at the first level of a U-Net or of VGG-16.
    depth : int
        Of a U-Net.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 2,
        encoder: EncoderName = "contracting",
        width: int = 16,
        depth: int = 4,
    ) -> None:
        super().__init__()
        self.in_channels, self.classes = in_channels, classes
        self.options = dict(encoder=encoder, width=width, depth=depth)
        self.encoder = encoder_factory(encoder, in_channels, width, depth)(num_classes=1)
        del self.encoder.fc
        self.size_rule = encoder_rule(encoder, depth)
        channels, strides = list(self.encoder.channels), self.encoder.strides
        self.head = (
            StridedHead(channels, strides, classes) if strides else HypercolumnHead(channels, classes)
        )

    def forward(self, x: Tensor, maps: dict[str, Tensor] | None = None) -> Tensor:
        """Logits (B, K, H, W) of images (B, in_channels, H, W); `maps` is filled with the encoder's.

        Raises
        ------
        InputError
            If the number of channels does not fit.
        """
        if x.shape[1] != self.in_channels:
            raise InputError("image", f"{x.shape[1]} channels", f"this network takes {self.in_channels}")
        found = self.encoder.maps(x)
        if maps is not None:
            maps.update({f"map {number}": m for number, m in enumerate(found)})
        logits = self.head(found)
        if logits.shape[-2:] == x.shape[-2:]:
            return logits
        return F.interpolate(logits, x.shape[-2:], mode="bilinear", align_corners=False)

    def part(self, name: Literal["all", "decoder", "head"]) -> Iterable[nn.Module]:
        """The modules to train: everything, or the linear layer (which is all there is of a decoder)."""
        return [self] if name == "all" else [self.head]


class StridedHead(HypercolumnHead):
    """A linear layer on maps whose elements lie on every s-th pixel.

    Parameters
    ----------
    channels : sequence of int
        Of each map.
    strides : sequence of int
        s of each map.
    classes : int
        K.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int) -> None:
        super().__init__(channels, classes)
        self.strides = tuple(strides)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Logits (B, K, H, W), float32."""
        height, width = (side * self.strides[0] for side in maps[0].shape[-2:])
        total = maps[0].new_zeros((), dtype=torch.float32)
        for layer, values, stride in zip(self.weights, maps, self.strides, strict=True):
            total = total + restore(layer(values), height, width, stride)
        return total


def encoder_rule(encoder: str, depth: int) -> SizeRule:
    """Valid input sizes; those of a U-Net also suit its contracting path."""
    if encoder == "vgg16":
        return TRUNK_RULE
    return RESNET_RULE if encoder.startswith("resnet") else size_rule(depth, "same")
