"""The quick head: a linear layer fitted to strokes on the features of a network that stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..networks import ReadableNetwork
from .annotated import Plane
from .pixels import MAX_PIXELS, Lookup, PixelMemory, Places

PENALTY = 3e-3  # of the squared weights, beside a loss that is averaged over the pixels
STEPS = 30
ENOUGH, SMALLEST = 1e-4, 1e-5  # fall of the loss in a step; change of a weight
EXCLUDED = -30.0  # at most the bias of a class of which there is no pixel

# Of more features than this, fewer pixels are remembered: a fit would take seconds.
WIDE, WIDE_SHARE = 256, 12


class HeadFitter:
    """Fits the last layer of a network again and again, and remembers the features of known pixels.

    Parameters
    ----------
    network : ReadableNetwork
        On `device`; its last layer is changed in place.
    device : torch.device
        Where features are computed; the fit itself is small and runs on the CPU.
    bf16 : bool
        Compute features in bfloat16.
    keeps : bool
        The last layer has been learnt already: fits stay near it.
    at_hand : callable, optional
        Gives features of pixels that need no pass of the network.
    """

    def __init__(
        self,
        network: ReadableNetwork,
        device: torch.device,
        bf16: bool,
        keeps: bool = False,
        at_hand: Lookup | None = None,
    ) -> None:
        self._network, self._device, self._bf16 = network, device, bf16
        self._keeps = keeps
        self._weights: Tensor | None = None
        width = sum(network.head.channels)
        most = MAX_PIXELS if width <= WIDE else MAX_PIXELS // WIDE_SHARE
        self._memory = PixelMemory(self._read, network.size_rule, width, at_hand, most)

    def network_changed(self) -> None:
        """The network was trained, and its last layer with it: the next fits stay near that."""
        self._keeps, self._weights = True, None

    def forget(self) -> None:
        """What is remembered of pixels is of a network that is not asked any more."""
        self._memory.forget()

    @torch.no_grad()
    def fit(self, planes: Sequence[Plane]) -> None:
        """Fit to all annotated pixels that are not held out."""
        self._network.eval()
        features, classes = self._memory.of(planes)
        prior = self._network.head.get().cpu() if self._keeps else None
        start = self._weights if self._weights is not None else prior
        self._weights = fit_head(features, classes, self._network.classes, start=start, prior=prior)
        self._network.head.set(self._weights)

    def _read(self, window: NDArray[np.float32], points: Places) -> Tensor:
        maps = read_maps(self._network, to_device(window, self._device), self._bf16)
        local = torch.from_numpy(points).to(self._device)
        return self._network.head.gather(maps, local).cpu()


@torch.no_grad()
def read_maps(network: ReadableNetwork, x: Tensor, bf16: bool) -> list[Tensor]:
    """The maps that the head reads, of a normalised window (1, C, y, x) of a valid size."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
        return network.read(x)


def to_device(pixels: NDArray[np.float32], device: torch.device) -> Tensor:
    """A window (C, y, x) as the network takes it, (1, C, y, x)."""
    x = torch.from_numpy(np.ascontiguousarray(pixels))[None].to(device)
    return x.contiguous(memory_format=torch.channels_last)


def fit_head(
    features: Tensor,
    classes: Tensor,
    count: int,
    *,
    start: Tensor | None = None,
    prior: Tensor | None = None,
    penalty: float = PENALTY,
) -> Tensor:
    """Multinomial logistic regression in which every class weighs alike.

    Each step is Newton's, with the curvature 2·max p(1 − p) of every pixel: it bounds the Hessian for
    any number of classes (Gershgorin) and is the Hessian for two. A step is halved until the loss falls.

    Parameters
    ----------
    features : Tensor, shape (N, F), float32
        One row for each annotated pixel.
    classes : Tensor, shape (N,), int64
        From 0; classes without a pixel get a bias that excludes them.
    count : int
        K, number of classes.
    start : Tensor, shape (F + 1, K), optional
        Weights to begin with, such as those of the last fit; the bias is the last row. One that
        excludes a class is taken back first, here and in `prior`.
    prior : Tensor, shape (F + 1, K), optional
        Weights that the penalty draws towards; zeros by default.
    penalty : float
        Strength of the ridge penalty.

    Returns
    -------
    Tensor, shape (F + 1, K), float32
        Those that it began with where features are not finite.
    """
    x = torch.cat([features.float(), features.new_ones(len(features), 1).float()], dim=1)
    seen = torch.bincount(classes, minlength=count).float()
    weight = 1 / (seen[classes] * (seen > 0).sum())[:, None]  # sums to 1
    target = torch.nn.functional.one_hot(classes, count).float()
    absent = torch.where(seen > 0, 0.0, -1e4)
    centre = torch.zeros(x.shape[1], count) if prior is None else _admit_all(prior)
    ridge = torch.full((x.shape[1], 1), penalty)
    ridge[-1] = penalty * 1e-3  # the bias is all but free

    def judge(w: Tensor) -> tuple[float, Tensor]:
        """Loss and probabilities (N, K)."""
        log_p = torch.log_softmax(x @ w + absent, dim=1)
        fit, size = (weight * target * log_p).sum(), (ridge * (w - centre) ** 2).sum() / 2
        return float(size - fit), log_p.exp()

    w = centre if start is None else _admit_all(start)
    loss, p = judge(w)
    for _ in range(STEPS):
        curvature = weight * 2 * (p * (1 - p)).amax(1, keepdim=True)
        hessian = ((x * curvature).T @ x).double()
        hessian.diagonal().add_(ridge[:, 0])
        slope = x.T @ (weight * (p - target)) + ridge * (w - centre)
        factor, failed = torch.linalg.cholesky_ex(hessian)
        if failed:  # features are no numbers, or too large: those of a training that diverges
            break
        step = torch.cholesky_solve(slope.double(), factor).float()
        new, p = judge(w - step)
        while not new <= loss and step.abs().max() > SMALLEST:
            step = step / 2
            new, p = judge(w - step)
        if not new <= loss:
            break
        w, before, loss = w - step, loss, new
        if before - loss < ENOUGH * abs(loss):
            break
    return torch.cat([w[:-1], torch.where(seen > 0, w[-1], w[-1].clamp(max=EXCLUDED))[None]])


def _admit_all(weights: Tensor) -> Tensor:
    """Weights that exclude no class; training may have moved a bias that did."""
    bias = weights[-1].float()
    admitted = torch.where(bias < EXCLUDED / 2, 0.0, bias)
    return torch.cat([weights[:-1].float(), admitted[None]])
