"""Model files without their weights: finding them, and reading what their headers say.

A model is one ``.safetensors`` file with its ModelSpec as JSON in the header, so the viewer can list
models without torch, and nothing is ever unpickled.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs

from .core.errors import InputError, ModelError
from .core.model import ModelRef, ModelSpec
from .training_lock import is_trained, training

SUFFIX = ".safetensors"
TORCH_SUFFIXES = (".pth", ".pt")
HEADER_KEY = "papernets"
COURSE_SUFFIX = ".course.json"  # what repeats the live training that made a model; see engine.course
CHECKPOINT_SUFFIX, TRAINING_KEY = ".checkpoint", "papernets_training"
MAY_CHANGE = ("seconds", "steps", "checkpoint_every")  # between interruption and resumption
LONGEST_NAME = 200  # bytes: file systems take 255, and more is put around it
MAX_HEADER = 100_000_000  # bytes; the format's own limit

BUNDLED = Path(__file__).parent / "models"


def user_folder() -> Path:
    """Where models that the user trains or imports are kept (made when first written to)."""
    return Path(platformdirs.user_data_dir("napari-papernets", appauthor=False)) / "models"


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a model and its file.

    Raises
    ------
    InputError
        If it is empty, too long or holds anything but letters, digits, spaces and ``. _ -``.
    """
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w. -]*", name):
        raise InputError("name", repr(name), "use letters, digits, spaces, and . _ - between them")
    if len(name.encode()) > LONGEST_NAME:
        raise InputError("name", f"{len(name)} letters", f"use at most {LONGEST_NAME}")


def usable_name(text: str) -> str:
    """A name for a model that `check_name` takes, as like `text` as may be."""
    plain = re.sub(r"[^\w. -]", "-", text).lstrip("-. ")
    return plain.encode()[:LONGEST_NAME].decode(errors="ignore") or "model"


def name_to_write(name: str | None, usual: str, folder: Path, resume: bool) -> str:
    """The name of a new model: the one that is given, whatever is called so already, or a free one.

    Parameters
    ----------
    name : str or None
        What the user calls it.
    usual : str
        Where that is None: this, or ``usual-2``, … where a model or checkpoint is called so.
    folder : Path
        Where the model will be written.
    resume : bool
        The last of these that has a checkpoint, and is not being trained, goes on; a free one where none
        has.

    Raises
    ------
    InputError
        If the name cannot be that of a model, or is that of a bundled one.
    """
    if name is not None:
        check_name(name)
        if _is_bundled_name(name, folder):
            mend = "a bundled model is called so; give another name, or another folder"
            raise InputError("name", repr(name), mend)
        return name
    number, found = 1, ""
    while True:
        free = usual if number == 1 else f"{usual}-{number}"
        unfinished = (folder / f"{free}{CHECKPOINT_SUFFIX}").exists() and not is_trained(folder, free)
        if not is_taken(free, folder):
            return found if resume and found else free
        number, found = number + 1, free if unfinished else found


@contextmanager
def reserved(name: str | None, usual: str, folder: Path, resume: bool) -> Iterator[str]:
    """A name as from `name_to_write`, which no other training takes meanwhile.

    Raises
    ------
    InputError
        As `name_to_write`, and if a model of the name that is given is being trained.
    """
    while True:
        chosen = name_to_write(name, usual, folder, resume)
        with training(folder, chosen) as mine:
            if mine:
                yield chosen
                return
        if name is not None:
            mend = f"a training under way writes it to {folder}; wait for its end, or give another name"
            raise InputError("name", repr(name), mend)


def is_taken(name: str, folder: Path) -> bool:
    """Whether a model is called so, or a training that goes on or was not finished; or a bundled one."""
    if is_trained(folder, name):
        return True
    there = any((folder / f"{name}{suffix}").exists() for suffix in (SUFFIX, CHECKPOINT_SUFFIX))
    return there or _is_bundled_name(name, folder)


def _is_bundled_name(name: str, folder: Path) -> bool:
    """Names of bundled models are kept free among the user's own, where they would not be found."""
    return folder.absolute() == user_folder().absolute() and model_path(BUNDLED, name).exists()


def takes_place_of(folder: Path, name: str, start: str | Path | ModelRef) -> bool:
    """Whether the new model `name` takes the place of the one that it starts from."""
    try:
        path = find_model(start).path
    except ModelError:  # "scratch", "auto", or a file of another program
        return False
    return path.resolve() == model_path(folder, name).resolve()


def model_path(folder: Path, name: str) -> Path:
    """The file of a model."""
    return folder / f"{name}{SUFFIX}"


def still_free(name: str, usual: str, folder: Path) -> str:
    """The name, or the next free one where another has taken it since it was free."""
    if not model_path(folder, name).exists():
        return name
    return name_to_write(None, usual, folder, resume=False)


def list_models(folder: str | Path | None = None) -> tuple[ModelRef, ...]:
    """Bundled models, then those of `folder` (the user's own by default); damaged files are left out.

    A model is called as its file is, so that a copy beside it has a name of its own.
    """
    return tuple(_read_all(BUNDLED)) + tuple(_read_all(Path(folder or user_folder())))


def is_bundled(path: Path) -> bool:
    """Whether a file is one of the models that come with the program."""
    return path.absolute().parent == BUNDLED.absolute()


def find_model(name_or_path: str | Path | ModelRef) -> ModelRef:
    """The model of that name, or in that file.

    Raises
    ------
    ModelError
        If there is none, or the file is not a model of this program.
    """
    if isinstance(name_or_path, ModelRef):
        return name_or_path
    if not isinstance(name_or_path, str | Path):
        raise ModelError("model", repr(name_or_path), "give the name or the file of a model")
    path = Path(name_or_path).expanduser()
    if os.path.isfile(path):  # of a name that is too long too: it is none
        return ModelRef(describe_file(path), path)
    models = {ref.name: ref for ref in list_models()} | {ref.name: ref for ref in _read_all(BUNDLED)}
    if str(name_or_path) not in models:
        known = ", ".join(models) or "none yet"
        raise ModelError("model", repr(str(name_or_path)), f"give a file or one of: {known}")
    return models[str(name_or_path)]


def check_there(path: Path) -> None:
    """Refuse the file of a model that was found earlier and is gone."""
    if not path.is_file():
        raise ModelError("model", str(path), "the file is gone: choose another model, or put it back")


def holds_vgg16(path: Path) -> bool:
    """Whether a file may hold VGG-16's weights, from which a DeepLab can start.

    Of a safetensors file the header tells; torch's own files are opened in the engine only, which
    refuses what they should not hold.
    """
    if path.suffix in TORCH_SUFFIXES:
        return path.is_file()
    if path.suffix != SUFFIX or not path.is_file():
        return False
    header = read_header(path)
    described = HEADER_KEY in (header.get("__metadata__") or {})
    return not described and "features.0.weight" in header and "features.28.weight" in header


def describe_file(path: Path) -> ModelSpec:
    """The description in a file; among the models of program and user it is called as the file is.

    Raises
    ------
    ModelError
        As `read_spec`.
    """
    spec = read_spec(path)
    listed = path.absolute().parent in (BUNDLED.absolute(), user_folder().absolute())
    return replace(spec, name=path.stem) if listed else spec


def read_spec(path: Path) -> ModelSpec:
    """Read the description out of a model file's header.

    Raises
    ------
    ModelError
        If the file is truncated, is no safetensors file (a renamed pickle, say), or was written by
        another program.
    """
    metadata = read_header(path).get("__metadata__", {})
    if not isinstance(metadata, dict) or HEADER_KEY not in metadata:
        mend = "it is not a model of napari-papernets; choose one made by it"
        raise ModelError("model", f"{path.name} without a model description", mend)
    try:
        values = json.loads(metadata[HEADER_KEY])
    except (TypeError, json.JSONDecodeError) as error:
        mend = "its header is damaged; save or download the model again"
        raise ModelError("model", path.name, mend) from error
    return ModelSpec.from_dict(values, source=path.name)


def is_model_file(path: Path) -> bool:
    """Whether a file is a model of this program, and not another's weights.

    Raises
    ------
    ModelError
        If it is called as models are, and cannot be read.
    """
    if path.suffix != SUFFIX:
        return False
    metadata = read_header(path).get("__metadata__", {})
    return isinstance(metadata, dict) and HEADER_KEY in metadata


def read_training(path: Path) -> Mapping[str, Any]:
    """How far the training in a checkpoint is, and with which settings; its weights stay unread.

    Raises
    ------
    ModelError
        If the file is cut off, or is no checkpoint of this program.
    """
    metadata = read_header(path).get("__metadata__", {})
    try:
        facts = json.loads(metadata[TRAINING_KEY])
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        mend = "it is not a checkpoint of a training; start anew"
        raise ModelError("resume", path.name, mend) from error
    return dict(facts)


def read_header(path: Path) -> Mapping[str, Any]:
    """The JSON header of a safetensors file, its lengths checked against the file.

    Raises
    ------
    ModelError
        If the file cannot be read, or is cut off or no safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(8)
            length = struct.unpack("<Q", head)[0] if len(head) == 8 else MAX_HEADER + 1
            raw = file.read(length) if length <= min(size, MAX_HEADER) else b""
        header = json.loads(raw)
        if not isinstance(header, dict):
            raise ValueError("header is no mapping")
        ends = [int(t["data_offsets"][1]) for k, t in header.items() if k != "__metadata__"]
    except OSError as error:
        raise ModelError("model", str(path), f"the file cannot be read ({error})") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        mend = "give a .safetensors file written by napari-papernets (pickles are never opened)"
        raise ModelError("model", f"{path.name}, which is not a safetensors file", mend) from error
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        what = "it was cut off" if size < expected else "something was added"
        mend = f"it should have {expected}; {what}: copy or download it again"
        raise ModelError("model", f"{path.name} with {size} bytes", mend)
    return header


def _read_all(folder: Path) -> Iterator[ModelRef]:
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            yield ModelRef(describe_file(path), path)
        except ModelError:
            continue
