"""What the viewer's process and the engine's tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .remote import Index


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
    """Viewer: send a value into the running generator."""

    job: int
    value: Any


@dataclass(frozen=True)
class Cancel:
    """Viewer: close the running generator."""

    job: int


@dataclass(frozen=True)
class Quit:
    """Viewer: close the running generator and end the process."""


@dataclass(frozen=True, eq=False)
class Happened:
    """Engine: the generator yielded an event."""

    job: int
    event: Any


@dataclass(frozen=True, eq=False)
class Returned:
    """Engine: the generator returned."""

    job: int
    result: Any


@dataclass(frozen=True)
class Failed:
    """Engine: the generator raised; `trace` is for the log."""

    job: int
    error: Exception
    trace: str


@dataclass(frozen=True)
class Cancelled:
    """Engine: the generator was closed."""

    job: int


@dataclass(frozen=True)
class WantBlock:
    """Engine: asks for a block of an array that stayed behind; `number` comes back with the answer."""

    job: int
    number: int
    key: int
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
