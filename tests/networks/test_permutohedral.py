"""The lattice: compiled and torch agree, approximate the Gaussian, and are their own adjoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crf_oracle import gaussian_kernel

from napari_papernets.networks.grid_features import GridFeatures
from napari_papernets.networks.lattice_cpu import build_lattice, spans
from napari_papernets.networks.permutohedral import (
    PermutohedralLattice,
    alpha_of,
    directions,
    key_strides,
    scale_factors,
    simplices,
)


def image(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


GRIDS = [
    GridFeatures(image((41, 30, 0)), (3.0, 3.0)),
    GridFeatures(image((41, 30, 1)), (20.0, 20.0), 30.0),
    GridFeatures(image((30, 41, 3)), (20.0, 25.0), 30.0),
    GridFeatures(image((5, 20, 17, 2)), (9.0, 9.0, 3.0), 60.0),
]


@pytest.mark.parametrize("features", GRIDS, ids=lambda f: str(f.image.shape))
@pytest.mark.parametrize("threads", [1, 3])
def test_compiled_and_torch_lattice_are_the_same(features: GridFeatures, threads: int) -> None:
    compiled = build_lattice(features, threads)
    points = torch.from_numpy(features.matrix())
    lattice = PermutohedralLattice(points)
    assert compiled.vertices == lattice.vertices
    normed = (lattice.weights * lattice.norm[:, None]).numpy()
    np.testing.assert_allclose(compiled.weights, normed, atol=1e-6)
    assert compiled.mass == pytest.approx(lattice.mass, rel=1e-5)
    # the same vertices, under other numbers
    pairs = np.stack([compiled.offsets.ravel().astype(int), lattice.offsets.numpy().ravel()], 1)
    assert len(np.unique(pairs, axis=0)) == compiled.vertices


def test_many_vertices_make_the_table_grow() -> None:
    features = GridFeatures(image((120, 120, 3)), (1.0, 1.0), 1.0)
    compiled = build_lattice(features, 2)
    assert compiled.vertices > 2**15
    lattice = PermutohedralLattice(torch.from_numpy(features.matrix()))
    assert compiled.vertices == lattice.vertices
    assert compiled.mass == pytest.approx(lattice.mass, rel=1e-5)


def test_barycentric_coordinates_give_the_point_back() -> None:
    """Interpolating the vertices' positions with the weights is the embedded point itself."""
    d = 4
    points = torch.randn(200, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    strides = key_strides(points.amin(0).numpy(), points.amax(0).numpy())
    keys, weights = simplices(points, torch.from_numpy(strides))
    assert (weights >= -1e-12).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(200, dtype=torch.float64))
    embedded = _unpacked(points.numpy())
    packed = (weights * keys.double()).sum(1).numpy()
    np.testing.assert_allclose(packed, embedded @ strides, rtol=1e-9)


def _unpacked(points: np.ndarray) -> np.ndarray:
    """The first d coordinates of E f."""
    f = points * scale_factors(points.shape[1])
    after = np.cumsum(f[:, ::-1], 1)[:, ::-1]  # Σ_{j ≥ i} f_j
    before = np.pad(f, ((0, 0), (1, 0)))[:, :-1] * np.arange(points.shape[1])
    return after - before


def test_it_approximates_the_gaussian() -> None:
    features = GridFeatures(image((24, 20, 1), 3), (5.0, 5.0), 60.0)
    exact = gaussian_kernel(features.matrix().astype(np.float64))
    lattice = PermutohedralLattice(torch.from_numpy(features.matrix()))
    ours = lattice.filter(torch.eye(480)).numpy()
    assert np.abs(ours.sum(1) - exact.sum(1)).max() < 0.12
    assert np.abs(ours - exact).sum() / exact.sum() < 0.35  # of the kernel's mass lies elsewhere
    values = np.random.default_rng(0).random((480, 1))
    smooth = np.abs(ours @ values - exact @ values)
    assert smooth.max() < 0.05


def test_the_filter_is_differentiable_and_its_gradient_the_transpose() -> None:
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(12, 3)) * 2)
    lattice = PermutohedralLattice(points)
    values = torch.rand(12, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lattice.filter, values)


def test_sparse_products_and_gathers_are_the_same() -> None:
    lattice = PermutohedralLattice(torch.from_numpy(GRIDS[1].matrix()))
    values = torch.rand(41 * 30, 3)
    sparse = lattice.filter(values)
    lattice._splat_matrix = lattice._slice_matrix = None  # as on a device without sparse matrices
    torch.testing.assert_close(lattice.filter(values), sparse)


def test_ranges_beyond_64_bits_are_packed_at_random() -> None:
    low, high = np.zeros(12), np.full(12, 1e4)
    strides = key_strides(low, high)
    assert (strides % 2 == 1).all()
    assert len(directions(strides)) == 13
    points = torch.rand(50, 12, dtype=torch.float64) * 1e4
    assert PermutohedralLattice(points).vertices == 50 * 13


def test_constants() -> None:
    assert alpha_of(2) == 0.8
    assert scale_factors(1)[0] == pytest.approx(2 * np.sqrt(2 / 3) / np.sqrt(2))


def test_spans_cover_once_and_none_is_empty() -> None:
    parts = spans(10, 3)
    assert np.concatenate([np.arange(10)[p] for p in parts]).tolist() == list(range(10))
    assert spans(2, 8) == [slice(0, 1), slice(1, 2)]
