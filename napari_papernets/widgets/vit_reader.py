"""The tokens that the ViT panel shows: asked for, and asked for again when something changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from ..core.errors import PapernetsError
from ..core.feature_maps import FeatureMaps
from ..core.token_math import Basis
from .job_adapter import Engine, JobAdapter
from .vit_pictures import Looks, make_looks
from .vit_plan import FeaturePlan

PAUSE = 120  # ms: changes that come together are one


class TokenSource(QObject):
    """Reads tokens, and beside them those of random weights where these are wanted.

    Parameters
    ----------
    engine : callable
        The engine.
    plan : callable
        What is wanted now; raises PapernetsError where nothing can be read.
    looks : callable
        (foreground, number of clusters, whether a basis is shared) that are wanted now.

    Attributes
    ----------
    began : Signal()
        A reading was submitted.
    happened : Signal(object)
        An event of the reading.
    ready : Signal(object, object, bool)
        The FeaturePlan, the Looks, and whether weights were random.
    failed : Signal(object)
        The error.
    finished : Signal()
        Nothing is read any more.
    """

    began = Signal()
    happened = Signal(object)
    ready = Signal(object, object, bool)
    failed = Signal(object)
    finished = Signal()

    def __init__(
        self,
        engine: Callable[[], Engine],
        plan: Callable[[], FeaturePlan],
        looks: Callable[[], tuple[bool, int, bool]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._engine, self._plan, self._looks = engine, plan, looks
        self._job: JobAdapter | None = None
        self._bases: dict[bool, Basis] = {}
        self._control = False
        self._asked: FeaturePlan | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._start)

    @property
    def busy(self) -> bool:
        return self._job is not None

    @property
    def asked(self) -> FeaturePlan | None:
        """Of the newest reading, whether it runs, came or failed."""
        return self._asked

    def request(self, control: bool) -> None:
        """Read, soon: what is read meanwhile is not wanted any more."""
        self._control = control
        self._timer.start(PAUSE)

    def forget_basis(self) -> None:
        """The colours of the next reading get a basis of their own."""
        self._bases.clear()

    def cancel(self) -> None:
        """Stop reading."""
        self._timer.stop()
        if self._drop():
            self.finished.emit()

    def start_over(self) -> None:
        """Stop reading, since something else is to be read from now on."""
        self._asked = None
        self.cancel()

    def leave(self) -> None:
        """The panel goes away."""
        self._timer.stop()
        self._drop()

    def _drop(self) -> bool:
        if self._job is None:
            return False
        self._job.forget()
        self._end()
        return True

    def _end(self) -> None:
        if self._job is not None:
            self._job.deleteLater()
            self._job = None

    def _start(self) -> None:
        self._drop()
        try:
            self._asked = self._plan()
            self._submit(self._asked, False)
            self.began.emit()
        except PapernetsError as error:
            self._on_failed(error)

    def _submit(self, plan: FeaturePlan, random: bool) -> None:
        foreground, count, shared = self._looks()
        basis = self._bases.get(random) if shared else None

        def prepare(maps: FeatureMaps) -> Looks:
            return make_looks(maps, basis, foreground, count)

        job = self._job = JobAdapter(self)
        job.happened.connect(self.happened)
        job.returned.connect(lambda looks: self._on_returned(plan, looks, random))
        job.failed.connect(self._on_failed)
        job.cancelled.connect(self.cancel)
        job.start(self._engine(), "features", prepare, **plan.arguments(random))

    def _on_returned(self, plan: FeaturePlan, looks: Looks, random: bool) -> None:
        self._end()
        self._bases.setdefault(random, looks.basis)
        self.ready.emit(plan, looks, random)
        if self._control and not random:
            self._submit(plan, True)
        else:
            self.finished.emit()

    def _on_failed(self, error: BaseException) -> None:
        self._end()
        self.failed.emit(error)
        self.finished.emit()


class SideJob(QObject):
    """One verb at a time beside the reading: a download, a score, a training.

    Attributes
    ----------
    happened : Signal(object)
        An event.
    failed : Signal(object)
        The error.
    finished : Signal()
        Nothing runs any more.
    """

    happened = Signal(object)
    failed = Signal(object)
    finished = Signal()

    def __init__(self, engine: Callable[[], Engine], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._engine = engine
        self._job: JobAdapter | None = None

    @property
    def busy(self) -> bool:
        return self._job is not None

    def start(self, verb: str, on_returned: Callable[[Any], None], **arguments: Any) -> None:
        """Run a verb, where none is on its way."""
        if self.busy:
            return
        job = self._job = JobAdapter(self)

        def done(result: Any) -> None:
            self._end()
            on_returned(result)
            if self._job is None:  # it did not start another
                self.finished.emit()

        job.happened.connect(self.happened)
        job.returned.connect(done)
        job.failed.connect(self._on_failed)
        job.cancelled.connect(self._on_cancelled)
        try:
            job.start(self._engine(), verb, **arguments)
        except PapernetsError as error:
            self._on_failed(error)

    def cancel(self) -> None:
        """Stop it; what was loaded of a download is kept."""
        if self._job is not None:
            self._job.cancel()

    def leave(self) -> None:
        """Drop it and say nothing more."""
        if self._job is not None:
            self._job.forget()
            self._end()

    def _end(self) -> None:
        if self._job is not None:
            self._job.deleteLater()
            self._job = None

    def _on_failed(self, error: BaseException) -> None:
        self._end()
        self.failed.emit(error)
        self.finished.emit()

    def _on_cancelled(self) -> None:
        self._end()
        self.finished.emit()
