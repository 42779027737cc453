"""Does pre-training help? A linear layer on frozen maps, fitted to strokes, judged on other strokes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.errors import InputError
from ..core.events import StrokeProbe
from ..core.image import ImageBlock
from ..core.model import ModelSpec
from ..networks.encoders import at_places
from .annotated import Plane, hold_out, read_planes
from .metrics import mean_iou
from .pixels import PixelMemory, Places
from .quick import fit_head, to_device

EVERY, SHARE = 20.0, 0.1  # seconds between two scores, and the share of the time that they may take
PENALTY = 1.0  # pixels of a stroke are alike: there are few examples, however many pixels

Halves = tuple[float, float]  # scores on either half of the strokes


class ProbedStrokes:
    """Strokes on images, in two halves by stroke, on which encoders are judged.

    Parameters
    ----------
    images, strokes
        As for ``finetune``: 0 is not annotated, 1…K are classes.
    spec : ModelSpec
        Of the encoder: channels, normalisation, sizes.
    seed : int
        Chooses the halves.

    Raises
    ------
    InputError
        If there are fewer than two strokes of any class, so that none can be kept to judge.
    """

    def __init__(
        self, images: Sequence[ImageBlock], strokes: Sequence[Any], spec: ModelSpec, seed: int = 0
    ) -> None:
        planes = read_planes(images, strokes, "strokes", spec)
        self._spec = spec
        first = hold_out(planes, 0.5, seed)
        second = [replace(p, held=(p.annotation >= 0) & ~p.held) for p in first]
        self._halves = first, second
        held = [set(_classes(half)) for half in (first, second)]
        self._count = int(max(p.annotation.max() for p in planes)) + 1
        judged = len(held[0] & held[1])
        if judged < 2:
            mend = "paint two strokes or more of each of two classes: half of them judge"
            raise InputError("strokes", f"{judged or 'no'} class with two strokes or more", mend)

    def score(self, encoder: nn.Module, device: torch.device, bf16: bool = False) -> float:
        """Mean IoU over the classes on the half that was not learnt from, mean of both halves."""
        return _mean(self.halves(encoder, device, bf16))

    def halves(self, encoder: nn.Module, device: torch.device, bf16: bool = False) -> Halves:
        """Mean IoU on each half, learnt from the other."""
        training = encoder.training
        encoder.eval()
        try:
            values = [self._values(encoder, device, bf16, half) for half in self._halves]
        finally:
            encoder.train(training)
        first, second = values
        return self._judge(*second, *first), self._judge(*first, *second)

    def _values(
        self, encoder: nn.Module, device: torch.device, bf16: bool, planes: list[Plane]
    ) -> tuple[Tensor, Tensor]:
        """Features (N, F) and classes (N,) of the pixels of a half."""

        def read(window: NDArray[np.float32], points: Places) -> Tensor:
            x = to_device(window, device)
            size = torch.tensor([x.shape[-1], x.shape[-2]])
            places = (torch.from_numpy(points).flip(1) + 0.5) / size * 2 - 1
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                maps = encoder.maps(x)
            return at_places(maps, places[None].to(device), encoder.strides).cpu()

        width = sum(encoder.channels)
        return PixelMemory(read, self._spec.size_rule, width).of(planes)

    def _judge(self, x: Tensor, classes: Tensor, other: Tensor, truth: Tensor) -> float:
        mean, spread = x.mean(0), x.std(0) + 1e-3
        scale = x.shape[1] ** -0.5  # so that one penalty suits any number of features
        weights = fit_head((x - mean) / spread * scale, classes, self._count, penalty=PENALTY)
        logits = (other - mean) / spread * scale @ weights[:-1] + weights[-1]
        pairs = truth * self._count + logits.argmax(1)
        counts = torch.bincount(pairs, minlength=self._count**2).view(self._count, -1).numpy()
        return mean_iou(counts) or 0.0


def _classes(planes: Sequence[Plane]) -> list[int]:
    seen = [p.annotation[(p.annotation >= 0) & ~p.held] for p in planes]
    return [int(c) for c in np.unique(np.concatenate(seen))]


class Prober:
    """Scores an encoder now and then while it trains, beside its start and random weights.

    Parameters
    ----------
    strokes : ProbedStrokes
        What judges.
    encoder : nn.Module
        In training, with its starting weights now; on `device`.
    random : nn.Module
        The same encoder with weights drawn at random, on `device`.
    device : torch.device
        Where they are.
    bf16 : bool
        Compute in bfloat16.
    """

    def __init__(
        self,
        strokes: ProbedStrokes,
        encoder: nn.Module,
        random: nn.Module,
        device: torch.device,
        bf16: bool,
    ) -> None:
        self._strokes, self._encoder, self._device, self._bf16 = strokes, encoder, device, bf16
        self._random = strokes.halves(random, device, bf16)
        self._start = strokes.halves(encoder, device, bf16)
        self._last, self._pause = time.monotonic(), 0.0

    @property
    def is_due(self) -> bool:
        """Whether enough time went by since the last score."""
        return time.monotonic() - self._last >= self._pause

    def score(self, step: int) -> StrokeProbe:
        """Judge the encoder as it is."""
        began = time.monotonic()
        now = self._strokes.halves(self._encoder, self._device, self._bf16)
        self._last = time.monotonic()
        self._pause = max(EVERY, (self._last - began) / SHARE)
        best = max(self._start, self._random, key=_mean)
        gains = now[0] - best[0], now[1] - best[1]
        spread = abs(gains[0] - gains[1]) / 2
        return StrokeProbe(step, _mean(now), _mean(self._start), _mean(self._random), spread)


def _mean(halves: Halves) -> float:
    return (halves[0] + halves[1]) / 2
