"""The papers: one file each, in the paper's own symbols. torch only."""

from .build import build
from .deeplab import DeepLab, DeepLabLargeFOV
from .hypercolumn import HypercolumnUNet
from .linear_head import ReadableNetwork
from .unet import UNet

__all__ = ["DeepLab", "DeepLabLargeFOV", "HypercolumnUNet", "ReadableNetwork", "UNet", "build"]
