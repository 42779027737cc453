"""The papers: one file each, in the paper's own symbols. torch only."""

from .build import build
from .hypercolumn import HypercolumnUNet
from .unet import UNet

__all__ = ["HypercolumnUNet", "UNet", "build"]
