"""Verbs for the tests of the engine process: small, quick, and badly behaved where that is the point."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Generator
from fractions import Fraction
from typing import Any

import numpy as np

from napari_papernets.core.errors import InputError, ModelError
from napari_papernets.core.events import Idle, Notice, Started, TileDone
from napari_papernets.core.image import ImageBlock

Toy = Generator[Any, Any, Any]


def prepare() -> dict[str, Any]:
    sys.stderr.write("toy verbs are ready\n")
    return {"device": os.environ.get("TOY_DEVICE", "toy"), "pid": os.getpid()}


def rest() -> None:
    sys.stderr.write("toy verbs rest\n")


def find_verb(name: str) -> Any:
    return globals()[name]


def count(n: int) -> Toy:
    """Yields n events; returns what was sent, and stops at "stop"."""
    heard = []
    for i in range(n):
        value = yield Started(i, "tile")
        if value is not None:
            heard.append(value)
        if value == "stop":
            break
    return tuple(heard)


def wait_for_value(seconds: float = 60.0) -> Toy:
    """Yields until something is sent, and returns it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = yield Notice("waiting")
        if value is not None:
            return value
        time.sleep(0.01)
    raise TimeoutError("nobody sent anything")


def live(image: ImageBlock | None = None) -> Toy:
    """A patient verb: rests until something is sent; tells it, or reads that plane; ends at "stop"."""
    sent = yield Started(0, "step")
    while sent != "stop":
        if sent is None:
            sent = yield Idle(60.0)
        else:
            sent = yield Notice(str(sent if image is None else image.read((sent,)).mean()))
    return "stopped"


def pretrain(n: int) -> Toy:
    """Another one, which never rests."""
    for i in range(n):
        time.sleep(0.01)
        yield Started(i, "step")
    return n


def echo(**values: Any) -> Toy:
    """Returns its arguments, and shows each array as an event."""
    for value in values.values():
        if isinstance(value, np.ndarray):
            yield TileDone(1, 1, (), (0, 1), (0, 1), value)
    return values


def sleep_politely(mark: str, seconds: float = 60.0) -> Toy:
    """Sleeps in short steps; writes a file when it is closed."""
    try:
        for _ in range(int(seconds * 100)):
            time.sleep(0.01)
            yield Notice("asleep")
    finally:
        with open(mark, "w") as file:
            file.write("closed")


def sleep_deaf(mark: str, seconds: float = 60.0, hold_gil: bool = False, ballast: Any = None) -> Toy:
    """Writes a file, then sleeps without listening; in native code that holds the GIL, if asked to."""
    yield Started(1, "tile")
    with open(mark, "w") as file:
        file.write("asleep")
    if hold_gil:
        ctypes.PyDLL(None).sleep(int(seconds))
    else:
        time.sleep(seconds)
    yield Notice("awake")


def crash(number: int = signal.SIGKILL, ballast: Any = None) -> Toy:
    """Ends by a signal, whatever it was given."""
    yield Started(1, "tile")
    os.kill(os.getpid(), number)
    time.sleep(60)


def leave(status: int) -> Toy:
    yield Started(1, "tile")
    os._exit(status)


def fail(kind: str) -> Toy:
    yield Started(1, "tile")
    if kind == "input":
        raise InputError("axes", "'QQ'", "use letters of TZCYX")
    if kind == "model":
        raise ModelError("model", "'none'", "choose another")
    if kind == "memory":
        raise MemoryError("Unable to allocate 9.00 TiB")
    raise ZeroDivisionError("division by zero\nand a second line")


def return_foreign() -> Toy:
    yield Started(1, "tile")
    return Fraction(1, 3)


def read_blocks(image: ImageBlock, indices: tuple[Any, ...]) -> Toy:
    """Returns blocks of an image, and what its data is here."""
    blocks = []
    for index in indices:
        blocks.append(np.asarray(image.data[index]))
        yield Notice("a block")
    return type(image.data).__name__, tuple(blocks)


def read_plane(image: ImageBlock) -> Toy:
    yield Started(1, "tile")
    return image.read((0,) * len(image.stack_axes))


def grow(step_mb: int, steps: int) -> Toy:
    """Takes more and more memory."""
    held = []
    for _ in range(steps):
        held.append(np.ones(step_mb * 2**17))
        yield Notice("grown")
        time.sleep(0.05)
    return len(held)


def about_process() -> Toy:
    """Returns priority, threads and the wish to be taken first when memory runs out."""
    yield Started(1, "tile")
    wish = "/proc/self/oom_score_adj"
    return {
        "nice": os.nice(0) if hasattr(os, "nice") else None,
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "out of memory": open(wish).read().strip() if os.path.exists(wish) else None,
    }
