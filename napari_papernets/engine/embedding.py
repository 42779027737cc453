"""The verb `embedding`: what a Vision Transformer has learnt before its first block (the paper's
figure 7): principal components of the patch-embedding filters, and likeness of position embeddings."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from ..core.events import Event, Started
from ..core.results import EmbeddingView
from ..core.token_math import fit_basis, unit
from .models import ModelLike
from .vit_models import load_vit

FILTERS = 28  # shown in the paper


def embedding(
    model: ModelLike, *, random_weights: bool = False, filters: int = FILTERS
) -> Generator[Event, None, EmbeddingView]:
    """Look at the embedding of a network, which needs no image.

    Parameters
    ----------
    model : str, Path, ModelRef or nn.Module
        A Vision Transformer.
    random_weights : bool
        The control: the same network with freshly drawn weights.
    filters : int
        Principal components of the filters, at most.

    Yields
    ------
    Event
        Started.

    Returns
    -------
    EmbeddingView

    Raises
    ------
    ModelError
        If the model is no Vision Transformer.
    """
    loaded = load_vit(model, random_weights)
    yield Started(1, "tile", "looks at the embedding")
    network = loaded.network
    kernels = network.patch_embed.proj.weight.detach().float().cpu().numpy()  # (D, C, P, P)
    dim, channels, patch, _ = kernels.shape
    flat = kernels.reshape(dim, -1)
    basis = fit_basis(flat, min(filters, flat.shape[1], dim - 1))
    shown = basis.components.reshape(-1, channels, patch, patch).transpose(0, 2, 3, 1)
    side = network.side
    positions = network.pos_embed.detach().float().cpu().numpy()[0, -(side**2) :]
    alike = unit(positions) @ unit(positions).T
    return EmbeddingView(
        np.ascontiguousarray(shown),
        basis.explained,
        alike.reshape(side, side, side, side).astype(np.float32),
        dict(model=loaded.label, weights_sha256=loaded.sha256, random_weights=random_weights),
    )
