"""DeepLab (Chen, Papandreou, Kokkinos, Murphy, Yuille, ICLR 2015, arXiv 1412.7062), without its CRF.

VGG-16 re-purposed for dense maps: the pools after conv4 and conv5 keep stride 1, conv5 is atrous with
rate 2 and fc6 with a larger one, so that scores come out for every eighth pixel and see as much as
before; bilinear interpolation brings them back to full size. At its defaults DeepLab-CRF-LargeFOV of
table 2: fc6 of 3×3 with rate 12 and 1024 filters, fc7 of 1024, drop-out after both, 20.5 M parameters.
`kernel`, `rate` and `filters` give the other rows: DeepLab-CRF (4, 4, 4096), DeepLab-CRF-4x4
(4, 8, 4096), DeepLab-CRF-7x7 (7, 4, 4096).

**Alignment.** Pools are 3×3 with a border of one pixel, as in the authors' prototxt, not 2×2 as in
VGG-16: score i then centres on pixel 8i, an image of 8k + 1 pixels (the paper's 321) has scores on its
first and its last pixel, and `restore` interpolates between just those places.

Deviations: ``width`` scales all channels; ``mean`` and ``std`` are taken off the input inside the
network, so that it can be fed as any other; images of any size (the last score is held beyond its
place); without VGG's weights they are drawn from N(0, √(2/N)), N the fan-in (He et al. 2015), but the
last layer's from N(0, 0.01), and fc6's far taps start small (`look_near_first`). The paper's multi-scale
variant (DeepLab-MSc) is not built.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import InputError
from ..core.tiles import SizeRule
from .linear_head import LinearHead, ReadableNetwork, sample
from .unet import draw_weights

STRIDE = 8  # pixels from score to score

# Of VGG-16 (Simonyan & Zisserman, ICLR 2015, configuration D): channels, convolutions, then what the
# paper changed: rate of the convolutions, stride of the pool behind them.
BLOCKS = ((64, 2, 1, 2), (128, 2, 1, 2), (256, 3, 1, 2), (512, 3, 1, 1), (512, 3, 2, 1))
FC_FILTERS = 1024
LAST_DEVIATION = 0.01
FAR = 0.1  # of a far tap of a drawn fc6, beside the deviation that all would have
TRUSTED = 128  # features of unit size that a fit of the last layer trusts as it does hypercolumns


class DeepLabLargeFOV(ReadableNetwork):
    """DeepLab's network: an image to coarse score maps.

    Parameters
    ----------
    in_channels : int
        Channels of the input; 3 for VGG's weights.
    classes : int
        K, channels of the output.
    width : float
        Factor of all channels: 1 is VGG-16, which has 64 at the first level.
    kernel : int
        Side of fc6.
    rate : int
        Its atrous rate, in scores; with `kernel` the field of view.
    filters : int, optional
        Of fc6 and fc7; 1024 · width by default.
    dropout : float
        Probability after fc6 and fc7.
    mean, std : sequence of float, optional
        Of each channel (or one for all): the network sees (x − mean) / std. By default x as it is.

    Raises
    ------
    InputError
        If a number is too small, fc6 cannot be centred, or mean and std do not fit the channels.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 21,
        width: float = 1.0,
        kernel: int = 3,
        rate: int = 12,
        filters: int | None = None,
        dropout: float = 0.5,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> None:
        super().__init__()
        filters = max(1, round(FC_FILTERS * width)) if filters is None else filters
        _check(in_channels, classes, width, kernel, rate, filters, (mean, std))
        self.in_channels, self.classes = in_channels, classes
        self.options: dict[str, Any] = dict(
            width=width, kernel=kernel, rate=rate, filters=filters, dropout=dropout,
            mean=list(mean), std=list(std),
        )  # fmt: skip
        self.size_rule = size_rule(kernel, rate)
        for name, values, neutral in (("mean", mean, 0.0), ("std", std, 1.0)):
            column = torch.tensor(list(values) or [neutral]).view(1, -1, 1, 1)
            self.register_buffer(name, column, persistent=False)
        self.features = nn.Sequential(*_trunk(in_channels, width))
        depth = scaled(BLOCKS[-1][0], width)
        self.fc6 = _fully_connected(depth, filters, kernel, rate, dropout)
        self.fc7 = _fully_connected(filters, filters, 1, 1, dropout)
        self.head = ScoreHead(filters, classes)  # fc8
        self.apply(draw_weights)
        look_near_first(self.fc6[0])
        nn.init.normal_(self.head.weights[0].weight, std=LAST_DEVIATION)

    def forward(self, x: Tensor) -> Tensor:
        """Coarse logits of an image.

        Parameters
        ----------
        x : Tensor, shape (B, in_channels, H, W)
            Of any size.

        Returns
        -------
        Tensor, shape (B, K, ceil(H / 8), ceil(W / 8))
            Score (i, j) centres on pixel (8i, 8j): see `restore`.

        Raises
        ------
        InputError
            If the number of channels does not fit.
        """
        return self.head.score(self.read(x))

    def read(self, x: Tensor) -> list[Tensor]:
        """What the last layer reads: fc7's map (B, filters, ceil(H / 8), ceil(W / 8)), alone.

        Raises
        ------
        InputError
            If the number of channels does not fit.
        """
        if x.shape[1] != self.in_channels:
            mend = f"this network takes {self.in_channels}"
            raise InputError("image", f"{x.shape[1]} channels", mend)
        x = self.features((x - self.mean) / self.std)  # (B, 512·width, h, w)
        return [self.fc7(self.fc6(x))]

    def part(self, name: Literal["all", "decoder", "head"]) -> Iterable[nn.Module]:
        """The modules to train: everything, what replaced the fully connected layers, or the last."""
        parts: dict[str, list[nn.Module]] = {
            "all": [self],
            "decoder": [self.fc6, self.fc7, self.head],
            "head": [self.head],
        }
        return parts[name]


class DeepLab(DeepLabLargeFOV):
    """The same network with its answer brought to full size, as tiles and their likes want it."""

    def scores(self, x: Tensor) -> Tensor:
        """Coarse logits (B, K, ceil(H / 8), ceil(W / 8)), as `DeepLabLargeFOV.forward` gives them."""
        return super().forward(x)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K, H, W), float32: the coarse ones restored."""
        return restore(self.scores(x), x.shape[-2], x.shape[-1])


class ScoreHead(LinearHead):
    """fc8: a 1×1 convolution from fc7's map to scores."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__([channels], classes)
        self.scales.fill_((TRUSTED / channels) ** 0.5)

    def score(self, maps: list[Tensor]) -> Tensor:
        """Coarse logits (B, K, h, w)."""
        return self.weights[0](maps[0])

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Logits (B, K, 8h − 7, 8w − 7), from the first score to the last."""
        scores = self.score(maps)
        height, width = (STRIDE * (n - 1) + 1 for n in scores.shape[-2:])
        return restore(scores, height, width)

    def gather(self, maps: list[Tensor], points: Tensor) -> Tensor:
        """As for `LinearHead`; a weighted sum commutes with the interpolation of `restore`."""
        ends = [max(n - 1, 1) * STRIDE for n in reversed(maps[0].shape[-2:])]
        grid = points.flip(1) / torch.tensor(ends, device=points.device) * 2 - 1  # x, y
        return sample(maps, self.scales, grid, align_corners=True)


def restore(scores: Tensor, height: int, width: int, stride: int = STRIDE) -> Tensor:
    """Bring coarse maps to full size by bilinear interpolation.

    Map element (i, j) belongs to pixel (8i, 8j) at the stride of 8; beyond the last its value is held.

    Parameters
    ----------
    scores : Tensor, shape (B, K, h, w)
        Any floating type; computed in float32.
    height, width : int
        Of the image, at most 8h and 8w.
    stride : int
        Pixels from element to element.

    Returns
    -------
    Tensor, shape (B, K, height, width), float32

    Raises
    ------
    InputError
        If the image would be larger than what the scores cover.
    """
    h, w = scores.shape[-2:]
    if not (0 < height <= stride * h and 0 < width <= stride * w):
        mend = f"give at most {stride * h}×{stride * w} pixels"
        raise InputError("scores", f"{h}×{w} for an image of {height}×{width}", mend)
    spanned = stride * (h - 1) + 1, stride * (w - 1) + 1
    full = F.interpolate(scores.float(), spanned, mode="bilinear", align_corners=True)
    below, right = max(height - spanned[0], 0), max(width - spanned[1], 0)
    if below or right:
        full = F.pad(full, (0, right, 0, below), mode="replicate")
    return full[..., :height, :width]


@torch.no_grad()
def look_near_first(layer: nn.Conv2d) -> None:
    """Redraw a drawn fc6 so that its centre tap, where it has one, counts for nearly all.

    Eight of nine taps lie 96 pixels away: alike in size they would drown what a score knows of its own
    place, and no training of a few hundred steps finds it again.
    """
    kernel = layer.kernel_size[0]
    if kernel % 2 and kernel > 1:
        layer.weight *= FAR
        layer.weight[:, :, kernel // 2, kernel // 2] *= kernel / FAR  # the deviation of a 1×1 layer


def restored(network: DeepLabLargeFOV) -> DeepLab:
    """A copy of a network that answers in full size, in evaluation mode."""
    made = DeepLab(network.in_channels, network.classes, **network.options)
    made.load_state_dict(network.state_dict())
    return made.eval()


def reach(kernel: int = 3, rate: int = 12) -> int:
    """Pixels to each side of pixel 8i that score i depends on: 209 for LargeFOV.

    The theoretical field of view is thus 419 pixels; the paper's 224 is what fc6 would span on VGG's
    own maps.
    """
    pixels, jump = 0, 1
    for _, convolutions, dilation, stride in BLOCKS:
        pixels += (convolutions * dilation + 1) * jump  # 3×3 each, then the pool
        jump *= stride
    return pixels + (kernel - 1) * rate * jump // 2


def size_rule(kernel: int = 3, rate: int = 12) -> SizeRule:
    """Windows of 8k + 1 pixels, whose first and last pixel have scores of their own.

    A block of 8 pixels lies between two scores, of which the second is 8 pixels away from its first.
    """
    context = ceil((reach(kernel, rate) + 1) / STRIDE) * STRIDE
    return SizeRule("same", STRIDE, context, minimum=1)


def scaled(channels: int, width: float) -> int:
    """Channels of a layer of VGG-16 at that width."""
    return max(1, round(channels * width))


def _trunk(in_channels: int, width: float) -> Iterator[nn.Module]:
    """VGG-16's `features`, in torchvision's order, with the paper's strides and rates."""
    inputs = in_channels
    for channels, convolutions, dilation, stride in BLOCKS:
        outputs = scaled(channels, width)
        for _ in range(convolutions):
            yield from _convolution(inputs, outputs, 3, dilation)
            inputs = outputs
        yield nn.MaxPool2d(3, stride, padding=1)


def _fully_connected(inputs: int, outputs: int, kernel: int, rate: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(*_convolution(inputs, outputs, kernel, rate), nn.Dropout(dropout))


def _convolution(inputs: int, outputs: int, kernel: int, rate: int) -> Iterator[nn.Module]:
    """An atrous convolution that keeps the size, and its ReLU."""
    border = (kernel - 1) * rate // 2
    yield nn.Conv2d(inputs, outputs, kernel, padding=border, dilation=rate)
    yield nn.ReLU(inplace=True)


def _check(
    in_channels: int,
    classes: int,
    width: float,
    kernel: int,
    rate: int,
    filters: int,
    colours: Sequence[Sequence[float]],
) -> None:
    numbers = dict(in_channels=in_channels, classes=classes, kernel=kernel, rate=rate, filters=filters)
    for name, value in numbers.items():
        if value < 1:
            raise InputError(name, value, "give at least 1")
    if not width > 0:
        raise InputError("width", width, "give a factor above 0; 1 is VGG-16")
    if (kernel - 1) * rate % 2:
        raise InputError("rate", rate, f"give an even one, so that fc6 of {kernel}×{kernel} is centred")
    for name, values in zip(("mean", "std"), colours, strict=True):
        if len(values) not in (0, 1, in_channels):
            raise InputError(name, list(values), f"give one number for each of {in_channels} channels")
    if any(not value > 0 for value in colours[1]):
        raise InputError("std", list(colours[1]), "give numbers above 0")
