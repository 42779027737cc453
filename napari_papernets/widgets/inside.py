"""Look inside: a level of the network, chosen, computed and laid over the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QPushButton, QWidget

from ..core.errors import PapernetsError
from ..core.predict_settings import PredictSettings
from .calm import CalmComboBox
from .job_adapter import Engine, JobAdapter
from .level_maps import CoveredResults, Level, prepare_levels, show_level
from .offered import offer
from .outputs import has_layer
from .run_plan import RunPlan
from .settings_form import add_row, aligned_rows

if TYPE_CHECKING:
    import napari.viewer

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
FIRST = "Press Look inside first."
CANCELLED = "Cancelled; the layers are as they were."


@dataclass(frozen=True, eq=False)
class Look:
    """A look that was asked for.

    Attributes
    ----------
    engine : Engine
        Who computes it.
    plan : RunPlan
        Image, model and region.
    settings : PredictSettings
        Those of the plan, with the zoom of the last run where it is automatic.
    key : str
        Of the layer of maps.
    """

    engine: Engine
    plan: RunPlan
    settings: PredictSettings
    key: str


class LookInside(QWidget):
    """The choice of a level; the button that fills it is placed by the panel.

    Attributes
    ----------
    button : QPushButton
        Look inside.
    requested : Signal()
        Look inside was pressed; the panel answers with `look`.
    running : Signal(bool)
        A look began, or is over.
    progressed : Signal(object)
        Every event of it.
    told : Signal(str)
        What is shown, one line.
    failed : Signal(object)
        The error of a look.
    """

    requested = Signal()
    running = Signal(bool)
    progressed = Signal(object)
    told = Signal(str)
    failed = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._covered = CoveredResults(viewer)
        self._levels: tuple[Level, ...] = ()
        self._provenance: dict[str, Any] = {}
        self._look: Look | None = None  # that gave the levels
        self._next: Look | None = None  # that goes on
        self._job: JobAdapter | None = None
        self._obstacle = ""  # why one cannot look now
        self._free = True
        self.button = QPushButton("Look inside")
        self.button.clicked.connect(self.requested)
        self.combo = CalmComboBox()
        self.combo.activated.connect(self._show)
        self.combo.setPlaceholderText("press Look inside")
        rows = aligned_rows()
        add_row(rows, "Level", self.combo, LEVEL_HELP)
        self.control = QCheckBox("Random weights")
        self.control.toggled.connect(self._on_control)
        rows.addRow("", self.control)
        self.setLayout(rows)
        self._offer()

    def look(
        self, engine: Engine, plan: RunPlan, key: str, last: Mapping[str, Any] | None = None
    ) -> None:
        """Run the network on the region of `plan` and show a level in the layer of `key`. Where the zoom
        is automatic, that of the `last` run (its provenance) is taken."""
        settings = plan.settings
        if settings.zoom is None and last is not None:
            settings = settings.replace(zoom=last["zoom"])
        self._start(Look(engine, plan, settings, key))

    def cancel(self, reason: str = CANCELLED) -> None:
        """Drop the look that goes on, if there is one."""
        if self._job is not None:
            self._settle()
            self.told.emit(reason)

    def set_image(self, identity: Any, obstacle: str = "") -> None:
        """The image of that unique_id is chosen now: levels of another one are of no use any more.

        Parameters
        ----------
        identity : object
            None where there is no image.
        obstacle : str
            Why one cannot look inside now; empty where one can.
        """
        self._obstacle = obstacle
        if self._next is not None and self._next.plan.identity != identity:
            there = has_layer(self._viewer, self._next.plan.identity)
            why = "another image was chosen" if there else "the image was removed"
            self.cancel(f"Cancelled, since {why}.")
        if self._look is not None and self._look.plan.identity != identity:
            self._look, self._levels, self._provenance = None, (), {}
            self.combo.clear()
            self._follow_maps()
        self._offer()

    def set_free(self, free: bool) -> None:
        """Whether nothing else runs."""
        self._free = free
        self._offer()

    def leave(self) -> None:
        """The panel goes away."""
        if self._job is not None:
            self._job.forget()
        self._covered.close_events()
        self._levels = ()

    def _start(self, look: Look) -> None:
        self._next, plan = look, look.plan
        self._job = JobAdapter(self)
        self._job.happened.connect(self.progressed)
        self._job.returned.connect(self._on_returned)
        self._job.failed.connect(self._on_failed)
        self._job.cancelled.connect(self.cancel)
        self.told.emit("")
        self.running.emit(True)
        try:
            self._job.start(
                look.engine, "inspect", prepare_levels,
                image=plan.image, model=plan.model, settings=look.settings, device=plan.device,
                region=plan.region, plane=plan.planes[0] if plan.planes else (),
                random_weights=self.control.isChecked(),
            )  # fmt: skip
        except PapernetsError as error:
            self._on_failed(error)

    def _on_returned(self, answer: tuple[tuple[Level, ...], dict[str, Any]]) -> None:
        before = self.combo.currentIndex()
        self._look, (self._levels, self._provenance) = self._next, answer
        self.combo.clear()
        self.combo.addItems([level.title for level in self._levels])
        last_maps = len(self._levels) - 2  # the logits come last
        self.combo.setCurrentIndex(before if 0 <= before < len(self._levels) else max(0, last_maps))
        self._settle()
        self._show()

    def _on_failed(self, error: BaseException) -> None:
        self._settle()
        self.failed.emit(error)

    def _on_control(self) -> None:
        """The other weights, at once, in the same place; before the first look nothing is to do."""
        if self._look is not None and self._job is None:
            self._start(self._look)

    def _settle(self) -> None:
        """The look is over."""
        if self._job is not None:
            self._job.forget()
            self._job.deleteLater()
        self._job = self._next = None
        self._follow_maps()
        self.running.emit(False)
        self._offer()

    def _follow_maps(self) -> None:
        """The check box tells of the maps that are there, also where others were wanted."""
        self.control.blockSignals(True)
        self.control.setChecked(bool(self._provenance.get("random_weights")))
        self.control.blockSignals(False)

    def _offer(self) -> None:
        free = self._free and self._job is None
        offer(self.button, LOOK_HELP, self._obstacle, free)
        offer(self.control, CONTROL_HELP, "" if self._levels else FIRST, free)
        self.combo.setEnabled(bool(self._levels))

    def _show(self, *_: object) -> None:
        assert self._look is not None
        level, plan = self._levels[self.combo.currentIndex()], self._look.plan
        maps = show_level(self._viewer, plan, level, self._look.key, self._provenance)
        self._covered.cover(maps, plan.identity)
        untrained = "Random weights, " if self._provenance.get("random_weights") else ""
        self.told.emit(untrained + level.account)
