"""The layout of public MoCo checkpoints: ``module.encoder_q.…``, ``module.encoder_k.…``, the queue.

That is how facebookresearch/moco writes them (DistributedDataParallel stands around the model), and how
others did after it (CEM500K: a ResNet-50 with one input channel).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ..core.errors import ModelError
from .moco import MoCo, two_layers

if TYPE_CHECKING:
    from .residual import ResNetEncoder

PREFIX = "module."
QUERY = "module.encoder_q."
COUNTED = "num_batches_tracked"


def public_state(model: MoCo) -> dict[str, Tensor]:
    """All tensors of `model` under their public names."""
    return {PREFIX + name: tensor for name, tensor in model.state_dict().items()}


def load_public(model: MoCo, state: Mapping[str, Tensor]) -> None:
    """Put a public state into a model of the same sizes.

    Raises
    ------
    ModelError
        If a tensor is missing, unknown or of another shape; the first is named.
    """
    own = model.state_dict()
    given = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    for name in [*own, *given]:
        if name not in given or name not in own or given[name].shape != own[name].shape:
            found = tuple(given[name].shape) if name in given else "no such tensor"
            wanted = tuple(own[name].shape) if name in own else "no such tensor"
            mend = f"this MoCo has {wanted}; build it with the encoder, dim, K and mlp of the checkpoint"
            raise ModelError("model", f"{PREFIX}{name}: {found}", mend)
    model.load_state_dict(given)


def public_encoder(state: Mapping[str, Tensor]) -> ResNetEncoder:
    """The query encoder of a public checkpoint, with its head.

    Parameters
    ----------
    state : mapping of str to Tensor
        The checkpoint's ``state_dict``; only ``module.encoder_q.*`` is read. ResNet-18 or -50, any
        number of input channels, one- or two-layer head.

    Raises
    ------
    ModelError
        If it holds no such encoder; the first tensor that does not fit is named.
    """
    from .residual import ResNetEncoder

    weights = {k.removeprefix(QUERY): v for k, v in state.items() if k.startswith(QUERY)}
    mend = "give a MoCo checkpoint of a ResNet-18 or ResNet-50 (module.encoder_q.…)"
    if "conv1.weight" not in weights:
        raise ModelError("model", "a checkpoint without module.encoder_q.conv1.weight", mend)
    layers = 50 if "layer1.0.conv3.weight" in weights else 18
    head = "fc.2.weight" if "fc.2.weight" in weights else "fc.weight"
    if head not in weights:
        raise ModelError("model", "a checkpoint without module.encoder_q.fc", mend)
    outputs, inputs = weights[head].shape
    channels = weights["conv1.weight"].shape[1]
    network = ResNetEncoder(layers, outputs, channels)
    if inputs != network.fc.in_features:
        network.fc, network.dense = nn.Linear(inputs, outputs), True
    if head != "fc.weight":
        network.fc = two_layers(network.fc)
    for name, tensor in network.state_dict().items():
        if name in weights and weights[name].shape != tensor.shape:
            received = f"a checkpoint whose {QUERY}{name} has shape {tuple(weights[name].shape)}"
            raise ModelError("model", received, f"a ResNet-{layers} needs {tuple(tensor.shape)}")
        if name in weights and not weights[name].isfinite().all():
            received = f"a checkpoint whose {QUERY}{name} holds numbers that are not finite"
            raise ModelError("model", received, "copy or download it again")
    missing, unknown = network.load_state_dict(weights, strict=False)
    wrong = [name for name in [*missing, *unknown] if not name.endswith(COUNTED)]
    if wrong:
        raise ModelError("model", f"a checkpoint that differs in {wrong[0]}", mend)
    return network
