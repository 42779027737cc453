"""A section of glandular tissue stained with haematoxylin and eosin (0.5 µm a pixel)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .draw_nuclei import Nucleus, gap
from .drawing import (
    Array,
    Labels,
    Picture,
    Rng,
    as_integers,
    field,
    grid,
    interiors,
    paint,
    smoothstep,
    vignette,
)

SIDE = 512
TISSUE, NUCLEUS, LUMEN = 1, 2, 3

# Optical density of each dye in red, green and blue.
HAEMATOXYLIN = np.array([0.66, 0.70, 0.30])
EOSIN = np.array([0.08, 0.93, 0.36])
BLOOD = np.array([0.10, 0.80, 0.62])

# Centre y, x and radii of each gland.
GLANDS = (
    (130.0, 150.0, 118.0, 96.0),
    (380.0, 330.0, 100.0, 128.0),
    (90.0, 420.0, 70.0, 82.0),
    (455.0, 60.0, 62.0, 70.0),
)


def draw_tissue(rng: Rng) -> Picture:
    """512×512×3 uint8 (YXC): glands around a lumen, in a stroma of fibres with spindle cells."""
    depth = _depth(rng)
    height = 38 + 6 * field(rng, depth.shape, 40)  # of the epithelium
    lumen = smoothstep(ndimage.gaussian_filter(depth, 7) - height, -1.2, 1.6)
    epithelium = smoothstep(depth, -1.0, 1.5) * (1 - lumen)
    direction = _fibre_direction(rng, depth)
    fibres = _streaks(rng, direction)
    clefts = _clefts(rng, fibres, depth)
    nuclei = _place_nuclei(rng, depth, height, direction, clefts)
    truth, blue = _draw_nuclei(rng, nuclei)
    pink = _eosin(rng, depth, height, epithelium, lumen, fibres, clefts)
    blood, cells = _blood(rng, depth, truth)
    pink, blue = pink * (1 - cells), blue + 0.10 * epithelium * (1 + 0.2 * field(rng, depth.shape, 3))
    image = _stain(rng, blue, pink * (1 - 0.55 * (truth > 0)), blood)
    bright = (lumen > 0.95) & (truth == 0)
    tissue = (lumen < 0.05) & (clefts < 0.3) & (ndimage.distance_transform_edt(truth == 0) > 2.5)
    return Picture(image, truth, _strokes(rng, truth, tissue, bright))


def _strokes(rng: Rng, truth: Labels, tissue: NDArray[np.bool_], bright: NDArray[np.bool_]) -> Labels:
    strokes = np.zeros(truth.shape, np.uint8)
    strokes[paint(rng, tissue, count=12, length=45)] = TISSUE
    strokes[paint(rng, bright, count=5, length=40)] = LUMEN
    strokes[paint(rng, interiors(truth), count=16, length=14, labels=truth)] = NUCLEUS
    return strokes


def _depth(rng: Rng) -> Array:
    """Signed distance in pixels to the basement membrane, positive inside a gland."""
    y, x = grid((SIDE, SIDE))
    y, x = y + 13 * field(rng, y.shape, 34), x + 13 * field(rng, x.shape, 34)
    inside = np.zeros(y.shape, bool)
    for cy, cx, ry, rx in GLANDS:
        inside |= np.hypot((y - cy) / ry, (x - cx) / rx) < 1
    signed = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    return ndimage.gaussian_filter(signed, 1.5)


def _fibre_direction(rng: Rng, depth: Array) -> Array:
    """Angle in radians: fibres run around glands, and drift elsewhere."""
    dy, dx = np.gradient(ndimage.gaussian_filter(np.maximum(depth, -60), 9))
    drift = 0.5 + 1.1 * field(rng, depth.shape, 70)
    near = np.exp(-np.maximum(-depth, 0) / 22)
    sine = near * -dx + (1 - near) * np.sin(drift) + 1e-9
    cosine = near * dy + (1 - near) * np.cos(drift)
    # A fibre has no head: average doubled angles, so that opposite directions agree.
    double = 2 * np.arctan2(sine, cosine)
    blurred = np.arctan2(*(ndimage.gaussian_filter(f(double), 6) for f in (np.sin, np.cos)))
    return blurred / 2 + 0.25 * field(rng, depth.shape, 9)


def _streaks(rng: Rng, direction: Array, steps: int = 16) -> Array:
    """Line integral convolution: noise smeared along the fibres."""
    noise = field(rng, direction.shape, 0.9) + 0.5 * field(rng, direction.shape, 2.5)
    total = noise.copy()
    for sign in (-1.0, 1.0):
        y, x = grid(direction.shape)
        heading = direction
        vy, vx = sign * np.sin(heading), sign * np.cos(heading)
        for _ in range(steps):
            y, x = y + 1.5 * vy, x + 1.5 * vx
            at = np.stack([y, x])
            ahead = ndimage.map_coordinates(direction, at, order=0, mode="nearest")
            ny, nx = np.sin(ahead), np.cos(ahead)
            same = np.sign(ny * vy + nx * vx + 1e-12)
            vy, vx = ny * same, nx * same
            total += ndimage.map_coordinates(noise, at, order=1, mode="reflect")
    return (total - total.mean()) / total.std()


def _clefts(rng: Rng, fibres: Array, depth: Array) -> Array:
    """White cracks 0…1 between bundles of fibres, as drying leaves them."""
    loose = smoothstep(field(rng, depth.shape, 38), -0.2, 1.6)
    bundles = ndimage.gaussian_filter(fibres, 1.3)
    cracks = smoothstep(bundles / bundles.std(), 1.35, 1.9) * loose
    beside = np.exp(-(((depth + 3) / 2.2) ** 2)) * smoothstep(field(rng, depth.shape, 24), 0.6, 1.3)
    return np.clip(cracks + beside, 0, 1) * (depth < 0)


def _place_nuclei(
    rng: Rng, depth: Array, height: Array, direction: Array, clefts: Array
) -> list[tuple[Nucleus, float]]:
    """Nuclei with their darkness: at the base of the epithelium, in the stroma, and lymphocytes."""
    dy, dx = np.gradient(ndimage.gaussian_filter(depth, 5))
    upright = np.arctan2(dy, dx)
    basal = (depth > 6) & (depth < 0.62 * height)
    stroma = (depth < -5) & (clefts < 0.2)
    crowd = stroma & (field(rng, depth.shape, 24) + 0.6 * field(rng, depth.shape, 7) > 1.9)
    strewn = stroma & (field(rng, depth.shape, 20) + 0.8 * rng.standard_normal(depth.shape) > 0.9)
    nuclei: list[tuple[Nucleus, float]] = []
    kinds = (
        (basal, 2600, upright, (8.6, 5.2), 0.25, (0.85, 1.25), -0.10),
        (crowd, 330, direction, (5.2, 4.6), 3.0, (1.3, 1.75), -0.06),
        (strewn, 330, direction, (10.0, 3.0), 0.25, (0.95, 1.6), 0.1),
    )
    for where, tries, angles, (long, short), spread, (low, high), space in kinds:
        spots = np.argwhere(where)
        for y, x in spots[rng.integers(0, len(spots), tries)]:
            a = max(long * rng.normal(1, 0.14), 0.6 * long)
            b = max(short * rng.normal(1, 0.13), 0.6 * short)
            waves = tuple(zip(0.045 * rng.standard_normal(3), rng.uniform(0, 2 * np.pi, 3), strict=True))
            angle = float(angles[y, x] + spread * rng.standard_normal())
            one = Nucleus(float(y), float(x), max(a, b), min(a, b), angle, waves)
            if all(abs(n.y - y) + abs(n.x - x) > 48 or gap(one, n) > space for n, _ in nuclei):
                nuclei.append((one, float(rng.uniform(low, high))))
    return nuclei


def _draw_nuclei(rng: Rng, nuclei: list[tuple[Nucleus, float]]) -> tuple[Labels, Array]:
    """Instances and the density of haematoxylin."""
    truth, blue = np.zeros((SIDE, SIDE), np.uint16), np.zeros((SIDE, SIDE))
    nearest = np.full(truth.shape, np.inf)
    fine, clumps = field(rng, truth.shape, 0.9), field(rng, truth.shape, 1.7)
    y, x = grid(truth.shape)
    for number, (nucleus, dark) in enumerate(nuclei, 1):
        at = nucleus.window(SIDE)
        radius = nucleus.radius(y[at], x[at])
        mine = (radius <= 1) & (radius < nearest[at])
        truth[at][mine] = number
        nearest[at] = np.minimum(nearest[at], radius)
        pale = rng.uniform(0.0, 0.45) if dark < 1.3 else 0.0  # open chromatin in the middle
        rim = np.exp(-(((radius - 0.9) / 0.16) ** 2))
        body = dark * (1 - pale * (1 - np.clip(radius, 0, 1) ** 2)) + 0.22 * rim
        body += (0.16 * clumps[at] + 0.10 * fine[at]) * dark
        offset = rng.uniform(-0.4, 0.4, 2) * nucleus.short
        nucleolus = np.hypot(y[at] - nucleus.y - offset[0], x[at] - nucleus.x - offset[1])
        body += 0.55 * pale / 0.45 * np.exp(-((nucleolus / 1.5) ** 2))
        blue[at] = np.maximum(blue[at], np.clip(body, 0.2, None) * smoothstep(-radius, -1.1, -0.9))
    numbers = np.unique(truth)
    return np.searchsorted(numbers, truth).astype(np.uint16), blue


def _eosin(
    rng: Rng, depth: Array, height: Array, epithelium: Array, lumen: Array, fibres: Array, clefts: Array
) -> Array:
    """Density of eosin: fibres, cytoplasm that pales towards the lumen, a line at the basement."""
    shape = depth.shape
    stroma = (0.46 + 0.14 * fibres + 0.07 * field(rng, shape, 30)) * (1 - 0.93 * clefts)
    up = np.clip(depth / height, 0, 1)
    mucin = smoothstep(field(rng, shape, 5), 0.3, 1.4) * smoothstep(up, 0.45, 0.8)
    cytoplasm = (
        0.50 - 0.16 * up + 0.05 * field(rng, shape, 2.2) + 0.03 * field(rng, shape, 0.9) - 0.24 * mucin
    )
    apex = 0.2 * np.exp(-(((ndimage.gaussian_filter(depth, 7) - height) / 2.0) ** 2))
    debris = 0.16 * smoothstep(field(rng, shape, 4) + 0.9 * field(rng, shape, 14), 1.5, 3.0)
    base = 0.16 * np.exp(-(((depth + 1) / 1.6) ** 2))
    outside = 1 - epithelium - lumen
    pink = stroma * outside + (cytoplasm + apex) * epithelium + (0.015 + debris) * lumen + base
    return np.clip(pink, 0.01, None)


def _blood(rng: Rng, depth: Array, truth: Labels) -> tuple[Array, Array]:
    """Density of red blood cells in small vessels, and where they lie (0…1)."""
    blood, cover = np.zeros(depth.shape), np.zeros(depth.shape)
    y, x = grid(depth.shape)
    spots = np.argwhere((depth < -14) & (depth > -60) & (ndimage.distance_transform_edt(truth == 0) > 7))
    for at in spots[rng.integers(0, max(len(spots), 1), 4)] if len(spots) else ():
        for _ in range(int(rng.integers(3, 9))):
            cy, cx = at + rng.normal(0, 6, 2)
            distance = np.hypot(y - cy, x - cx)
            disc = smoothstep(-distance, -5.0, -3.9) * (truth == 0)
            blood = np.maximum(blood, disc * (0.85 - 0.2 * np.exp(-((distance / 1.6) ** 2))))
            cover = np.maximum(cover, disc)
    return blood, cover


def _stain(rng: Rng, blue: Array, pink: Array, blood: Array) -> NDArray[np.uint8]:
    """Light that passes the dyes (Beer and Lambert), through lens and colour camera."""
    thickness = 1 + 0.07 * field(rng, blue.shape, 60)
    density = blue[..., None] * HAEMATOXYLIN + pink[..., None] * EOSIN + blood[..., None] * BLOOD
    light = np.exp(-1.25 * thickness[..., None] * density)
    light = ndimage.gaussian_filter(light, (0.75, 0.75, 0))
    white = np.array([243.0, 240.0, 244.0]) * vignette(blue.shape, 0.05)[..., None]
    noise = (
        1.6 * field(rng, (*blue.shape, 3), (0.6, 0.6, 0)) + 0.8 * field(rng, blue.shape, 0.5)[..., None]
    )
    return as_integers(white * light + noise, "uint8")
