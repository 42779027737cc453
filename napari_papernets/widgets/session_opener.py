"""Reads a session, and shows its images, strokes, classes and versions in the viewer."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.image import ImageBlock
from ..journal import Place, are_equal
from ..session import ImageInfo, Session, VersionRecord, check_image, open_session
from .annotation_layer import (
    SESSION,
    adopt_annotation,
    annotation_array,
    check_shape,
    empty_labels,
    new_annotation,
)
from .image_layers import block_of, layer_axes
from .outputs import is_output
from .painting import Painting

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer


@dataclass(frozen=True, eq=False)
class OpenedSession:
    """A session that was read.

    Attributes
    ----------
    session : Session
        Open.
    strokes : dict
        Labels (Y, X) of every plane that was painted on, by number of the image and plane.
    blocks : mapping of int to ImageBlock
        The images that lie in files.
    versions : tuple of VersionRecord
        By number.
    known : int
        The version in use has learnt from the strokes as they were at this patch; 0 without one.
    """

    session: Session
    strokes: dict[Place, NDArray[Any]]
    blocks: Mapping[int, ImageBlock]
    versions: tuple[VersionRecord, ...]
    known: int


def read_session(folder: Path) -> OpenedSession:
    """Open a session and read all of it; free of Qt and napari.

    Raises
    ------
    InputError
        See `open_session`.
    """
    session = open_session(folder)
    try:
        strokes = session.annotation()
        blocks = {}
        for info in session.info.images:
            with contextlib.suppress(InputError, OSError):  # it may be in the viewer
                blocks[info.number] = session.image(info.number)
        known = session.journal.newest if _knows(session, strokes) else 0
        return OpenedSession(session, strokes, blocks, session.versions(), known)
    except BaseException:
        session.close()
        raise


def _knows(session: Session, strokes: Mapping[Place, NDArray[Any]]) -> bool:
    """Whether the version in use has seen these strokes and no others."""
    versions, in_use = session.versions(), session.info.in_use
    used = [v for v in versions if v.number == in_use] if in_use is not None else versions[-1:]
    return any(are_equal(strokes, session.annotation(version.patch)) for version in used)


def show_session(
    viewer: napari.viewer.Viewer, painting: Painting, opened: OpenedSession
) -> tuple[str, ...]:
    """Show the images with their strokes; images that are in the viewer already are taken.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where.
    painting : Painting
        It begins anew.
    opened : OpenedSession
        What was read.

    Returns
    -------
    tuple of str
        Names of the images that could not be found.
    """
    session = opened.session
    painting.restart(session.journal.newest + 1)
    painting.set_classes(session.info.classes)
    missing = []
    for info in _wanted(viewer, session):
        planes = {plane: labels for (n, plane), labels in opened.strokes.items() if n == info.number}
        taken = [pair.image for pair in painting.images.pairs()]
        image = find_image(viewer, info, taken) or _add_image(
            viewer, opened.blocks.get(info.number), info
        )
        if image is None:
            missing.append(info.name)
            continue
        strokes = empty_labels(info.annotation_shape)
        for plane, labels in planes.items():
            strokes[plane] = labels
        layer = strokes_layer(viewer, session, info, image)
        if layer is None:
            layer = new_annotation(viewer, image, info.axes, session.info.classes, strokes)
        else:
            adopt_annotation(layer, image, info.axes, session.info.classes)
        same = np.array_equal(annotation_array(layer, image, info.axes), strokes)
        painting.add(image, layer, info.axes, info.number, delivered=same)
    return tuple(missing)


def _wanted(viewer: napari.viewer.Viewer, session: Session) -> list[ImageInfo]:
    """The images that were annotated last; where a panel has left strokes of the session in the viewer,
    those."""
    marks = [layer.metadata.get(SESSION) for layer in viewer.layers]
    left = [info for info in session.info.images if (str(session.folder), info.number) in marks]
    current = session.info.current
    return left or [info for info in session.info.images if not current or info.number in current]


def strokes_layer(
    viewer: napari.viewer.Viewer, session: Session, info: ImageInfo, image: napari.layers.Image
) -> napari.layers.Labels | None:
    """The layer of these strokes that a panel has left, with what was painted since."""
    for layer in viewer.layers:
        if layer.metadata.get(SESSION) == (str(session.folder), info.number):
            with contextlib.suppress(InputError):
                check_shape(layer, image, info.axes)
                return layer
    return None


def find_image(
    viewer: napari.viewer.Viewer, info: ImageInfo, taken: Sequence[napari.layers.Layer] = ()
) -> napari.layers.Image | None:
    """The layer that shows an image of a session, and is not taken: same shape, same pixels. Of several
    the one of its name."""
    from napari.layers import Image

    for layer in sorted(viewer.layers, key=lambda one: one.name != info.name):
        if not isinstance(layer, Image) or is_output(layer) or layer in taken:
            continue
        if len(info.axes) != layer.ndim + bool(layer.rgb) or len(layer_axes(layer, info.axes)) < 2:
            continue
        try:
            check_image(info, block_of(layer, info.axes))
        except InputError:
            continue
        return layer
    return None


def _add_image(
    viewer: napari.viewer.Viewer, block: ImageBlock | None, info: ImageInfo
) -> napari.layers.Image | None:
    """Show an image where it lay; by its scale alone where its file has other axes than its layer."""
    if block is None:
        return None
    rgb = block.axes[-1] == "C" and block.channels in (3, 4)
    place = {k: v if k == "units" else np.array(v) for k, v in info.place.items()}
    if len(place.get("scale", ())) != len(block.axes) - rgb or block.axes != info.axes:
        place = dict(scale=block.scale[:-1] if rgb else block.scale, units=block.unit)
    return viewer.add_image(
        np.asarray(block.data) if isinstance(block.data, np.ndarray) else block.data,
        name=block.name, rgb=rgb, metadata={"axes": block.axes}, **place,
    )  # fmt: skip
