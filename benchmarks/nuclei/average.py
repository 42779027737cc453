"""The mean of the weights of models of one shape, of which each went on from the one before.

    python benchmarks/nuclei/average.py build/nuclei-3/nuclei.safetensors \\
        build/nuclei-4/nuclei.safetensors --out build/nuclei-mean

It answers better than either where both are good (Wortsman et al., ICML 2022). Description and
provenance are those of the last, the threshold is the mean of theirs.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_papernets.engine.weights import load_weights, save_weights
from napari_papernets.model_files import find_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="folder of the mean")
    parser.add_argument("--solidity", type=float, help="of the objects, where the last has none yet")
    given = parser.parse_args()
    models = [find_model(name) for name in given.models]
    states = [load_weights(model).state_dict() for model in models]
    mean = {
        name: torch.stack([s[name] for s in states]).mean(0) if values.is_floating_point() else values
        for name, values in states[-1].items()
    }
    spec = models[-1].spec
    about = dict(mean_of_weights=[model.spec.provenance.get("steps_done") for model in models])
    spec = replace(
        spec,
        threshold=round(float(np.mean([model.spec.threshold for model in models])), 3),
        object_solidity=spec.object_solidity or given.solidity,
        provenance={**spec.provenance, **about},
    )
    print(save_weights(spec, mean, given.out / "nuclei.safetensors").path)


if __name__ == "__main__":
    main()
