"""Residual networks as encoders: torchvision's, whose import takes as long as torch's own."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from .encoders import at_places

RESNETS: Mapping[int, tuple[type[BasicBlock | Bottleneck], list[int]]] = {
    18: (BasicBlock, [2, 2, 2, 2]),
    50: (Bottleneck, [3, 4, 6, 3]),
}


class ResNetEncoder(ResNet):
    """torchvision's ResNet-18 or -50, which answers at places too; the tensors' names are the same.

    Parameters
    ----------
    layers : {18, 50}
        Which.
    num_classes : int
        Dimension of the answer.
    in_channels : int
        Channels of the input (the public checkpoints take 3 or 1).
    dense : bool
        As for `encoders.UNetEncoder`.

    Attributes
    ----------
    strides : tuple of int
        Map l has an element on every `strides[l]`-th pixel, from the first on: its strided layers have
        odd kernels, and an element lies on a pixel, not between two.
    """

    strides: tuple[int, ...] = (2, 4, 8, 16, 32)

    def __init__(self, layers: int, num_classes: int, in_channels: int = 3, dense: bool = False) -> None:
        block, counts = RESNETS[layers]
        super().__init__(block, counts, num_classes=num_classes)
        self.dense = dense
        if in_channels != 3:
            self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.channels = [64, *(64 * block.expansion * 2**n for n in range(4))]
        if dense:
            self.fc = nn.Linear(sum(self.channels), num_classes)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Maps of the stem (stride 2) and of the four stages (4 to 32)."""
        x = self.relu(self.bn1(self.conv1(x)))
        found = [x]
        x = self.maxpool(x)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            found.append(x)
        return found

    def forward(self, x: Tensor, places: Tensor | None = None) -> Tensor:
        """As for `encoders.UNetEncoder`."""
        if places is None:
            return self.fc(self.maps(x)[-1].mean((2, 3)))
        return self.fc(at_places(self.maps(x), places, self.strides))
