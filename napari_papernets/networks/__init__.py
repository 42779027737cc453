"""The papers: one file each, in the paper's own symbols. torch only."""

from .build import build
from .hypercolumn import HypercolumnUNet
from .unet import UNet
from .vit import VisionTransformer
from .vit_segmenter import ViTSegmenter

__all__ = ["HypercolumnUNet", "UNet", "ViTSegmenter", "VisionTransformer", "build"]
