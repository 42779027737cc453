"""The paper's figure 5 as a drawing: IoU against the width of the trimap, before and after the CRF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

SIDE = 2.8  # inches, of a plot
COLUMNS = 4
COLOURS = {"before": "#b2182b", "after": "#2166ac"}

Curve = Mapping[float, float]
Plot = tuple[str, Mapping[str, Curve]]  # title; curves by "before" and "after"


def draw(plots: Sequence[Plot], path: Path) -> None:
    """Write a picture with one plot beside the other; matplotlib comes with the extra `bench`."""
    from matplotlib.figure import Figure

    columns = min(len(plots), COLUMNS)
    rows = -(-len(plots) // columns)
    figure = Figure(figsize=(SIDE * columns, SIDE * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for empty in grid[len(plots) :]:
        empty.axis("off")
    for axes, (title, curves) in zip(grid, plots, strict=False):
        for name, curve in curves.items():
            axes.plot(
                list(curve), list(curve.values()), "o-", color=COLOURS[name], label=f"{name} the CRF"
            )
        axes.set(title=title, xlabel="width of the band (pixels)", ylabel="IoU")
        axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
