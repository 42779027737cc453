"""The papers: one file each, in the paper's own symbols. torch, and numba where it pays."""

from .build import build
from .deeplab import DeepLab, DeepLabLargeFOV
from .densecrf import DenseCRF
from .hypercolumn import HypercolumnUNet
from .linear_head import ReadableNetwork
from .moco import MoCo
from .unet import UNet
from .vit import VisionTransformer
from .vit_segmenter import ViTSegmenter

__all__ = [
    "DeepLab",
    "DeepLabLargeFOV",
    "DenseCRF",
    "HypercolumnUNet",
    "MoCo",
    "ReadableNetwork",
    "UNet",
    "ViTSegmenter",
    "VisionTransformer",
    "build",
]
