"""`pretrain` on plain arrays, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .api import OnEvent, drain
from .api_arguments import as_blocks, as_shares
from .core.moco_settings import MoCoSettings
from .core.model import ModelRef
from .core.results import Tuned
from .engine.device import keep_heap
from .engine.pretrain import pretrain as run_pretrain


def pretrain(
    images: Any,
    model: str | Path | ModelRef = "scratch",
    settings: MoCoSettings | None = None,
    axes: str = "YX",
    *,
    device: str = "auto",
    on_event: OnEvent | None = None,
    name: str | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    shares: Sequence[float] | None = None,
    strokes: Sequence[Any] | None = None,
) -> Tuned:
    """Train an encoder from images without annotation, by momentum contrast (MoCo).

    Parameters
    ----------
    images : array, ImageBlock, or a sequence of them
        numpy, dask or zarr arrays; windows are read as they are needed.
    model : str, Path or ModelRef
        Where to start: "scratch", a model, or a public MoCo checkpoint of a ResNet.
    settings : MoCoSettings, optional
        How to train.
    axes : str
        Axes of the images that are plain arrays.
    device : {"auto", "cpu", "cuda", "mps"}
        "auto" is cuda, else mps, else cpu.
    on_event : callable, optional
        Called with every event of the run.
    name : str, optional
        Of the new model, which replaces one of that name. Without it "moco", or "moco-2", … so that
        none is replaced.
    folder : str or Path, optional
        Where the model and its checkpoints are written; the user's models by default.
    resume : bool
        Go on from the checkpoint of an interrupted run of that name, without one from the last of these.
    shares : sequence of float, optional
        How often each image is drawn, relative to the others.
    strokes : sequence of array or None, optional
        Strokes on the images, or None: they judge whether the encoder gets better, and teach nothing.

    Returns
    -------
    Tuned
        The encoder on disk, which ``finetune`` starts from; the history of losses and look-up
        accuracies; provenance.

    Raises
    ------
    InputError
        If anything given cannot be used; the message names the field and the mend.
    """
    keep_heap()
    job = run_pretrain(
        as_blocks(images, axes),
        model,
        MoCoSettings.of(settings),
        device=device,
        name=name,
        folder=None if folder is None else Path(folder),
        resume=resume,
        shares=as_shares(shares),
        strokes=strokes,
    )
    return drain(job, on_event)
