"""The session on disk of what is painted: strokes at once, everything else beside the window."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ..core.annotation import Patch
from ..core.errors import InputError
from ..core.events import Version
from ..core.image import ImageBlock
from ..core.model import ClassInfo, ModelRef
from ..journal import Place, are_equal
from ..session import ImageInfo, Session, VersionRecord, create_session, describe_image
from .live_plan import LivePlan
from .plane_shadow import add_counts, count_strokes
from .round_files import write_round
from .work_folder import clear_old_folders, make_work_folder

LARGEST_KEPT = 200_000_000  # bytes of an image without a file that is kept with the strokes


@dataclass(frozen=True, eq=False)
class Contents:
    """What a session says beside strokes and versions.

    Attributes
    ----------
    images : mapping of int to ImageBlock
        By number.
    classes : tuple of ClassInfo
        The classes 1…K.
    settings : mapping
        Of the panel, JSON-able.
    start : str
        What the training starts from.
    places : mapping of int to mapping
        Where the layers of the images lie, in napari's words, by number.
    current : sequence of int
        Numbers of the images that are annotated now.
    in_use : int or None
        The version that training goes on from; 0 is none, None the newest.
    """

    images: Mapping[int, ImageBlock] = field(default_factory=dict)
    classes: Sequence[ClassInfo] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""
    places: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    current: Sequence[int] = ()
    in_use: int | None = None


class SessionStore(QObject):
    """At most one open session, made when the first stroke is painted.

    Attributes
    ----------
    work : Path
        Where the engine writes versions before they are in the session; gone after `close`.
    changed : Signal()
        A session was made, opened or closed.
    added : Signal(object)
        The VersionRecord of a version that was kept.
    recalled : Signal(object, object, int, int)
        A VersionRecord; its strokes by place; the newest patch of those of before, and the number of the
        version in which they are kept: 0 where another version had them.
    told : Signal(str)
        What was done, one line.
    problem : Signal(object)
        The error.
    """

    changed = Signal()
    added = Signal(object)
    recalled = Signal(object, object, int, int)
    told = Signal(str)
    problem = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.work = make_work_folder()
        self._session: Session | None = None
        self._contents = Contents()
        self._known: set[int] = set()
        self._kept_as: dict[Path, Path] = {}  # models of live trainings, which are copied
        self._lock = threading.RLock()
        self._lane = ThreadPoolExecutor(1, "papernets-session")
        self._closed = False
        self._later(clear_old_folders)

    @property
    def session(self) -> Session | None:
        """The open session, None before the first stroke."""
        return self._session

    def append(self, patch: Patch) -> None:
        """Keep a patch; called by the watcher on its thread.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        with self._lock:
            if self._closed:
                return
            if self._session is None:
                self._session = self._create()
                self._tell(self.changed)
            if patch.image not in self._known:
                self._save_info(self._session, self._contents)
                self._keep_image(self._session, patch.image)
            self._session.append_patch(patch)

    def describe(self, contents: Contents) -> None:
        """Images, classes or settings are others now; images that went stay known, since their
        strokes are in the journal, and the last of them may still come."""
        before = self._contents
        self._contents = replace(
            contents,
            images={**before.images, **contents.images},
            places={**before.places, **contents.places},
        )
        if self._session is not None:
            self._later(self._save_info, self._session, self._contents)

    def adopt(self, session: Session) -> None:
        """Go on with a session that was opened; the one before is closed."""
        self.let_go()
        with self._lock:
            self._session = session
            self._known = {info.number for info in session.info.images}
        self.changed.emit()

    def let_go(self) -> None:
        """Close the session when all is written, beside the window; the next stroke begins another."""
        with self._lock:
            session, self._session, self._known = self._session, None, set()
            self._contents = Contents()
        if session is not None:
            self._later(session.close)
            self.changed.emit()

    def add_version(self, event: Version, plan: LivePlan, parent: int) -> None:
        """Keep a version with the files that repeat its training; `added` follows."""
        session = self._session
        if session is not None:
            self._later(self._add_version, session, event, plan, parent)

    def recall(self, record: VersionRecord, current: VersionRecord) -> None:
        """Read the strokes of a version; `recalled` follows. What is painted now and no version has is
        kept first, as one with the model of the `current` version; `added` tells of it."""
        session = self._session
        if session is not None:
            self._later(self._recall, session, record, current)

    def set_note(self, number: int, note: str) -> None:
        """Change the user's words on a version."""
        session = self._session
        if session is not None:
            self._later(session.set_note, number, note)

    def save_as(self, folder: Path) -> None:
        """Write a copy of the session; `told` or `problem` follows."""
        session = self._session
        if session is not None:
            self._later(self._save_as, session, folder)

    def later(self, work: Callable[..., Any], *values: Any) -> None:
        """Do something beside the window; what it raises is told by `problem`."""
        self._later(work, *values)

    def close(self) -> None:
        """Close the session when all is written. The watcher must be closed before."""
        with self._lock:
            session, self._session, self._closed = self._session, None, True
        if session is not None:
            try:
                self._lane.submit(session.close)
            except RuntimeError:  # Python ends, and has ended the lane when all was written
                session.close()
        self._lane.shutdown(wait=True)
        shutil.rmtree(self.work, ignore_errors=True)

    # Beside the window.

    def _later(self, work: Callable[..., Any], *values: Any) -> None:
        def run() -> None:
            try:
                work(*values)
            except Exception as error:  # noqa: BLE001 - told to the user, whatever it is
                self._tell(self.problem, error)

        with contextlib.suppress(RuntimeError):  # closed
            self._lane.submit(run)

    def _create(self) -> Session:
        now = self._contents
        images = tuple(
            describe_image(n, block, now.places.get(n)) for n, block in sorted(now.images.items())
        )
        session = create_session(images, now.classes, settings=now.settings, start=now.start)
        for info in images:
            self._keep_image(session, info.number)
        self._known = {info.number for info in images}
        return session

    def _save_info(self, session: Session, now: Contents) -> None:
        """What was said of a session is written even if it is let go of meanwhile."""
        with self._lock:
            kept = {info.number: _up_to_date(info, now) for info in session.info.images}
            fresh = [(n, block) for n, block in now.images.items() if n not in kept]
            kept |= {n: describe_image(n, block, now.places.get(n)) for n, block in fresh}
            info = replace(
                session.info, images=tuple(kept[number] for number in sorted(kept)),
                classes=tuple(now.classes), settings=dict(now.settings), start=now.start,
                current=tuple(now.current), in_use=now.in_use,
            )  # fmt: skip
            if info != session.info:
                session.save_info(info)
            if session is self._session:
                self._known |= set(kept)

    def _keep_image(self, session: Session, number: int) -> None:
        """An image that is in no file, or not as its file has it, would be gone with its layer."""
        block = self._contents.images.get(number)
        if (
            block is not None
            and isinstance(block.data, np.ndarray)
            and block.data.nbytes <= LARGEST_KEPT
        ):
            self._later(_keep_unless_filed, session, number, block)

    def _add_version(self, session: Session, event: Version, plan: LivePlan, parent: int) -> None:
        strokes = session.annotation(event.patch)
        record = VersionRecord(
            number=0, model=event.model.path, patch=event.patch, step=event.step, score=event.score,
            before=event.before, source=event.source, reason=event.reason, name=event.model.name,
            parent=parent, settings=plan.settings.to_dict(),
            strokes=_strokes_of(strokes, plan),
        )  # fmt: skip
        begun = plan.model
        if isinstance(begun, ModelRef):  # the files of a live training go with the viewer
            begun = str(self._kept_as.get(begun.path, begun.path))
        command = write_round(session, session.next_number(), event, plan, strokes, begun)
        record = replace(record, command=command)
        record = session.add_version(event.model.path, record)
        self._kept_as[event.model.path] = record.model
        if session is self._session:
            self._tell(self.added, record)

    def _recall(self, session: Session, record: VersionRecord, current: VersionRecord) -> None:
        newest, kept = session.journal.newest, 0
        now = session.annotation(newest)
        patches = {v.patch for v in (current, *session.versions()[-1:])}
        if not any(are_equal(now, session.annotation(patch)) for patch in patches):
            fresh = replace(
                current, patch=newest, strokes=_count(now.values()), when="", note="", command="",
                reason=f"strokes before going back to version {record.number}", parent=current.number,
                score=None, before=None,  # of other strokes
            )  # fmt: skip
            fresh = session.add_version(current.model, fresh)
            kept = fresh.number
            if session is self._session:
                self._tell(self.added, fresh)
        if session is self._session:
            self._tell(self.recalled, record, session.annotation(record.patch), newest, kept)

    def _save_as(self, session: Session, folder: Path) -> None:
        session.save_as(folder)
        self._tell(self.told, f"Session saved as {folder}")

    @staticmethod
    def _tell(signal: Any, *values: Any) -> None:
        # The window, and the signal's C++ half with it, may be gone: then there is nobody to tell.
        with contextlib.suppress(RuntimeError):
            signal.emit(*values)


def _up_to_date(info: ImageInfo, now: Contents) -> ImageInfo:
    """What a session knows of an image, under the name and at the place that its layer has now."""
    block, place = now.images.get(info.number), now.places.get(info.number, info.place)
    return replace(info, name=info.name if block is None else block.name, place=dict(place))


def _keep_unless_filed(session: Session, number: int, block: ImageBlock) -> None:
    if block.source:
        with contextlib.suppress(InputError):
            session.image(number)
            return
    session.keep_image(number, block.data)


def _strokes_of(annotation: Mapping[Place, NDArray[Any]], plan: LivePlan) -> int:
    """How many strokes lie on the images of a plan, as the table of classes counts them."""
    return _count(labels for (number, _), labels in annotation.items() if number in plan.numbers)


def _count(planes: Iterable[NDArray[Any]]) -> int:
    counts = add_counts(count_strokes(labels.astype(np.uint8)) for labels in planes)
    return sum(strokes for strokes, _ in counts.values())
