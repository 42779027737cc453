"""The verbs `download` and `adopt`: public weights, and files that a person has, as model files."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from ..core.checkpoints import PublicCheckpoint, find_checkpoint
from ..core.errors import InputError, ModelError
from ..core.events import Event, Notice, Started
from ..core.moco_checkpoints import ALL_CHECKPOINTS
from ..core.model import ModelRef
from ..model_files import (
    SUFFIX,
    check_name,
    is_model_file,
    is_taken,
    model_path,
    name_to_write,
    read_spec,
    usable_name,
    user_folder,
)
from .moco_files import import_moco
from .transfer import fetch
from .vit_models import import_checkpoint

LOADING = "loading"  # folder, beside the models, of files on their way


def download(
    name: str, *, folder: Path | None = None, checkpoint: PublicCheckpoint | None = None
) -> Generator[Event, Any, ModelRef]:
    """Fetch a public checkpoint and keep it as a model file, which needs no internet any more and can be
    copied to other machines.

    Parameters
    ----------
    name : str
        See `core.checkpoints` and `core.moco_checkpoints`.
    folder : Path, optional
        Where the model file goes; the user's models by default.
    checkpoint : PublicCheckpoint, optional
        One that is not in the list.

    Yields
    ------
    Event
        Started (bytes), Progress, Notice.

    Returns
    -------
    ModelRef
        Also where it was there already.

    Raises
    ------
    InputError
        If the file cannot be fetched, or is corrupt; ModelError if it is not what the list says.
    """
    chosen = checkpoint or find_checkpoint(name, ALL_CHECKPOINTS)
    folder = folder or user_folder()
    target = folder / f"{chosen.name}{SUFFIX}"
    if target.is_file():
        return ModelRef(read_spec(target), target)
    # Several checkpoints have the same file name.
    raw = folder / LOADING / f"{chosen.name} {chosen.url.rsplit('/', 1)[-1]}"
    if not raw.is_file():
        yield from fetch(chosen.url, raw, chosen.sha256)
    about = dict(
        description=chosen.about,
        licence=chosen.licence,
        provenance=dict(source=chosen.url, cite=chosen.paper),
    )
    try:
        take = import_moco if chosen.kind == "moco" else import_checkpoint
        ref = take(raw, folder, chosen.name, about, **chosen.options)
    finally:
        raw.unlink(missing_ok=True)  # a file that cannot be read is to be fetched anew
    return ref


def adopt(
    path: Path,
    *,
    name: str = "",
    folder: Path | None = None,
    heads: int | None = None,
    antialias: bool = True,
) -> Generator[Event, Any, ModelRef]:
    """Keep a checkpoint that a person has as a model file.

    Parameters
    ----------
    path : Path
        A state dict of timm, DINO, DINOv2 or MAE, ``.safetensors`` or ``.pth``; or a model file of a
        Vision Transformer, which is returned as it is.
    name : str
        Of the model; by default that of the file, with a number where another model is called so. It
        replaces what was read from a file of that name before, and nothing else.
    folder : Path, optional
        Where the model file goes; the user's models by default.
    heads : int, optional
        Number of heads, which no state dict tells; D / 64 by default.
    antialias : bool
        How position embeddings are interpolated: as timm does it, or as DINO, DINOv2 and MAE do.

    Yields
    ------
    Event
        Started, Notice.

    Returns
    -------
    ModelRef

    Raises
    ------
    ModelError
        If it is no Vision Transformer; the first tensor that does not fit is named. InputError if there
        is no file, or another model is called so.
    """
    if not path.is_file():
        raise InputError("path", str(path), "there is no such file")
    yield Started(1, "tile", f"reads {path.name}")
    if (ref := _as_model(path)) is not None:
        return ref
    folder = folder or user_folder()
    chosen = name_to_keep(path, name, folder)
    about = dict(
        description=f"Opened from {path.name}", provenance=dict(source=path.name, antialias=antialias)
    )
    ref = import_checkpoint(path, folder, chosen, about, heads=heads, antialias=antialias)
    yield Notice(f"Kept as model {ref.name!r}", dict(path=str(ref.path)))
    return ref


def name_to_keep(path: Path, name: str, folder: Path) -> str:
    """What a checkpoint is called as a model: its name is free, or that of an earlier reading of it."""
    usual = usable_name(path.stem)
    if name:
        check_name(name)
    chosen = name or usual
    if not is_taken(chosen, folder) or _source_of(model_path(folder, chosen)) == path.name:
        return chosen
    if name:
        mend = "another model is called so: give another name"
        raise InputError("name", repr(name), mend)
    return name_to_write(None, usual, folder, resume=False)


def _source_of(path: Path) -> str:
    try:
        return str(read_spec(path).provenance.get("source", ""))
    except ModelError:
        return ""


def _as_model(path: Path) -> ModelRef | None:
    """The model in a file of this program; None where it is another's."""
    if not is_model_file(path):
        return None
    spec = read_spec(path)
    if spec.architecture not in ("vit", "vit_segmenter"):
        mend = "open the weights of a Vision Transformer"
        raise ModelError("model", f"{path.name}, of architecture {spec.architecture}", mend)
    return ModelRef(spec, path)
