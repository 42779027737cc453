"""The encoders' passes as CUDA graphs: a GPU is told once what a step computes, not kernel by kernel.

Told kernel by kernel, a step of small layers waits for Python, and for the thread that draws the next
batch, which wants the same interpreter.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..networks.moco import MoCo
from .views import Views


class EncoderGraphs:
    """What both encoders of a MoCo compute, recorded; other code sees them unchanged.

    While it records nothing else may work on the GPU. Until it is let go of it keeps the memory of both
    passes, which others see as taken.

    Parameters
    ----------
    model : MoCo
        In training mode, on a CUDA device; its weights and statistics stay as they are. They may be
        changed in place later, but not exchanged.
    views : Views
        A batch like those to come; its tensors become the graphs' own.
    bf16 : bool
        Compute in bfloat16 where autocast does.

    Raises
    ------
    RuntimeError
        If torch cannot record, for instance for lack of memory.
    """

    def __init__(self, model: MoCo, views: Views, bf16: bool) -> None:
        encoders: tuple[nn.Module, ...] = (model.encoder_q, model.encoder_k)
        arguments = tuple(
            (images,) if places is None else (images, places)
            for images, places in ((views.im_q, views.places_q), (views.im_k, views.places_k))
        )
        statistics = [buffer for encoder in encoders for buffer in encoder.buffers()]
        kept = [buffer.clone() for buffer in statistics]
        gc.collect()  # old graphs that are freed while this one is recorded would spoil it
        autocast = torch.autocast("cuda", torch.bfloat16, enabled=bf16, cache_enabled=False)
        try:
            with torch.cuda.device(views.im_q.get_device()), autocast:
                torch.cuda.make_graphed_callables(encoders, arguments, allow_unused_input=True)
        finally:
            for buffer, value in zip(statistics, kept, strict=True):  # it was run to warm up
                buffer.copy_(value)
        self._recorded: list[tuple[nn.Module, Callable[..., Any]]] = [
            (encoder, encoder.__dict__.pop("forward")) for encoder in encoders
        ]

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
    """Whether graphs can be made on a device; `called` is the MoCo, or what wraps it where several
    processes train, whose hooks cannot be recorded."""
    return device.type == "cuda" and isinstance(called, MoCo)
