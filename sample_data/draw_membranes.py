"""A thin section of nerve tissue in a transmission electron microscope (4 nm a pixel)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .drawing import Array, Labels, Picture, Rng, as_integers, field, grid, paint, smoothstep

SIDE = 512
CELL, MEMBRANE = 1, 2

# Neurites of three sizes: number of seeds, and radius in pixels.
SIZES = ((6, 64.0), (34, 28.0), (150, 13.0))


def draw_membranes(rng: Rng) -> Picture:
    """512×512 uint8: processes with dark membranes, mitochondria, vesicles, stain and grain."""
    cells, edge = _partition(rng)
    line = _membranes(rng, edge)
    grey = _cytoplasm(rng, cells)
    for mitochondrion in _place_mitochondria(rng, cells, edge):
        grey = _draw_mitochondrion(rng, grey, mitochondrion)
    grey = _draw_vesicles(rng, grey, cells, edge)
    grey = _draw_tubules(rng, grey, edge)
    grey = grey * (1 - line) + 52 * line
    grey = _stain(rng, grey, edge)
    image = as_integers(_detector(rng, grey), "uint8")
    truth = np.where(edge < 2.6, MEMBRANE, CELL).astype(np.uint8)
    strokes = np.zeros(truth.shape, np.uint8)
    strokes[paint(rng, edge > 4, count=11, length=40, labels=cells)] = CELL
    strokes[paint(rng, truth == MEMBRANE, count=12, length=55)] = MEMBRANE
    return Picture(image, truth, strokes)


def _partition(rng: Rng) -> tuple[Labels, Array]:
    """Cells numbered from 1, and the distance of every pixel to the nearest border between two."""
    y, x = grid((SIDE, SIDE))
    y = y + 9 * field(rng, y.shape, 22) + 2.6 * field(rng, y.shape, 7) + 0.4 * field(rng, y.shape, 2.5)
    x = x + 9 * field(rng, x.shape, 22) + 2.6 * field(rng, x.shape, 7) + 0.4 * field(rng, x.shape, 2.5)
    cells = np.zeros(y.shape, np.int32)
    nearest = np.full(y.shape, np.inf)
    for number, (cy, cx, radius, stretch, angle) in enumerate(_seeds(rng), 1):
        along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        across = -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
        # Beyond its radius a process yields to its neighbours: walls bulge towards the small ones.
        distance = np.hypot(along / stretch, across * stretch) - radius
        mine = distance < nearest
        cells[mine], nearest[mine] = number, distance[mine]
    border = np.zeros(y.shape, bool)
    border[:-1] |= cells[:-1] != cells[1:]
    border[:, :-1] |= cells[:, :-1] != cells[:, 1:]
    return cells, ndimage.distance_transform_edt(~border)


def _seeds(rng: Rng) -> list[tuple[float, float, float, float, float]]:
    """(y, x, radius, stretch, angle) of every process, the large ones first and apart."""
    seeds: list[tuple[float, float, float, float, float]] = []
    flow = field(rng, (SIDE, SIDE), 90)
    for count, size in SIZES:
        for _ in range(count):
            radius = size * rng.uniform(0.75, 1.3)
            for _ in range(60):
                y, x = rng.uniform(-20, SIDE + 20, 2)
                if all(np.hypot(y - s[0], x - s[1]) > 0.85 * (radius + s[2]) for s in seeds):
                    at = flow[int(np.clip(y, 0, SIDE - 1)), int(np.clip(x, 0, SIDE - 1))]
                    stretch = float(np.clip(rng.lognormal(0.25 if size < 40 else 0.05, 0.16), 0.9, 1.9))
                    seeds.append((y, x, radius, stretch, float(1.2 * at + 0.3 * rng.standard_normal())))
                    break
    return seeds


def _membranes(rng: Rng, edge: Array) -> Array:
    """Darkness 0…1 of the membranes: crisp where cut across, broad and pale where cut obliquely."""
    oblique = smoothstep(field(rng, edge.shape, 24), 0.7, 1.9)
    width = 2.35 + 0.35 * field(rng, edge.shape, 6) + 5.0 * oblique
    depth = np.clip(0.88 + 0.1 * field(rng, edge.shape, 9), 0.4, 1) * (1 - 0.5 * oblique)
    return depth * np.exp(-((edge / np.maximum(width, 0.9)) ** 2))


def _cytoplasm(rng: Rng, cells: Labels) -> Array:
    """Grey of the cells: each its own, with a granular filling."""
    tone = rng.normal(176, 9, cells.max() + 1)
    tone[rng.random(len(tone)) < 0.12] -= 28
    grey = tone[cells] + 4 * field(rng, cells.shape, 14)
    grains = field(rng, cells.shape, 1.3)
    dense = 0.5 + 0.5 * rng.random(cells.max() + 1)
    dark = smoothstep(grains, 0.9, 2.4) * dense[cells]
    return grey - 52 * dark + 7 * field(rng, cells.shape, 2.2)


def _place_mitochondria(rng: Rng, cells: Labels, edge: Array) -> list[tuple[float, ...]]:
    """(y, x, long, short, angle) of mitochondria, in processes that have room."""
    found: list[tuple[float, ...]] = []
    room = edge.copy()
    y, x = grid(edge.shape)
    for _ in range(9):
        candidates = np.argwhere((room > 14) & (room < 45))
        if not len(candidates):
            break
        cy, cx = candidates[rng.integers(len(candidates))]
        short = float(min(room[cy, cx] * rng.uniform(0.65, 0.9), rng.uniform(14, 26)))
        found.append((cy, cx, short * rng.uniform(1.15, 1.5), short, rng.uniform(0, np.pi)))
        room = np.where(cells == cells[cy, cx], 0, np.minimum(room, np.hypot(y - cy, x - cx) - 30))
    return found


def _draw_mitochondrion(rng: Rng, grey: Array, body: tuple[float, ...]) -> Array:
    cy, cx, long, short, angle = body
    y, x = grid(grey.shape)
    wave = 0.05 * field(rng, grey.shape, 8)
    along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    across = -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
    radius = np.hypot(along / long, across / short) + wave
    cristae = np.sin(2 * np.pi * (across + 4.0 * field(rng, grey.shape, 7)) / 5.2)
    matrix = 122 - 38 * smoothstep(cristae, 0.1, 0.9) + 8 * field(rng, grey.shape, 3)
    rim = np.exp(-(((radius - 0.96) * short / 1.5) ** 2)) + 0.5 * np.exp(
        -(((radius - 0.8) * short / 1.1) ** 2)
    )
    inside = smoothstep(-radius, -1.03, -0.97)
    return grey * (1 - inside) + (matrix - 45 * np.clip(rim, 0, 1)) * inside


def _draw_vesicles(rng: Rng, grey: Array, cells: Labels, edge: Array) -> Array:
    """Small rings with a pale middle, crowded in some processes and few in others."""
    ring, lumen = np.zeros(grey.shape), np.zeros(grey.shape)
    areas = np.bincount(cells.ravel())
    crowd = np.where(rng.random(len(areas)) < 0.35, 1 / 210, 1 / 900)
    crowd[areas > 6000] = 1 / 260
    for number in np.flatnonzero(areas > 350):
        inside = np.argwhere((cells == number) & (edge > 7))
        count = rng.poisson(len(inside) * crowd[number])
        for cy, cx in inside[rng.integers(0, max(len(inside), 1), count)] if len(inside) else ():
            _stamp(
                ring,
                lumen,
                cy + rng.uniform(),
                cx + rng.uniform(),
                rng.normal(3.7, 0.8),
                rng.uniform(0.2, 1),
            )
    return grey * (1 - 0.5 * np.clip(ring, 0, 1)) + 12 * np.clip(lumen, -3, 1)


def _stamp(ring: Array, lumen: Array, cy: float, cx: float, radius: float, depth: float) -> None:
    at = tuple(slice(max(int(c) - 9, 0), min(int(c) + 10, SIDE)) for c in (cy, cx))
    y, x = np.mgrid[at].astype(float)
    distance = np.hypot(y - cy, x - cx)
    ring[at] = np.maximum(ring[at], depth * np.exp(-(((distance - radius) / 1.1) ** 2)))
    filling = 1.0 if depth < 0.8 else -2.5  # some have a dense core
    lumen[at] += depth * filling * np.exp(-((distance / (0.6 * radius)) ** 2))


def _draw_tubules(rng: Rng, grey: Array, edge: Array) -> Array:
    """Cross-cut microtubules (dark dots) and reticulum (winding lines) away from the membranes."""
    away = smoothstep(edge, 5, 9)
    dots = ndimage.gaussian_filter((rng.random(grey.shape) < 1 / 260).astype(float), 1.0) * 2 * np.pi
    winding = np.abs(field(rng, grey.shape, 9))
    patches = smoothstep(field(rng, grey.shape, 24), 0.9, 1.7)
    return grey - away * (46 * np.clip(dots, 0, 1) + 58 * patches * np.exp(-((winding / 0.1) ** 2)))


def _stain(rng: Rng, grey: Array, edge: Array) -> Array:
    """Synapses: stain that is dense along stretches of membrane; and its slow drift."""
    spots = smoothstep(field(rng, grey.shape, 13), 1.9, 3.0)
    dense = spots * np.exp(-((edge / 9) ** 2))
    smear = 0.5 * smoothstep(field(rng, grey.shape, 30), 1.3, 2.6)
    return grey * (1 - 0.7 * dense) * (1 - 0.35 * smear) + 5 * field(rng, grey.shape, 70)


def _detector(rng: Rng, grey: Array) -> Array:
    """Blur of the optics, grain of film or camera, and full contrast."""
    sharp = ndimage.gaussian_filter(grey, 0.95)
    grain = 13 * field(rng, grey.shape, 0.7) + 4 * rng.standard_normal(grey.shape)
    return 1.25 * (sharp + grain) - 32
