"""What a training was asked, and what is sent into it while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.annotation import Patch
from ..core.errors import InputError
from ..core.image import ImageBlock
from ..core.model import ModelRef, ModelSpec
from ..core.tune_settings import TuneSettings
from ..networks.forested import Forested
from .annotated import Plane
from .crops import pose_problem
from .grow import ForestGrower
from .quick import HeadFitter
from .scene import Scene
from .training import Training


@dataclass(frozen=True, eq=False)
class Request:
    """What `finetune` was asked, with every default filled in."""

    images: Sequence[ImageBlock]
    annotations: Sequence[Any]
    model: str | Path | ModelRef
    settings: TuneSettings
    device: str
    name: str
    class_names: Sequence[str] | None
    folder: Path
    shares: Sequence[float] | None
    about: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[str] | None = None
    named: bool = True  # by the person, not by us


class Listener:
    """Takes what is sent into a running training.

    Attributes
    ----------
    planes : list of Plane
        The annotation as it is now.
    arrivals : list of [int, int]
        Number of each patch, and the step after which it came.
    """

    def __init__(
        self, request: Request, spec: ModelSpec, planes: list[Plane], training: Training
    ) -> None:
        self.planes, self.arrivals = planes, list[list[int]]()
        self._request, self._spec, self._training = request, spec, training
        self._scene: Scene | None = None

    def take(self, sent: Any) -> None:
        """Take what was sent: "stop" ends the training, a patch is learnt from, None is nothing.

        Raises
        ------
        InputError
            If it is something else, or a patch that does not fit.
        """
        if sent == "stop":
            if not self._training.finished:
                self._training.stop("by the user")
        elif isinstance(sent, Patch):
            self._learn(sent)
        elif sent is not None:
            raise InputError("sent", repr(sent), 'send a Patch or "stop"')

    def finish(self, refit: bool) -> None:
        """Learn in closed form from what judged the training, and from strokes that came late.

        Nothing is left to be judged, and strokes are few: the forest is grown from all of them, and
        where `refit` says so (no step of training was kept) the head is fitted to all of them.
        """
        network, training = self._training.network, self._training
        late = bool(self.arrivals) or any(plane.held.any() for plane in self.planes)
        if training.settings.kind != "strokes" or not isinstance(network, Forested) or not late:
            return
        every = [replace(plane, held=np.zeros_like(plane.held)) for plane in self.planes]
        if refit:
            HeadFitter(network, training.device, training.bf16).fit(every)
        ForestGrower(network, training.device, training.settings.seed).grow(every)

    def _learn(self, patch: Patch) -> None:
        request = self._request
        settings = self._training.settings
        if settings.kind != "strokes":
            mend = f"the annotations are {settings.kind}; choose kind=strokes to add some"
            raise InputError("sent", f"patch {patch.number}", mend)
        if self._scene is None:
            self._scene = Scene(
                request.images, request.annotations, self._spec, settings.held_out, self.planes
            )
        self._scene.take([patch])
        self.arrivals.append([patch.number, self._training.step])
        self.planes = self._scene.planes
        chances = chances_of(self.planes, request.shares, len(request.images))
        problem = pose_problem(self.planes, self._spec, settings)
        self._training.be_taught_by(None)  # it does not know the new stroke
        self._training.learn_from(self.planes, chances, problem)


def chances_of(
    planes: Sequence[Plane], shares: Sequence[float] | None, images: int
) -> NDArray[np.float64]:
    """How often each plane is drawn: the share of its image, divided among its planes.

    Raises
    ------
    InputError
        If there is not one positive share for each image.
    """
    wanted = np.ones(images) if shares is None else np.asarray(shares, np.float64)
    if wanted.shape != (images,) or not (wanted > 0).all():
        mend = f"give a number above 0 for each of the {images} images"
        raise InputError("shares", wanted.tolist(), mend)
    counts = np.bincount([p.image for p in planes], minlength=images)
    return np.array([wanted[p.image] / counts[p.image] for p in planes])
