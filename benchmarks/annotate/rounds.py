"""What was measured: one round of one task, kept as a line of JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Round:
    """One round of one task.

    Attributes
    ----------
    task : str
        Its name.
    seed : int
        Of the strokes.
    corrected_by : str
        "ours" or "forest": whose mistakes are painted over.
    number, strokes : int
        From 1; painted so far.
    ours, theirs : float
        Mean IoU on the images without strokes.
    seconds, cpu : float
        That ours took to learn, by the clock and of processors.
    """

    task: str
    seed: int
    corrected_by: str
    number: int
    strokes: int
    ours: float
    theirs: float
    seconds: float
    cpu: float


def read_rounds(files: Sequence[Path]) -> list[Round]:
    """What was done before."""
    lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
    return [Round(**json.loads(line)) for line in lines]


def keep_rounds(rounds: Sequence[Round], file: Path) -> None:
    """Append them."""
    with file.open("a") as lines:
        lines.writelines(json.dumps(asdict(r)) + "\n" for r in rounds)
