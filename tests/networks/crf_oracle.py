"""The fully connected CRF by brute force: every pair of pixels, for small images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def gaussian_kernel(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """exp(-½|f_i - f_j|²) of features (N, d), normalised symmetrically; shape (N, N)."""
    square = (features**2).sum(1)
    distance = square[:, None] + square[None] - 2 * features @ features.T
    kernel = np.exp(-0.5 * np.maximum(distance, 0))
    norm = 1 / np.sqrt(kernel.sum(1))
    return kernel * norm[:, None] * norm


def exact_mean_field(
    unary: NDArray[np.float64], kernel: NDArray[np.float64], iterations: int
) -> list[NDArray[np.float64]]:
    """Beliefs (K, N) after 0, 1, … iterations, for a kernel (N, N) that holds the weights."""
    beliefs = [softmax(-unary)]
    for _ in range(iterations):
        beliefs.append(softmax(beliefs[-1] @ kernel - unary))
    return beliefs


def exact_energy(
    q: NDArray[np.float64], unary: NDArray[np.float64], kernel: NDArray[np.float64]
) -> float:
    """Σ Q (log Q + U) + ½ Σ_ij K_ij (1 - Q_i·Q_j)."""
    logs = np.log(np.maximum(q, 1e-300))
    return float((q * (logs + unary)).sum() + 0.5 * (kernel * (1 - q.T @ q)).sum())


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(logits - logits.max(0))
    return shifted / shifted.sum(0)
