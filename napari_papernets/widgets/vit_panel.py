"""The ViT panel: what a Vision Transformer sees on the user's own image, and what it is good for."""

from __future__ import annotations

import contextlib
import typing
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal

from ..core.annotation import View
from ..core.errors import PapernetsError
from ..core.events import Event, Notice
from ..core.feature_settings import FeatureSettings
from ..core.fields import Device
from .calm import CalmComboBox
from .docked_panel import DockedPanel
from .engine_access import EngineHold
from .farewell import when_destroyed
from .image_layers import current_plane
from .image_picker import ImagePicker
from .job_adapter import Engine
from .message_line import MessageLine
from .panel_layout import fill_panel, group
from .read_bar import ReadBar
from .remembered import recall, remember
from .settings_form import SettingsForm, add_row, align_labels
from .view_follower import ViewFollower
from .vit_actions import VitActions
from .vit_board import VitBoard
from .vit_clicks import CanvasClicks
from .vit_controls import ThresholdRow, VitControls
from .vit_extras import VitExtras
from .vit_picker import VitPicker
from .vit_plan import Extent, FeaturePlan, plan_features
from .vit_reader import SideJob, TokenSource
from .vit_strokes import VitStrokes
from .warm_up import WarmUp

if TYPE_CHECKING:
    import napari.viewer

MEMORY = "vit_panel"
CHOSEN = ("block", "density", "attention", "summaries", "channels")  # edited by other parts
STARTS = {"tile": 518}
SHOW_HELP = (
    "The picture that was ticked last, or made by a button, is seen; the others of the image are "
    "hidden, and kept up to date. Click on the eyes of their layers to see several."
)


class ViTPanel(DockedPanel):
    """Looks inside a Vision Transformer on an image.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer that the panel belongs to.
    engine : Engine, optional
        In place of the one that all panels share.

    Attributes
    ----------
    shown : Signal()
        A reading was drawn, with its control where that is wanted.
    failed : Signal(object)
        The error of something that was asked for.
    """

    shown = Signal()
    failed = Signal(object)

    def __init__(self, napari_viewer: napari.viewer.Viewer, *, engine: Engine | None = None) -> None:
        super().__init__()
        self.setObjectName("papernets-vit")
        self._viewer, self._hold = napari_viewer, EngineHold(engine)
        self._extent: Extent = "plane"
        self._was_read = False
        self._told = ""  # of the last reading
        self.image, self.model = ImagePicker(napari_viewer), VitPicker()
        self.controls, self.extras = VitControls(), VitExtras()
        self.form = SettingsForm(FeatureSettings, basic=(), leave_out=CHOSEN, starts=STARTS)
        self.device = CalmComboBox()
        self.device.addItems(typing.get_args(Device))
        self.strokes, self.threshold = VitStrokes(napari_viewer), ThresholdRow()
        self.message = MessageLine(napari_viewer)
        self.board = VitBoard(napari_viewer, self.controls, self.extras)
        self.source = TokenSource(self._hold.engine, self.plan, self.controls.looks, self)
        self.side = SideJob(self._hold.engine, self)
        self.clicks = CanvasClicks(napari_viewer, self)
        self.follower = ViewFollower(napari_viewer, self._view, self)
        self.bar = ReadBar()
        self.actions = VitActions(self, self.side)
        # Not at once: the list of layers, which changes then, is not to be changed meanwhile.
        self._other = QTimer(self, singleShot=True, interval=0)
        self._lay_out()
        self._connect()
        self._recall()
        self._warm = WarmUp(self._hold.engine, self.complain, self)

    def plan(self) -> FeaturePlan:
        """What a reading would do now.

        Raises
        ------
        InputError, ModelError
            If something chosen does not fit.
        """
        settings = self.form.value().replace(
            channels=self.image.wanted_channels(), **self.controls.settings()
        )
        layer, block = self.image.layer(), self.image.block()
        model, device = self.model.model(), self.device.currentText()
        return plan_features(self._viewer, layer, block, model, settings, self._extent, device)

    def read(self, extent: Extent) -> None:
        """Read what is in view ("view") or its whole plane ("plane")."""
        self._extent = extent
        self.message.forgive()
        try:
            self.plan()
        except PapernetsError as error:
            self.complain(error)
            return
        self._was_read = True
        self.source.request(self.controls.wants_control())

    def shut_down(self) -> None:
        """Stop what runs, remember the settings and let go of the viewer and the engine."""
        for timer in (self._warm, self._other):
            timer.stop()
        chosen = dict(device=self.device.currentText(), network=self.model.key)
        remember(MEMORY, dict(settings=self.form.value().changed(), **chosen))
        self.controls.click.setChecked(False)
        for listener in (self.follower, self.image, self.strokes):
            listener.close_events()
        for part in (self.source, self.side, self.board):
            part.leave()
        self._hold.release()

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self.model.refresh()
        align_labels(self)

    def closeEvent(self, event: Any) -> None:
        self.shut_down()
        super().closeEvent(event)

    def complain(self, error: BaseException) -> None:
        """Show an error."""
        self.message.complain(error)
        self.failed.emit(error)

    def _read_again(self) -> None:
        if self._was_read:
            self.source.request(self.controls.wants_control())

    def _on_image(self) -> None:
        """What was read says nothing of another image, or of other axes or channels."""
        chosen = None
        self.message.forgive()
        if self.message.text() == self._told:
            self.message.tell("")
        with contextlib.suppress(PapernetsError):  # no image, or axes that do not fit it yet
            chosen = self.image.layer().unique_id, self.image.block().axes
        self.source.start_over()
        self.board.forget(chosen)
        self.strokes.forget_score()
        if chosen is not None:
            self._read_again()

    def _on_network(self) -> None:
        self.controls.set_network(self.model.depth, self.model.heads, not self.model.is_random)
        self.source.forget_basis()
        self._read_again()

    def _on_ready(self, plan: FeaturePlan, looks: Any, random: bool) -> None:
        self.board.take(plan, looks, random)
        maps = looks.maps
        basis = "shared basis" if self.controls.shared.isChecked() else "basis of this image"
        size = f"{maps.grid[0]}×{maps.grid[1]} tokens of {maps.cell:g} px, block {maps.block}"
        nothing = " · random weights: nothing learnt" if self.model.is_random else ""
        self._told = f"{size} · {basis}{nothing}"
        self.message.tell(self._told)

    def _on_click(self, position: Any, negative: bool) -> None:
        self.message.forgive()
        try:
            self.board.click(*self.board.pixel_at(position), negative)
        except PapernetsError as error:
            self.complain(error)

    def _view(self) -> View | None:
        """The plane in view; the region is left out, since moving the camera reads nothing anew."""
        try:
            plane = current_plane(self._viewer, self.image.layer(), self.image.block().axes)
        except PapernetsError:
            return None
        return View(0, plane, (0, 0, 0, 0))

    def _on_follow(self, follow: bool) -> None:
        view = self._view() if follow else None
        if view is not None:
            self._on_moved(view)

    def _on_moved(self, view: View) -> None:
        asked = self.source.asked
        if self.controls.follow.isChecked() and asked is not None and view.plane != asked.plane:
            self._read_again()

    def _on_event(self, event: Event) -> None:
        self.bar.show_event(event)
        if isinstance(event, Notice):
            self.message.tell(event.message)

    def show_busy(self) -> None:
        """Show the bar while something runs."""
        self.bar.set_busy(self.source.busy or self.side.busy)

    def _on_cancel(self) -> None:
        self.source.cancel()
        self.side.cancel()

    def _recall(self) -> None:
        values = recall(MEMORY)
        # What another version remembered may not fit: the defaults are fine.
        with contextlib.suppress(PapernetsError, TypeError, AttributeError):
            self.form.setValue(FeatureSettings.from_dict(values.get("settings", {})))
        self.device.setCurrentText(str(values.get("device", "auto")))
        self.model.recall(str(values.get("network", "")))
        self._on_network()

    def _connect(self) -> None:
        self.bar.readRequested.connect(self.read)
        self.bar.cancelRequested.connect(self._on_cancel)
        self._other.timeout.connect(self._on_image)
        self.image.changed.connect(self._other.start)
        self.image.changed.connect(self.actions.offer)
        self.model.changed.connect(self._on_network)
        self.controls.pictureToggled.connect(self.board.ask)
        self.controls.besideChanged.connect(self.board.show_beside)
        self.controls.readingChanged.connect(self._read_again)
        scored = self.model.changed, self.form.valueChanged, self.controls.tokensChanged
        for signal in scored:
            signal.connect(self.strokes.forget_score)
        self.controls.drawingChanged.connect(self.board.redraw)
        self.controls.placesChanged.connect(self.board.redraw_places)
        self.controls.basisDropped.connect(self.source.forget_basis)
        self.controls.clicksChanged.connect(self.clicks.switch)
        self.controls.cleared.connect(self.board.clear)
        self.clicks.clicked.connect(self._on_click)
        self.follower.moved.connect(self._on_moved)
        self.controls.follow.toggled.connect(self._on_follow)
        self.extras.told.connect(self.message.tell)
        self.source.began.connect(self.show_busy)
        self.source.ready.connect(self._on_ready)
        self.source.finished.connect(self.shown)
        for job in (self.source, self.side):
            job.happened.connect(self._on_event)
            job.failed.connect(self.complain)
            job.finished.connect(self.show_busy)
        # The window was destroyed, and its widgets with it: nothing of the panel outlives it.
        listeners = (self.follower, self.image, self.strokes, self.clicks)
        ends = (*(part.close_events for part in listeners), self.source.leave, self.side.leave)
        when_destroyed(self, *ends, self._hold.release)

    def _lay_out(self) -> None:
        add_row(self.form.advanced_rows, "Device", self.device, "Where to compute.")
        pictures = group("Show", self.controls, self.form)
        pictures.setToolTip(f"<p>{SHOW_HELP}</p>")
        groups = (
            group("Image", self.image),
            group("Network", self.model),
            pictures,
            group("Beside the image", self.extras),
            group("Check and use", self.strokes, self.threshold),
        )
        fill_panel(self, groups, (self.bar, self.message))
