"""What a live training starts with, as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.annotation import Patch, View
from ..core.errors import InputError
from ..core.image import ImageBlock
from ..core.model import ClassInfo, ModelRef
from ..core.tune_settings import TuneSettings
from .painting import Painting

NAME = "live"


@dataclass(frozen=True, eq=False)
class LivePlan:
    """The arguments of the verb ``live``, and how images are numbered in the session.

    Attributes
    ----------
    numbers : tuple of int
        Number in the session of each image of the job.
    images : list of ImageBlock
        Those images.
    annotations : list of ndarray of uint8, shape (*stack, Y, X)
        Live views of what is painted: what changes while they are copied follows as a patch.
    model : str or ModelRef
        Where to start.
    settings : TuneSettings
        How to train.
    classes : tuple of ClassInfo
        The classes 1…K.
    device : str
        "auto", "cpu", "cuda" or "mps".
    folder : Path
        Where versions are written.
    view : View or None
        What the person looks at, by the session's number.
    patch : int
        Number of the newest patch that `annotations` contain.
    knows_all : bool
        It begins with a version that was trained on all of them, by the same settings.
    """

    numbers: tuple[int, ...]
    images: list[ImageBlock]
    annotations: list[Any]
    model: str | ModelRef
    settings: TuneSettings
    classes: tuple[ClassInfo, ...]
    device: str
    folder: Path
    view: View | None
    patch: int
    knows_all: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether it begins with a model of these classes, which knows what was painted before."""
        if not isinstance(self.model, ModelRef) or self.model.spec.task != "semantic":
            return False
        return [c.name for c in self.model.spec.classes] == [one.name for one in self.classes]

    def arguments(self, auto: bool, resume: bool) -> dict[str, Any]:
        """Keyword arguments of the verb."""
        return dict(
            images=self.images,
            annotations=self.annotations,
            model=self.model,
            settings=self.settings,
            classes=self.classes,
            device=self.device,
            name=NAME,
            folder=self.folder,
            view=None if self.view is None else self.view_to_job(self.view),
            patch=self.patch,
            auto=auto,
            resume=resume,
        )

    def patch_to_job(self, patch: Patch) -> Patch | None:
        """A patch of the session as the job numbers images; None where the job does not have it."""
        if patch.image not in self.numbers or patch.number <= self.patch:
            return None
        at = self.numbers.index(patch.image)
        return Patch(at, patch.plane, patch.y, patch.x, patch.labels, patch.number)

    def view_to_job(self, view: View) -> View | None:
        """Likewise for a view."""
        if view.image not in self.numbers:
            return None
        return View(self.numbers.index(view.image), view.plane, view.region)

    def view_to_session(self, view: View) -> View:
        """The other way round."""
        return View(self.numbers[view.image], view.plane, view.region)


def plan_live(
    painting: Painting, model: str | ModelRef, settings: TuneSettings, device: str, folder: Path
) -> LivePlan:
    """Work out a live training from what is painted now.

    Raises
    ------
    InputError
        If there is no image, or a layer does not fit any more.
    """
    images = painting.images
    if not images.pairs():
        raise InputError("image", "none with strokes", "choose an image and press “Annotate”")
    patch = painting.watcher.newest
    return LivePlan(
        images.numbers(),
        images.blocks(),
        images.annotations(),
        model,
        settings.replace(kind="strokes"),
        painting.classes(),
        device,
        folder,
        images.view(),
        patch,
    )
