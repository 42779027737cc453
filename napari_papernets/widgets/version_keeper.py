"""Versions: kept as they come, listed, gone back to, compared, saved."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from ..core.annotation import Patch
from ..core.errors import InputError, ModelError
from ..core.events import Compared, Version
from ..core.model import ModelRef
from ..core.tune_settings import TuneSettings
from ..journal import Place
from ..model_files import find_model
from ..session import VersionRecord
from .annotated_image import AnnotatedImage
from .beside import beside
from .comparison import ComparisonDialog, ComparisonRow
from .live_plan import LivePlan
from .model_comparison import Judged, ModelComparison
from .model_export import export_model
from .painting import Painting
from .session_store import SessionStore
from .versions_table import VersionRow, VersionsTable

WORSE = 0.02  # of the mean IoU: less is no reason to pass a new version over


class VersionKeeper(QObject):
    """The versions of the session.

    Parameters
    ----------
    painting : Painting
        What is annotated.
    store : SessionStore
        Where they are kept.
    table : VersionsTable
        Where they are listed.
    comparison : ModelComparison
        Compares them.

    Attributes
    ----------
    base : ModelRef or None
        What the next training goes on from; None for the start that was chosen.
    moved : Signal()
        Another version is in use.
    rejected : Signal()
        A new version was worse than the one in use, which stays so: what made it is not gone on from.
    wentBack : Signal()
        Strokes, classes and `base` are those of an earlier version now.
    told : Signal(str)
        What was done, one line.
    problem : Signal(object)
        The error.
    """

    moved = Signal()
    rejected = Signal()
    wentBack = Signal()
    told = Signal(str)
    problem = Signal(object)

    def __init__(
        self,
        painting: Painting,
        store: SessionStore,
        table: VersionsTable,
        comparison: ModelComparison,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._painting, self._store, self._table = painting, store, table
        self._comparison = comparison
        self.base: ModelRef | None = None
        self._records: list[VersionRecord] = []
        self._current = self._announced = 0
        self._pair = (0, 0)
        self._passed_over: set[int] = set()
        self._numbers: dict[Path, int] = {}  # by the files that the engine wrote
        self._waiting = 0  # the version that is judged before it is in use
        self._written = 0.0  # the last patch that brought back the strokes of the version in use
        store.added.connect(self._on_added)
        store.recalled.connect(self._restore)
        comparison.finished.connect(self._on_compared)
        table.compare.connect(self._on_compare)
        table.exported.connect(self.export)
        table.noteChanged.connect(self._on_note)

    @property
    def newest(self) -> int:
        """Number of the newest version, be it still being written; 0 without any."""
        return self._announced

    def records(self) -> tuple[VersionRecord, ...]:
        """All of them, by number."""
        return tuple(self._records)

    def model(self, number: int) -> ModelRef:
        """The model of a version.

        Raises
        ------
        ModelError
            If there is no such version, or its file is gone.
        """
        for record in self._records:
            if record.number == number:
                return find_model(record.model)
        raise ModelError("version", number or "none", "let it learn first: a round ends with a version")

    def add(self, event: Version, plan: LivePlan, in_use: bool = True) -> int:
        """A round ended; its number. Where it `compares`, the version is in use after `judge`.

        Parameters
        ----------
        event : Version
            What was made.
        plan : LivePlan
            How its training was begun.
        in_use : bool
            The next training goes on from it; False where the person has chosen otherwise meanwhile.
        """
        if not event.compares:
            self.settle()
        parent, self._announced = self._waiting or self._current, self._announced + 1
        self._numbers[event.model.path] = self._announced
        if not in_use:
            self._passed_over.add(self._announced)
        else:
            self.base = event.model
            self._waiting = self._announced if event.compares and self._current else 0
        self._store.add_version(event, plan, parent)
        return self._announced

    def judge(self, compared: Compared) -> None:
        """A version was compared with the one before it: it takes its place, unless it is worse."""
        number, parent = (self._number_of(ref.path) for ref in (compared.new, compared.old))
        if not (number and parent):  # of another session, or the first
            self.settle()
            return
        names = [c.name for c in compared.new.spec.classes]
        self._table.scores.show_scores(parent, number, names, compared.scores)
        before, after = compared.means
        if number == self._waiting and after < before - WORSE:
            self._reject(number, f"{before:.3f} → {after:.3f}")
        elif number == self._waiting:
            self.settle()

    def settle(self) -> None:
        """The version that was to be judged is in use: nothing judges it any more."""
        if self._waiting:
            self._current, self._waiting = self._waiting, 0
            self._fill()
            self.moved.emit()

    def _number_of(self, path: Path) -> int:
        """Of the version with that model; 0 without any."""
        known = self._numbers | {record.model: record.number for record in self._records}
        return known.get(path, 0)

    def _reject(self, number: int, change: str) -> None:
        self._waiting = 0
        self._passed_over.add(number)
        try:
            self.base = self.model(self._current)
        except ModelError as error:
            self.problem.emit(error)
            return
        self.told.emit(
            f"Version {number} answers what is annotated worse (mean IoU {change}), so version "
            f"{self._current} stays in use; training goes on from it with the next stroke or Train now. "
            f"To use {number} all the same, select it and press Go back."
        )
        self.rejected.emit()

    def show(
        self, records: tuple[VersionRecord, ...], in_use: int | None = None, known: int = 0
    ) -> None:
        """Those of another session, and which of them is in use: 0 is none, None the newest; it knows
        the strokes up to the patch `known`."""
        self._records, self._passed_over, self._written = list(records), set(), float(known)
        self._numbers, self._waiting = {}, 0
        self._table.scores.clear()
        self._announced = max((r.number for r in records), default=0)
        there = in_use is not None and in_use in {0, *(r.number for r in records)}
        self._current = in_use if in_use is not None and there else self._announced
        self.base = None
        if self._current:
            with contextlib.suppress(ModelError):
                self.base = self.model(self._current)
        self._fill()

    def start_over(self) -> None:
        """The next training begins with the start that was chosen."""
        self.base, self._current, self._waiting = None, 0, 0
        self._fill()

    @property
    def in_use(self) -> int:
        """Number of the version that the next training goes on from; 0 where it begins anew."""
        return self._current

    @property
    def current(self) -> int:
        """Number of the version in use; without one the last, 0 without any."""
        return self._current or max((r.number for r in self._records), default=0)

    def go_back(self, number: int) -> None:
        """Use a version again, with the strokes that it learnt from; `wentBack` follows. No training may
        run. What was painted since the last version is kept as one."""
        by_number = {r.number: r for r in self._records}
        if number in by_number:
            self._painting.watcher.flush()
            self._store.recall(by_number[number], by_number[self.current])

    def has_written(self, patch: Patch) -> bool:
        """Whether a patch is none of the person's: it brought back the strokes of a version."""
        return patch.number <= self._written

    def knows_all(self, newest: int, settings: TuneSettings) -> bool:
        """Whether the version in use was trained by these settings on all that is painted, up to the
        patch `newest`."""
        used = [r for r in self._records if r.number == self._current and r.source == "trained"]
        with contextlib.suppress(InputError):  # settings of another version of this program
            return any(
                newest <= max(record.patch, self._written)
                and TuneSettings.from_dict(record.settings) == settings
                for record in used
            )
        return False

    def export(self, number: int, path: str) -> None:
        """Save the model of a version under another name."""

        def save() -> Path:
            return export_model(self.model(number).path, Path(path))

        worker = beside(save)
        worker.returned.connect(lambda written: self.told.emit(f"Saved {written}"))
        worker.errored.connect(self.problem)
        worker.start()

    def _on_compare(self, old: int, new: int) -> None:
        """Compare two versions on all that is painted; the dialog follows."""
        self._painting.watcher.flush()
        try:
            models = self.model(old), self.model(new)
            judged = [self._judged(pair) for pair in self._painting.images.pairs()]
        except InputError as error:
            self.problem.emit(error)
            return
        self._pair = old, new
        self._comparison.start(models, [one for one in judged if one is not None])

    def _judged(self, pair: AnnotatedImage) -> Judged | None:
        return Judged.of(pair.block(), pair.array(), self._painting.watcher.planes(pair.number))

    def _on_compared(self, rows: list[ComparisonRow]) -> None:
        old, new = (f"version {number}" for number in self._pair)
        dialog = ComparisonDialog(rows, old, new, self._table)
        dialog.problem.connect(self.problem)
        dialog.show()
        self.told.emit(f"Compared {old} with {new}.")

    def _on_note(self, number: int, note: str) -> None:
        self._records = [replace(r, note=note) if r.number == number else r for r in self._records]
        self._store.set_note(number, note)

    def _on_added(self, record: VersionRecord) -> None:
        self._records.append(record)
        waits = record.number in self._passed_over or record.number == self._waiting
        if record.number > self._current and not waits:
            self._current = record.number
        self._announced = max(self._announced, record.number)
        self._fill()

    def _restore(self, record: VersionRecord, strokes: dict[Place, Any], newest: int, kept: int) -> None:
        if self._painting.watcher.flush() > newest:  # painted meanwhile: that is kept first, too
            self.go_back(record.number)
            return
        try:
            model = find_model(record.model)
        except ModelError as error:
            self.problem.emit(error)
            self.wentBack.emit()  # to where it is
            return
        images = self._painting.images
        patches = []
        for pair in images.pairs():
            empty = np.zeros(pair.array().shape[-2:], np.uint8)
            then = {plane for number, plane in strokes if number == pair.number}
            for plane in sorted(then | set(self._painting.watcher.planes(pair.number))):
                labels = strokes.get((pair.number, plane), empty)
                patches.append(Patch(pair.number, plane, 0, 0, labels, 0))
        self._painting.set_classes(model.spec.classes)
        self.base, self._current, self._written = model, record.number, math.inf
        self._waiting = 0
        images.write(patches)
        self._written = self._painting.watcher.flush()
        self._fill()
        rest = f" What was painted since is kept as version {kept}." if kept else ""
        self.told.emit(f"Back at version {record.number}, with its strokes.{rest}")
        self.wentBack.emit()

    def _fill(self) -> None:
        self._table.set_rows([row_of(r, r.number == self._current) for r in self._records])


def row_of(record: VersionRecord, current: bool) -> VersionRow:
    """A version as the table shows it."""
    return VersionRow(
        number=record.number, when=datetime.fromisoformat(record.when), strokes=record.strokes,
        step=record.step, score=record.score, source=record.source,
        before=record.before if record.parent else None,  # the first is no change of another
        reason=record.reason, name=f"version {record.number}", path=record.model,
        command=record.command, current=current, note=record.note,
    )  # fmt: skip
