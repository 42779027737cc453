"""Show the tile plan, and look inside the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from ..core.errors import PapernetsError
from ..core.model import ModelRef
from .inside import LookInside
from .job_adapter import Engine
from .offered import NO_IMAGE, offer
from .outputs import PROVENANCE, find_output, key_of, output_key
from .run_plan import INSIDE, Kind, RunPlan
from .tile_layer import plan_of, show_tiles

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

TILES_HELP = (
    "Draw the windows that the network will see: orange is what a tile reads, with its halo of "
    "context; blue is what it answers for. Press again to take them away."
)


class CloserLook(QWidget):
    """Two buttons, and the choice of a level.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where layers are shown.
    layer : callable
        The image layer in use.
    plan : callable
        Works out a run of the given kind; both raise PapernetsError.
    engine : callable
        The engine.

    Attributes
    ----------
    told : Signal(str)
        What is shown, one line.
    failed : Signal(object)
        The error.
    """

    told = Signal(str)
    failed = Signal(object)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        layer: Callable[[], napari.layers.Image],
        plan: Callable[[Kind], RunPlan],
        engine: Callable[[], Engine],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._layer, self._plan, self._engine = viewer, layer, plan, engine
        self.tiles = QPushButton("Show tiles")
        self.tiles.clicked.connect(self._on_tiles)
        offer(self.tiles, TILES_HELP)
        self.inside = LookInside(viewer)
        self.inside.requested.connect(self._on_look)
        self.inside.told.connect(self.told)
        self.inside.failed.connect(self.failed)
        buttons = QHBoxLayout()
        buttons.addWidget(self.tiles, 1)
        buttons.addWidget(self.inside.button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        layout.addWidget(self.inside)

    def set_image(self, identity: Any) -> None:
        """The image of that unique_id is chosen now; None where there is none."""
        obstacle = "" if identity is not None else NO_IMAGE
        offer(self.tiles, TILES_HELP, obstacle)
        self.inside.set_image(identity, obstacle)

    def last_run(self, model: ModelRef) -> Mapping[str, Any] | None:
        """Provenance of the newest labels of the chosen image by this model, whatever its settings.

        Raises
        ------
        InputError
            If there is no image.
        """
        newest, end = None, f" of {self._layer().unique_id}"
        for layer in self._viewer.layers:
            account = layer.metadata.get(PROVENANCE, {})
            same_model = account.get("verb") == "predict" and account.get("model") == model.name
            if same_model and key_of(layer).endswith(end):
                newest = account
        return newest

    def _on_tiles(self) -> None:
        try:
            layer = self._layer()
            there = find_output(self._viewer, output_key("tiles", layer))
            if there is not None:
                self._viewer.layers.remove(there)
                self.told.emit("")
                return
            plan = self._plan("plane")
            tiles, zoom, source = plan_of(plan, self.last_run(plan.model))
            self.told.emit(f"{source}: {show_tiles(self._viewer, layer, plan, tiles, zoom)}")
        except PapernetsError as error:
            self.failed.emit(error)

    def _on_look(self) -> None:
        try:
            plan = self._plan("view")
            last = self.last_run(plan.model)
            self.inside.look(self._engine(), plan, output_key(INSIDE, self._layer()), last)
        except PapernetsError as error:
            self.failed.emit(error)
