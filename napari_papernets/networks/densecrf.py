"""The fully connected CRF of DeepLab, with mean-field inference.

P. Krähenbühl, V. Koltun. *Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials.*
NIPS 2011, arXiv 1210.5644, as L.-C. Chen et al. (ICLR 2015, arXiv 1412.7062, section 4) use it:

    E(x) = Σ_i θ_i(x_i) + Σ_i<j [x_i ≠ x_j] k(f_i, f_j),     θ_i = −log P(x_i)
    k = w1 exp(−|p_i−p_j|²/2σ_α² − |I_i−I_j|²/2σ_β²) + w2 exp(−|p_i−p_j|²/2σ_γ²)

Deviations, all of them those of Krähenbühl's program and so of pydensecrf, so that results agree:
kernels are normalised symmetrically (N k N, N = diag(k1)^-½) and filtered on the permutohedral lattice,
and a pixel sends a message to itself. Pixels are updated in parallel, so that the energy may rise.

On a processor the work is done by compiled kernels (`meanfield_cpu`); on other devices, and where a
gradient is wanted, by torch (`permutohedral`). Gradients reach unaries, w1 and w2, not σ or the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.errors import InputError
from . import lattice_kernels, meanfield_kernels
from .grid_features import GridFeatures
from .lattice_cpu import CPULattice, build_lattice
from .meanfield_cpu import Belief, Unaries, mean_field, pair_energy
from .permutohedral import PermutohedralLattice

Lattice = CPULattice | PermutohedralLattice


@dataclass(frozen=True, eq=False)
class Kernels:
    """The two Gaussian kernels of an image, without their weights.

    Attributes
    ----------
    smoothness, appearance : CPULattice or PermutohedralLattice
        Over positions (σ_γ), and over positions and channels (σ_α, σ_β).
    space : tuple of int
        Shape of the image without channels.
    """

    smoothness: Lattice
    appearance: Lattice
    space: tuple[int, ...]


class DenseCRF(nn.Module):
    """Mean field of the fully connected CRF.

    Parameters
    ----------
    w1, w2 : float
        Weights of the appearance and of the smoothness kernel; parameters that can be learnt.
    sigma_alpha, sigma_gamma : float
        σ of positions in pixels, in the appearance and the smoothness kernel.
    sigma_beta : float
        σ of the image's channels, in their own unit (the paper: 8-bit colour).
    iterations : int
        Of mean field.
    dimensions : int
        Of space: 2 (Y, X) or 3 (Z, Y, X).
    """

    def __init__(
        self,
        w1: float = 5.0,
        sigma_alpha: float = 60.0,
        sigma_beta: float = 10.0,
        w2: float = 3.0,
        sigma_gamma: float = 3.0,
        iterations: int = 10,
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.tensor(float(w1)))
        self.w2 = nn.Parameter(torch.tensor(float(w2)))
        self.sigma_alpha, self.sigma_beta, self.sigma_gamma = sigma_alpha, sigma_beta, sigma_gamma
        self.iterations, self.dimensions = iterations, dimensions

    def forward(self, unary: Tensor, image: Tensor | Kernels) -> Tensor:
        """Beliefs after the last iteration.

        Parameters
        ----------
        unary : Tensor, shape (K, *space) or (B, K, *space)
            −log P of K classes.
        image : Tensor, shape (C, *space) or (B, C, *space), or Kernels
            The image, or its kernels from `kernels`, which may be used again. No gradient goes through
            compiled ones.

        Returns
        -------
        Tensor
            Q, of the shape of `unary`.

        Raises
        ------
        InputError
            If `unary` requires a gradient that compiled kernels would not give.
        """
        if unary.ndim == self.dimensions + 2:
            images = [image] * len(unary) if isinstance(image, Kernels) else image
            return torch.stack([self(u, i) for u, i in zip(unary, images, strict=True)])
        learnt = (unary, self.w1, self.w2)
        learns = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in learnt)
        compiled = unary.device.type == "cpu" and unary.dtype == torch.float32 and not learns
        if not isinstance(image, Kernels):
            image = self.kernels(image.movedim(0, -1), compiled=compiled, dtype=unary.dtype)
        elif isinstance(image.smoothness, CPULattice) and learns and unary.requires_grad:
            mend = "make them with compiled=False, or compute under torch.no_grad()"
            raise InputError("kernels", "compiled ones, which give no gradient", mend)
        *_, last = self.steps(unary, image)
        return last.q

    def kernels(
        self,
        image: Tensor | NDArray[np.generic],
        spacing: Sequence[float] = (),
        *,
        compiled: bool = True,
        dtype: torch.dtype = torch.float32,
        threads: int | None = None,
    ) -> Kernels:
        """The kernels of an image, which depend on the σ and the image alone.

        Parameters
        ----------
        image : Tensor or ndarray, shape (*space, C)
            Channels last.
        spacing : sequence of float, optional
            Size of a pixel along each axis of space, in pixels of the σ; ones by default.
        compiled : bool
            For compiled kernels, else for torch on the device of `image`.
        dtype : torch.dtype
            Of torch's kernels.
        threads : int, optional
            For compiled kernels; as many as torch uses by default.
        """
        pixels = image.cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
        smoothness, appearance = self.features(np.ascontiguousarray(pixels), spacing)
        space = tuple(image.shape[:-1])
        if compiled:
            threads = threads or torch.get_num_threads()
            return Kernels(build_lattice(smoothness, threads), build_lattice(appearance, threads), space)
        device = image.device if isinstance(image, Tensor) else torch.device("cpu")
        return Kernels(
            torch_lattice(smoothness, device, dtype), torch_lattice(appearance, device, dtype), space
        )

    def features(
        self, image: NDArray[np.generic], spacing: Sequence[float] = ()
    ) -> tuple[GridFeatures, GridFeatures]:
        """Features of the smoothness and of the appearance kernel of a contiguous image (*space, C)."""
        steps = tuple(reversed(spacing or (1.0,) * (image.ndim - 1)))
        return (
            GridFeatures(image[..., :0], tuple(self.sigma_gamma / s for s in steps)),
            GridFeatures(image, tuple(self.sigma_alpha / s for s in steps), self.sigma_beta),
        )

    def steps(self, unary: Tensor, kernels: Kernels, threads: int | None = None) -> Iterator[Belief]:
        """Beliefs and free energy after each iteration, from 0 (the unaries alone) on.

        The energy is F(Q) = Σ Q (log Q + U) + ½ Σ_m w_m Σ_ij K_m,ij (1 − Q_i·Q_j) with the normalised
        kernels, which mean field lowers (Krähenbühl & Koltun, eq. 6, without log Z).

        Yields
        ------
        Belief
            `q` is a Tensor of the shape of `unary`; with compiled kernels, the same memory each time.
        """
        if len(unary) == 1:
            for iteration in range(self.iterations + 1):
                yield Belief(iteration, float(unary.detach().sum()), torch.ones_like(unary))
            return
        if isinstance(kernels.smoothness, CPULattice):
            for belief in self._compiled_steps(unary, kernels, threads or torch.get_num_threads()):
                yield Belief(belief.iteration, belief.energy, torch.from_numpy(belief.q).view_as(unary))
        else:
            yield from self._torch_steps(unary, kernels)

    def _compiled_steps(self, unary: Tensor, kernels: Kernels, threads: int) -> Iterator[Belief]:
        flat = unary.detach().flatten(1).numpy()
        u = np.ascontiguousarray((flat[1:] - flat[0]).T, np.float32)
        assert isinstance(kernels.smoothness, CPULattice)
        assert isinstance(kernels.appearance, CPULattice)
        yield from mean_field(
            Unaries(u, float(flat[0].sum(dtype=np.float64))),
            (kernels.smoothness, kernels.appearance),
            (float(self.w2.detach()), float(self.w1.detach())),
            self.iterations,
            threads,
            every=True,
        )

    def _torch_steps(self, unary: Tensor, kernels: Kernels) -> Iterator[Belief]:
        flat = unary.flatten(1).T  # (N, K)
        u = flat[:, 1:] - flat[:, :1]
        logits = -u
        for iteration in range(self.iterations + 1):
            q = torch.softmax(torch.nn.functional.pad(logits, (1, 0)), 1)
            difference = q[:, 1:] - q[:, :1]
            logits, energy = -u, _pixel_energy(q.detach(), flat.detach())
            pairs = (self.w2, kernels.smoothness), (self.w1, kernels.appearance)
            for w, lattice in pairs:
                assert isinstance(lattice, PermutohedralLattice)
                message = lattice.filter(difference)
                logits = logits + w.to(message) * message
                energy += _pair_energy(w, lattice.mass, difference.detach(), message.detach())
            yield Belief(iteration, energy, q.T.reshape(unary.shape))


def torch_lattice(
    features: GridFeatures, device: torch.device, dtype: torch.dtype = torch.float32
) -> PermutohedralLattice:
    """The lattice of an image in torch."""
    return PermutohedralLattice(features.on(device).to(dtype))


def _pixel_energy(q: Tensor, unary: Tensor) -> float:
    return float((torch.special.xlogy(q, q) + q * unary).sum(dtype=torch.float64))


def _pair_energy(weight: Tensor, mass: float, difference: Tensor, message: Tensor) -> float:
    own = float((difference * message).sum(dtype=torch.float64))
    together = float((difference.sum(1) * message.sum(1)).sum(dtype=torch.float64))
    return pair_energy(float(weight.detach()), mass, own, together, difference.shape[1] + 1)


def warm() -> None:
    """Compile, or load from the disk, the kernels for 2 or 3 classes and grey or RGB images."""
    lattice_kernels.insert()
    lattice_kernels.neighbours()
    for d in (2, 3, 5):
        lattice_kernels.embed(2, d)
        lattice_kernels.fold(d)
    for classes in (2, 3):
        for kernel in (meanfield_kernels.blur, meanfield_kernels.gather, meanfield_kernels.weigh):
            kernel(classes - 1)
        for d in (3, 5):
            meanfield_kernels.update(2, d, classes)
