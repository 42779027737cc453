"""Components, similarity and groups of tokens."""

from __future__ import annotations

import numpy as np
import pytest

from napari_papernets.core.token_math import fit_basis, foreground_of, k_means, otsu, similarity


def groups(count: int = 3, size: int = 20, dim: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Tokens around a few directions, and the direction of each."""
    rng = np.random.default_rng(0)
    number = np.repeat(np.arange(count), [size * (count - n) for n in range(count)])
    return (np.eye(dim)[number] + rng.normal(0, 0.05, (len(number), dim))).astype(np.float32), number


def test_components_are_those_of_the_singular_values() -> None:
    tokens = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32) * np.arange(1, 7)
    basis = fit_basis(tokens.astype(np.float32), 3)
    _, values, vectors = np.linalg.svd(tokens - tokens.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(basis.components @ vectors[:3].T), np.eye(3), atol=1e-3)
    np.testing.assert_allclose(basis.explained, values[:3] ** 2 / (values**2).sum(), rtol=1e-3)
    colours = basis.colours(tokens.astype(np.float32))
    assert colours.min() == 0
    assert colours.max() == 1


def test_a_basis_is_the_same_at_every_call_and_serves_other_images() -> None:
    tokens, _ = groups()
    np.testing.assert_array_equal(fit_basis(tokens).components, fit_basis(tokens.copy()).components)
    np.testing.assert_array_equal(
        fit_basis(tokens).colours(tokens[:5]), fit_basis(tokens).colours(tokens)[:5]
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [1, 5])
def test_tokens_that_are_all_alike_have_no_foreground(count: int) -> None:
    assert otsu(np.full(count, 2.5)) == 2.5
    assert not foreground_of(np.ones((count, 4), np.float32)).any()


def test_the_rarer_side_is_the_foreground() -> None:
    tokens, number = groups(2)
    np.testing.assert_array_equal(foreground_of(tokens), number == 1)
    np.testing.assert_array_equal(foreground_of(tokens, flip=True), number == 0)


def test_otsu_divides_two_hills() -> None:
    rng = np.random.default_rng(0)
    hills = np.concatenate([rng.normal(0, 0.1, 500), rng.normal(2, 0.1, 100)])
    assert 0.3 < otsu(hills) < 1.7


def test_similarity_takes_several_clicks() -> None:
    tokens, number = groups()
    first, second = int(np.argmax(number == 0)), int(np.argmax(number == 1))
    near = similarity(tokens, [first, second])
    assert near[number < 2].min() > near[number == 2].max()
    apart = similarity(tokens, [first], [second])
    assert apart[number == 0].min() > 0 > apart[number == 1].max()
    assert np.abs(apart).max() <= 1


def test_k_means_finds_the_groups_by_size() -> None:
    tokens, number = groups()
    found = k_means(tokens, 3)
    np.testing.assert_array_equal(found, number + 1)
    np.testing.assert_array_equal(k_means(tokens, 3), found)
    assert set(k_means(np.ones((4, 3), np.float32), 3)) <= {1, 2, 3}


@pytest.mark.parametrize("count", [1, 2, 500])
def test_k_means_takes_any_number(count: int) -> None:
    tokens, _ = groups()
    assert k_means(tokens, count).max() <= count
