"""The parts of the panel “Annotate & fine-tune”, each of which works alone."""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from ..core.errors import InputError, ModelError
from ..core.fields import Device
from ..core.model import ModelRef
from ..core.tune_settings import TuneSettings
from .annotation_bar import AnnotationBar
from .apply_actions import ApplyActions
from .augmentation_job import Example
from .augmentation_source import Source, example_of, sources_of
from .augmentation_view import AugmentationView
from .calm import CalmComboBox
from .curves import Curves
from .image_group import ImageGroup
from .job_adapter import Engine
from .live_control import LiveControl
from .live_layers import LiveLayers
from .live_plan import LivePlan, plan_live
from .message_line import MessageLine
from .model_comparison import ModelComparison
from .painting import Painting
from .right_of_way import RightOfWay
from .session_bar import RestoreBar, SessionRow
from .session_store import SessionStore
from .settings_form import SettingsForm
from .start_picker import StartPicker
from .version_keeper import VersionKeeper
from .versions_table import VersionsTable
from .view_follower import ViewFollower

if TYPE_CHECKING:
    import napari.viewer

LEFT_OUT = (
    "kind", "encoding", "padding", "w0", "sigma", "checkpoint_every", "schedule", "channels",
)  # fmt: skip
STARTS = {"seconds": 30.0, "steps": 200, "learning_rate": 5e-4, "weight_decay": 1e-4, "crop": 128}


class AnnotateParts(QObject):
    """Makes the parts; `AnnotateFlow` lets them work together, `AnnotatePanel` shows them.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that the panel belongs to.
    engine : callable
        The engine.

    Attributes
    ----------
    painting, image, start, form, device, bar, message, restore, row, store, versions, comparison,
    keeper, curves, augmentation, apply, control, layers, follower, right_of_way
        See their classes.
    """

    def __init__(self, viewer: napari.viewer.Viewer, engine: Callable[[], Engine]) -> None:
        super().__init__()
        self.viewer, self.engine = viewer, engine
        self.painting = Painting(viewer, self)
        self.image = ImageGroup(viewer, self.painting)
        self.start = StartPicker()
        self.form = SettingsForm(TuneSettings, basic=("train",), leave_out=LEFT_OUT, starts=STARTS)
        self.device = CalmComboBox()
        self.device.addItems(typing.get_args(Device))
        self.bar, self.message = AnnotationBar(), MessageLine(viewer)
        self.restore, self.row = RestoreBar(), SessionRow()
        self.store, self.versions = SessionStore(self), VersionsTable()
        self.comparison = ModelComparison(engine, self)
        self.keeper = VersionKeeper(self.painting, self.store, self.versions, self.comparison, self)
        self.curves = Curves(engine)
        self.augmentation = AugmentationView(viewer, engine, self.example, self.sources)
        self.apply = ApplyActions(viewer, self.painting, engine, self.model_of, self.device.currentText)
        self.control = LiveControl(engine, self.plan, self)
        self.layers = LiveLayers(viewer, lambda number: self.painting.images.pair(number), self)
        self._suited: tuple[int, ...] | None = None  # channels that nobody chose
        self.follower = ViewFollower(viewer, lambda: self.painting.images.view(), self)
        self.right_of_way = RightOfWay(engine, self)
        self.painting.imagesChanged.connect(self._on_images)

    def drop(self) -> None:
        """The window was destroyed, and the widgets with it: no thread and no job outlives them."""
        self.right_of_way.leave()
        self.control.leave()
        self.comparison.leave()
        self.apply.drop()
        with contextlib.suppress(
            RuntimeError
        ):  # Qt's half of it may be gone: it then delivers by itself
            self.painting.watcher.close()
        self.store.close()

    def settings(self) -> TuneSettings:
        """As shown, with the channels that are chosen beside the image."""
        return self.form.value().replace(channels=self.image.picker.wanted_channels())

    def set_settings(self, settings: TuneSettings) -> None:
        """Show others."""
        self.form.setValue(settings)
        self.image.picker.channels.setValue(settings.channels)

    def suit_channels(self) -> bool:
        """Where an image has more channels than the start takes, choose the first of all, unless the
        person has chosen; whether that was done. What was so chosen before goes where it need not be."""
        channels = self.image.picker.channels
        if channels.value() != self._suited:
            return False  # the person's choice
        wanted = (0,) if self._lacks_choice() else None
        done, self._suited = wanted is not None and self._suited is None, wanted
        channels.setValue(wanted)
        return done

    def _lacks_choice(self) -> bool:
        """Whether an image does not fit the start as it is, and would by one of its channels."""
        model = self.keeper.base or self.start.model()
        if isinstance(model, str):
            return False
        for pair in self.painting.images.pairs():
            try:
                model.spec.pick_channels(pair.block())
            except ModelError:
                return pair.block().channels > 1
        return False

    def _on_images(self) -> None:
        self.right_of_way.follow([pair.labels for pair in self.painting.images.pairs()])

    def plan(self) -> LivePlan:
        """What a live training would start with now.

        Raises
        ------
        InputError
            If there is nothing to annotate.
        """
        model = self.keeper.base or self.start.model()
        plan = plan_live(
            self.painting, model, self.settings(), self.device.currentText(), self.store.work
        )
        return replace(plan, knows_all=self.keeper.knows_all(plan.patch, plan.settings))

    def resume(self, quiet: bool = False) -> None:
        """Start the live training, where there is an image; `quiet`: learn with the next stroke only,
        and answer with what is known until then."""
        if self.painting.images.pairs():
            self.control.auto = self.bar.live.isChecked() and not quiet
            self.control.start()

    def model_of(self, number: int) -> ModelRef:
        """The model of a version; 0 is the one in use, without such the last.

        Raises
        ------
        ModelError
            If there is none yet.
        """
        return self.keeper.model(number or self.keeper.current)

    def example(self) -> Example:
        """The augmentation preview is drawn from the plane in view of the current image.

        Raises
        ------
        InputError
            If nothing is annotated there.
        """
        pair = self.painting.images.current()
        if pair is None:
            raise InputError("image", "none with strokes", "choose an image and press “Annotate”")
        source, view = self.augmentation.source.current(), self.painting.images.view()
        return example_of(pair, source, view, self.settings(), self.painting.classes())

    def sources(self) -> list[Source]:
        """What the augmentation preview may be drawn from."""
        images = self.painting.images
        return sources_of(self.viewer, images.pairs(), images.current())
