"""Fluorescent nuclei that touch (DAPI, widefield), and a small confocal stack of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .drawing import (
    Array,
    Labels,
    Picture,
    Rng,
    as_integers,
    expose,
    field,
    grid,
    interiors,
    paint,
    smoothstep,
    vignette,
)

SIDE = 512


@dataclass(frozen=True)
class Nucleus:
    """Outline of a nucleus: an ellipse with a wavy border, all in pixels and radians."""

    y: float
    x: float
    long: float
    short: float
    angle: float
    waves: tuple[tuple[float, float], ...]

    @property
    def reach(self) -> int:
        return int(1.4 * self.long) + 3

    def window(self, side: int) -> tuple[slice, slice]:
        y, x, r = int(self.y), int(self.x), self.reach
        return slice(max(y - r, 0), min(y + r + 1, side)), slice(max(x - r, 0), min(x + r + 1, side))

    def radius(self, y: Array, x: Array) -> Array:
        """Distance from the centre, 1 on the outline."""
        dy, dx = y - self.y, x - self.x
        along = dx * np.cos(self.angle) + dy * np.sin(self.angle)
        across = -dx * np.sin(self.angle) + dy * np.cos(self.angle)
        turn = np.arctan2(across, along)
        border = 1 + sum(a * np.cos((k + 2) * turn + p) for k, (a, p) in enumerate(self.waves))
        return np.hypot(along / self.long, across / self.short) / border


def draw_nuclei(rng: Rng) -> Picture:
    """512×512 uint16: nuclei in clusters, dividing ones, haze from above and below."""
    nuclei = place_nuclei(rng, SIDE, clusters=36, size=15.0)
    truth, light = render_nuclei(rng, nuclei, SIDE)
    light += _dividing(rng, truth)
    haze = 0.16 * ndimage.gaussian_filter(light, 22) + 0.10 * ndimage.gaussian_filter(light, 6)
    photons = 1500 * (ndimage.gaussian_filter(light, 0.9) + haze + _out_of_focus(rng))
    photons = (photons + 70) * vignette((SIDE, SIDE), 0.3)
    image = as_integers(expose(rng, photons, gain=2.1, read_noise=9, offset=200), "uint16")
    strokes = np.zeros(truth.shape, np.uint8)
    far = ndimage.distance_transform_edt(truth == 0) > 3
    strokes[paint(rng, far, count=9, length=70)] = 1
    strokes[paint(rng, interiors(truth), count=14, length=24, labels=truth)] = 2
    return Picture(image, truth, strokes)


def place_nuclei(rng: Rng, side: int, clusters: int, size: float) -> list[Nucleus]:
    """Clusters that grow by adding a neighbour that just touches."""
    nuclei: list[Nucleus] = []
    for members in rng.choice([1, 2, 3, 5, 8, 12], clusters, p=[0.2, 0.2, 0.2, 0.15, 0.15, 0.1]):
        cluster: list[Nucleus] = []
        centre = rng.uniform(-10, side + 10, 2)
        for _ in range(members):
            nucleus = _nucleus(rng, centre[0], centre[1], size)
            if all(gap(nucleus, other) > -0.1 for other in nuclei):
                nuclei.append(nucleus)
                cluster.append(nucleus)
            beside = cluster[rng.integers(len(cluster))] if cluster else nucleus
            direction, step = rng.uniform(0, 2 * np.pi), rng.uniform(1.6, 1.95) * size
            centre = np.array([beside.y + step * np.sin(direction), beside.x + step * np.cos(direction)])
    return nuclei


def render_nuclei(rng: Rng, nuclei: list[Nucleus], side: int) -> tuple[Labels, Array]:
    """Instances (uint16) and light, about 1 at the brightest, before blur."""
    truth = np.zeros((side, side), np.uint16)
    nearest = np.full((side, side), np.inf)
    light = np.zeros((side, side))
    fine, middle, coarse = (field(rng, (side, side), s) for s in (1.1, 2.2, 5.0))
    y, x = grid((side, side))
    for nucleus in nuclei:
        at = nucleus.window(side)
        radius = nucleus.radius(y[at], x[at])
        mine = (radius <= 1) & (radius < nearest[at])
        truth[at][mine] = truth.max() + 1
        nearest[at] = np.minimum(nearest[at], radius)
        brightness = float(np.clip(rng.lognormal(-0.75, 0.42), 0.16, 1.3))
        grain = 0.75 + 0.5 * rng.random()
        chromatin = np.exp(grain * (0.13 * fine[at] + 0.15 * middle[at] + 0.10 * coarse[at]))
        dome = np.sqrt(np.clip(1.04 - radius**4, 0, 1)) * smoothstep(-radius, -1.03, -0.93)
        light[at] += brightness * dome * chromatin * _nucleoli(rng, nucleus, y[at], x[at])
    return _relabel(truth), light


def _relabel(truth: Labels) -> Labels:
    """Numbers from 1 without gaps; slivers of covered nuclei become background."""
    sizes = np.bincount(truth.ravel())
    kept = np.flatnonzero(sizes >= 30)
    table = np.zeros(len(sizes), np.uint16)
    table[kept[kept > 0]] = np.arange(1, len(kept[kept > 0]) + 1)
    return table[truth]


def _nucleus(rng: Rng, y: float, x: float, size: float) -> Nucleus:
    long = size * float(np.clip(rng.normal(1.08, 0.16), 0.7, 1.55))
    short = long * rng.uniform(0.62, 0.95)
    amplitudes = np.array([0.05, 0.035, 0.016, 0.01]) * rng.standard_normal(4)
    waves = tuple(zip(amplitudes.tolist(), rng.uniform(0, 2 * np.pi, 4).tolist(), strict=True))
    return Nucleus(float(y), float(x), long, short, rng.uniform(0, np.pi), waves)


def gap(a: Nucleus, b: Nucleus) -> float:
    """Space between two nuclei along the line of their centres, in parts of their radii."""
    dy, dx = b.y - a.y, b.x - a.x
    distance = np.hypot(dy, dx) + 1e-9
    turn = np.arctan2(dy, dx)
    radii = sum(
        n.long * n.short / np.hypot(n.short * np.cos(turn - n.angle), n.long * np.sin(turn - n.angle))
        for n in (a, b)
    )
    return float((distance - radii) / radii)


def _nucleoli(rng: Rng, nucleus: Nucleus, y: Array, x: Array) -> Array:
    """Factor on brightness: nucleoli hold little DNA."""
    factor = np.ones(y.shape)
    for _ in range(rng.integers(1, 5)):
        turn, away = rng.uniform(0, 2 * np.pi), 0.6 * np.sqrt(rng.random())
        cy = nucleus.y + away * nucleus.short * np.sin(turn)
        cx = nucleus.x + away * nucleus.short * np.cos(turn)
        radius = nucleus.short * rng.uniform(0.12, 0.24)
        factor *= 1 - rng.uniform(0.25, 0.5) * np.exp(
            -((y - cy) ** 2 + (x - cx) ** 2) / (2 * radius**2) * 1.6
        )
    return factor


def _dividing(rng: Rng, truth: Labels) -> Array:
    """Chromosomes of cells in division: bright plates, single or in pairs; they join the truth."""
    light = np.zeros(truth.shape)
    y, x = grid(truth.shape)
    ragged = field(rng, truth.shape, 1.6)
    room = ndimage.distance_transform_edt(truth == 0)
    for pair in (False, True, False):
        spots = np.argwhere(room > 15)
        if not len(spots):
            break
        cy, cx = spots[rng.integers(len(spots))]
        angle = rng.uniform(0, np.pi)
        across = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        along = -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
        offsets = (-6.0, 6.0) if pair else (0.0,)
        for offset in offsets:
            bend = 0.02 * along**2 * np.sign(offset)
            plate = np.hypot((across - offset + bend) / 3.6, along / 10.5) + 0.09 * ragged
            light += 1.1 * smoothstep(-plate, -1.15, -0.75)
            truth[(plate < 1) & (truth == 0)] = truth.max() + 1
        room = np.minimum(room, np.hypot(y - cy, x - cx) - 20)
    return light


def _out_of_focus(rng: Rng) -> Array:
    """Nuclei of another layer, far out of focus."""
    layer = np.zeros((SIDE, SIDE))
    y, x = grid((SIDE, SIDE))
    for nucleus in place_nuclei(rng, SIDE, clusters=7, size=17):
        at = nucleus.window(SIDE)
        inside = nucleus.radius(y[at], x[at]) < 1
        layer[at] += rng.uniform(0.05, 0.16) * inside
    return ndimage.gaussian_filter(layer, 7)


def draw_stack(rng: Rng) -> Picture:
    """12×256×256 uint8: round nuclei through which a confocal microscope cuts, planes 2 µm apart."""
    planes, side = 12, 256
    truth = np.zeros((planes, side, side), np.uint16)
    light = np.zeros(truth.shape)
    nearest = np.full(truth.shape, np.inf)
    texture = field(rng, truth.shape, (0.6, 1.6, 1.6)) + 0.6 * field(rng, truth.shape, (0.8, 3.5, 3.5))
    for number, (z, nucleus, half) in enumerate(_place_in_depth(rng, planes, side), 1):
        _add_ball(
            truth, light, nearest, number, z, nucleus, half, brightness=float(rng.uniform(0.35, 1.0))
        )
    light *= np.exp(0.2 * texture)
    blurred = ndimage.gaussian_filter(light, (0.55, 0.8, 0.8)) + 0.12 * ndimage.gaussian_filter(
        light, (1.6, 6, 6)
    )
    depth = 1 - 0.035 * np.arange(planes)[:, None, None]  # light is lost deeper in the tissue
    photons = (110 * blurred + 3) * depth * vignette((side, side), 0.15)
    image = as_integers(expose(rng, photons, gain=1.6, read_noise=1.2, offset=6), "uint8")
    truth = _relabel(truth)
    return Picture(image, truth, _stack_strokes(rng, truth))


def _place_in_depth(rng: Rng, planes: int, side: int) -> list[tuple[float, Nucleus, float]]:
    found: list[tuple[float, Nucleus, float]] = []
    for _ in range(4000):
        nucleus = _nucleus(rng, rng.uniform(0, side), rng.uniform(0, side), 13.5)
        z, half = rng.uniform(-1, planes), 0.19 * nucleus.short
        clear = all(
            np.hypot(gap(nucleus, n) + 1, 0.9 * (z - other) / (half + thick)) > 0.93
            for other, n, thick in found
        )
        if clear:
            found.append((float(z), nucleus, float(half)))
        if len(found) == 150:
            break
    return found


def _add_ball(
    truth: Labels, light: Array, nearest: Array, number: int, z: float, nucleus: Nucleus, half: float,
    brightness: float,
) -> None:  # fmt: skip
    y, x = grid(truth.shape[1:])
    at = nucleus.window(truth.shape[1])
    flat = nucleus.radius(y[at], x[at])
    for plane in range(truth.shape[0]):
        radius = np.hypot(flat, (plane - z) / half)
        here = (plane, *at)
        mine = (radius <= 1) & (radius < nearest[here])
        truth[here][mine] = number
        nearest[here] = np.minimum(nearest[here], radius)
        light[here] += brightness * smoothstep(-radius, -1.08, -0.9)


def _stack_strokes(rng: Rng, truth: Labels) -> NDArray[np.uint8]:
    """Strokes on three planes, as a person who has little time paints them."""
    strokes = np.zeros(truth.shape, np.uint8)
    for plane in (2, 6, 9):
        far = ndimage.distance_transform_edt(truth[plane] == 0) > 3
        strokes[plane][paint(rng, far, count=4, length=45)] = 1
        strokes[plane][paint(rng, interiors(truth[plane]), count=6, length=18, labels=truth[plane])] = 2
    return strokes
