"""What MoCo can train: a U-Net or its contracting path, DeepLab's trunk, and residual networks.

Every encoder ends in a linear layer ``fc``, which is thrown away afterwards. Called with images it
answers (B, dim), from the average of its deepest map (He et al. 2020, section 3.3); called with places
too it answers (B·P, dim), from all its maps at each place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import InputError
from .unet import UNet

EncoderName = Literal["unet", "contracting", "vgg16", "resnet18", "resnet50"]


class UNetEncoder(nn.Module):
    """A padded U-Net with batch normalisation, or only its contracting path, under a linear layer.

    Parameters
    ----------
    num_classes : int
        Dimension of the answer.
    in_channels, width, depth : int
        As for `UNet`.
    whole : bool
        With the expanding path.
    dense : bool
        It will be asked for places: `fc` reads all maps, not the deepest only.
    """

    strides: tuple[int, ...] = ()  # see `at_places`

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 1,
        width: int = 16,
        depth: int = 4,
        whole: bool = False,
        dense: bool = False,
    ) -> None:
        super().__init__()
        self.unet = UNet(in_channels, 1, width, depth, "same", "batch", dropout=0.0)
        del self.unet.head
        if not whole:
            del self.unet.up, self.unet.expand
        self.whole, self.dense = whole, dense
        levels = [width * 2**level for level in range(depth + 1)]
        self.channels = levels + (levels[-2::-1] if whole else [])
        inputs = sum(self.channels) if dense else levels[-1]
        self.fc = nn.Linear(inputs, num_classes)

    def maps(self, x: Tensor) -> list[Tensor]:
        """All maps, (B, C_l, h_l, w_l): contracting path, bottom, and expanding path if there is one."""
        if not self.whole:
            return self.unet.encode(x)
        maps: dict[str, Tensor] = {}
        self.unet.decode(x, maps)
        return list(maps.values())

    def forward(self, x: Tensor, places: Tensor | None = None) -> Tensor:
        """Answers (B, dim) to images (B, C, H, W), or (B·P, dim) to places (B, P, 2) of them."""
        if places is None:
            return self.fc(self.unet.encode(x)[-1].mean((2, 3)))
        return self.fc(at_places(self.maps(x), places))


def at_places(maps: Sequence[Tensor], places: Tensor, strides: Sequence[int] = ()) -> Tensor:
    """All maps at places, bilinear, side by side.

    Parameters
    ----------
    maps : sequence of Tensor, shape (B, C_l, h_l, w_l)
        Of any sizes; all cover the same image.
    places : Tensor, shape (B, P, 2)
        (x, y), −1…1 from edge to edge of the image.
    strides : sequence of int, optional
        Map l has an element on every `strides[l]`-th pixel, from the first on; the sides of the image
        are multiples of the first. By default every map covers the image from edge to edge.

    Returns
    -------
    Tensor, shape (B·P, ΣC_l), float32
    """
    grid = places[:, :, None].float()  # (B, P, 1, 2)
    grids = [grid] * len(maps)
    if strides:
        pixels = ((grid + 1) * sides_of(maps[0]) * strides[0] - 1) / 2
        grids = [(2 * pixels / s + 1) / sides_of(m) - 1 for m, s in zip(maps, strides, strict=True)]
    columns = [
        F.grid_sample(m.float(), g, padding_mode="border", align_corners=False)[..., 0]
        for m, g in zip(maps, grids, strict=True)
    ]
    return torch.cat(columns, dim=1).transpose(1, 2).flatten(0, 1)


def sides_of(x: Tensor) -> Tensor:
    """(W, H) of a map, on its device."""
    sides = (torch.full((1,), x.shape[axis], device=x.device) for axis in (-1, -2))
    return torch.cat(tuple(sides))  # made where it lies: a CUDA graph takes nothing from elsewhere


def encoder_factory(
    name: EncoderName, in_channels: int, width: int = 16, depth: int = 4, dense: bool = False
) -> Callable[..., nn.Module]:
    """The `base_encoder` of that name, as `MoCo` calls it.

    Raises
    ------
    InputError
        If the name is unknown.
    """
    if name in ("unet", "contracting"):
        whole = name == "unet"
        return lambda num_classes: UNetEncoder(num_classes, in_channels, width, depth, whole, dense)
    if name in ("resnet18", "resnet50"):
        from .residual import ResNetEncoder  # torchvision: seconds that every start would pay for

        layers = int(name.removeprefix("resnet"))
        return lambda num_classes: ResNetEncoder(layers, num_classes, in_channels, dense)
    if name == "vgg16":
        from .vgg_encoder import VGGEncoder  # which is an encoder of this module's kind

        return lambda num_classes: VGGEncoder(num_classes, in_channels, width, dense)
    raise InputError("encoder", repr(name), "choose unet, contracting, vgg16, resnet18 or resnet50")
