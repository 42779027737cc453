"""Public MoCo checkpoints as model files of this program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..core.model import ModelRef, Normalisation, class_infos
from ..model_files import SUFFIX
from ..networks.build import encoder_spec
from ..networks.public_moco import public_encoder
from .encoder_starts import NO_CLASSES, draw_head, read_public
from .weights import save_weights

if TYPE_CHECKING:
    from ..networks.residual import ResNetEncoder


def import_moco(
    path: Path,
    folder: Path,
    name: str,
    about: Mapping[str, Any],
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
) -> ModelRef:
    """Keep the query encoder of a public checkpoint.

    Parameters
    ----------
    path : Path
        As for `read_public`.
    folder : Path
        Where the model file goes.
    name : str
        Of the model.
    about : mapping
        Further fields of `ModelSpec`.
    mean, std : sequence of float
        Of each channel: how its authors brought grey values 0…1 into the network.

    Raises
    ------
    ModelError
        If it is no MoCo checkpoint of a ResNet-18 or -50.
    """
    encoder = public_encoder(read_public(path))
    take_grey_values(encoder, mean, std)
    layers = 50 if len(encoder.layer3) == 6 else 18
    channels = encoder.conv1.in_channels
    spec = encoder_spec(
        name,
        channels,
        class_infos(NO_CLASSES),
        "resnet50" if layers == 50 else "resnet18",
        normalisation=Normalisation(joint=True),
        task="features",
        **about,
    )
    body = {f"encoder.{k}": v for k, v in encoder.state_dict().items() if not k.startswith("fc.")}
    return save_weights(spec, body | draw_head(spec), folder / f"{name}{SUFFIX}")


@torch.no_grad()
def take_grey_values(encoder: ResNetEncoder, mean: Sequence[float], std: Sequence[float]) -> None:
    """Let the first layer take grey values 0…1 where it took (grey value − mean) / std.

    The same answer, but for a border of three pixels: zeros that the convolution pads with were the
    mean, and are black now.
    """
    weight = encoder.conv1.weight  # (64, C, 7, 7)
    weight /= torch.tensor(std, dtype=weight.dtype).view(1, -1, 1, 1)
    encoder.bn1.running_mean += (weight * torch.tensor(mean).view(1, -1, 1, 1)).sum((1, 2, 3))
