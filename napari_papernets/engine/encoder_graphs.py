"""The encoders' passes as CUDA graphs: a GPU is told once what a step computes, not kernel by kernel.

Told kernel by kernel, a step of small layers waits for Python, and for the thread that draws the next
batch, which wants the same interpreter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..networks.moco import MoCo
from .views import Views


class EncoderGraphs:
    """What both encoders of a MoCo compute, recorded; other code sees them unchanged.

    While it records nothing else may work on the GPU.

    Parameters
    ----------
    model : MoCo
        In training mode, on a CUDA device; its weights and statistics stay as they are. They may be
        changed in place later, and not be exchanged.
    views : Views
        A batch like those to come; its tensors become the graphs' own.
    bf16 : bool
        Compute in bfloat16 where autocast does.
    """

    def __init__(self, model: MoCo, views: Views, bf16: bool) -> None:
        encoders: tuple[nn.Module, ...] = (model.encoder_q, model.encoder_k)
        arguments = tuple(
            (images,) if places is None else (images, places)
            for images, places in ((views.im_q, views.places_q), (views.im_k, views.places_k))
        )
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        with torch.autocast("cuda", torch.bfloat16, enabled=bf16, cache_enabled=False):
            torch.cuda.make_graphed_callables(encoders, arguments, allow_unused_input=True)
        self._recorded: list[tuple[nn.Module, Callable[..., Any]]] = [
            (encoder, encoder.__dict__.pop("forward")) for encoder in encoders
        ]
        model.load_state_dict(kept)  # statistics: it was run to warm up

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """The encoders replay meanwhile what was recorded."""
        for encoder, forward in self._recorded:
            encoder.forward = forward
        try:
            yield
        finally:
            for encoder, _ in self._recorded:
                del encoder.forward


def can_record(device: torch.device, called: nn.Module) -> bool:
    """Whether graphs can be made on the device of a model that is called as `called`."""
    return device.type == "cuda" and isinstance(called, MoCo)  # DDP's hooks cannot be recorded
