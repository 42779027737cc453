"""Draw the shipped samples: ``python sample_data/generate.py [NAME …]``.

Nothing in them is copied from a real image. The same seed gives the same files.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from napari_papernets.sample_data.draw_membranes import draw_membranes
from napari_papernets.sample_data.draw_nuclei import draw_nuclei, draw_stack
from napari_papernets.sample_data.draw_rods import draw_rods
from napari_papernets.sample_data.draw_tissue import draw_tissue
from napari_papernets.sample_data.drawing import Picture, Rng

from napari_papernets.files import write_image, write_labels
from napari_papernets.samples import SAMPLES

PAINTERS: Mapping[str, tuple[Callable[[Rng], Picture], int]] = {
    "nuclei": (draw_nuclei, 1),
    "membranes": (draw_membranes, 3),
    "rods": (draw_rods, 1),
    "tissue": (draw_tissue, 1),
    "nuclei_stack": (draw_stack, 1),
}


def draw(name: str) -> Picture:
    """The picture of that name, as it is shipped."""
    painter, seed = PAINTERS[name]
    return painter(np.random.default_rng(seed))


def write(name: str, folder: Path) -> None:
    """Draw a sample and write its image, truth and strokes."""
    info, picture = SAMPLES[name], draw(name)
    stack_axes = info.axes.replace("C", "")
    scale = dict(zip(info.axes, info.scale, strict=True))
    labels_scale = [scale[a] for a in stack_axes]
    write_image(folder / info.image_file, picture.image, info.axes, info.scale, info.unit)
    for file, labels in ((info.truth_file, picture.truth), (info.strokes_file, picture.strokes)):
        write_labels(folder / file, labels, stack_axes, labels_scale, info.unit)


def main(names: list[str]) -> None:
    for name in names or PAINTERS:
        write(name, Path(__file__).parent)


if __name__ == "__main__":
    main(sys.argv[1:])
