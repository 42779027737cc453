"""The quick head: a linear layer fitted to strokes on the features of a network that stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.tiles import Tile, plan_tiles
from ..networks.hypercolumn import HypercolumnUNet, gather
from .annotated import Plane

PENALTY = 3e-3  # of the squared weights, beside a loss that is averaged over the pixels
STEPS = 60
Lookup = Callable[[Plane, NDArray[np.int64]], tuple[NDArray[np.bool_], Tensor]]
ENOUGH = 1e-4  # fall of the loss in a step
MAX_PIXELS = 6000  # of a class in one plane; more say little new
WINDOW = 768**2  # pixels of one pass


@torch.no_grad()
def fit_to_planes(
    network: HypercolumnUNet, planes: Sequence[Plane], device: torch.device, bf16: bool
) -> None:
    """Fit the last layer of a network, in place, to what training sees of the annotation."""
    HeadFitter(network, device, bf16).fit(planes)


class HeadFitter:
    """Fits the last layer of a network again and again, and remembers the features of known pixels.

    Parameters
    ----------
    network : HypercolumnUNet
        On `device`; its last layer is changed in place.
    device : torch.device
        Where features are computed; the fit itself is small and runs on the CPU.
    bf16 : bool
        Compute features in bfloat16.
    keeps : bool
        The last layer has been learnt already: fits stay near it.

    Attributes
    ----------
    known : callable
        Tells which of some places of a plane have features at hand, and those (N, F).
    """

    def __init__(
        self, network: HypercolumnUNet, device: torch.device, bf16: bool, keeps: bool = False
    ) -> None:
        self._network, self._device, self._bf16 = network, device, bf16
        self._keeps = keeps
        self._known: dict[tuple[int, tuple[int, ...]], tuple[NDArray[np.int64], Tensor]] = {}
        self._weights: Tensor | None = None
        self.known: Lookup = self._none_known

    def body_changed(self) -> None:
        """The network was trained: what is remembered of it does not hold any more."""
        self._known.clear()
        self._keeps, self._weights = True, None

    @torch.no_grad()
    def fit(self, planes: Sequence[Plane]) -> None:
        """Fit to all annotated pixels that are not held out."""
        parts = [self._features(plane) for plane in planes]
        features, classes = (torch.cat(both) for both in zip(*parts, strict=True))
        prior = self._network.head.get().cpu() if self._keeps else None
        start = self._weights if self._weights is not None else prior
        self._weights = fit_head(features, classes, self._network.classes, start=start, prior=prior)
        self._network.head.set(self._weights)

    def _features(self, plane: Plane) -> tuple[Tensor, Tensor]:
        place, wanted = (plane.image, plane.index), choose_pixels(plane)
        features = torch.empty(len(wanted), sum(self._network.head.channels))
        known, values = self._known.get(place, (np.zeros(0, np.int64), features[:0]))
        at = np.searchsorted(known, wanted).clip(max=max(len(known) - 1, 0))
        there = known[at] == wanted if len(known) else np.zeros(len(wanted), bool)
        features[there] = values[at[there]]
        features[~there] = self._read(plane, wanted[~there])
        self._known[place] = wanted, features
        return features, torch.from_numpy(plane.annotation.ravel()[wanted].astype(np.int64))

    def _read(self, plane: Plane, places: NDArray[np.int64]) -> Tensor:
        """Features of single pixels: from maps that are at hand, else by a pass of the network."""
        found, features = self.known(plane, places)
        if not found.all():
            rest = pixel_features(self._network, plane, places[~found], self._device, self._bf16)
            features[~found] = rest
        return features

    def _none_known(self, plane: Plane, places: NDArray[np.int64]) -> tuple[NDArray[np.bool_], Tensor]:
        return np.zeros(len(places), bool), torch.empty(len(places), sum(self._network.head.channels))


@torch.no_grad()
def pixel_features(
    network: HypercolumnUNet, plane: Plane, places: NDArray[np.int64], device: torch.device, bf16: bool
) -> Tensor:
    """Features of single pixels of a plane.

    Parameters
    ----------
    places : ndarray of int64, shape (N,)
        Flat places in the plane.

    Returns
    -------
    Tensor, shape (N, F), float32, on the CPU
    """
    network.eval()
    points = np.stack(np.unravel_index(places, plane.shape), axis=-1)
    features = torch.empty(len(points), sum(network.head.channels))
    for tile in plan_tiles(plane.shape, network.size_rule, max_pixels=WINDOW) if len(points) else ():
        here = np.flatnonzero(inside(points, tile))
        if len(here):
            x = plane.read(tile.y.read, tile.x.read)[list(plane.order)]
            maps = read_maps(network, to_device(x, device), bf16)
            local = torch.from_numpy(points[here] - (tile.y.read[0], tile.x.read[0]))
            features[here] = gather(maps, network.head.scales, local.to(device)).cpu()
    return features


@torch.no_grad()
def read_maps(network: HypercolumnUNet, x: Tensor, bf16: bool) -> list[Tensor]:
    """The maps that the head reads, of a normalised window (1, C, y, x) of a valid size."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
        return network.read(x)


def to_device(pixels: NDArray[np.float32], device: torch.device) -> Tensor:
    """A window (C, y, x) as the network takes it, (1, C, y, x)."""
    x = torch.from_numpy(np.ascontiguousarray(pixels))[None].to(device)
    return x.contiguous(memory_format=torch.channels_last)


def choose_pixels(plane: Plane) -> NDArray[np.int64]:
    """Flat places of annotated pixels that training sees, at most `MAX_PIXELS` of a class, sorted.

    Those with the smallest hash are chosen, so that most of them stay when there are more.
    """
    known = np.flatnonzero((plane.annotation >= 0) & ~plane.held)
    classes = plane.annotation.ravel()[known]
    chosen = [_some(known[classes == c]) for c in np.unique(classes)]
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)


def _some(places: NDArray[np.int64]) -> NDArray[np.int64]:
    if len(places) <= MAX_PIXELS:
        return places
    hashes = places.astype(np.uint64) * np.uint64(2654435761) % np.uint64(2**32)
    return places[np.argpartition(hashes, MAX_PIXELS)[:MAX_PIXELS]]


def inside(points: NDArray[np.int64], tile: Tile) -> NDArray[np.bool_]:
    (y0, y1), (x0, x1) = tile.y.write, tile.x.write
    y, x = points.T
    return (y >= y0) & (y < y1) & (x >= x0) & (x < x1)


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

    Each step solves Böhning's bound of the loss (Ann. Inst. Stat. Math. 44:197, 1992): the curvature is
    factored once, and the loss never rises.

    Parameters
    ----------
    features : Tensor, shape (N, F), float32
        One row for each annotated pixel.
    classes : Tensor, shape (N,), int64
        From 0; classes without a pixel keep a bias that excludes them.
    count : int
        K, number of classes.
    start : Tensor, shape (F + 1, K), optional
        Weights to begin with, such as those of the last fit; the bias is the last row.
    prior : Tensor, shape (F + 1, K), optional
        Weights that the penalty draws towards; zeros by default.
    penalty : float
        Strength of the ridge penalty.

    Returns
    -------
    Tensor, shape (F + 1, K), float32
    """
    x = torch.cat([features.double(), features.new_ones(len(features), 1).double()], dim=1)
    seen = torch.bincount(classes, minlength=count).double()
    weight = 1 / (seen[classes] * (seen > 0).sum())  # sums to 1
    target = torch.nn.functional.one_hot(classes, count).double()
    centre = torch.zeros(x.shape[1], count, dtype=x.dtype) if prior is None else prior.double()
    w = centre.clone() if start is None else start.double()
    ridge = torch.full((x.shape[1],), penalty, dtype=x.dtype)
    ridge[-1] = penalty * 1e-3  # the bias is all but free
    factor = torch.linalg.cholesky((x * weight[:, None]).T @ x / 2 + torch.diag(ridge))
    before = float("inf")
    absent = torch.where(seen > 0, 0.0, -1e4)
    for _ in range(STEPS):
        log_p = torch.log_softmax(x @ w + absent, dim=1)
        loss = float(
            -(weight[:, None] * target * log_p).sum() + (ridge[:, None] * (w - centre) ** 2).sum() / 2
        )
        if before - loss < ENOUGH * abs(loss):
            break
        before = loss
        slope = x.T @ (weight[:, None] * (log_p.exp() - target)) + ridge[:, None] * (w - centre)
        w = w - torch.cholesky_solve(slope, factor)
    w[-1] += absent.clamp(min=-30)
    return w.float()
