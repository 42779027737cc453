"""The paper's figure 5 as a drawing: IoU against the width of the trimap, before and after the CRF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

SIDE, GAP, MARGIN = 220, 70, 45  # pixels: of a plot, between two, around
COLOURS = {"before": "#b2182b", "after": "#2166ac"}
TICKS = 4

Curve = Mapping[float, float]
Plot = tuple[str, Mapping[str, Curve]]  # title; curves by "before" and "after"


def draw(plots: Sequence[Plot], path: Path) -> None:
    """Write an SVG with one plot beside the other."""
    width = 2 * MARGIN + len(plots) * (SIDE + GAP) - GAP
    height = 2 * MARGIN + SIDE + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
    ]
    for number, (title, curves) in enumerate(plots):
        left = MARGIN + number * (SIDE + GAP)
        parts.append(f'<g transform="translate({left} {MARGIN})">{plot(title, curves)}</g>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def plot(title: str, curves: Mapping[str, Curve]) -> str:
    """Axes, curves and what they are."""
    values = [y for curve in curves.values() for y in curve.values()]
    low, high = min(values) - 0.02, max(values) + 0.02
    right = max(x for curve in curves.values() for x in curve)

    def at(x: float, y: float) -> str:
        return f"{SIDE * x / right:.1f},{SIDE * (high - y) / (high - low):.1f}"

    parts = [
        f'<rect width="{SIDE}" height="{SIDE}" fill="none" stroke="#888"/>',
        f'<text x="{SIDE / 2}" y="-10" text-anchor="middle" font-size="13">{title}</text>',
        f'<text x="{SIDE / 2}" y="{SIDE + 32}" text-anchor="middle">width of the band (pixels)</text>',
    ]
    for n in range(TICKS + 1):
        y, x = low + (high - low) * n / TICKS, right * n / TICKS
        down = SIDE * (TICKS - n) / TICKS
        parts.append(f'<text x="-5" y="{down + 4:.1f}" text-anchor="end">{y:.2f}</text>')
        parts.append(
            f'<text x="{SIDE * n / TICKS:.1f}" y="{SIDE + 15}" text-anchor="middle">{x:g}</text>'
        )
    for number, (name, curve) in enumerate(curves.items()):
        colour, points = COLOURS[name], [at(x, y) for x, y in curve.items()]
        parts.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        parts += [
            f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="2.5" fill="{colour}"/>'
            for p in points
        ]
        parts.append(
            f'<text x="{SIDE - 8}" y="{SIDE - 24 + 14 * number}" text-anchor="end" fill="{colour}">'
            f"{name} the CRF</text>"
        )
    return "".join(parts)
