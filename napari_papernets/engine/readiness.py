"""What is missing before strokes can be learnt, or before it could be told whether training helps."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from ..core.model import ClassInfo


def lack_of_strokes(classes: Sequence[ClassInfo], painted: Sequence[int]) -> str:
    """What is missing before anything can be learnt; empty where nothing is.

    Parameters
    ----------
    classes : sequence of ClassInfo
        All of them.
    painted : sequence of int
        Those with strokes, from 0.
    """
    if len(painted) >= 2:
        return ""
    names = [c.name for c in classes]
    there = f"only {names[painted[0]]!r} is painted" if painted else "nothing is painted yet"
    return f"Paint strokes of at least two classes ({', '.join(names)}): {there}."


def lack_of_judges(held_out: float, goes_on: bool) -> str:
    """Why nobody could tell whether training does good where no stroke is held out.

    Parameters
    ----------
    held_out : float
        Share of the strokes of a class that is held out, rounded down.
    goes_on : bool
        The network was trained for these classes before.
    """
    strokes = f"paint {ceil(1 / held_out)} strokes of a class, so that training can be judged"
    return f"Not trained {'further' if goes_on else 'yet'}: {strokes}."
