"""What the functions of `napari_papernets` take that the verbs behind them do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import napari_papernets as pn


def test_models_are_written_to_a_folder_that_is_given_as_text(tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((48, 48), np.float32)
    classes = np.indices(image.shape)[1] > 24
    small = pn.TuneSettings(steps=1, width=2, depth=1, crop=32, batch=1, kind="classes", held_out=0.0)
    tuned = pn.finetune(image, classes.astype(np.uint8), settings=small, folder=str(tmp_path))
    assert tuned.model.path.parent == tmp_path

    looked_at = pn.MoCoSettings(steps=1, width=2, depth=1, K=8, dim=4, crop=32, batch=4, places=2)
    encoder = pn.pretrain(image, settings=looked_at, folder=str(tmp_path)).model
    assert encoder.path.parent == tmp_path
