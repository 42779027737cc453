"""What a network in training answers at once: by a head fitted to the strokes, by a forest beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.annotation import View
from ..core.image import ImageBlock
from ..networks import ReadableNetwork
from ..networks.forested import Forested
from .annotated import Plane
from .grow import ForestGrower, warm_up
from .quick import HeadFitter
from .starts import Start
from .teacher import Teacher
from .view_maps import ViewMaps


class QuickAnswers:
    """Answers for the view, under one state of the network after the other.

    While it is trained, strokes are answered by what was last read of it, so that they need not wait for
    another reading: head and maps are of one moment, a few steps ago.

    Parameters
    ----------
    network : ReadableNetwork
        On its device.
    start : Start
        What it began as.
    images : sequence of ImageBlock
        As the job has them.
    device : torch.device
        Where it is.
    bf16 : bool
        Compute in bfloat16.
    seed : int
        Of the forest.

    Attributes
    ----------
    has_forest : bool
        A forest stands beside the network.
    forest_is_due : bool
        The strokes have changed since it was grown.
    teacher : Teacher or None
        Network and forest as they are once that is grown, for what nobody annotated.
    """

    def __init__(
        self,
        network: ReadableNetwork,
        start: Start,
        images: Sequence[ImageBlock],
        device: torch.device,
        bf16: bool,
        seed: int,
    ) -> None:
        self._network, self._device, self._bf16 = network, device, bf16
        self._maps = ViewMaps(images, start.spec, network, device, bf16)
        self._fitter = HeadFitter(network, device, bf16, not start.fits_head, self._maps.features)
        self._grower: ForestGrower | None = None
        if isinstance(network, Forested):
            self._grower = ForestGrower(network, device, seed)
            threading.Thread(target=warm_up, daemon=True).start()
        self._trained = False  # since pixels were first remembered
        self.forest_is_due = False
        self.teacher: Teacher | None = None

    @property
    def has_forest(self) -> bool:
        return self._grower is not None

    @property
    def view(self) -> View | None:
        return self._maps.view

    def look_at(self, view: View) -> None:
        """Another part is visible."""
        self._maps.look_at(view)

    @property
    def unread(self) -> bool:
        """Whether nothing was read of the view yet."""
        return self._maps.unread

    @property
    def outdated(self) -> bool:
        """Whether `read` has something to do."""
        return self._maps.outdated

    def read(self) -> None:
        """Read the view under the network as it is; what is known of pixels is read again, too."""
        if self._trained and self.outdated:
            self._fitter.forget()
            self._trained = False
        self._maps.read()

    def fit(self, planes: Sequence[Plane]) -> None:
        """Fit the head to all strokes, on the features that were read last.

        A forest, which knows the former strokes only, is left out until it is grown.
        """
        if isinstance(self._network, Forested):
            self._network.set_forest(None)
        self.teacher = None  # it does not know them
        self._fitter.fit(planes)
        self.forest_is_due = self.has_forest

    def growing(self, planes: Sequence[Plane]) -> Iterator[None]:
        """Grow the forest for the strokes there are, in short steps; given up half-way, it is still
        due."""
        assert self._grower is not None
        yield from self._grower.growing(planes)
        self.teacher = Teacher(self._network, self._device, self._bf16)
        self._maps.forest_changed()
        self.forest_is_due = False

    def voting(self) -> Iterator[None]:
        """Let the forest vote on the view, in short steps."""
        yield from self._maps.voting()

    def answer(self) -> tuple[View, NDArray[np.uint8], NDArray[np.uint8]]:
        """Classes and uncertainty of the view."""
        return self._maps.answer()

    def network_changed(self) -> None:
        """By training: what was read is of a former state, until the next `read`."""
        self._fitter.network_changed()
        self._maps.network_changed()
        self._trained = True
        if self.view is None:  # nobody will read
            self._fitter.forget()
