"""What the viewer's process and the engine's tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .remote import Index, Key


@dataclass(frozen=True)
class Ready:
    """Engine: imports are done; facts about devices and versions."""

    info: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Run:
    """Viewer: run a verb."""

    job: int
    verb: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Value:
    """Viewer: send a value into a generator."""

    job: int
    value: Any


@dataclass(frozen=True)
class Cancel:
    """Viewer: close a generator."""

    job: int


@dataclass(frozen=True)
class Quit:
    """Viewer: close all generators and end the process."""


@dataclass(frozen=True, eq=False)
class Happened:
    """Engine: a generator yielded an event."""

    job: int
    event: Any


@dataclass(frozen=True, eq=False)
class Returned:
    """Engine: a generator returned."""

    job: int
    result: Any


@dataclass(frozen=True)
class Failed:
    """Engine: a generator raised; `trace` is for the log."""

    job: int
    error: Exception
    trace: str


@dataclass(frozen=True)
class Cancelled:
    """Engine: a generator was closed."""

    job: int


@dataclass(frozen=True)
class WantBlock:
    """Engine: asks for a block of an array that stayed behind; `number` comes back with the answer."""

    number: int
    key: Key
    index: Index


@dataclass(frozen=True, eq=False)
class Block:
    """Viewer: the block, or why it cannot be read."""

    number: int
    values: NDArray[Any] | None
    problem: str = ""


Message = (
    Ready | Run | Value | Cancel | Quit | Happened | Returned | Failed | Cancelled | WantBlock | Block
)
