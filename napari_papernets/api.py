"""The verbs on plain numpy arrays, in this process: no napari, no Qt, no child process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from .api_arguments import as_annotations, as_block, as_blocks, as_maps, as_shares, is_single
from .atomic import replacing
from .core.crf_settings import Backend, CRFSettings
from .core.errors import InputError
from .core.events import Event
from .core.feature_settings import FeatureSettings
from .core.model import ModelRef
from .core.predict_settings import PredictSettings
from .core.results import FeatureMaps, Prediction, Tuned
from .core.tiles import Region
from .core.tune_settings import TuneSettings
from .engine.device import keep_heap
from .engine.features import features as run_features
from .engine.finetune import finetune as run_finetune
from .engine.models import describe_network
from .engine.predict import predict as run_predict
from .engine.refine import refine as run_refine
from .engine.weights import check_finite, save_weights
from .model_files import SUFFIX, check_there, find_model

Result = TypeVar("Result")
OnEvent = Callable[[Event], None]


def predict(
    image: Any,
    model: str | Path | ModelRef | nn.Module,
    axes: str = "YX",
    tile: int | None = None,
    settings: PredictSettings | None = None,
    *,
    device: str = "auto",
    on_event: OnEvent | None = None,
    probabilities: bool = True,
    region: Region | None = None,
    planes: Sequence[tuple[int, ...]] | None = None,
) -> Prediction:
    """Segment an image.

    Parameters
    ----------
    image : array or ImageBlock
        numpy, dask or zarr array of boolean, integer or real type.
    model : str, Path, ModelRef or nn.Module
        Name of a model, its file, its reference, or a bare U-Net or DeepLab.
    axes : str
        One letter of "TZCYX" for each axis of `image`, as in "YX", "CYX" or "YXC".
    tile : int, optional
        Window side in pixels; it changes speed and memory, not the result.
    settings : PredictSettings, optional
        Everything else; `tile` here takes precedence.
    device : {"auto", "cpu", "cuda", "mps"}
        "auto" is cuda, else mps, else cpu.
    on_event : callable, optional
        Called with every event of the run.
    probabilities : bool
        Whether to return probabilities beside the labels.
    region : (y0, y1, x0, x1), optional
        Only these pixels.
    planes : sequence of tuple of int, optional
        Only these planes of a stack.

    Returns
    -------
    Prediction
        labels (*stack, Y, X), probabilities (K, *stack, Y, X) float32, provenance; of chosen planes
        *stack is their number.

    Raises
    ------
    InputError
        If anything given cannot be used; the message names the field and the mend.
    """
    keep_heap()
    settings = PredictSettings.of(settings)
    if tile is not None:
        settings = settings.replace(tile=tile)
    block = as_block(image, axes)
    job = run_predict(
        block,
        model,
        settings,
        device=device,
        probabilities=probabilities,
        region=region,
        planes=planes,
    )
    return drain(job, on_event)


def finetune(
    images: Any,
    annotations: ArrayLike | Sequence[ArrayLike],
    model: str | Path | ModelRef = "auto",
    settings: TuneSettings | None = None,
    axes: str = "YX",
    *,
    device: str = "auto",
    on_event: OnEvent | None = None,
    name: str | None = None,
    class_names: Sequence[str] | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    shares: Sequence[float] | None = None,
    course: str | Path | None = None,
) -> Tuned:
    """Train a model from annotations.

    Parameters
    ----------
    images : array, ImageBlock, or a sequence of them
        One or several images with the same channels.
    annotations : array or sequence of arrays
        One for each image, of its shape without the channel axis; whole numbers, of a floating type
        too; `settings.kind` tells what they mean.
    model : str, Path or ModelRef
        Where to start: a model; "scratch"; a file of VGG-16's weights with torchvision's names, for a
        DeepLab; or "auto": for strokes the bundled start that was taught to learn from them, else from
        scratch.
    settings : TuneSettings, optional
        How to train.
    axes : str
        Axes of the images that are plain arrays.
    device : {"auto", "cpu", "cuda", "mps"}
        "auto" is cuda, else mps, else cpu.
    on_event : callable, optional
        Called with every event of the run.
    name : str, optional
        Of the new model, which replaces one of that name. Without it "tuned", or "tuned-2", … so that
        none is replaced.
    class_names : sequence of str, optional
        Names of the classes 1…K.
    folder : str or Path, optional
        Where the model and its checkpoints are written; the user's models by default.
    resume : bool
        Go on from the checkpoint of an interrupted run of that name, without one from the last of these.
    shares : sequence of float, optional
        How often each image is drawn, relative to the others.
    course : str or Path, optional
        The file of that name in a round of a session: the live training that made its version is
        repeated stroke by stroke, to the same weights. `annotations` are those that it ended with.

    Returns
    -------
    Tuned
        The model on disk, the history of losses and scores, and provenance.

    Raises
    ------
    InputError
        If anything given cannot be used; the message names the field and the mend.
    """
    keep_heap()
    job = run_finetune(
        as_blocks(images, axes),
        as_annotations(annotations, is_single(images)),
        model,
        TuneSettings.of(settings),
        device=device,
        name=name,
        class_names=class_names,
        folder=None if folder is None else Path(folder),
        resume=resume,
        shares=as_shares(shares),
        course=None if course is None else Path(course),
    )
    return drain(job, on_event)


def refine(
    probabilities: Any,
    image: Any,
    axes: str = "YX",
    settings: CRFSettings | None = None,
    backend: Backend = "torch",
    *,
    device: str = "auto",
    on_event: OnEvent | None = None,
    region: Region | None = None,
    planes: Sequence[tuple[int, ...]] | None = None,
) -> NDArray[np.float32]:
    """Refine probabilities with the fully connected CRF of DeepLab.

    Parameters
    ----------
    probabilities : array, shape (K, *stack, Y, X)
        Of K classes, summing to 1 over the classes.
    image : array or ImageBlock
        The image whose edges the labels are to follow.
    axes : str
        One letter of "TZCYX" for each axis of `image`, as in "YX" or "YXC".
    settings : CRFSettings, optional
        The paper's parameters.
    backend : {"torch", "pydensecrf"}
        "torch": our own, whatever runs it; "pydensecrf": the library of that name (extra `crf`).
    device : {"auto", "cpu", "cuda", "mps"}
        "auto" is cuda, else mps, else cpu.
    on_event : callable, optional
        Called with every event: `Refined` tells labels and free energy after each iteration.
    region : (y0, y1, x0, x1), optional
        Only these pixels; `probabilities` may be of the image or of the region.
    planes : sequence of tuple of int, optional
        Only these planes of a stack.

    Returns
    -------
    ndarray of float32, shape (K, *stack, Y, X)
        Beliefs after the last iteration.

    Raises
    ------
    InputError
        If anything given cannot be used; the message names the field and the mend.
    """
    keep_heap()
    block = as_block(image, axes)
    given = as_maps(probabilities)
    show: Any = "nothing" if on_event is None else "labels"
    job = run_refine(
        given,
        block,
        CRFSettings.of(settings),
        backend=backend,
        device=device,
        region=region,
        planes=planes,
        show=show,
    )
    return drain(job, on_event).probabilities


def features(
    image: Any,
    model: str | Path | ModelRef | nn.Module,
    axes: str = "YX",
    settings: FeatureSettings | None = None,
    *,
    device: str = "auto",
    on_event: OnEvent | None = None,
    region: Region | None = None,
    planes: Sequence[tuple[int, ...]] | None = None,
    random_weights: bool = False,
) -> FeatureMaps:
    """Read the patch tokens of an image by a Vision Transformer.

    Parameters
    ----------
    image : array or ImageBlock
        numpy, dask or zarr array of boolean, integer or real type.
    model : str, Path, ModelRef or nn.Module
        Name or file of a model; the file of a public checkpoint (``.safetensors`` or ``.pth``); or a
        VisionTransformer.
    axes : str
        One letter of "TZCYX" for each axis of `image`, as in "YX", "CYX" or "YXC".
    settings : FeatureSettings, optional
        Which block, at what resolution, with attention or not.
    device : {"auto", "cpu", "cuda", "mps"}
        "auto" is cuda, else mps, else cpu.
    on_event : callable, optional
        Called with every event of the run.
    region : (y0, y1, x0, x1), optional
        Only the patches that touch these pixels.
    planes : sequence of tuple of int, optional
        Only these planes of a stack.
    random_weights : bool
        The control: the same network with freshly drawn weights.

    Returns
    -------
    FeatureMaps
        tokens (*stack, N, D) float32 on a grid of (gy, gx), with their attention, colours, and
        similarities.

    Raises
    ------
    InputError
        If anything given cannot be used; the message names the field and the mend.
    """
    keep_heap()
    job = run_features(
        as_block(image, axes),
        model,
        FeatureSettings.of(settings),
        device=device,
        region=region,
        planes=planes,
        random_weights=random_weights,
    )
    return drain(job, on_event)


def load_model(name_or_path: str | Path) -> ModelRef:
    """Find a model by name or file; its weights are loaded when it is used."""
    return find_model(name_or_path)


def save_model(model: ModelRef | nn.Module, path: str | Path) -> ModelRef:
    """Write a model to a file, whole or not at all.

    Parameters
    ----------
    model : ModelRef, UNet or DeepLabLargeFOV
        A model on disk, or a network built in code.
    path : str or Path
        Ends in ``.safetensors``, or that is appended; an existing file is not overwritten.

    Raises
    ------
    InputError
        If `path` exists, or names no file, the weights of a network are not finite, or the model's own
        file is gone.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError("path", repr(path), "give the name of a file")
    path = Path(path)
    if not path.name or os.path.isdir(path):
        raise InputError("path", repr(str(path)), "give the name of a file, not of a folder")
    path = path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
    if os.path.exists(path):
        raise InputError("path", str(path), "the file exists: choose another name or remove it")
    if isinstance(model, nn.Module):
        check_finite(model.state_dict(), "a network")
        return save_weights(describe_network(model), model.state_dict(), path)
    ref = find_model(model)
    check_there(ref.path)
    with replacing(path) as fresh:
        shutil.copyfile(ref.path, fresh)
    return ModelRef(ref.spec, path)


def drain(job: Generator[Event, Any, Result], on_event: OnEvent | None = None) -> Result:
    """Run a job to its end, telling `on_event` what it yields; return its result.

    It is closed, and lets go of threads and memory, whatever happens: what `on_event` raises cancels
    it.
    """
    with closing(job):
        while True:
            try:
                event = next(job)
            except StopIteration as end:
                return end.value
            if on_event is not None:
                on_event(event)
