"""Training states on disk: safetensors, with everything else as JSON in the header."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn, optim

from ..atomic import write_atomically
from ..core.errors import InputError
from ..core.fields import Settings
from ..model_files import CHECKPOINT_SUFFIX as SUFFIX
from ..model_files import MAY_CHANGE
from ..model_files import SUFFIX as MODEL_SUFFIX
from ..model_files import TRAINING_KEY as STATE_KEY
from .annotated import Plane

STATE_VERSION = 1
# What the header of every checkpoint tells, whatever it was of.
FACTS: Mapping[str, Any] = dict(
    version=int, step=int, seconds=int | float, settings=dict, spec=dict, fingerprint=str, history=list
)


@dataclass(frozen=True, eq=False)
class State:
    """A training state.

    Attributes
    ----------
    facts : mapping
        JSON-able: step, seconds, history, settings, spec, fingerprint of the data, best score.
    tensors : mapping of str to Tensor
        "network.…", "optimiser.…" and, where the model was judged, "best.…".
    """

    facts: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `name` and a dot, without that."""
        prefix = name + "."
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}

    def fits(self, network: nn.Module) -> bool:
        """Whether its weights have the names and shapes of those of a network."""
        there = {name: value.shape for name, value in network.state_dict().items()}
        return there == {name: value.shape for name, value in self.part("network").items()}


def checkpoint_path(folder: Path, name: str) -> Path:
    """Where the training of the model `name` is kept."""
    return folder / f"{name}{SUFFIX}"


def write_state(state: State, path: Path) -> None:
    """Write a state: the old file stays whole until the new one is."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in state.tensors.items()}
    metadata = {STATE_KEY: json.dumps({"version": STATE_VERSION, **state.facts})}
    write_atomically(path, save(tensors, metadata))


def read_state(path: Path, verb: str = "finetune") -> State:
    """Read what `write_state` wrote for a verb.

    Raises
    ------
    InputError
        If there is no such file, or it is damaged, of a newer format or of the other verb.
    """
    mend = "start anew, without resume"
    if not path.is_file():
        raise InputError("resume", f"no checkpoint {path}", mend)
    try:
        with safe_open(path, "pt") as file:
            facts = _checked(json.loads((file.metadata() or {})[STATE_KEY]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise InputError("resume", f"{path.name}, which is damaged ({error})", mend) from error
    if facts["version"] > STATE_VERSION:
        raise InputError("resume", f"checkpoint format {facts['version']}", "update napari-papernets")
    wrote = "finetune" if "fresh" in facts else "pretrain"
    if wrote != verb:
        received = f"{path.name}, a checkpoint of {wrote}"
        raise InputError("resume", received, f"choose the name or folder of a {verb}, or start anew")
    return State(facts, tensors)


def _checked(facts: Any) -> dict[str, Any]:
    """What a checkpoint's header says, if it says what every one does; a ValueError otherwise."""
    if not isinstance(facts, dict):
        raise ValueError("its header is no mapping")
    for name, kind in FACTS.items():
        value = facts.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{name} is {value!r}")
    return facts


def check_resumable(state: State, settings: Settings, fingerprint: str, base: str | None = None) -> None:
    """Refuse to go on with another training: the result could not be told apart.

    Parameters
    ----------
    state : State
        Of the checkpoint.
    settings : Settings
        As asked for now; those of `MAY_CHANGE` may differ.
    fingerprint : str
        Checksum of the data now.
    base : str, optional
        Name or file of the model that it starts from now, where the checkpoint tells its own.

    Raises
    ------
    InputError
        Naming the start or the setting that differs, or the data.
    """
    begun = str(state.facts.get("base", base))
    if base is not None and called(begun) != called(base):
        mend = f"the checkpoint's training started from {begun!r}; give that, or do not resume"
        raise InputError("model", repr(base), mend)
    before, now = state.facts["settings"], settings.to_dict()
    for name in before.keys() & now.keys():  # what was no setting then is now as it was
        if name not in MAY_CHANGE and before[name] != now[name]:
            mend = f"the checkpoint was made with {before[name]!r}; keep it, or do not resume"
            raise InputError(name, repr(now[name]), mend)
    if state.facts["fingerprint"] != fingerprint:
        mend = "it was made from other images, annotations or shares; start anew, without resume"
        raise InputError("resume", "other data", mend)


def called(base: str) -> str:
    """A model's name, be it given by name or by file."""
    return Path(base).name.removesuffix(MODEL_SUFFIX)


def fingerprint_of(planes: Sequence[Plane], chances: NDArray[np.float64]) -> str:
    """Checksum of pixels, annotations and how often each plane is drawn, in hexadecimal."""
    checksum = zlib.crc32(chances.tobytes())
    for plane in planes:
        for array in (plane.pixels, plane.annotation):
            checksum = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data, checksum)
    return f"{checksum:08x}"


def optimiser_tensors(optimiser: optim.Optimizer) -> dict[str, Tensor]:
    """The tensors of an optimiser's state, named "optimiser.<parameter>.<quantity>"."""
    return {
        f"optimiser.{number}.{name}": value
        for number, quantities in optimiser.state_dict()["state"].items()
        for name, value in quantities.items()
        if isinstance(value, Tensor)
    }


def restore_optimiser(optimiser: optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimiser_tensors` took (names without "optimiser.")."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, quantity = name.split(".", 1)
        state.setdefault(int(number), {})[quantity] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
