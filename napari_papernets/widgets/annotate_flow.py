"""What happens when: how the parts of the panel “Annotate & fine-tune” work together."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, QTimer
from superqt.utils import create_worker

from ..core.annotation import LARGEST_VIEW, Patch
from ..core.errors import InputError, ModelError
from ..core.events import Event, Notice, Preview, Started, Version
from ..core.tune_settings import TuneSettings
from .annotate_parts import AnnotateParts
from .annotation_layer import SESSION
from .live_control import LiveState
from .live_plan import LivePlan
from .placement import placement_of
from .session_opener import OpenedSession, read_session, show_session
from .session_store import Contents
from .uncertain_place import most_uncertain, move_camera

SETTLE = 600  # ms in which further changes of settings are waited for
FIRST_CHANNEL = (
    "It has more channels than the start takes: the first is learnt from. Choose another under Channels."
)
MIDDLE = "Much is in view: its middle is predicted. Zoom in to see more of the prediction."
GOING_BACK = LiveState("starting", "Going back…")
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
        self._given_up: LivePlan | None = None  # of the job that ends because of another start
        self._foreign: LivePlan | None = None  # of the job that belongs to a session before
        self._back = 0  # version to go back to when the training has ended
        self._settings = parts.settings()
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.timeout.connect(self._on_settings)
        self._connect_painting()
        self._connect_training()
        self._connect_versions()
        parts.bar.show_state(BEGIN)
        parts.bar.set_place_known(False)
        parts.apply.refresh_classes()

    def open_session(self, folder: Path) -> None:
        """Open a session in place of this one."""
        self._parts.message.tell("Opening the session…")
        worker = create_worker(read_session, folder)
        worker.returned.connect(self._on_opened)
        worker.errored.connect(self._parts.message.complain)
        worker.start()

    def describe(self) -> None:
        """Let the session know images, classes and settings."""
        parts, pairs = self._parts, self._parts.painting.images.pairs()
        images = {pair.number: pair.block() for pair in pairs}
        places = {pair.number: placement_of(pair.image).written() for pair in pairs}
        settings, start = parts.settings().changed(), parts.start.key()
        parts.store.describe(Contents(images, parts.painting.classes(), settings, start, places))

    # What the person paints.

    def _on_images(self) -> None:
        parts = self._parts
        numbers = parts.painting.images.numbers()
        parts.message.forgive()
        self.describe()
        parts.apply.refresh_classes()
        if numbers == self._numbers:
            return
        self._mark_strokes()
        self._numbers = numbers
        parts.message.tell("")  # it was about other images
        parts.layers.set_classes(parts.painting.classes())
        for pair in parts.painting.images.pairs():
            parts.layers.prepare(pair)
        if parts.suit_channels():
            self._take_settings()
            parts.message.tell(FIRST_CHANNEL)
        if not numbers:
            parts.control.stop(BEGIN)
        elif parts.control.is_running:
            parts.control.restart()
        elif parts.bar.live.isChecked():
            parts.resume()

    def _on_removed(self, number: int) -> None:
        self._parts.layers.forget(number)

    def _on_classes(self) -> None:
        parts = self._parts
        parts.message.forgive()
        self.describe()
        parts.apply.refresh_classes()
        parts.layers.set_classes(parts.painting.classes())
        parts.control.rename(parts.painting.classes())

    def _on_painted(self, patch: Patch) -> None:
        parts = self._parts
        if not parts.bar.live.isChecked() or parts.keeper.has_written(patch):
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
        if parts.control.plan is self._foreign:
            return
        parts.curves.add(event)
        if isinstance(event, Preview):
            parts.layers.show(event)
            parts.bar.set_place_known(True)
            self._tell_part(event)
        elif isinstance(event, Started):
            parts.layers.begin(parts.painting.classes())
            parts.message.forgive()
        elif isinstance(event, Notice):
            parts.message.tell(event.message)
        elif isinstance(event, Version) and parts.control.plan is not None:
            plan = parts.control.plan
            number = parts.keeper.add(event, plan, in_use=plan is not self._given_up)
            parts.control.name_version(number)
            parts.curves.set_next_version(number + 1)

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
        self._given_up = self._parts.control.plan
        self._parts.keeper.start_over()
        self._on_versions()
        self._parts.curves.clear()
        self.describe()
        self._parts.control.forget_crash()
        self._restart()

    def _on_settings(self) -> None:
        if self._parts.settings() != self._settings:
            self._take_settings()
            self.describe()
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

    # Versions and sessions.

    def _on_go_back(self, number: int) -> None:
        """Another version is wanted. A training is ended first, so that it keeps what it has learnt with
        the strokes that it has learnt from."""
        control, self._back = self._parts.control, number
        if control.is_running:
            self._given_up = control.plan
            control.stop(GOING_BACK)
        else:
            self._on_end()

    def _on_end(self, *_: object) -> None:
        number, self._back = self._back, 0
        if number:
            self._parts.keeper.go_back(number)

    def _on_back(self) -> None:
        parts = self._parts
        self._on_versions()
        parts.curves.clear()
        self.describe()
        parts.control.auto = False  # the version as it was, until the next stroke
        parts.control.forget_crash()
        if parts.control.is_running:  # a stroke was painted meanwhile
            self._given_up = parts.control.plan
            parts.control.restart(quiet=True)
        elif parts.bar.live.isChecked():
            parts.resume(quiet=True)
        else:
            parts.control.stop()

    def _on_versions(self, *_: Any) -> None:
        keeper = self._parts.keeper
        self._parts.apply.offer([r.number for r in keeper.records()], keeper.in_use)

    def _on_session(self) -> None:
        session = self._parts.store.session
        with contextlib.suppress(RuntimeError):  # the window goes, and the last stroke made a session
            self._parts.row.show_folder(session.folder if session else None)
        self._mark_strokes()

    def _mark_strokes(self) -> None:
        """Let the strokes know their session, in case the panel is closed and opened again."""
        session = self._parts.store.session
        if session is not None:
            for pair in self._parts.painting.images.pairs():
                pair.labels.metadata[SESSION] = str(session.folder)

    def _on_opened(self, opened: OpenedSession) -> None:
        parts = self._parts
        self._foreign = parts.control.plan or self._foreign
        parts.control.forget_crash()
        parts.control.stop()
        parts.curves.clear()
        parts.layers.forget_all()
        self._numbers = ()
        parts.store.let_go()
        live = parts.bar.live.blockSignals(True)
        try:
            missing = self._show_opened(opened)
        finally:
            parts.bar.live.blockSignals(live)
        name = opened.session.folder.name
        lacking = f" Not found: {', '.join(missing)}; open the image, then the session again."
        parts.message.tell(f"Opened {name}.{lacking if missing else ''}")
        self._on_images()
        parts.painting.arm(1)

    def _show_opened(self, opened: OpenedSession) -> tuple[str, ...]:
        parts, info = self._parts, opened.session.info
        parts.store.adopt(opened.session)
        painting = parts.painting.blockSignals(True)
        try:
            missing = show_session(parts.viewer, parts.painting, opened)
        finally:
            parts.painting.blockSignals(painting)
        try:
            parts.set_settings(TuneSettings.from_dict(info.settings))
            parts.start.choose(info.start)
        except (InputError, ModelError) as error:
            parts.message.complain(error)
        self._settings = parts.settings()
        parts.keeper.show(opened.versions)
        parts.painting.imagesChanged.emit()
        self._on_versions()
        return missing

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
        for part in (parts.store, parts.keeper, parts.versions, parts.apply, parts.augmentation):
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

    def _connect_versions(self) -> None:
        parts = self._parts
        parts.versions.goBack.connect(self._on_go_back)
        parts.control.ended.connect(self._on_end)
        parts.control.failed.connect(self._on_end)
        parts.keeper.wentBack.connect(self._on_back)
        parts.comparison.progressed.connect(parts.message.tell)
        parts.store.added.connect(self._on_versions)
        parts.restore.restoreRequested.connect(self.open_session)
        parts.image.sessionFound.connect(self.open_session)
        parts.row.openRequested.connect(self.open_session)
        parts.row.saveRequested.connect(parts.store.save_as)
        parts.store.changed.connect(self._on_session)
