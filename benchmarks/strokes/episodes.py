"""Episodes: a few strokes on one part of an image, and another part on which the answer is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from napari_papernets.sample_data.draw_membranes import draw_membranes
from napari_papernets.sample_data.draw_nuclei import draw_nuclei
from napari_papernets.sample_data.draw_rods import draw_rods
from napari_papernets.sample_data.draw_tissue import draw_tissue
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries
from torch.nn import functional as F

from ..nuclei.data import examples
from .worlds import draw_world

SIDE = 192
UNKNOWN = 255
LEAST = 60  # pixels of a class that count
DRAWN = 12  # pictures of each kind of sample
WORLDS = 3000

Rng = np.random.Generator
Picture = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Episode:
    """One lesson.

    Attributes
    ----------
    images : ndarray of float32, shape (2, 3, SIDE, SIDE)
        The part that is painted on, and another part of the same image; about 0…1.
    classes : ndarray of int64, shape (2, SIDE, SIDE)
        0…K−1; `UNKNOWN` for classes that are not painted.
    strokes : ndarray of uint8, shape (SIDE, SIDE)
        The class of painted pixels of the first part, else `UNKNOWN`.
    count : int
        K.
    """

    images: NDArray[np.float32]
    classes: NDArray[np.int64]
    strokes: NDArray[np.uint8]
    count: int


def draw_episode(seed: int) -> Episode:
    """The episode of that number."""
    rng = np.random.default_rng(seed)
    while True:
        episode = _try_episode(rng)
        if episode is not None:
            return episode


def paint(
    rng: Rng, classes: NDArray[Any], starts: NDArray[np.intp], c: int, count: int = 1
) -> NDArray[np.bool_]:
    """Strokes of up to 40 pixels, 3 wide, from some of `starts` (N, 2), all in class `c`."""
    painted = np.zeros(classes.shape, bool)
    for _ in range(count):
        y, x = (float(v) for v in starts[rng.integers(len(starts))])
        angle, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.04)
        good = y, x
        for _ in range(int(rng.uniform(8, 40))):
            row, column = round(y), round(x)
            if not (0 <= row < classes.shape[0] and 0 <= column < classes.shape[1]):
                break
            if classes[row, column] == c:
                good = y, x
                painted[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
            else:
                angle += rng.choice([-1, 1]) * rng.uniform(0.5, 1.5)
                y, x = good
            y, x = y + np.sin(angle), x + np.cos(angle)
            angle += bend + rng.normal(0, 0.15)
    return painted & (classes == c)


def _try_episode(rng: Rng) -> Episode | None:
    image, classes = _choose_picture(rng)
    view = _draw_view(rng)
    image = _mix_channels(rng, _normalise(image))
    first, first_classes = _cut(rng, image, classes, view)
    second, second_classes = _cut(rng, image, classes, view)
    seen, pixels = np.unique(first_classes, return_counts=True)
    seen = seen[pixels >= LEAST]
    if len(seen) < 2:
        return None
    table = np.full(256, UNKNOWN, np.uint8)
    table[seen] = np.arange(len(seen))
    both = table[np.stack([first_classes, second_classes])]
    strokes = np.full(both[0].shape, UNKNOWN, np.uint8)
    for c in range(len(seen)):
        strokes[paint(rng, both[0], np.argwhere(both[0] == c), c, int(rng.integers(1, 5)))] = c
    if len(np.unique(strokes)) < len(seen) + 1:
        return None
    images = _change_greys(rng, np.stack([first, second]))
    return Episode(images, both.astype(np.int64), strokes, len(seen))


def _choose_picture(rng: Rng) -> Picture:
    kind = rng.random()
    if kind < 0.5:
        world = draw_world(int(rng.integers(WORLDS)))
        return np.broadcast_to(world.image, (3, *world.classes.shape)), world.classes
    if kind < 0.76:
        pool = _nuclei()["fluo" if kind < 0.62 else "histology"]
        image, objects = pool[rng.integers(len(pool))]
        return image, _classes_of(rng, objects)
    name = list(SAMPLES)[rng.integers(len(SAMPLES))]
    image, truth = _sample(name, int(rng.integers(DRAWN)))
    return image, truth - 1 if name == "membranes" else _classes_of(rng, truth)


SAMPLES: dict[str, Callable[[Rng], Any]] = {
    "membranes": draw_membranes, "rods": draw_rods, "tissue": draw_tissue, "nuclei": draw_nuclei,
}  # fmt: skip


@cache
def _sample(name: str, seed: int) -> Picture:
    picture = SAMPLES[name](np.random.default_rng(5000 + seed))
    return _three_channels(picture.image), picture.truth


@cache
def _nuclei() -> dict[str, list[Picture]]:
    """The nuclei that are for training; the held-out third stays unseen, and so does all brightfield."""
    found: dict[str, list[Picture]] = {"fluo": [], "histology": []}
    for example in examples(held_out=False, kinds=tuple(found)):
        if min(example.objects.shape) >= SIDE and example.objects.max() >= 3:
            image = _three_channels(np.asarray(example.image.data))
            found[example.kind].append((image[:, :1040, :1040], example.objects[:1040, :1040]))
    return found


def _three_channels(image: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(image[..., :3], -1, 0) if image.ndim == 3 else np.stack([image] * 3)


def _classes_of(rng: Rng, objects: NDArray[Any]) -> NDArray[np.uint8]:
    """Objects on ground; sometimes their borders, or their rims, as a class."""
    inside, kind = (objects > 0).astype(np.uint8), rng.random()
    if kind < 0.2:
        return np.where(find_boundaries(objects, mode="thick"), 2, inside).astype(np.uint8)
    if kind < 0.3:
        return find_boundaries(objects, mode="thick").astype(np.uint8)
    if kind < 0.37:
        rim = (ndimage.distance_transform_edt(inside) < 3) & (inside > 0)
        return np.where(rim, 2, inside).astype(np.uint8)
    return inside


def _normalise(image: NDArray[Any]) -> NDArray[np.float32]:
    low, high = np.percentile(image[..., ::3, ::3], (1, 99.8))
    return ((image - low) / max(high - low, 1e-6)).astype(np.float32)


def _mix_channels(rng: Rng, image: NDArray[np.float32]) -> NDArray[np.float32]:
    kind = rng.random()
    if kind < 0.3:
        return np.repeat(image.mean(0, keepdims=True), 3, axis=0)
    return image[rng.permutation(3)] if kind < 0.65 else image


def _draw_view(rng: Rng) -> NDArray[np.float64]:
    """Zoom, rotation and mirroring that both parts share, shape (2, 2)."""
    angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.5 else rng.integers(4) * np.pi / 2
    zoom = np.exp(rng.uniform(np.log(0.6), np.log(1.7)))
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    return matrix * [1, rng.choice([-1, 1])]


def _cut(
    rng: Rng, image: NDArray[np.float32], classes: NDArray[Any], view: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """A part of the image and its classes, mirrored beyond the border."""
    view = view * np.exp(rng.uniform(-0.1, 0.1))
    reach = SIDE / 2 * np.sqrt(abs(np.linalg.det(view)))
    centre = [rng.uniform(min(reach, n / 2), max(n - reach, n / 2)) for n in classes.shape]
    steps = np.arange(SIDE) - (SIDE - 1) / 2
    at = np.tensordot(view, np.stack(np.meshgrid(steps, steps, indexing="ij")), 1)
    y, x = (_mirror(a + c, n) for a, c, n in zip(at, centre, classes.shape, strict=True))
    sizes = np.array(classes.shape) - 1
    grid = np.stack([x / sizes[1], y / sizes[0]], axis=-1).astype(np.float32) * 2 - 1
    source = torch.from_numpy(np.ascontiguousarray(image))[None]
    cut = F.grid_sample(source, torch.from_numpy(grid)[None], align_corners=True)[0].numpy()
    return cut, classes[np.rint(y).astype(int), np.rint(x).astype(int)]


def _mirror(at: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    at = np.mod(np.abs(at), 2 * (length - 1))
    return np.where(at > length - 1, 2 * (length - 1) - at, at)


def _change_greys(rng: Rng, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gamma, contrast, blur, noise and polarity: nearly the same for both parts."""
    gamma, contrast = np.exp(rng.normal(0, (0.3, 0.2)))
    blurred, noisy, inverted = rng.random(3) < (0.25, 0.35, 0.3)
    sigma, noise = rng.uniform(0.3, 1.5), rng.uniform(0, 0.1)
    changed = []
    for image in images:
        image = np.clip(image, 0, 1.5) ** (gamma * np.exp(rng.normal(0, 0.05)))
        image = (image - 0.5) * contrast * np.exp(rng.normal(0, 0.06)) + 0.5 + rng.normal(0, 0.03)
        if blurred:
            image = ndimage.gaussian_filter(image, (0, sigma, sigma))
        if noisy:
            image = image + noise * rng.standard_normal((rng.choice([1, 3]), *image.shape[1:]))
        changed.append(1 - image if inverted else image)
    return np.stack(changed).astype(np.float32)
