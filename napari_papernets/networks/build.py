"""From a ModelSpec to a network, and from a network's options to a ModelSpec."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..core.errors import InputError, ModelError
from ..core.model import ClassInfo, ModelSpec
from ..core.tiles import Padding
from . import deeplab
from .bands import GreyBands
from .deeplab import DeepLab
from .encoder_network import EncoderNetwork, encoder_rule
from .encoders import EncoderName
from .hypercolumn import HypercolumnUNet, with_reach
from .unet import Norm, UNet, size_rule
from .vit import VisionTransformer
from .vit_segmenter import ViTSegmenter

UNET_PAPER = (
    "Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation. "
    "MICCAI 2015, arXiv 1505.04597"
)

DEEPLAB_PAPER = (
    "Chen, Papandreou, Kokkinos, Murphy, Yuille: Semantic Image Segmentation with Deep Convolutional "
    "Nets and Fully Connected CRFs. ICLR 2015, arXiv 1412.7062"
)

MOCO_PAPER = (
    "He, Fan, Wu, Xie, Girshick: Momentum Contrast for Unsupervised Visual Representation Learning. "
    "CVPR 2020, arXiv 1911.05722"
)

# Maps of the first level that a fused forward pass holds at a time: 2.5 to 2.65 measured on a CPU in
# float32 (340 bytes for each pixel at width 32); in bfloat16 3.3 of half the size, of which oneDNN's
# up-convolution takes 0.5 for itself.
VALUES_PER_WIDTH = 2.5

# DeepLab holds most between its first two convolutions: the maps of both, and the image twice, 131 to
# 134 values for each pixel measured at width 1 with three channels.
DEEPLAB_VALUES = 128.0

ARCHITECTURES: Mapping[str, Callable[..., nn.Module]] = {
    "unet": UNet,
    "hypercolumn_unet": HypercolumnUNet,
    "deeplab": DeepLab,
    "vit": VisionTransformer,
    "vit_segmenter": ViTSegmenter,
    "encoder": EncoderNetwork,
}


def build(spec: ModelSpec) -> nn.Module:
    """The network that `spec` describes, with freshly drawn weights.

    Raises
    ------
    ModelError
        If the architecture is unknown or refuses its options.
    """
    if spec.architecture not in ARCHITECTURES:
        mend = f"this program builds {', '.join(ARCHITECTURES)}"
        raise ModelError("model", f"architecture {spec.architecture!r}", mend)
    try:
        return ARCHITECTURES[spec.architecture](
            in_channels=spec.in_channels, classes=len(spec.classes), **spec.options
        )
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:  # sizes beyond all memory, too
        mend = "its description is damaged; save or download the model again"
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError("model", f"bad options ({why})", mend) from error


def draw(spec: ModelSpec, seed: int) -> nn.Module:
    """As `build`, with weights drawn by `seed`; torch's own generator stays as it was."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return build(spec)


def unet_spec(
    name: str,
    in_channels: int,
    classes: Sequence[ClassInfo],
    width: int = 64,
    depth: int = 4,
    padding: Padding = "valid",
    norm: Norm = "none",
    dropout: float = 0.5,
    **about: Any,
) -> ModelSpec:
    """Description of a U-Net; `about` holds further fields of ModelSpec."""
    options = {"width": width, "depth": depth, "padding": padding, "norm": norm, "dropout": dropout}
    return ModelSpec(
        name=name,
        architecture="unet",
        options=options,
        in_channels=in_channels,
        classes=tuple(classes),
        size_rule=size_rule(depth, padding),
        values_per_pixel=VALUES_PER_WIDTH * width + in_channels + 2 * len(classes),
        paper=UNET_PAPER,
        **about,
    )


def with_hypercolumns(spec: ModelSpec) -> ModelSpec:
    """Description of the same padded U-Net with a last layer on hypercolumns, without a forest."""
    options = {name: spec.options[name] for name in ("width", "depth", "norm", "dropout")}
    bands = GreyBands(spec.in_channels).channels
    return replace(
        spec,
        architecture="hypercolumn_unet",
        options=options,
        size_rule=with_reach(spec.size_rule),
        values_per_pixel=2 * (VALUES_PER_WIDTH * options["width"] + bands),
        paper=f"{UNET_PAPER}; hypercolumns: Hariharan et al., CVPR 2015, arXiv 1411.5752",
    )


def deeplab_spec(
    name: str, in_channels: int, classes: Sequence[ClassInfo], about: Mapping[str, Any], **options: Any
) -> ModelSpec:
    """Description of a DeepLab that answers in full size.

    Parameters
    ----------
    name, in_channels, classes
        As in `ModelSpec`.
    about : mapping
        Further fields of `ModelSpec`.
    options
        Of `DeepLabLargeFOV`.
    """
    rule = {key: options[key] for key in ("kernel", "rate") if key in options}
    width = options.get("width", 1.0)
    return ModelSpec(
        name=name,
        architecture="deeplab",
        options=options,
        in_channels=in_channels,
        classes=tuple(classes),
        size_rule=deeplab.size_rule(**rule),
        values_per_pixel=DEEPLAB_VALUES * width + 2 * in_channels + 2 * len(classes),
        paper=DEEPLAB_PAPER,
        **about,
    )


def encoder_spec(
    name: str,
    in_channels: int,
    classes: Sequence[ClassInfo],
    encoder: EncoderName,
    width: int = 16,
    depth: int = 4,
    **about: Any,
) -> ModelSpec:
    """Description of an encoder under a linear layer; `about` holds further fields of ModelSpec."""
    held = 64 if encoder.startswith("resnet") else width
    return ModelSpec(
        name=name,
        architecture="encoder",
        options={"encoder": encoder, "width": width, "depth": depth},
        in_channels=in_channels,
        classes=tuple(classes),
        size_rule=encoder_rule(encoder, depth),
        values_per_pixel=2 * VALUES_PER_WIDTH * held + in_channels + 3 * len(classes),
        paper=MOCO_PAPER,
        **about,
    )
