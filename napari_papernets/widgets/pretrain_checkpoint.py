"""The checkpoint of a pre-training that was cut short, as its panel sees it: without its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..core.errors import InputError, ModelError
from ..core.moco_settings import OF_WEIGHTS, MoCoSettings
from ..model_files import (
    CHECKPOINT_SUFFIX,
    MAY_CHANGE,
    check_name,
    is_taken,
    read_training,
    user_folder,
)


@dataclass(frozen=True, eq=False)
class Unfinished:
    """A training that can go on.

    Attributes
    ----------
    settings : MoCoSettings
        With which it began.
    base : str
        What it started from; empty where that is not known.
    step, seconds
        How far it is.
    history : sequence of mapping
        Step, loss and accuracy of every step.
    """

    settings: MoCoSettings
    base: str
    step: int
    seconds: float
    history: Sequence[Mapping[str, Any]]

    def why_not(self, settings: MoCoSettings, base: str) -> str:
        """Why a training with these settings from that start is another one; empty where it is not."""
        if self.base not in ("", base):
            return f"it started from {self.base!r}, not from {base!r}"
        left_out = MAY_CHANGE if base == "scratch" else (*MAY_CHANGE, *OF_WEIGHTS)
        for field in MoCoSettings.fields():
            before, now = (getattr(s, field.name) for s in (self.settings, settings))
            automatic = field.optional and now is None
            if field.name not in left_out and not automatic and before != now:
                return f"it was begun with {field.label} {before}, not {now}"
        if settings.seconds is not None and settings.seconds <= self.seconds:
            return f"it has learnt for {self.seconds / 60:.1f} minutes: give more"
        return ""


def free_name(name: str) -> str:
    """That name, or with a number behind it where a model or an unfinished training is called so.

    Raises
    ------
    InputError
        If the name cannot be that of a model.
    """
    check_name(name)
    numbered = re.fullmatch(r"(.+)-(\d+)", name)
    stem, number = (numbered[1], int(numbered[2])) if numbered else (name, 1)
    while is_taken(name, user_folder()):
        number += 1
        name = f"{stem}-{number}"
    return name


def unfinished(name: str) -> Unfinished | None:
    """What is left of a pre-training of that name; None where there is nothing that can be read."""
    path = user_folder() / f"{name}{CHECKPOINT_SUFFIX}"
    try:
        return _read(path, path.stat().st_mtime_ns) if name else None
    except OSError:
        return None


@lru_cache(maxsize=1)
def _read(path: Path, written: int) -> Unfinished | None:
    try:
        facts = read_training(path)
        settings = MoCoSettings.from_dict(facts["settings"])
        told = str(facts.get("base", "")), int(facts["step"]), float(facts["seconds"])
        return Unfinished(settings, *told, list(facts["history"]))
    except (ModelError, InputError, KeyError, TypeError, ValueError):
        return None  # of another kind of training, damaged, or of another version
