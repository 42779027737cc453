"""The papers: one file each, in the paper's own symbols. torch only."""

from .build import build
from .unet import UNet

__all__ = ["UNet", "build"]
