"""Mean field: equals pydensecrf and, with the exact kernel, brute force; energy and gradients."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from crf_oracle import exact_energy, exact_mean_field, gaussian_kernel
from skimage import data

from napari_papernets.core.errors import InputError
from napari_papernets.networks import DenseCRF
from napari_papernets.networks.densecrf import Kernels
from napari_papernets.networks.permutohedral import PermutohedralLattice

WEIGHTS = dict(w1=5.0, sigma_alpha=60.0, sigma_beta=10.0, w2=3.0, sigma_gamma=3.0)


def unaries(grey: np.ndarray, classes: int, seed: int = 0) -> torch.Tensor:
    """−log of noisy probabilities that follow grey levels."""
    rng = np.random.default_rng(seed)
    levels = np.quantile(grey, np.linspace(0.1, 0.9, classes))
    logits = -(((grey - levels[:, None, None]) / 25) ** 2) + rng.normal(0, 0.7, (classes, *grey.shape))
    return -torch.log_softmax(torch.from_numpy(logits.astype(np.float32)), 0).clamp_(-11.5)


def small(classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Unaries (K, 24, 20) and an image (3, 24, 20) with edges."""
    pixels = data.immunohistochemistry()[100:124, 200:220]
    return unaries(pixels.mean(-1), classes), torch.from_numpy(pixels).movedim(-1, 0)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_compiled_and_torch_agree_in_beliefs_and_energy(classes: int) -> None:
    unary, image = small(classes)
    crf = DenseCRF(**WEIGHTS).requires_grad_(False)
    one = list(crf.steps(unary, crf.kernels(image.movedim(0, -1), compiled=True)))
    two = list(crf.steps(unary, crf.kernels(image.movedim(0, -1), compiled=False)))
    assert len(one) == len(two) == 11
    torch.testing.assert_close(one[-1].q, two[-1].q, atol=1e-5, rtol=0)
    for a, b in zip(one, two, strict=True):
        assert a.energy == pytest.approx(b.energy, rel=1e-5, abs=0.05)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_do_not_change_the_answer(threads: int) -> None:
    unary, image = small()
    crf = DenseCRF(**WEIGHTS)
    kernels = crf.kernels(image.movedim(0, -1), threads=threads)
    *_, last = crf.steps(unary, kernels, threads)
    with torch.no_grad():
        torch.testing.assert_close(last.q, crf(unary, image), atol=2e-6, rtol=0)


class Exact(PermutohedralLattice):
    """A kernel of all pairs in the place of a lattice."""

    def __init__(self, features: np.ndarray) -> None:
        self.matrix = torch.from_numpy(gaussian_kernel(features.astype(np.float64)))
        self.mass = float(self.matrix.sum())

    def filter(self, values: torch.Tensor) -> torch.Tensor:
        return self.matrix @ values


def test_with_the_exact_kernel_it_is_brute_force() -> None:
    unary, image = small()
    crf = DenseCRF(**WEIGHTS).double()
    smoothness, appearance = crf.features(image.movedim(0, -1).numpy())
    kernels = Kernels(Exact(smoothness.matrix()), Exact(appearance.matrix()), (24, 20))
    u = unary.double()
    joint = 3 * kernels.smoothness.matrix + 5 * kernels.appearance.matrix
    expected = exact_mean_field(u.flatten(1).numpy(), joint.numpy(), 10)
    for belief, q in zip(crf.steps(u, kernels), expected, strict=True):
        np.testing.assert_allclose(belief.q.detach().flatten(1).numpy(), q, atol=1e-10)
        energy = exact_energy(q, u.flatten(1).numpy(), joint.numpy())
        assert belief.energy == pytest.approx(energy, rel=1e-9)


def test_the_lattice_is_near_brute_force() -> None:
    unary, image = small(2)
    crf = DenseCRF(**WEIGHTS).requires_grad_(False)
    smoothness, appearance = crf.features(image.movedim(0, -1).numpy())
    joint = 3 * gaussian_kernel(smoothness.matrix().astype(float)) + 5 * gaussian_kernel(
        appearance.matrix().astype(float)
    )
    exact = exact_mean_field(unary.double().flatten(1).numpy(), joint, 10)[-1]
    ours = crf(unary, image).flatten(1).numpy()
    assert (ours.argmax(0) == exact.argmax(0)).mean() > 0.93  # noise everywhere: many ties


@pytest.mark.parametrize(
    ("name", "classes", "weights"),
    [
        ("immunohistochemistry", 2, {}),
        ("immunohistochemistry", 4, {}),
        ("cell", 2, {}),
        ("cell", 4, {}),
        # here one bit of the embedding moves beliefs by 0.08
        ("astronaut", 2, dict(w1=9.0, sigma_alpha=20.5, sigma_beta=3.3)),
        ("astronaut", 3, dict(w1=10.0, sigma_alpha=100.0, sigma_beta=3.0)),
    ],
)
def test_it_equals_pydensecrf_on_real_images(name: str, classes: int, weights: dict[str, float]) -> None:
    densecrf = pytest.importorskip("pydensecrf.densecrf")
    pixels = getattr(data, name)()
    pixels = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
    unary = unaries(pixels.mean(-1), classes)
    crf = DenseCRF(**WEIGHTS | weights).requires_grad_(False)
    ours = crf(unary, torch.from_numpy(pixels).movedim(-1, 0)).flatten(1).numpy()
    peer = densecrf.DenseCRF(unary[0].numel(), classes)
    peer.setUnaryEnergy(np.ascontiguousarray(unary.flatten(1).numpy()))
    for features, weight in zip(crf.features(pixels), (float(crf.w2), float(crf.w1)), strict=True):
        peer.addPairwiseEnergy(np.ascontiguousarray(features.matrix().T), weight)
    theirs = np.array(peer.inference(10))
    assert np.abs(ours - theirs).max() < 1e-3
    assert (ours.argmax(0) == theirs.argmax(0)).mean() > 0.999


def test_gradients_reach_unaries_and_weights() -> None:
    torch.manual_seed(0)
    image = torch.randint(0, 255, (1, 3, 4))
    crf = DenseCRF(sigma_alpha=3.0, sigma_beta=40.0, sigma_gamma=1.5, iterations=2).double()
    kernels = crf.kernels(image.movedim(0, -1), compiled=False, dtype=torch.float64)
    unary = torch.rand(3, 3, 4, dtype=torch.float64, requires_grad=True)

    def run(unary: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
        parameters = {"w1": w1, "w2": w2}
        return torch.func.functional_call(crf, parameters, (unary, kernels))

    inputs = [unary, *(p.detach().clone().requires_grad_() for p in (crf.w1, crf.w2))]
    assert torch.autograd.gradcheck(run, inputs)


def test_a_weight_that_alone_is_learnt_gets_its_gradient() -> None:
    unary, image = small()
    for name in ("w1", "w2"):
        crf = DenseCRF(**WEIGHTS).requires_grad_(False)
        getattr(crf, name).requires_grad_()
        crf(unary, image)[0].sum().backward()
        assert getattr(crf, name).grad.abs() > 0


def test_compiled_kernels_do_not_swallow_a_gradient() -> None:
    unary, image = small()
    crf = DenseCRF(**WEIGHTS)
    kernels = crf.kernels(image.movedim(0, -1))
    assert crf(unary, kernels).shape == unary.shape
    with pytest.raises(InputError, match="compiled=False"):
        crf(unary.requires_grad_(), kernels)


def test_a_batch_is_its_images_and_kernels_can_be_kept() -> None:
    unary, image = small()
    crf = DenseCRF(**WEIGHTS).requires_grad_(False)
    both = crf(torch.stack([unary, unary.flip(0)]), torch.stack([image, image]))
    torch.testing.assert_close(both[0], crf(unary, image))
    kernels = crf.kernels(image.movedim(0, -1))
    torch.testing.assert_close(both[1], crf(unary.flip(0), kernels))


@pytest.mark.parametrize(("spacing", "felt"), [(1000.0, False), (1.0, True)])
def test_spacing_tells_how_far_slices_are_apart(spacing: float, felt: bool) -> None:
    unary, image = small(2)
    crf = DenseCRF(**WEIGHTS, dimensions=3).requires_grad_(False)
    stack = image.movedim(0, -1)[None].repeat(3, 1, 1, 1)
    kernels = crf.kernels(stack, spacing=(spacing, 1.0, 1.0))
    volume = unary[:, None].repeat(1, 3, 1, 1)
    other = volume.clone()
    other[:, 2] = other[:, 2].flip(0)
    change = (crf(volume, kernels) - crf(other, kernels))[:, 0].abs().max()
    assert (change > 1e-3) == felt


def test_one_class_is_certain_and_no_weights_change_nothing() -> None:
    unary, image = small(1)
    assert DenseCRF()(unary, image).eq(1).all()
    unary, _ = small(3)
    crf = DenseCRF(w1=0.0, w2=0.0).requires_grad_(False)
    torch.testing.assert_close(crf(unary, image), torch.softmax(-unary, 0), atol=1e-6, rtol=0)


def test_energy_falls_on_a_smooth_problem() -> None:
    unary, image = small(2)
    crf = DenseCRF(**WEIGHTS).requires_grad_(False)
    energies = [b.energy for b in crf.steps(unary, crf.kernels(image.movedim(0, -1)))]
    assert energies[-1] < energies[0]
    assert all(b <= a + 1e-3 * abs(a) for a, b in pairwise(energies))
