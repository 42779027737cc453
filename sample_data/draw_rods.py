"""Rod-shaped bacteria that grow into microcolonies, in phase contrast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

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
    vignette,
)

SIDE = 512
RADIUS = 4.6  # half the width of a cell, in pixels
BIRTH, DIVISION = 18.0, 38.0  # length of a cell's axis, in pixels
CONTACT = 2 * RADIUS - 0.2  # nearer axes push each other

# One row a cell: centre y, x, angle, length of the axis.
Rods = NDArray[np.float64]


def draw_rods(rng: Rng) -> Picture:
    """512×512 uint8: dark rods with bright halos, packed or single, bent, some in chains."""
    rods = np.concatenate([
        grow_colony(rng, (185.0, 190.0), cells=95),
        grow_colony(rng, (400.0, 385.0), cells=34),
        _loners(rng),
    ])  # fmt: skip
    truth, thickness = _render(rng, rods)
    image = as_integers(_phase_contrast(rng, thickness), "uint8")
    strokes = np.zeros(truth.shape, np.uint8)
    away = ndimage.distance_transform_edt(truth == 0)
    strokes[paint(rng, away > 1.5, count=10, length=70)] = 1
    gaps = (away > 0) & (away < 4) & (ndimage.uniform_filter((truth > 0).astype(float), 25) > 0.6)
    strokes[paint(rng, gaps, count=6, length=14)] = 1
    strokes[paint(rng, interiors(truth), count=18, length=30, labels=truth)] = 2
    return Picture(image, truth, strokes)


def grow_colony(rng: Rng, centre: tuple[float, float], cells: int) -> Rods:
    """A microcolony: cells grow, divide and push each other aside.

    Returns
    -------
    ndarray, shape (N, 4)
        N ≥ `cells` rods that hardly overlap.
    """
    rods = np.array([[*centre, rng.uniform(0, np.pi), BIRTH]])
    rate = rng.uniform(0.7, 1.3, 1)
    while len(rods) < cells:
        rods[:, 3] += 0.8 * rate
        rods, rate = _divide(rng, rods, rate)
        for _ in range(6):
            rods = _push(rods)
    for _ in range(300):
        rods = _push(rods, pull=0.09)
    for _ in range(60):
        rods = _push(rods)
    return rods


def _divide(rng: Rng, rods: Rods, rate: Array) -> tuple[Rods, Array]:
    ready = rods[:, 3] > DIVISION
    mothers, half = rods[ready], (rods[ready, 3] - 2 * RADIUS) / 2
    shift = (half / 2 + RADIUS)[:, None] * np.column_stack(
        [np.sin(mothers[:, 2]), np.cos(mothers[:, 2])]
    )
    daughters = []
    for side in (-1, 1):
        centres = mothers[:, :2] + side * shift
        angles = mothers[:, 2] + 0.06 * rng.standard_normal(len(mothers))
        daughters.append(np.column_stack([centres, angles, half]))
    rods = np.concatenate([rods[~ready], *daughters])
    return rods, np.concatenate([rate[~ready], rng.uniform(0.7, 1.3, 2 * len(mothers))])


def _push(rods: Rods, pull: float = 0.0) -> Rods:
    """One step of relaxation: overlapping rods shift and turn apart; `pull` gathers the colony."""
    ahead = np.column_stack([np.sin(rods[:, 2]), np.cos(rods[:, 2])])
    beads = np.linspace(-0.5, 0.5, 9)
    arms = (beads[:, None] * (rods[:, 3:4] * ahead)[:, None, :]).reshape(-1, 2)
    owner = np.repeat(np.arange(len(rods)), len(beads))
    flat = rods[owner, :2] + arms
    near = cKDTree(flat).query_pairs(CONTACT, output_type="ndarray")
    near = near[owner[near[:, 0]] != owner[near[:, 1]]]
    apart = flat[near[:, 0]] - flat[near[:, 1]]
    distance = np.hypot(*apart.T) + 1e-9
    push = apart * ((CONTACT - distance) / distance)[:, None]
    one, other = near[:, 0], near[:, 1]
    force = np.zeros(flat.shape)
    for axis in (0, 1):
        force[:, axis] = np.bincount(one, push[:, axis], len(flat)) - np.bincount(
            other, push[:, axis], len(flat)
        )
    torque = np.bincount(owner, arms[:, 1] * force[:, 0] - arms[:, 0] * force[:, 1], len(rods))
    moved = rods.copy()
    for axis in (0, 1):
        moved[:, axis] += 0.04 * np.bincount(owner, force[:, axis], len(rods))
    moved[:, 2] += np.clip(0.04 * torque / (rods[:, 3] ** 2 / 6 + RADIUS**2), -0.1, 0.1)
    moved[:, 2] += _alignment(rods[:, 2], owner[near])
    inwards = rods[:, :2].mean(axis=0) - rods[:, :2]
    moved[:, :2] += pull * inwards / (np.hypot(*inwards.T)[:, None] + 1)
    return moved


def _alignment(angles: Array, touching: NDArray[np.intp]) -> Array:
    """Turn towards the direction of the neighbours, which friction in a dense colony causes."""
    one, other = touching.T
    twist = np.sin(2 * (angles[other] - angles[one]))
    total = np.bincount(one, twist, len(angles)) - np.bincount(other, twist, len(angles))
    contacts = np.bincount(touching.ravel(), minlength=len(angles)) + 1
    return 0.02 * total / contacts


def _loners(rng: Rng) -> Rods:
    """Single cells, pairs and chains on free ground."""
    rods: list[list[float]] = []
    places = [
        (60, 430),
        (95, 475),
        (470, 90),
        (430, 40),
        (330, 60),
        (250, 450),
        (480, 250),
        (40, 60),
        (495, 470),
    ]
    for (y, x), members in zip(places, (1, 2, 3, 1, 1, 2, 4, 1, 1), strict=True):
        angle = rng.uniform(0, 2 * np.pi)
        at = np.array([y, x]) + rng.uniform(-12, 12, 2)
        for _ in range(members):
            length = rng.uniform(BIRTH, DIVISION)
            ahead = np.array([np.sin(angle), np.cos(angle)])
            at = at + ahead * length / 2
            rods.append([*at, angle, length])
            at = at + ahead * (length / 2 + 2 * RADIUS)
            angle += 0.25 * rng.standard_normal()
    return np.array(rods)


def _render(rng: Rng, rods: Rods) -> tuple[Labels, Array]:
    """Instances, and optical thickness (1 in the middle of a cell)."""
    y, x = grid((SIDE, SIDE))
    # Bending space bends the cells alike, as neighbours in a colony are.
    y, x = y + 8 * field(rng, y.shape, 38), x + 8 * field(rng, x.shape, 38)
    truth = np.zeros(y.shape, np.uint16)
    nearest = np.full(y.shape, np.inf)
    for number, (cy, cx, angle, length) in enumerate(rods, 1):
        along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        across = -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
        bend = rng.normal(0, 0.006)
        across = across + bend * (np.minimum(along**2, length**2) - length**2 / 12)
        distance = np.hypot(np.maximum(np.abs(along) - length / 2, 0), across)
        mine = distance < nearest
        truth[mine & (distance <= RADIUS)] = number
        nearest = np.minimum(nearest, distance)
    thickness = np.sqrt(np.clip(1 - (nearest / (RADIUS + 0.3)) ** 2, 0, 1))
    tone = np.clip(rng.normal(1, 0.08, len(rods) + 1), 0.75, 1.2)
    inner = 1 + 0.10 * field(rng, y.shape, 2.0)
    numbers = np.unique(truth)
    return np.searchsorted(numbers, truth).astype(np.uint16), thickness * tone[truth] * inner


def _phase_contrast(rng: Rng, thickness: Array) -> Array:
    """Dark objects with the halo of a phase ring, which also greys the inside of a crowd."""
    sharp = ndimage.gaussian_filter(thickness, 0.9)
    halo = 0.6 * ndimage.gaussian_filter(thickness, 3.6) + 0.4 * ndimage.gaussian_filter(thickness, 12)
    fringe = ndimage.gaussian_filter(thickness, 2.6) - ndimage.gaussian_filter(thickness, 4.2)
    ground = 1 + 0.035 * field(rng, thickness.shape, 90) + 0.008 * field(rng, thickness.shape, 5)
    light = ground * (1 - 1.12 * sharp + 0.85 * halo - 1.0 * fringe) + _dust(rng)
    light = ndimage.gaussian_filter(np.clip(light, 0.03, None), 0.6) * vignette(thickness.shape, 0.16)
    return expose(rng, 1400 * light, gain=0.076, read_noise=0.8, offset=4)


def _dust(rng: Rng) -> Array:
    """Faint rings of specks that are out of focus."""
    y, x = grid((SIDE, SIDE))
    light = np.zeros(y.shape)
    for _ in range(7):
        cy, cx = rng.uniform(0, SIDE, 2)
        distance, radius = np.hypot(y - cy, x - cx), rng.uniform(3, 9)
        ring = np.exp(-(((distance - radius) / 1.8) ** 2)) - 0.8 * np.exp(
            -((distance / (0.6 * radius)) ** 2)
        )
        light += rng.uniform(-0.1, 0.12) * ring
    return light
