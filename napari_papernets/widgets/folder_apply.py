"""Applies a model to every image of a folder: labels and measurements as files, one image at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from ..core.errors import InputError, PapernetsError
from ..core.image import ImageBlock
from ..core.model import ModelRef
from ..core.part import Part
from ..core.predict_settings import PredictSettings
from ..core.results import Prediction
from ..file_names import result_names
from ..files import read_image, write_labels, write_table
from ..image_folders import LABELS, TABLE, list_folder
from ..objects import ObjectRule
from ..result_files import check_results, write_account
from .beside import beside
from .job_adapter import Engine, JobAdapter


@dataclass(frozen=True)
class ApplyWish:
    """How to apply a model.

    Attributes
    ----------
    model : ModelRef
        The model.
    objects : ObjectRule or None
        How objects are made of the classes; None for the classes themselves.
    device : str
        "auto", "cpu", "cuda" or "mps".
    """

    model: ModelRef
    objects: ObjectRule | None
    device: str = "auto"

    def settings(self, image: ImageBlock) -> PredictSettings:
        """Of ``predict``, for an image: at the size of the training, and of its channels those that the
        model has learnt from, also where it has more or fewer others."""
        channels = self.model.spec.channels
        there = "C" in image.axes and image.channels > max(channels, default=image.channels)
        return PredictSettings(output="semantic", zoom=1.0, channels=channels if there else None)


@dataclass(frozen=True)
class FolderDone:
    """What became of a folder.

    Attributes
    ----------
    written : int
        Images whose results were written.
    left_out : int
        Results of this program, which were not segmented.
    failed : tuple of str
        Files that could not be, each with the reason.
    folder : Path
        Where results are.
    """

    written: int
    left_out: int
    failed: tuple[str, ...]
    folder: Path


class FolderApply(QObject):
    """One folder after the other.

    Parameters
    ----------
    engine : callable
        The engine.

    Attributes
    ----------
    progressed : Signal(int, int, str)
        Images done, all images, and the name of the next.
    finished : Signal(object)
        A FolderDone. An image that cannot be read, or does not fit, keeps no other from its turn.
    failed : Signal(object)
        The error; what was written before stays.
    """

    progressed = Signal(int, int, str)
    finished = Signal(object)
    failed = Signal(object)

    def __init__(self, engine: Callable[[], Engine], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._engine = engine
        self._job: JobAdapter | None = None
        self._todo: list[Path] = []
        self._failed: list[str] = []
        self._total = self._left_out = 0
        self._cancelled = False

    def start(self, wish: ApplyWish, source: Path, target: Path) -> None:
        """Begin; `finished` or `failed` follows.

        Raises
        ------
        InputError
            If there is no image in the folder, or only results of this program are, or results would
            replace what is not of this program.
        """
        listing = list_folder(source)
        self._todo, self._left_out = list(listing.images), listing.left_out
        self._wish, self._target, self._names = wish, target, result_names(self._todo)
        check_results(target, self._names.values(), (LABELS, TABLE), self._names, "folder")
        self._total, self._failed, self._cancelled = len(self._todo), [], False
        self._next()

    def cancel(self) -> None:
        """Stop after what is written already; `finished` follows."""
        self._cancelled = True
        if self._job is not None:
            self._job.cancel()

    def leave(self) -> None:
        """The panel goes away. Touches nothing of Qt or napari."""
        self._cancelled, self._todo = True, []
        if self._job is not None:
            self._job.forget()

    def _next(self) -> None:
        if self._job is not None:
            self._job.deleteLater()
            self._job = None
        done = self._total - len(self._todo)
        if self._cancelled or not self._todo:
            written, failed = done - len(self._failed), tuple(self._failed)
            self.finished.emit(FolderDone(written, self._left_out, failed, self._target))
            return
        path = self._todo[0]
        self.progressed.emit(done, self._total, path.name)
        worker = beside(read_image, path)
        worker.returned.connect(lambda image: self._predict(path, image))
        worker.errored.connect(self._on_failed)
        worker.start()

    def _predict(self, path: Path, image: ImageBlock) -> None:
        if self._cancelled:
            self._next()
            return
        wish, target = self._wish, self._target
        self._job = JobAdapter(self)
        self._job.returned.connect(self._on_written)
        self._job.failed.connect(self._on_failed)
        self._job.cancelled.connect(self._next)
        try:
            self._job.start(
                self._engine(), "predict",
                lambda result: write_answer(result, image, target, self._names[path], wish),
                image=image, model=wish.model, settings=wish.settings(image), device=wish.device,
                probabilities=False,
            )  # fmt: skip
        except PapernetsError as error:
            self._on_failed(error)

    def _on_written(self, _: Any) -> None:
        self._todo.pop(0)
        self._next()

    def _on_failed(self, error: BaseException) -> None:
        if isinstance(error, InputError) and self._todo:  # of this image
            self._failed.append(f"{self._todo.pop(0).name}: {error}")
            self._next()
            return
        self.leave()
        self._job = None
        self.failed.emit(error)


def write_answer(
    result: Prediction, image: ImageBlock, folder: Path, stem: str, wish: ApplyWish
) -> None:
    """Write labels, measurements and provenance of one image, each whole or not at all."""
    from ..measure import measure

    labels, account = np.asarray(result.labels), dict(result.provenance)
    if wish.objects is not None:
        labels, account = wish.objects.find(labels), wish.objects.account(account)
    folder.mkdir(parents=True, exist_ok=True)
    write_account(folder, stem, account, (LABELS, TABLE))
    part = Part(image)
    write_labels(folder / f"{stem}{LABELS}", labels, part.axes, part.scale, image.unit)
    write_table(folder / f"{stem}{TABLE}", measure(labels, image))
