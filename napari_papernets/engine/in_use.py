"""The version in use, and the new one that is judged beside it before it takes its place."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

import torch

from ..core.events import Compared
from ..core.model import ModelRef
from .annotated import Plane
from .compare import can_compare, comparing


class InUse:
    """The last version that was judged.

    Parameters
    ----------
    begun_with : ModelRef or None
        The model that the training began with, where that is one.
    device : torch.device
        Where to compare.
    bf16 : bool
        Compute in bfloat16.

    Attributes
    ----------
    comparison : generator or None
        Judges the newest version beside the one in use, in steps; returns a `Compared`.
    """

    def __init__(self, begun_with: ModelRef | None, device: torch.device, bf16: bool) -> None:
        self._begun_with = self._version = begun_with
        self._device, self._bf16 = device, bf16
        self.comparison: Generator[None, None, Compared] | None = None

    def challenge(self, new: ModelRef, planes: Sequence[Plane]) -> bool:
        """Begin to judge a new version on these planes; whether the two can be compared. Without a
        comparison it is in use at once; a comparison that has not ended yet is given up."""
        old, self.comparison = self._version, None
        renamed = old is not self._begun_with  # by the person, since it is of this training
        if old is None or not can_compare(old, new, renamed):
            self._version = new
            return False
        self.comparison = comparing(old, new, planes, self._device, self._bf16, renamed)
        return True

    def compare(self) -> Iterator[Compared]:
        """A step of the comparison; the last one tells of it."""
        assert self.comparison is not None
        try:
            next(self.comparison)
        except StopIteration as end:
            self.comparison, self._version = None, end.value.new
            yield end.value
