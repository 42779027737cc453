"""Quality against time of annotation, a plot for each task: ours beside the forest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .rounds import Round

STROKE_SECONDS = 2.0  # to choose a place and draw 40 pixels there; assumed, not measured
COLUMNS, WIDTH, HEIGHT = 3, 2.9, 2.2  # inches, of a plot
COLOURS = {"ours": "#2166ac", "forest": "#b2182b"}
LINES = {"ours": "o-", "forest": "o:"}  # by whose mistakes were painted over

Curve = tuple[list[float], list[float]]  # seconds of annotation, mean IoU


def curve(rounds: Sequence[Round], tool: str) -> Curve:
    """Means over the seeds (and over the tasks, where there are several), round by round."""
    numbers = sorted({r.number for r in rounds})
    groups = [[r for r in rounds if r.number == n] for n in numbers]
    seconds = [STROKE_SECONDS * float(np.mean([r.strokes for r in g])) for g in groups]
    return seconds, [float(np.mean([r.ours if tool == "ours" else r.theirs for r in g])) for g in groups]


def draw(rounds: Sequence[Round], path: Path) -> None:
    """Write the picture; matplotlib comes with the extra `bench`."""
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(r.task for r in rounds))
    lines = -(-len(tasks) // COLUMNS)
    figure = Figure(figsize=(WIDTH * COLUMNS, HEIGHT * lines + 0.5), layout="constrained")
    grid = figure.subplots(lines, COLUMNS, squeeze=False)
    for axes, task in zip(grid.flat, tasks, strict=False):
        for corrected_by in dict.fromkeys(r.corrected_by for r in rounds):
            some = [r for r in rounds if (r.task, r.corrected_by) == (task, corrected_by)]
            for tool, colour in COLOURS.items():
                label = f"{tool}, corrected where {_wrong(corrected_by)}"
                axes.plot(*curve(some, tool), LINES[corrected_by], color=colour, ms=3, label=label)
        axes.set_title(task, fontsize=10)
    for axes in list(grid.flat)[len(tasks) :]:
        axes.set_axis_off()
    figure.supxlabel(f"seconds of annotation ({STROKE_SECONDS:g} s a stroke)", fontsize=10)
    figure.supylabel("mean IoU on images without strokes", fontsize=10)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _wrong(corrected_by: str) -> str:
    return "ours is wrong" if corrected_by == "ours" else "the forest is wrong"
