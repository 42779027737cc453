"""The papers: one file each, in the paper's own symbols. torch, and numba where it pays."""

from .build import build
from .densecrf import DenseCRF
from .hypercolumn import HypercolumnUNet
from .unet import UNet

__all__ = ["DenseCRF", "HypercolumnUNet", "UNet", "build"]
