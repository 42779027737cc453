"""Tokens on disk: one ``.npz`` file or one zarr group."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from .atomic import replacing
from .core.errors import InputError
from .core.feature_maps import FeatureMaps

ARRAYS = ("tokens", "class_token", "rollout", "distances")
FACTS = ("grid", "patch", "density", "origin", "block", "depth", "heads")


def write_tokens(path: Path, maps: FeatureMaps) -> Path:
    """Write tokens and what goes with them, whole or not at all.

    Parameters
    ----------
    path : Path
        Ends in ``.npz`` or ``.zarr``. Arrays are `tokens` (*stack, N, D), `class_token` and, where they
        were asked for, `rollout` and `distances`; `about` (npz) or the attributes (zarr) tell the grid,
        its place in the image, and the provenance, as JSON. Attention is not written: a row is told
        from the network at any time.
    maps : FeatureMaps
        What `features` gave.

    Returns
    -------
    Path
        As given.

    Raises
    ------
    InputError
        For any other ending.
    """
    arrays = {name: getattr(maps, name) for name in ARRAYS if getattr(maps, name) is not None}
    about = {name: getattr(maps, name) for name in FACTS} | {"provenance": dict(maps.provenance)}
    if path.suffix == ".npz":
        with replacing(path) as temporary:
            np.savez_compressed(temporary, about=np.array(json.dumps(about)), **arrays)
    elif path.suffix == ".zarr":
        _write_zarr(path, arrays, json.loads(json.dumps(about)))
    else:
        raise InputError("path", path.name, "name a file that ends in .npz or .zarr")
    return path


def _write_zarr(path: Path, arrays: dict[str, np.ndarray], about: dict[str, object]) -> None:
    import zarr

    with replacing(path) as temporary:
        group = zarr.open_group(temporary, mode="w", attributes=about)
        for name, array in arrays.items():
            group.create_array(name, data=np.asarray(array))
