"""Samples to try everything on: drawn by the project, and real ones that come with scikit-image.

Each function named ``open_…`` returns layers for napari's File → Open Sample → Papernets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .core.errors import InputError
from .core.image import ImageBlock
from .core.model import class_infos

LayerData = tuple[Any, dict[str, Any], str]


@dataclass(frozen=True)
class SampleInfo:
    """What there is to know about a sample before it is opened.

    Attributes
    ----------
    name : str
        Short name, as in ``load_sample(name)`` and in the files.
    title, description : str
        What to call it, and what it shows.
    axes : str
        Letters of "TZCYX" for the axes of the image.
    scale : tuple of float
        Pixel size along each axis, in `unit`; 1 for channels.
    classes : tuple of str
        Names of the classes 1…K of the strokes.
    instances : bool
        The truth numbers objects (0 is background); otherwise it holds the classes 1…K.
    """

    name: str
    title: str
    description: str
    axes: str
    scale: tuple[float, ...]
    classes: tuple[str, ...]
    instances: bool = True
    unit: str = "µm"

    @property
    def image_file(self) -> str:
        return f"{self.name}.tif"

    @property
    def truth_file(self) -> str:
        return f"{self.name}_truth{self._labels_suffix}"

    @property
    def strokes_file(self) -> str:
        return f"{self.name}_strokes{self._labels_suffix}"

    @property
    def _labels_suffix(self) -> str:
        return ".tif" if "Z" in self.axes else ".png"


@dataclass(frozen=True, eq=False)
class Sample:
    """A sample with what a person would paint on it.

    Attributes
    ----------
    info : SampleInfo
        Name, classes, description.
    image : ImageBlock
        The picture.
    truth : ndarray of integers, shape (*stack, Y, X), or None
        Objects, 0 being background; or classes 1…K. None for real images.
    strokes : ndarray of uint8, shape (*stack, Y, X)
        0 where nothing is painted, else the class 1…K.
    """

    info: SampleInfo
    image: ImageBlock
    truth: NDArray[Any] | None
    strokes: NDArray[Any]

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.info.classes


_DRAWN = (
    SampleInfo(
        "nuclei", "Fluorescent nuclei", "Nuclei that touch, of uneven brightness, with haze; 16 bit.",
        "YX", (0.5, 0.5), ("background", "nucleus"),
    ),
    SampleInfo(
        "membranes", "EM membranes", "Nerve tissue in an electron microscope: what is membrane?",
        "YX", (0.004, 0.004), ("cell", "membrane"), instances=False,
    ),
    SampleInfo(
        "rods", "Phase-contrast rods", "Colonies of rod-shaped bacteria: dark, with halos, packed.",
        "YX", (0.1, 0.1), ("background", "bacterium"),
    ),
    SampleInfo(
        "tissue", "H&E tissue", "Glands in stroma, stained with haematoxylin and eosin; colours.",
        "YXC", (0.5, 0.5, 1.0), ("tissue", "nucleus", "lumen"),
    ),
    SampleInfo(
        "nuclei_stack", "Fluorescent nuclei (stack)", "Twelve confocal planes through crowded nuclei.",
        "ZYX", (2.0, 0.5, 0.5), ("background", "nucleus"),
    ),
)  # fmt: skip
SAMPLES: Mapping[str, SampleInfo] = {info.name: info for info in _DRAWN}

# Real images inside scikit-image's wheel: its function, and names for two classes to paint.
_REAL = {
    "cell": ("Cell (real)", "background", "cell"),
    "immunohistochemistry": ("Immunohistochemistry (real)", "tissue", "nucleus"),
    "retina": ("Retina (real)", "background", "vessel"),
    "microaneurysms": ("Microaneurysms (real)", "background", "aneurysm"),
}


def load_sample(name: str) -> Sample:
    """Load a sample that the project ships.

    Parameters
    ----------
    name : str
        One of `SAMPLES`.

    Returns
    -------
    Sample
        Image, truth and strokes.

    Raises
    ------
    InputError
        If there is no sample of that name.
    """
    if name not in SAMPLES:
        raise InputError("sample", repr(name), f"choose one of: {', '.join(SAMPLES)}")
    from .files import read_image, read_labels

    info = SAMPLES[name]
    with resources.as_file(resources.files(f"{__package__}.sample_data")) as folder:
        stored = read_image(folder / info.image_file)
        truth = read_labels(folder / info.truth_file)
        strokes = read_labels(folder / info.strokes_file)
    image = ImageBlock(stored.data, info.axes, info.scale, info.name, info.unit)
    return Sample(info, image, truth, strokes)


def open_nuclei() -> list[LayerData]:
    """Fluorescent nuclei that touch."""
    return sample_layers("nuclei")


def open_membranes() -> list[LayerData]:
    """Membranes in an electron microscope."""
    return sample_layers("membranes")


def open_rods() -> list[LayerData]:
    """Bacteria in phase contrast."""
    return sample_layers("rods")


def open_tissue() -> list[LayerData]:
    """Tissue stained with haematoxylin and eosin."""
    return sample_layers("tissue")


def open_nuclei_stack() -> list[LayerData]:
    """A stack of fluorescent nuclei."""
    return sample_layers("nuclei_stack")


def open_cell() -> list[LayerData]:
    """A cell (scikit-image)."""
    return real_layers("cell")


def open_immunohistochemistry() -> list[LayerData]:
    """Immunohistochemically stained tissue (scikit-image)."""
    return real_layers("immunohistochemistry")


def open_retina() -> list[LayerData]:
    """The back of an eye (scikit-image)."""
    return real_layers("retina")


def open_microaneurysms() -> list[LayerData]:
    """Vessels of a retina (scikit-image)."""
    return real_layers("microaneurysms")


def sample_layers(name: str) -> list[LayerData]:
    """Layers of a shipped sample: image, truth (hidden) and strokes, the strokes on top.

    Raises
    ------
    InputError
        If there is no sample of that name.
    """
    sample = load_sample(name)
    info, image = sample.info, sample.image
    sizes = tuple(s for s, a in zip(image.scale, image.axes, strict=True) if a != "C")
    place = {"scale": sizes, "units": info.unit}
    colours = {} if info.instances else {"colormap": class_colours(info.classes)}
    truth = {"name": f"{name} truth", "visible": False, "opacity": 0.6, **colours, **place}
    truth["metadata"] = _metadata(info, "truth")
    picture = {"name": name, "rgb": "C" in info.axes, "metadata": _metadata(info, "image"), **place}
    if "C" not in info.axes:
        picture["contrast_limits"] = np.percentile(image.data, (0.1, 99.9)).tolist()
    return [
        (image.data, picture, "image"),
        (sample.truth, truth, "labels"),
        _strokes_layer(sample.strokes, info, place),
    ]


def real_layers(name: str) -> list[LayerData]:
    """Layers of a real image that comes with scikit-image: the image and empty strokes."""
    from skimage import data

    title, *classes = _REAL[name]
    image = getattr(data, name)()
    rgb = image.ndim == 3
    info = SampleInfo(name, title, "", "YXC" if rgb else "YX", (), tuple(classes), unit="pixel")
    strokes = np.zeros(image.shape[:2], np.uint8)
    picture = {"name": name, "rgb": rgb, "metadata": _metadata(info, "image")}
    return [(image, picture, "image"), _strokes_layer(strokes, info, {})]


def class_colours(classes: tuple[str, ...]) -> dict[int | None, str]:
    """Colours for a labels layer: 0 and unknown numbers transparent, classes as in the palette."""
    colours: dict[int | None, str] = {0: "transparent", None: "transparent"}
    return colours | {i: c.colour for i, c in enumerate(class_infos(classes), 1)}


def _strokes_layer(strokes: NDArray[Any], info: SampleInfo, place: dict[str, Any]) -> LayerData:
    options = {
        "name": f"{info.name} strokes",
        "opacity": 0.8,
        "colormap": class_colours(info.classes),
        "metadata": _metadata(info, "strokes"),
    }
    return strokes, {**options, **place}, "labels"


def _metadata(info: SampleInfo, kind: str) -> dict[str, Any]:
    """What the panels read: axes of the image, and class names where numbers are classes."""
    told: dict[str, Any] = {"sample": info.name, "kind": kind, "axes": info.axes.replace("C", "")}
    if kind == "image":
        return told | {"axes": info.axes, "description": info.description}
    return told | {"class_names": info.classes if kind == "strokes" or not info.instances else ()}
