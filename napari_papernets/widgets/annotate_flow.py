"""What happens when in the panel “Annotate & fine-tune”: painting, learning, and what they change."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QObject, QTimer

from ..core.annotation import LARGEST_VIEW, Patch
from ..core.events import Compared, Event, Notice, Preview, Started, Step, Version
from ..core.tune_settings import TuneSettings
from .annotate_parts import AnnotateParts
from .live_control import LiveState
from .session_flow import SessionFlow
from .uncertain_place import most_uncertain, move_camera

SETTLE = 600  # ms in which further changes of settings are waited for
FIRST_CHANNEL = (
    "It has more channels than the start takes: the first is learnt from. Choose another under Channels."
)
MIDDLE = "Much is in view: its middle is predicted. Zoom in to see more of the prediction."
BEGIN = LiveState("empty", "Choose an image and press “Annotate”.")


class AnnotateFlow(QObject):
    """Connects the parts.

    Parameters
    ----------
    parts : AnnotateParts
        The parts of one panel.
    """

    def __init__(self, parts: AnnotateParts) -> None:
        super().__init__(parts)
        self._parts = parts
        self._numbers: tuple[int, ...] = ()
        self.sessions = SessionFlow(parts, self)
        self._settings = parts.settings()
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.timeout.connect(self._on_settings)
        self._connect_painting()
        self._connect_training()
        self.sessions.opened.connect(self._on_opened)
        parts.bar.show_state(BEGIN)
        parts.bar.set_place_known(False)
        parts.apply.refresh_classes()

    # What the person paints.

    def _on_images(self) -> None:
        parts = self._parts
        numbers = parts.painting.images.numbers()
        parts.message.forgive()
        self.sessions.describe()
        parts.apply.refresh_classes()
        if numbers == self._numbers:
            return
        self.sessions.mark_strokes()
        self._numbers = numbers
        parts.message.tell("")  # it was about other images
        parts.layers.set_classes(parts.painting.classes())
        for pair in parts.painting.images.pairs():
            parts.layers.prepare(pair)
        self._suit_channels()
        if not numbers:
            parts.control.stop(BEGIN)
        elif parts.control.is_running:
            parts.control.restart()
        elif parts.bar.live.isChecked():
            parts.resume()
        else:
            parts.control.stop()
            parts.bar.show_state(parts.control.state)  # which it may have been all along

    def _suit_channels(self) -> None:
        if self._parts.suit_channels():
            self._parts.message.tell(FIRST_CHANNEL)
        self._take_settings()
        self.sessions.describe()

    def _on_removed(self, number: int) -> None:
        self._parts.layers.forget(number)

    def _on_classes(self) -> None:
        parts = self._parts
        parts.message.forgive()
        self.sessions.describe()
        parts.apply.refresh_classes()
        parts.layers.set_classes(parts.painting.classes())
        parts.control.rename(parts.painting.classes())

    def _on_painted(self, patch: Patch) -> None:
        parts = self._parts
        if parts.keeper.has_written(patch):
            return
        parts.message.go_on()
        if not parts.bar.live.isChecked():
            return
        control = parts.control
        if control.is_running and not control.auto:
            control.follow()  # it was resumed quietly
        elif not control.is_running and (control.has_crashed or control.state.kind != "failed"):
            parts.resume()

    # What the network learns.

    def _on_live(self, on: bool) -> None:
        control = self._parts.control
        control.auto = on
        if not on:
            control.stop()
        elif control.is_running:
            control.restart()
        else:
            self._parts.resume()

    def _on_train(self) -> None:
        parts = self._parts
        parts.control.auto = parts.bar.live.isChecked()
        parts.control.start("train")

    def _on_event(self, event: Event) -> None:
        parts = self._parts
        if self.sessions.is_foreign(parts.control.plan):
            return
        parts.curves.add(event)
        if isinstance(event, Preview):
            parts.layers.show(event)
            parts.bar.set_place_known(True)
            self._tell_part(event)
        elif isinstance(event, Started):
            parts.layers.begin(parts.painting.classes())
            parts.message.forgive()
            parts.keeper.settle()
        elif isinstance(event, Notice):
            parts.message.tell(event.message)
        elif isinstance(event, Step):
            parts.message.go_on()
        elif isinstance(event, Version) and parts.control.plan is not None:
            plan = parts.control.plan
            number = parts.keeper.add(event, plan, in_use=not self.sessions.is_given_up(plan))
            parts.control.name_version(number)
            parts.curves.set_next_version(number + 1)
        elif isinstance(event, Compared):
            parts.keeper.judge(event)

    def _tell_part(self, preview: Preview) -> None:
        """Say where only the middle of what is in view is answered."""
        parts, (height, width) = self._parts, preview.labels.shape
        view = parts.painting.images.view()
        y0, y1, x0, x1 = view.region if view is not None else preview.view.region
        # A view that was answered before it changed is no part of the one of now.
        full = max(height, width) >= LARGEST_VIEW
        partial = full and height * width < (y1 - y0) * (x1 - x0)
        said = parts.message.text() == MIDDLE
        if partial and not parts.message.text():
            parts.message.tell(MIDDLE)
        elif said and not partial:
            parts.message.tell("")

    def _on_start(self) -> None:
        """Another start was chosen: everything is learnt anew."""
        self.sessions.give_up()
        self._parts.keeper.start_over()
        self.sessions.offer_versions()
        self._parts.curves.clear()
        self._suit_channels()
        self._parts.control.forget_crash()
        self._restart()

    def _on_settings(self) -> None:
        if self._parts.settings() != self._settings:
            self._take_settings()
            self.sessions.describe()
            self._restart()

    def _take_settings(self) -> None:
        self._settings = self._parts.settings()
        self._parts.augmentation.set_settings(self._settings)

    def _restart(self) -> None:
        """What the training depends on is other now; one that could not be started may be able to."""
        parts = self._parts
        parts.message.forgive()
        if parts.control.is_running:
            parts.control.restart()
        elif parts.control.state.kind == "failed" and parts.bar.live.isChecked():
            parts.resume()

    def _on_augmented(self, settings: TuneSettings) -> None:
        """The sliders of the augmentation preview were moved."""
        form = self._parts.form
        form.setValue(form.value().replace(elastic=settings.elastic, grey=settings.grey))

    def _on_place(self) -> None:
        parts = self._parts
        pair = parts.painting.images.current()
        if pair is None:
            return
        painted = pair.array()
        found = []
        for plane, doubt in parts.layers.doubts(pair.number).items():
            place = most_uncertain(doubt, np.asarray(painted[plane]) > 0)
            if place is not None:
                found.append((place[0], plane, place[1]))
        if not found:
            parts.message.tell("No uncertain place in what was in view so far.")
            return
        _, plane, place_ = max(found)
        parts.painting.images.show_plane(pair.number, plane)
        view = parts.painting.images.view()
        region = view.region if view is not None else (0, 0, 0, 0)
        in_view = max(region[1] - region[0], region[3] - region[2])
        move_camera(parts.viewer, pair, place_, in_view)

    def _on_opened(self) -> None:
        self._numbers = ()
        self._settings = self._parts.settings()
        self._parts.painting.imagesChanged.emit()
        self._parts.painting.arm(1)

    def _connect_painting(self) -> None:
        parts, painting = self._parts, self._parts.painting
        painting.add_sink(parts.store.append)
        painting.add_sink(parts.control.take)
        painting.imagesChanged.connect(self._on_images)
        painting.removed.connect(self._on_removed)
        painting.classRemoving.connect(lambda _: parts.control.restart())
        painting.classesChanged.connect(self._on_classes)
        painting.painted.connect(self._on_painted)
        parts.follower.moved.connect(parts.control.look_at)
        for part in (painting, parts.store, parts.keeper, parts.restore, parts.curves, parts.start):
            part.problem.connect(parts.message.complain)
        for part in (parts.image, parts.apply, parts.control, parts.comparison):
            part.failed.connect(parts.message.complain)
        tellers = parts.image, parts.store, parts.keeper, parts.versions, parts.apply, parts.augmentation
        for part in tellers:
            part.told.connect(parts.message.tell)

    def _connect_training(self) -> None:
        parts = self._parts
        parts.bar.liveChanged.connect(self._on_live)
        parts.bar.trainRequested.connect(self._on_train)
        parts.bar.stopRequested.connect(parts.control.rest)
        parts.bar.placeRequested.connect(self._on_place)
        parts.control.stateChanged.connect(parts.bar.show_state)
        parts.control.happened.connect(self._on_event)
        parts.start.changed.connect(self._on_start)
        for changed in (parts.form.valueChanged, parts.image.picker.channels.valueChanged):
            changed.connect(lambda _: self._settle.start(SETTLE))
        parts.device.currentTextChanged.connect(lambda _: self._restart())
        parts.augmentation.valuesChanged.connect(self._on_augmented)
