"""U-Net (Ronneberger, Fischer, Brox, MICCAI 2015, arXiv 1505.04597).

At its defaults the network of figure 1: four times two unpadded 3×3 convolutions with ReLU and a 2×2
max-pooling, two more convolutions at the bottom, then four 2×2 up-convolutions that halve the channels,
each joined with the centre-cropped map of its level and followed by two convolutions, and a 1×1
convolution to K classes: 23 convolution layers, 572×572 in, 388×388 out. Weights are drawn from
N(0, √(2/N)) with N the fan-in (section 3), drop-out stands at the end of the contracting path.

Deviations, all optional: ``width`` and ``depth``; ``padding="same"`` (zero-padded convolutions, output
as large as the input); ``norm="batch"`` (batch normalisation before each ReLU).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, sqrt
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..core.errors import InputError
from ..core.tiles import Padding, SizeRule

Norm = Literal["none", "batch"]


class UNet(nn.Module):
    """U-Net that maps an image to one logit map for each class.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    classes : int
        K, channels of the output.
    width : int
        Channels at the first level; they double at each of the `depth` poolings.
    depth : int
        Number of poolings, and of up-convolutions.
    padding : {"valid", "same"}
        Unpadded convolutions as in the paper, or zero-padded ones.
    norm : {"none", "batch"}
        Batch normalisation after each 3×3 convolution, or none as in the paper.
    dropout : float
        Probability in the two last blocks of the contracting path.

    Raises
    ------
    InputError
        If a number is below 1 or a choice is unknown.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 2,
        width: int = 64,
        depth: int = 4,
        padding: Padding = "valid",
        norm: Norm = "none",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        for name, value in {
            "in_channels": in_channels,
            "classes": classes,
            "width": width,
            "depth": depth,
        }.items():
            if value < 1:
                raise InputError(name, value, "give at least 1")
        if padding not in ("valid", "same"):
            raise InputError("padding", repr(padding), "choose valid or same")
        if norm not in ("none", "batch"):
            raise InputError("norm", repr(norm), "choose none or batch")
        self.in_channels, self.classes = in_channels, classes
        self.options: dict[str, Any] = dict(
            width=width, depth=depth, padding=padding, norm=norm, dropout=dropout
        )
        self.size_rule = size_rule(depth, padding)
        channels = [width * 2**level for level in range(depth + 1)]

        def block(inputs: int, outputs: int, p: float = 0.0) -> nn.Sequential:
            return double_convolution(inputs, outputs, padding, norm, p)

        drop = [dropout if level >= depth - 1 else 0.0 for level in range(depth + 1)]
        self.contract = nn.ModuleList(
            block(c_in, c_out, p)
            for c_in, c_out, p in zip([in_channels, *channels], channels, drop, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * c, c, kernel_size=2, stride=2) for c in reversed(channels[:-1])
        )
        self.expand = nn.ModuleList(Expansion(*block(2 * c, c)) for c in reversed(channels[:-1]))
        self.head = nn.Conv2d(width, classes, kernel_size=1)
        self.apply(draw_weights)

    def forward(self, x: Tensor, maps: dict[str, Tensor] | None = None) -> Tensor:
        """Logits of an image.

        Parameters
        ----------
        x : Tensor, shape (B, in_channels, H, W)
            H and W must be valid sizes: ``size_rule`` tells.
        maps : dict, optional
            Filled with the feature map of every level: "contract 0" … "bottom" … "expand 0".

        Returns
        -------
        Tensor, shape (B, K, H', W')
            H' = H for ``same``, H − 2·context for ``valid``.

        Raises
        ------
        InputError
            If the number of channels or the size does not fit.
        """
        return self.head(self.decode(x, maps))  # (B, K, H', W')

    def decode(self, x: Tensor, maps: dict[str, Tensor] | None = None) -> Tensor:
        """What the last layer reads, (B, width, H', W'); parameters as for `forward`."""
        *skips, x = self.encode(x, maps)
        for up, block in zip(self.up, self.expand, strict=True):
            x = block(skips, up, x)
            if maps is not None:
                maps[f"expand {len(skips)}"] = x
        return x

    def encode(self, x: Tensor, maps: dict[str, Tensor] | None = None) -> list[Tensor]:
        """The maps of the contracting path, (B, width·2^l, H/2^l, W/2^l); the last is the bottom's."""
        self._check(x)
        levels: list[Tensor] = []
        for level, block in enumerate(self.contract):
            x = block(self.pool(x) if level else x)
            levels.append(x)
            if maps is not None:
                maps[f"contract {level}" if level < len(self.contract) - 1 else "bottom"] = x
        return levels

    def part(self, name: Literal["all", "decoder", "head"]) -> Iterable[nn.Module]:
        """The modules to train: everything, the expanding path with the head, or the head."""
        parts: dict[str, list[nn.Module]] = {
            "all": [self],
            "decoder": [self.up, self.expand, self.head],
            "head": [self.head],
        }
        return parts[name]

    def _check(self, x: Tensor) -> None:
        if x.shape[1] != self.in_channels:
            mend = f"this network takes {self.in_channels}"
            raise InputError("image", f"{x.shape[1]} channels", mend)
        for side in x.shape[-2:]:
            valid = self.size_rule.round_up(side)
            if valid != side:
                raise InputError("image", f"a side of {side} pixels", f"pad it to {valid}")


class Expansion(nn.Sequential):
    """A level of the expanding path: the layers after its up-convolution."""

    def forward(self, skips: list[Tensor], up: nn.Module, x: Tensor) -> Tensor:  # type: ignore[override]
        """Join the level below with the last of `skips` and run the layers.

        Parameters
        ----------
        skips : list of Tensor
            Maps (B, C, H, W) of the contracting path; the last is taken out, and let go once joined.
        up : nn.Module
            The up-convolution.
        x : Tensor, shape (B, 2C, h, w)
            Map of the level below.

        Returns
        -------
        Tensor, shape (B, C, H', W')
        """
        x = up(x)
        x = join(skips.pop(), x)  # (B, 2C, 2h, 2w)
        for layer in self:
            x = layer(x)
        return x


def double_convolution(
    inputs: int, outputs: int, padding: Padding, norm: Norm, dropout: float
) -> nn.Sequential:
    """Two 3×3 convolutions with ReLU; drop-out after them where asked."""
    layers: list[nn.Module] = []
    for c in (inputs, outputs):
        border = 0 if padding == "valid" else 1
        layers.append(nn.Conv2d(c, outputs, 3, padding=border, bias=norm == "none"))
        if norm == "batch":
            layers.append(nn.BatchNorm2d(outputs))
        layers.append(nn.ReLU(inplace=True))
    if dropout:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


def draw_weights(module: nn.Module) -> None:
    """Draw weights from N(0, √(2/N)), N incoming nodes of one neuron (section 3); biases are 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        up = isinstance(module, nn.ConvTranspose2d)  # stride = kernel: one tap for each output pixel
        fan_in = module.in_channels * (1 if up else module.kernel_size[0] * module.kernel_size[1])
        nn.init.normal_(module.weight, std=sqrt(2 / fan_in))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def join(skip: Tensor, x: Tensor) -> Tensor:
    """Concatenate the channels of `x` behind those of the centre of `skip`."""
    return torch.cat([centre(skip, x.shape[-2], x.shape[-1]), x], dim=1)


def centre(x: Tensor, height: int, width: int) -> Tensor:
    """The middle of maps (B, C, H, W), as a view of `height` × `width` pixels."""
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]


def size_rule(depth: int, padding: Padding) -> SizeRule:
    """Valid input sizes of a U-Net: for the paper's, 16·k + 124 with k ≥ 4, output = input − 184."""
    step = 2**depth
    if padding == "same":
        return SizeRule("same", step, context=ceil(same_halo(depth) / step) * step, minimum=step)
    bottom = 1
    while _expanded(bottom, depth) < 1:
        bottom += 1
    side = bottom + 4
    for _ in range(depth):
        side = 2 * side + 4
    return SizeRule("valid", step, context=6 * step - 4, minimum=side)


def same_halo(depth: int) -> int:
    """Pixels around a block of 2**depth output pixels that its values depend on, zero-padded.

    The dependence is followed backwards, as an interval, from every pixel of the block. Measured from
    the block rather than from the pixel it is 94 for depth 4; the tiler cuts between blocks.
    """
    step = 2**depth
    intervals = [_input_interval(pixel, depth) for pixel in range(step)]
    return max(max(-low, high - (step - 1)) for low, high in intervals)


def _input_interval(pixel: int, depth: int) -> tuple[int, int]:
    """First and last input pixel that the output pixel depends on."""
    low = high = pixel
    for _ in range(depth):  # expanding path: two convolutions, then a pixel of the level below
        low, high = (low - 2) // 2, (high + 2) // 2
    low, high = low - 2, high + 2
    for _ in range(depth):  # contracting path: a pooling window, then two convolutions
        low, high = 2 * low - 2, 2 * high + 1 + 2
    return low, high


def _expanded(bottom: int, depth: int) -> int:
    """Output side of a valid network whose bottom block gives `bottom` pixels; < 1 if there is none."""
    side = bottom
    for _ in range(depth):
        side = 2 * side - 4
        if side < 1:
            return 0
    return side
