"""What the files that are written for an image are called after."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .core.errors import InputError
from .image_folders import READABLE

AMBIGUOUS = "give each annotation the whole name of its image, such as x.tif for x.tif"
SUFFIXES = (".ome.tif", ".ome.tiff", ".ome.zarr", *READABLE)


def base_name(path: Path) -> str:
    """The name without what tells the kind of file; other dots belong to it.

    >>> base_name(Path("A1.t001.tif")), base_name(Path("stack.ome.tif"))
    ('A1.t001', 'stack')
    """
    name = path.name
    kinds = [suffix for suffix in SUFFIXES if name.lower().endswith(suffix) and name.lower() != suffix]
    return name[: -max(map(len, kinds))] if kinds else name


def result_names(paths: Iterable[Path]) -> dict[Path, str]:
    """A name for the results of each image, different ones for different images.

    Parameters
    ----------
    paths : iterable of Path
        All images whose results go to one folder.

    Returns
    -------
    dict of Path to str
        The `base_name`; of images that would share it, the whole name (``x.png`` beside ``x.tif``); of
        those of equal names in different folders, with as many folders before it as tell them apart
        (``day1_x``). Small and capital letters count as equal, as on most disks, except where the disk
        of the images tells them apart.

    Raises
    ------
    InputError
        If two images cannot be told apart so.
    """
    places = {path: Path(os.path.abspath(path)) for path in paths}
    choices = {place: _choices(place) for place in places.values()}
    level = dict.fromkeys(choices, 0)
    while clashing := _clashing({place: names[level[place]] for place, names in choices.items()}):
        # Where a whole name equals another's base name, the whole name stays.
        shortest = min(level[place] for place in clashing)
        for place in clashing:
            level[place] += level[place] == shortest
            if level[place] == len(choices[place]):
                raise InputError("images", str(place), "rename it: another one's results are called so")
    return {path: choices[place][level[place]] for path, place in places.items()}


def pair_by_name(images: Sequence[Path], annotations: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Images with the annotations of the same name, or else of the same `base_name`; images without
    any are left out.

    Raises
    ------
    InputError
        If several images, or several annotations, are called so.
    """
    by_name = {path.name: path for path in annotations}
    alike: dict[str, list[Path]] = {}
    for path in annotations:
        alike.setdefault(base_name(path), []).append(path)
    pairs: dict[Path, Path] = {}
    for image in images:
        found = [by_name[image.name]] if image.name in by_name else alike.get(base_name(image), [])
        if len(found) > 1:
            received = f"{found[0].name} and {found[1].name} for {image.name}"
            raise InputError("annotations", received, AMBIGUOUS)
        for annotation in found:
            if annotation in pairs:
                received = f"{annotation.name} for {pairs[annotation].name} and {image.name}"
                raise InputError("annotations", received, AMBIGUOUS)
            pairs[annotation] = image
    return [(image, annotation) for annotation, image in pairs.items()]


def _choices(place: Path) -> list[str]:
    """What its results may be called, the shortest first."""
    names, folders = [base_name(place), place.name], place.parent.parts[1:]
    for count in range(1, len(folders) + 1):
        before = "_".join(folders[-count:])
        names += [f"{before}_{base_name(place)}", f"{before}_{place.name}"]
    return names


def _clashing(chosen: Mapping[Path, str]) -> list[Path]:
    """Those whose name another one has; paths that differ in capitals alone lie where both can be."""
    exact = Counter(chosen.values())
    pairs = {(name.casefold(), str(place).casefold()) for place, name in chosen.items()}
    loose = Counter(name for name, _ in pairs)
    return [p for p, name in chosen.items() if exact[name] > 1 or loose[name.casefold()] > 1]
