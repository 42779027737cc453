"""Which files of a folder are images, and which of them this program wrote."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .core.errors import InputError

TIFF = (".tif", ".tiff")
JPEG = (".jpg", ".jpeg")
READABLE = (*TIFF, ".png", *JPEG, ".npy", ".zarr")

# What the names of results end in, after the name of their image.
LABELS, PROBABILITIES, TABLE = "_labels.tif", "_probabilities.tif", "_objects.csv"
PCA, CLUSTERS, ROLLOUT, TOKENS = "_pca.tif", "_clusters.tif", "_rollout.tif", "_tokens"
RESULTS = (LABELS, PROBABILITIES, PCA, CLUSTERS, ROLLOUT, f"{TOKENS}.zarr")  # the images of them


@dataclass(frozen=True)
class Listing:
    """Images in a folder, and how many results of this program beside them were left out."""

    images: list[Path]
    left_out: int = 0


def list_folder(folder: str | Path, results: bool = False) -> Listing:
    """Images in a folder, numbers in their names in order of size (t2 before t10).

    Parameters
    ----------
    folder : str or Path
        Whose folders are not looked into.
    results : bool
        Whether what this program wrote (beside its NAME_provenance.json) is among them.

    Returns
    -------
    Listing
        One image at least.

    Raises
    ------
    InputError
        If there is no such folder, it may not be listed, or no image is in it.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):
        raise InputError("folder", str(folder), "there is no such folder")
    try:
        found = [p for p in folder.iterdir() if not p.name.startswith(".") and _is_image(p)]
    except PermissionError as error:
        mend = "it may not be listed: change its permissions, or copy it to a folder of yours"
        raise InputError("folder", str(folder), mend) from error
    if not found:
        raise InputError("folder", f"{folder} without an image", f"put {names_of(READABLE)} into it")
    wanted = [p for p in found if results or not _is_result(p)]
    if not wanted:
        mend = "give the folder of the images, or single files"
        raise InputError("folder", f"{folder}, where only results of this program are", mend)
    return Listing(sorted(wanted, key=_natural_key), len(found) - len(wanted))


def _is_image(path: Path) -> bool:
    """By its name, or for a folder by what is in it; one that may not be looked into is none."""
    if path.is_dir():
        return is_zarr(path)
    return path.suffix.lower() in READABLE and path.is_file()


def _is_result(path: Path) -> bool:
    stem = next((path.name.removesuffix(end) for end in RESULTS if path.name.endswith(end)), "")
    return bool(stem) and path.with_name(f"{stem}_provenance.json").is_file()


def is_folder(path: Path) -> bool:
    """Whether it is a folder of files, which an image in zarr's format is not, however it is called."""
    return os.path.isdir(path) and path.suffix.lower() != ".zarr" and not is_zarr(path)


def is_zarr(path: Path) -> bool:
    """Whether `path` is a folder that holds a zarr array or group, of format 2 or 3."""
    try:
        return any((path / name).is_file() for name in ("zarr.json", ".zarray", ".zgroup"))
    except PermissionError:
        return False


def names_of(suffixes: Sequence[str]) -> str:
    """As a sentence lists them: \"a, b or c\"."""
    return f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"


def _natural_key(path: Path) -> list[tuple[int, int | str]]:
    parts = re.findall(r"\d+|\D+", path.name.casefold())
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts]
