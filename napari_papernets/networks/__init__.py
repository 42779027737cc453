"""The papers: one file each, in the paper's own symbols. torch only."""

from .build import build
from .hypercolumn import HypercolumnUNet
from .moco import MoCo
from .unet import UNet

__all__ = ["HypercolumnUNet", "MoCo", "UNet", "build"]
