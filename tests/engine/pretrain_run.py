"""A small pre-training, alone or as one of several processes that `torchrun` starts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_papernets.api import drain
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.moco_settings import MoCoSettings
from napari_papernets.engine.pretrain import pretrain

SETTINGS = MoCoSettings(
    steps=6, encoder="contracting", width=4, depth=2, K=40, dim=16, crop=32, batch=4, places=5,
    near=True, checkpoint_every=4, precision="float32",
)  # fmt: skip


def images() -> list[ImageBlock]:
    """A plane and a stack of smooth noise."""
    rng = np.random.default_rng(0)
    plane = ndimage.gaussian_filter(rng.random((80, 80)), 2)
    stack = ndimage.gaussian_filter(rng.random((3, 64, 90)), (0, 3, 1))
    return [ImageBlock(plane.astype(np.float32), "YX"), ImageBlock(stack.astype(np.float32), "ZYX")]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    tuned = drain(pretrain(images(), settings=SETTINGS, folder=folder))
    (folder / "losses.json").write_text(json.dumps([row["loss"] for row in tuned.history]))
