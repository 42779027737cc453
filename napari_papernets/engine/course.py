"""The course of a live training: which strokes it learnt from and when, kept so that it can be repeated.

What a network becomes while a person paints depends on more than the strokes at the end: on the order
in which they came, on what was in view, on how many steps lay between them, on what was erased again.
A course has all of it, as a list of deeds, and lies beside the version that it led to.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import write_atomically
from ..core.annotation import Patch, View
from ..core.errors import InputError
from ..core.image import ImageBlock

FORMAT = 1
LOOK, READ, TAKE, FIT, GROW = "look", "read", "take", "fit", "grow"
BEGIN, STEP, KEEP = "begin", "step", "keep"

MOST_BEGUN = 2**26  # pixels of what was annotated when it began: a longer course is not kept

Packed = dict[str, Any]
"""A patch, JSON-able."""
Deed = list[Any]
"""Its kind, and what belongs to it: ["step", 80], ["take", patch, patch]."""


@dataclass
class Course:
    """What a live training did, in order.

    Attributes
    ----------
    settings : mapping
        `TuneSettings` as JSON.
    begun : list of Patch or dict
        What was annotated when it began; like patches of `deeds` packed when it is written.
    made : mapping
        Checksums of images and start; device, precision, threads, processor and versions of packages.
    classes : int
        K.
    deeds : list of list
        ``look`` at a view and ``read`` it, ``take`` patches, ``fit`` the quick head, ``grow`` the
        forest, ``begin`` a round, ``step`` (so many of the optimiser), ``keep`` a version.
    """

    settings: Mapping[str, Any]
    begun: list[Patch | Packed]
    made: Mapping[str, Any]
    classes: int
    deeds: list[Deed] = field(default_factory=list)

    def note(self, kind: str, *values: Any) -> None:
        """Something was done."""
        last: Deed = self.deeds[-1] if self.deeds else [""]
        if kind == STEP:
            if last[0] == STEP:
                last[1] += 1
                return
            values = (1,)
        elif kind == LOOK:
            view: View = values[0]
            values = view.image, list(view.plane), list(view.region)
        elif kind == last[0] and kind in (READ, BEGIN):
            return  # twice is as once
        self.deeds.append([kind, *values])

    @property
    def steps(self) -> int:
        """Of the optimiser."""
        return sum(deed[1] for deed in self.deeds if deed[0] == STEP)

    def annotations(self, images: Sequence[ImageBlock], last: bool) -> list[NDArray[np.uint8]]:
        """What was annotated of each image (*stack, Y, X), when it began or at the `last`.

        Raises
        ------
        InputError
            If strokes lie outside these images.
        """
        found = [np.zeros((*image.stack_shape, *image.plane_shape), np.uint8) for image in images]
        taken = [one for deed in self.deeds if deed[0] == TAKE for one in deed[1:]] if last else []
        for patch in (unpacked(one) for one in (*self.begun, *taken)):
            where = f"strokes in plane {patch.plane} of image {patch.image + 1}"
            mend = "give the images that were painted on, in the same order"
            if patch.image >= len(found):
                raise InputError("course", f"{where}, of {len(found)}", mend)
            try:
                plane = found[patch.image][patch.plane]
                height, width = patch.labels.shape
                plane[patch.y : patch.y + height, patch.x : patch.x + width] = patch.labels
            except (IndexError, ValueError):
                raise InputError("course", where, mend) from None
        return found

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        self.begun = [packed(patch) for patch in self.begun]
        for deed in self.deeds:
            if deed[0] == TAKE:
                deed[1:] = [packed(patch) for patch in deed[1:]]
        known = dict(
            format=FORMAT, settings=dict(self.settings), made=dict(self.made), classes=self.classes,
            begun=self.begun, deeds=self.deeds,
        )  # fmt: skip
        write_atomically(path, json.dumps(known).encode())


def read_course(path: Path) -> Course:
    """Read what `Course.write` wrote.

    Raises
    ------
    InputError
        If there is no such file, or it is none, damaged, or of a newer format.
    """
    mend = "give the course that lies beside a version of a session"
    try:
        known = json.loads(path.read_bytes())
        if known["format"] > FORMAT:
            newer = f"{path}, of format {known['format']}"
            raise InputError("course", newer, f"this program knows {FORMAT}: get a newer one")
        made, classes = dict(known["made"]), int(known["classes"])
        begun: list[Patch | Packed] = [unpacked(one) for one in known["begun"]]
        deeds = [_read_deed(*deed) for deed in known["deeds"]]
        course = Course(known["settings"], begun, made, classes, deeds)
    except OSError as error:
        raise InputError("course", f"{path}: {error.strerror}", mend) from error
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, zlib.error) as error:
        raise InputError("course", f"{path}, which is none or damaged", mend) from error
    return course


def strokes_of(image: int, plane: tuple[int, ...], labels: NDArray[Any]) -> Patch:
    """The part of a plane's labels (Y, X) that is painted."""
    rows, columns = (np.flatnonzero(labels.any(axis)) for axis in (1, 0))
    y, x = int(rows[0]), int(columns[0])
    part = labels[y : rows[-1] + 1, x : columns[-1] + 1]
    return Patch(image, plane, y, x, part.astype(np.uint8), 0)


def packed(patch: Patch | Packed) -> Packed:
    """A patch, JSON-able; one that is so already stays as it is."""
    if not isinstance(patch, Patch):
        return patch
    labels = np.ascontiguousarray(patch.labels, np.uint8)
    return dict(
        image=patch.image, plane=[int(n) for n in patch.plane], y=int(patch.y), x=int(patch.x),
        shape=list(labels.shape), number=patch.number,
        labels=base64.b64encode(zlib.compress(labels.tobytes(), 1)).decode(),
    )  # fmt: skip


def unpacked(one: Patch | Packed) -> Patch:
    """A patch as it was before it was packed."""
    if isinstance(one, Patch):
        return one
    height, width = one["shape"]
    labels = np.frombuffer(zlib.decompress(base64.b64decode(one["labels"])), np.uint8)
    place = int(one["image"]), tuple(map(int, one["plane"])), int(one["y"]), int(one["x"])
    if min(place[0], place[2], place[3]) < 0:
        raise ValueError("places begin at 0")
    return Patch(*place, labels.reshape(height, width), int(one["number"]))


def view_of(values: Sequence[Any]) -> View:
    """The view that a ``look`` names."""
    image, plane, (y0, y1, x0, x1) = values
    return View(int(image), tuple(map(int, plane)), (int(y0), int(y1), int(x0), int(x1)))


def _read_deed(kind: str, *values: Any) -> Deed:
    """A deed with its patches unpacked; raises ValueError, KeyError or the like where it is none."""
    if kind == TAKE:
        return [kind, *(unpacked(one) for one in values)]
    if kind == LOOK:
        view_of(values)
    elif kind == STEP:
        if int(values[0]) != values[0] or values[0] < 1:
            raise ValueError("steps are counted")
    elif kind not in (READ, FIT, GROW, BEGIN, KEEP):
        raise ValueError(f"unknown deed {kind!r}")
    return [kind, *values]
