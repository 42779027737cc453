"""Who solves a CRF: compiled kernels on a processor, torch on other devices, or pydensecrf."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.crf_settings import Backend, CRFSettings
from ..core.errors import InputError
from ..networks.densecrf import DenseCRF, torch_lattice
from ..networks.grid_features import GridFeatures
from ..networks.lattice_cpu import build_lattice
from ..networks.meanfield_cpu import Belief, mean_field, unaries_of
from .device import pick_device, to_host

SMALLEST = 1e-5  # probability that counts as 0, as in pydensecrf's unary_from_softmax
KEPT_BYTES = 1.2e9  # of lattices that are kept for the next run

Steps = Iterator[Belief]


class LatticeStore:
    """The lattices last used, by what they depend on, so that a new weight does not build them anew."""

    def __init__(self, limit: float = KEPT_BYTES) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def get(self, features: GridFeatures, place: str, build: Callable[[], Any]) -> Any:
        """The lattice of these features on a device, built where there is none."""
        image = features.image
        digest = hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()
        key = (place, image.shape, image.dtype.str, digest, features.sigmas, features.sigma_channels)
        if key not in self._kept:
            self._kept[key] = build()
        self._kept.move_to_end(key)
        self._shrink()
        return self._kept[key]

    def clear(self) -> None:
        """Let go of all."""
        self._kept.clear()

    def _shrink(self) -> None:
        while (
            len(self._kept) > 2 and sum(lattice.nbytes for lattice in self._kept.values()) > self._limit
        ):
            self._kept.popitem(last=False)


@cache
def kept_lattices() -> LatticeStore:
    """The store of this process."""
    return LatticeStore()


def densecrf_of(settings: CRFSettings) -> DenseCRF:
    """The network of the settings."""
    return DenseCRF(
        settings.w1,
        settings.sigma_alpha,
        settings.sigma_beta,
        settings.w2,
        settings.sigma_gamma,
        settings.iterations,
    ).requires_grad_(False)


def solve(
    probabilities: NDArray[np.float32],
    grey: NDArray[Any],
    spacing: tuple[float, ...],
    settings: CRFSettings,
    backend: Backend,
    device: torch.device,
    *,
    every: bool = False,
    store: LatticeStore | None = None,
) -> Steps:
    """Mean field of one unit.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (K, *space)
        Checked.
    grey : ndarray, shape (*space, C)
        In units of σ_β.
    spacing : tuple of float
        Of the axes of space.
    settings : CRFSettings
        The kernels and the iterations.
    backend : {"torch", "pydensecrf"}
        Who solves it.
    device : torch.device
        The processor or a CUDA device.
    every : bool
        Whether to tell the beliefs after each iteration.
    store : LatticeStore, optional
        Where lattices are kept for the next run.

    Yields
    ------
    Belief
        `q` is an ndarray (K, *space), the same memory at every iteration, or None.
    """
    if len(probabilities) == 1:
        yield from _certain(probabilities, settings.iterations)
        return
    features = densecrf_of(settings).features(grey, spacing)
    own = _torch if device.type == "cuda" else _compiled
    run = _pydensecrf if backend == "pydensecrf" else own
    for belief in run(probabilities, features, settings, device, every, store):
        q = belief.q
        yield Belief(
            belief.iteration, belief.energy, None if q is None else q.reshape(probabilities.shape)
        )


def crf_device(device: str) -> torch.device:
    """The device of that name, as for other verbs; the processor for mps, which lacks float64."""
    wanted = pick_device(device)
    return torch.device("cpu") if wanted.type == "mps" else wanted


def _certain(probabilities: NDArray[np.float32], iterations: int) -> Steps:
    """One class: there is nothing to decide."""
    for iteration in range(iterations + 1):
        yield Belief(iteration, 0.0, np.ones_like(probabilities))


def _compiled(
    probabilities: NDArray[np.float32],
    features: tuple[GridFeatures, GridFeatures],
    settings: CRFSettings,
    device: torch.device,
    every: bool,
    store: LatticeStore | None,
) -> Steps:
    threads = torch.get_num_threads()
    smoothness, appearance = (
        _lattice(f, f"cpu {threads}", partial(build_lattice, f, threads), store) for f in features
    )
    unaries = unaries_of(probabilities.reshape(len(probabilities), -1), SMALLEST, threads)
    weights = settings.w2, settings.w1
    yield from mean_field(
        unaries, (smoothness, appearance), weights, settings.iterations, threads, every
    )


def _torch(
    probabilities: NDArray[np.float32],
    features: tuple[GridFeatures, GridFeatures],
    settings: CRFSettings,
    device: torch.device,
    every: bool,
    store: LatticeStore | None,
) -> Steps:
    from ..networks.densecrf import Kernels

    smoothness, appearance = (
        _lattice(f, str(device), partial(torch_lattice, f, device), store) for f in features
    )
    unary = torch.from_numpy(probabilities).to(device).clamp(SMALLEST, 1.0).log_().neg_()
    kernels = Kernels(smoothness, appearance, probabilities.shape[1:])
    crf = densecrf_of(settings).to(device)
    steps = crf.steps(unary, kernels)
    for iteration in range(settings.iterations + 1):
        with torch.inference_mode():  # not while others run, between two steps
            belief = next(steps)
            wanted = every or iteration == settings.iterations
            q = to_host(belief.q) if wanted else None
        yield Belief(iteration, belief.energy, q)


def _lattice(
    features: GridFeatures, place: str, build: Callable[[], Any], store: LatticeStore | None
) -> Any:
    return build() if store is None else store.get(features, place, build)


def _pydensecrf(
    probabilities: NDArray[np.float32],
    features: tuple[GridFeatures, GridFeatures],
    settings: CRFSettings,
    device: torch.device,
    every: bool,
    store: LatticeStore | None,
) -> Steps:
    """The same problem for Krähenbühl's program; its energy lacks the constant ½ Σ w K."""
    densecrf = import_pydensecrf()
    classes = len(probabilities)
    unary = -np.log(np.clip(probabilities.reshape(classes, -1), SMALLEST, 1.0))
    peer = densecrf.DenseCRF(unary.shape[1], classes)
    peer.setUnaryEnergy(np.ascontiguousarray(unary, np.float32))
    for each, weight in zip(features, (settings.w2, settings.w1), strict=True):
        peer.addPairwiseEnergy(np.ascontiguousarray(each.matrix().T), weight)
    q, spare, more = peer.startInference()
    for iteration in range(settings.iterations + 1):
        if iteration:
            peer.stepInference(q, spare, more)
        found = np.array(q, np.float32)
        own = float((found * (np.log(np.maximum(found, 1e-20)) + unary)).sum(dtype=np.float64))
        energy = own + 0.5 * (float(peer.klDivergence(q)) - own)
        yield Belief(iteration, energy, found)


def import_pydensecrf() -> Any:
    """pydensecrf's module.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import pydensecrf.densecrf as densecrf
    except ImportError as error:
        mend = 'install it with: pip install "napari-papernets[crf]" (it is compiled), or use "torch"'
        raise InputError("backend", "'pydensecrf', which is not installed", mend) from error
    return densecrf
