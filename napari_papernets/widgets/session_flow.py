"""Versions and sessions of the panel “Annotate & fine-tune”: going back, opening, going on."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from ..core.errors import InputError, ModelError
from ..core.tune_settings import TuneSettings
from .annotate_parts import AnnotateParts
from .annotation_layer import SESSION
from .beside import beside
from .live_control import LiveState
from .live_plan import LivePlan
from .placement import placement_of
from .session_opener import OpenedSession, read_session, show_session
from .session_store import Contents

GOING_BACK = LiveState("starting", "Going back…")


class SessionFlow(QObject):
    """Connects the parts that versions and sessions have to do with.

    Parameters
    ----------
    parts : AnnotateParts
        The parts of one panel.

    Attributes
    ----------
    opened : Signal()
        The images, strokes and settings are those of another session now.
    """

    opened = Signal()

    def __init__(self, parts: AnnotateParts, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._parts = parts
        self._given_up: LivePlan | None = None  # of the job that ends because of another start
        self._foreign: LivePlan | None = None  # of the job that belongs to a session before
        self._back = 0  # version to go back to when the training has ended
        self._opening = False  # the images are not yet those of the session
        self._connect()

    def open_session(self, folder: Path) -> None:
        """Open a session in place of this one."""
        self._parts.message.tell("Opening the session…")
        worker = beside(read_session, folder)
        worker.returned.connect(self._on_opened)
        worker.errored.connect(self._parts.message.complain)
        worker.start()

    def describe(self) -> None:
        """Let the session know images, classes and settings."""
        parts, pairs = self._parts, self._parts.painting.images.pairs()
        images = {pair.number: pair.block() for pair in pairs}
        places = {pair.number: placement_of(pair.image).written() for pair in pairs}
        settings, start = parts.settings().changed(), parts.start.key()
        current = parts.painting.images.numbers()
        classes = parts.painting.classes()
        in_use = parts.keeper.in_use if parts.keeper.newest else None
        parts.store.describe(Contents(images, classes, settings, start, places, current, in_use))

    def give_up(self) -> None:
        """What the training that runs still keeps is not gone on from."""
        self._given_up = self._parts.control.plan

    def is_given_up(self, plan: LivePlan) -> bool:
        """Whether the next training begins with something else than what this one keeps."""
        return plan is self._given_up

    def is_foreign(self, plan: LivePlan | None) -> bool:
        """Whether a training belongs to a session that is closed."""
        return plan is self._foreign

    def _on_go_back(self, number: int) -> None:
        """Another version is wanted. A training is ended first, so that it keeps what it has learnt with
        the strokes that it has learnt from."""
        control, self._back = self._parts.control, number
        if control.is_running:
            self.give_up()
            control.stop(GOING_BACK, final=True)
        else:
            self._on_end()

    def _on_end(self, *_: object) -> None:
        number, self._back = self._back, 0
        if number:
            self._parts.keeper.go_back(number)

    def _on_rejected(self) -> None:
        """The training that made a worse version ends; with the next stroke another begins with the
        version in use."""
        control = self._parts.control
        self.offer_versions()
        self._parts.message.let_pass()
        self.give_up()
        if not control.is_ending:
            control.auto = False
            control.restart(quiet=True)

    def _on_back(self) -> None:
        parts = self._parts
        parts.message.let_pass()  # “Back at version…” is no longer so with the next stroke
        self.offer_versions()
        parts.curves.clear()
        self.describe()
        parts.control.auto = False  # the version as it was, until the next stroke
        parts.control.forget_crash()
        if parts.control.is_running:  # a stroke was painted meanwhile
            self.give_up()
            parts.control.restart(quiet=True)
        elif parts.bar.live.isChecked():
            parts.resume(quiet=True)
        else:
            parts.control.stop()

    def offer_versions(self, *_: Any) -> None:
        """Let the versions there are, and the one in use, be applied."""
        keeper = self._parts.keeper
        self._parts.apply.offer([r.number for r in keeper.records()], keeper.in_use)

    def _on_session(self) -> None:
        session = self._parts.store.session
        with contextlib.suppress(RuntimeError):  # the window goes, and the last stroke made a session
            self._parts.row.show_folder(session.folder if session else None)
        self.mark_strokes()

    def mark_strokes(self) -> None:
        """Let the strokes know their session, in case the panel is closed and opened again."""
        session = self._parts.store.session
        if session is not None and not self._opening:
            for pair in self._parts.painting.images.pairs():
                pair.labels.metadata[SESSION] = str(session.folder), pair.number

    def _on_opened(self, opened: OpenedSession) -> None:
        parts = self._parts
        self._foreign = parts.control.plan or self._foreign
        self._back = 0
        parts.control.forget_crash()
        parts.control.stop()
        parts.curves.clear()
        parts.layers.forget_all()
        parts.store.let_go()
        live, self._opening = parts.bar.live.blockSignals(True), True
        try:
            missing = self._show_opened(opened)
        finally:
            parts.bar.live.blockSignals(live)
            self._opening = False
        self.opened.emit()
        name = opened.session.folder.name
        lacking = f" Not found: {', '.join(missing)}; open the image, then the session again."
        parts.message.tell(f"Opened {name}.{lacking if missing else ''}")

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
        parts.keeper.show(opened.versions, info.in_use, opened.known)
        self.offer_versions()
        return missing

    def _connect(self) -> None:
        parts = self._parts
        parts.versions.goBack.connect(self._on_go_back)
        parts.control.ended.connect(self._on_end)
        parts.control.failed.connect(self._on_end)
        parts.keeper.wentBack.connect(self._on_back)
        for moved in (parts.keeper.moved, parts.store.added):
            moved.connect(lambda *_: self.describe())
        parts.keeper.moved.connect(self.offer_versions)
        parts.keeper.rejected.connect(self._on_rejected)
        for ended in (parts.control.ended, parts.control.failed):
            ended.connect(lambda *_: parts.keeper.settle())
        parts.comparison.progressed.connect(parts.message.tell)
        parts.store.added.connect(self.offer_versions)
        parts.restore.restoreRequested.connect(self.open_session)
        parts.image.sessionFound.connect(self.open_session)
        parts.row.openRequested.connect(self.open_session)
        parts.row.saveRequested.connect(parts.store.save_as)
        parts.store.changed.connect(self._on_session)
