"""Encoders as starts: of a pre-training, and of a network that learns from annotation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..core.errors import InputError, ModelError
from ..core.events import Notice
from ..core.moco_settings import OF_WEIGHTS, MoCoSettings
from ..core.model import ModelRef, ModelSpec, Normalisation
from ..model_files import find_model
from ..networks import DeepLab, MoCo, UNet
from ..networks.build import deeplab_spec, draw, unet_spec
from ..networks.encoder_network import EncoderNetwork
from ..networks.public_moco import public_encoder
from ..networks.vgg_encoder import FULL_WIDTH, folded
from .torch_files import PICKLED, read_checkpoint
from .weights import load_weights

SCRATCH = "scratch"
UNETS = ("unet", "contracting")
NO_CLASSES = ("background", "object")  # of an encoder's last layer, which a later training replaces


@dataclass(frozen=True, eq=False)
class EncoderStart:
    """What a pre-training takes from the model that it starts from; nothing from scratch.

    Attributes
    ----------
    weights : mapping of str to Tensor, or None
        Of the encoder, without its last layer.
    in_channels : int or None
        Channels that they take.
    normalisation : Normalisation or None
        The model's.
    adopted : mapping
        Settings that the weights determine.
    """

    weights: Mapping[str, Tensor] | None = None
    in_channels: int | None = None
    normalisation: Normalisation | None = None
    adopted: Mapping[str, Any] | None = None

    def adopt(self, settings: MoCoSettings) -> MoCoSettings:
        """The settings with those that the weights determine."""
        return settings.replace(**(self.adopted or {}))


def adopted_notice(asked: MoCoSettings, used: MoCoSettings, base: str) -> Notice | None:
    """What a pre-training takes from the model that it starts from in place of what a person set; None
    where that is nothing."""
    default, parts = MoCoSettings(), {}
    for name in OF_WEIGHTS:
        wanted, taken = getattr(asked, name), getattr(used, name)
        if wanted not in (taken, getattr(default, name)):
            parts[name] = f"{name} {taken}, not {wanted}"
    if not parts:
        return None
    message = f"Taken from {base}, where the training starts: {'; '.join(parts.values())}."
    return Notice(message, {name: getattr(used, name) for name in parts})


def encoder_of(model: str | Path | ModelRef) -> EncoderStart:
    """The encoder in a model of this program or a public checkpoint.

    Raises
    ------
    ModelError
        If there is none in it.
    """
    if model == SCRATCH:
        return EncoderStart()
    if isinstance(model, str | Path) and Path(model).suffix in PICKLED:
        encoder = public_encoder(read_public(Path(model)))
        layers = 50 if len(encoder.layer3) == 6 else 18
        return EncoderStart(
            _body(encoder), encoder.conv1.in_channels, None, dict(encoder=f"resnet{layers}")
        )
    ref = find_model(model)
    network = load_weights(ref)
    if isinstance(network, EncoderNetwork):
        weights, adopted = _body(network.encoder), dict(network.options)
    elif isinstance(network, UNet) and ref.spec.options.get("norm") == "batch":
        weights = {f"unet.{k}": v for k, v in _body(network, "head.", "forest.").items()}
        adopted = dict(encoder="unet", **{k: ref.spec.options[k] for k in ("width", "depth")})
    else:
        mend = "give an encoder, a padded U-Net with batch normalisation, or a MoCo checkpoint"
        raise ModelError("model", f"{ref.name!r}, architecture {ref.spec.architecture!r}", mend)
    return EncoderStart(weights, ref.spec.in_channels, ref.spec.normalisation.alone, adopted)


def read_public(path: Path) -> Mapping[str, Tensor]:
    """The ``state_dict`` of a public checkpoint; nothing but tensors and plain values is unpickled.

    Raises
    ------
    ModelError
        If the file cannot be read so, or holds no state dict.
    """
    content = read_checkpoint(path)
    state = content.get("state_dict", content)
    if not isinstance(state, Mapping) or not state:
        raise ModelError("model", f"{path.name} without a state_dict", "give a MoCo checkpoint")
    return state


def draw_head(spec: ModelSpec) -> dict[str, Tensor]:
    """A last layer for the network of `spec`, to be replaced by a training."""
    return {k: v for k, v in draw(spec, seed=0).state_dict().items() if k.startswith("head.")}


def take_over(model: MoCo, weights: Mapping[str, Tensor]) -> None:
    """Put weights into both encoders; their last layers stay as drawn."""
    missing, unknown = model.encoder_q.load_state_dict(weights, strict=False)
    lacking = [name for name in missing if not name.startswith("fc.")]
    if unknown or lacking:
        mend = "choose the encoder that the model holds"
        raise ModelError("model", f"tensor {[*unknown, *lacking][0]} does not fit", mend)
    model.encoder_k.load_state_dict(model.encoder_q.state_dict())


def network_of_encoder(
    base: ModelRef, network: EncoderNetwork, architecture: str, seed: int
) -> tuple[ModelSpec, UNet | DeepLab, bool]:
    """A padded U-Net or a DeepLab that begins with the encoder's weights.

    Parameters
    ----------
    base, network
        The encoder's reference, and itself.
    architecture : {"unet", "deeplab"}
        Which was asked for; "unet", the default, leaves it to the encoder.
    seed : int
        Draws what the encoder lacks (a U-Net's expanding path, DeepLab's fc6 and fc7).

    Returns
    -------
    spec : ModelSpec
        Of the network; its classes are those of `base`.
    network : UNet or DeepLab
        Under a last layer that is to be replaced.
    whole : bool
        Nothing but the last layer is fresh.

    Raises
    ------
    ModelError
        If the encoder is no part of either.
    InputError
        If a DeepLab was asked for, and it is part of a U-Net.
    """
    encoder, width = str(network.options["encoder"]), int(network.options["width"])
    kept = {k: getattr(base.spec, k) for k in ("normalisation", "task", "description", "licence")}
    about = base.name, base.spec.in_channels, base.spec.classes
    if encoder == "vgg16":
        spec = deeplab_spec(*about, kept, width=width / FULL_WIDTH)
        made: Any = draw(spec, seed)
        made.features.load_state_dict(folded(network.encoder))
        return spec, made, False
    if encoder not in UNETS:
        mend = (
            "a U-Net starts from the encoders unet and contracting, a DeepLab from vgg16; "
            "train='head' takes any"
        )
        raise ModelError("model", f"{base.name!r}, a {encoder} encoder", mend)
    if architecture == "deeplab":
        mend = f"a DeepLab starts from an encoder vgg16; {base.name!r} ({encoder}) starts a U-Net"
        raise InputError("architecture", "'deeplab'", mend)
    depth = int(network.options["depth"])
    spec = unet_spec(*about, width, depth, "same", "batch", 0.0, **kept)
    made = draw(spec, seed)
    made.load_state_dict(network.encoder.unet.state_dict(), strict=False)
    return spec, made, encoder == "unet"


def _body(network: nn.Module, *without: str) -> dict[str, Tensor]:
    left = ("fc.", *without)
    return {k: v for k, v in network.state_dict().items() if not k.startswith(left)}
