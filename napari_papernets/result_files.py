"""Which files in a folder are results of this program, so that no others are ever replaced by them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .atomic import LONGEST_WRITTEN, check_folder
from .core.errors import InputError
from .files import write_json

ACCOUNT = "_provenance.json"  # beside the results of every image
SHOWN = 40  # letters of a name in a message


def check_results(
    folder: Path, stems: Iterable[str], ends: Sequence[str], inputs: Iterable[Path], field: str = "out"
) -> None:
    """Refuse results that cannot be written or would take something away, before the work for them.

    Parameters
    ----------
    folder : Path
        Where the results will be written; nothing is made yet.
    stems : iterable of str
        What the results of each image are called after, as from `file_names.result_names`.
    ends : sequence of str
        What their names end in, as in "_labels.tif"; their account is added.
    inputs : iterable of Path
        What is read.
    field : str
        What errors call the folder.

    Raises
    ------
    InputError
        If nothing may be written there, a name is too long, a result would replace what is read, or
        what is there is not of this program by the account beside it.
    """
    check_folder(folder, field)
    read = {_identity(path) for path in inputs if path.exists()}
    for stem in stems:
        account = read_account(folder, stem)
        for end in (*ends, ACCOUNT):
            _check_result(folder / f"{stem}{end}", account, read, field)


def read_account(folder: Path, stem: str) -> Mapping[str, Any]:
    """The account of the results that are called so; empty where there is none of this program."""
    try:
        account = json.loads((folder / f"{stem}{ACCOUNT}").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    ours = isinstance(account, dict) and "verb" in account
    return account if ours and isinstance(account.get("files", []), list) else {}


def write_account(folder: Path, stem: str, provenance: Mapping[str, Any], ends: Iterable[str]) -> Path:
    """Write provenance with the names of the results: those that end so, and those of other verbs.

    It comes before them, since a run that is cut short must not leave results that are nobody's.
    Beside an account without names, as earlier versions wrote it, they stay untold.
    """
    before, path = read_account(folder, stem), folder / f"{stem}{ACCOUNT}"
    if before and "files" not in before:
        write_json(path, provenance)
    else:
        names = {f"{stem}{end}" for end in ends} | set(map(str, before.get("files", ())))
        write_json(path, {**provenance, "files": sorted(names)})
    return path


def _check_result(
    path: Path, account: Mapping[str, Any], read: set[tuple[int, int]], field: str
) -> None:
    if len(os.fsencode(path.name)) > LONGEST_WRITTEN:
        mend = f"give it a shorter name: its results' may have {LONGEST_WRITTEN} bytes"
        raise InputError("image", f"{path.name[:SHOWN]}…", mend)
    if not os.path.lexists(path):
        return
    if path.exists() and _identity(path) in read:
        mend = "a result would replace it: choose another folder for the results"
        raise InputError(field, f"{path}, which is read in this run", mend)
    told = account.get("files")
    if not account or (told is not None and path.name not in told and not path.name.endswith(ACCOUNT)):
        received = f"{path}, which this program did not write"
        raise InputError(field, received, "move it away, or choose another folder for the results")


def _identity(path: Path) -> tuple[int, int]:
    """Of the file, by whatever path it is reached."""
    found = path.stat()
    return found.st_dev, found.st_ino
