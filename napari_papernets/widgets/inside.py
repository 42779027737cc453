"""Look inside: the feature maps of a level of the network, laid over the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QPushButton, QWidget

from ..core.results import LevelMaps
from .calm import CalmComboBox
from .job_adapter import Engine, JobAdapter
from .outputs import PROVENANCE, put_output
from .placement import lay_out
from .run_plan import RunPlan
from .settings_form import add_row, aligned_rows

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

SAMPLES = 50_000  # values that the contrast is judged by
LOOK_HELP = (
    "Run the network once on what is in view and show the feature maps of one of its levels over the "
    "image. The slider below the canvas goes through the maps."
)
CONTROL_HELP = (
    "The control: look inside the same network before any training. What looks alike with and without "
    "was not learnt."
)
LEVEL_HELP = (
    "A level of the network, and how many maps it has. contract 0 is the first level, bottom the "
    "coarsest, expand 0 the last before the classes; logits are the answers before the softmax."
)


@dataclass(frozen=True, eq=False)
class Level:
    """The maps of one level.

    Attributes
    ----------
    name : str
        As in the network.
    maps : ndarray of float32, shape (C, y, x)
        One map for each channel.
    box : (y0, y1, x0, x1)
        Pixels of the image that they cover.
    limits : (float, float)
        Grey values to show as black and white.
    liveliest : int
        The map of the greatest variance: many others are empty.
    """

    name: str
    maps: NDArray[Any]
    box: tuple[float, float, float, float]
    limits: tuple[float, float]
    liveliest: int

    @property
    def title(self) -> str:
        """Name and number of maps."""
        return f"{self.name} ({len(self.maps)})"

    @property
    def account(self) -> str:
        """One line for the user."""
        pixels = (self.box[1] - self.box[0]) / self.maps.shape[1]
        size = "one pixel each" if pixels == 1 else f"{pixels:g} image pixels to a side"
        return (
            f"{self.name}: {len(self.maps)} maps, {size}; map {self.liveliest} varies most. "
            "The slider below the canvas goes through them."
        )


def prepare_levels(result: LevelMaps) -> tuple[tuple[Level, ...], dict[str, Any]]:
    """Levels with their contrast, and the provenance; free of Qt and napari."""
    levels = []
    for name, maps in result.maps.items():
        some = maps.ravel()[:: max(1, maps.size // SAMPLES)]
        low, high = (float(v) for v in np.percentile(some, (1, 99.8)))
        limits = (low, high if high > low else low + 1.0)
        liveliest = int(maps.reshape(len(maps), -1).std(axis=1).argmax())
        levels.append(Level(name, maps, result.boxes[name], limits, liveliest))
    return tuple(levels), dict(result.provenance)


class LookInside(QWidget):
    """The choice of a level; the button that fills it is placed by the panel.

    Attributes
    ----------
    button : QPushButton
        Look inside.
    requested : Signal()
        Look inside was pressed; the panel answers with `look`.
    told : Signal(str)
        What is shown, one line.
    failed : Signal(object)
        The error of a look.
    """

    requested = Signal()
    told = Signal(str)
    failed = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._levels: tuple[Level, ...] = ()
        self._provenance: dict[str, Any] = {}
        self._plan: RunPlan | None = None
        self._key = ""
        self._job: JobAdapter | None = None
        self.button = QPushButton("Look inside")
        self.button.setToolTip(f"<p>{LOOK_HELP}</p>")
        self.button.clicked.connect(self.requested)
        self.combo = CalmComboBox()
        self.combo.setEnabled(False)
        self.combo.activated.connect(self._show)
        self.combo.setPlaceholderText("press Look inside")
        rows = aligned_rows()
        add_row(rows, "Level", self.combo, LEVEL_HELP)
        self.control = QCheckBox("Random weights")
        self.control.setToolTip(f"<p>{CONTROL_HELP}</p>")
        rows.addRow("", self.control)
        self.setLayout(rows)

    def look(
        self, engine: Engine, plan: RunPlan, key: str, last: Mapping[str, Any] | None = None
    ) -> None:
        """Run the network on the region of `plan` and show a level in the layer of `key`. Where the zoom
        is automatic, that of the `last` run (its provenance) is taken."""
        self._plan, self._key = plan, key
        settings = plan.settings
        if settings.zoom is None and last is not None:
            settings = settings.replace(zoom=last["zoom"])
        self.button.setEnabled(False)
        self._job = JobAdapter(self)
        self._job.returned.connect(self._on_returned)
        self._job.failed.connect(self._on_failed)
        self._job.cancelled.connect(self._on_cancelled)
        self._job.start(
            engine, "inspect", prepare_levels,
            image=plan.image, model=plan.model, settings=settings, device=plan.device,
            region=plan.region, plane=plan.planes[0] if plan.planes else (),
            random_weights=self.control.isChecked(),
        )  # fmt: skip
        self.told.emit("Looking inside…")

    def leave(self) -> None:
        """The panel goes away."""
        if self._job is not None:
            self._job.forget()
        self._levels = ()

    def _on_returned(self, answer: tuple[tuple[Level, ...], dict[str, Any]]) -> None:
        before = self.combo.currentIndex()
        self._levels, self._provenance = answer
        self.combo.clear()
        self.combo.addItems([level.title for level in self._levels])
        last_maps = len(self._levels) - 2  # the logits come last
        self.combo.setCurrentIndex(before if 0 <= before < len(self._levels) else max(0, last_maps))
        self.combo.setEnabled(True)
        self.button.setEnabled(True)
        self._show()

    def _on_failed(self, error: BaseException) -> None:
        self.button.setEnabled(True)
        self.failed.emit(error)

    def _on_cancelled(self) -> None:
        self.button.setEnabled(True)
        self.told.emit("")

    def _show(self, *_: object) -> None:
        level, plan = self._levels[self.combo.currentIndex()], self._plan
        assert plan is not None
        show_level(self._viewer, plan, level, self._key, self._provenance)
        untrained = "Random weights, " if self._provenance.get("random_weights") else ""
        self.told.emit(untrained + level.account)


def show_level(
    viewer: napari.viewer.Viewer, plan: RunPlan, level: Level, key: str, provenance: dict[str, Any]
) -> napari.layers.Image:
    """Lay the maps of a level over the image, with the number of the map as first axis."""
    axes, like = f"F{plan.axes}", f"F{plan.like}"
    count, height, width = level.maps.shape
    single = (1,) * len(plan.image.stack_axes)
    sizes = {axis: plan.image.size(axis) for axis in plan.like}
    array = level.maps.reshape(count, *single, height, width)
    data, _ = lay_out(array, axes, like, sizes)
    y0, y1, x0, x1 = level.box
    origin = {**dict(zip(plan.axes, plan.origin, strict=True)), "Y": y0, "X": x0}
    step = {"Y": (y1 - y0) / height, "X": (x1 - x0) / width}
    placement = plan.placement.lead().part(
        [origin.get(axis, 0) for axis in like], [step.get(axis, 1) for axis in like]
    )
    layer = put_output(
        viewer, "image", key, f"{plan.image.name} inside", data, placement,
        metadata={PROVENANCE: {**provenance, "level": level.name}},
        axis_labels=("map", *plan.like), colormap="magma", contrast_limits=level.limits, opacity=0.8,
        visible=True,
    )  # fmt: skip
    viewer.dims.set_point(viewer.dims.ndim - layer.ndim, level.liveliest)
    return layer
