"""Applies a version: to the current image, all images of the session, or a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from ..core.errors import InputError, PapernetsError
from ..core.events import Event, Started, TileDone
from ..core.model import ModelRef
from ..core.results import Prediction
from ..objects import ObjectRule
from .annotated_image import AnnotatedImage
from .apply_form import ApplyForm
from .beside import beside
from .folder_apply import ApplyWish, FolderApply, FolderDone
from .job_adapter import Engine
from .live_layers import put_below
from .outputs import PROVENANCE, output_key, put_output
from .painting import Painting
from .result_actions import ResultActions
from .run import Run
from .run_bar import counted
from .run_plan import RunPlan, plan_run

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer


class ApplyActions(QWidget):
    """The form, its runs, and what to do with their results.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where layers are.
    painting : Painting
        The images of the session.
    engine : callable
        The engine.
    model : callable
        The model of a version (0: the one in use); raises PapernetsError.
    device : callable
        Where to compute.

    Attributes
    ----------
    told : Signal(str)
        What was done, one line.
    failed : Signal(object)
        The error.
    """

    told = Signal(str)
    failed = Signal(object)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        painting: Painting,
        engine: Callable[[], Engine],
        model: Callable[[int], ModelRef],
        device: Callable[[], str],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._painting, self._engine, self._model = viewer, painting, engine, model
        self._device = device
        self._run: Run | None = None
        self._splitting: Any = None  # the worker that makes objects, while somebody waits for it
        self._todo: list[AnnotatedImage] = []
        self._wish: ApplyWish | None = None
        self.form = ApplyForm()
        self.results = ResultActions(viewer, self._current_block, engine)
        self.folder = FolderApply(engine, self)
        self._connect()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        layout.addWidget(self.results)
        layout.addStretch(1)

    def offer(self, numbers: Sequence[int], current: int) -> None:
        """Offer these versions; `current` is the one in use, 0 where there is none."""
        self.form.set_versions(numbers, current)

    def refresh_classes(self) -> None:
        """Offer the classes of the chosen version: those that are painted may be others by now."""
        try:
            classes = self._model(self.form.number()).spec.classes
        except PapernetsError:
            classes = self._painting.classes()
        self.form.set_classes(classes)

    def start(self, kind: str) -> None:
        """Apply to the current "image", to "all" images, or to a "folder" that is asked for."""
        self.told.emit("")  # what was said was about the last time
        try:
            self._wish = self._wanted()
            if kind == "folder":
                self._ask_for_folders()
                return
            current = self._painting.images.current()
            every = self._painting.images.pairs()
            self._todo = list(every) if kind == "all" else [current or _nothing()]
        except PapernetsError as error:
            self.failed.emit(error)
            return
        self._next()

    def _wanted(self) -> ApplyWish:
        form, model = self.form, self._model(self.form.number())
        number, objects = form.objects(), None
        if number:
            classes, size = model.spec.classes, form.size.value()
            objects = ObjectRule.of(classes, number, size, form.split.isChecked())
        return ApplyWish(model, objects, self._device())

    def start_folder(self, source: Path, target: Path) -> None:
        """Apply to the images of a folder."""
        if self._wish is None:
            return
        try:
            self.form.set_running("Starting…")
            self.folder.start(self._wish, source, target)
        except PapernetsError as error:
            self._on_failed(error)

    def leave(self) -> None:
        """The panel goes away: drop what runs and put the layers back."""
        self._todo = []
        if self._run is not None:
            self._run.leave()
        self._run = self._splitting = None
        self.folder.leave()
        self.results.close_events()

    def drop(self) -> None:
        """The window is gone: drop what runs. Touches nothing of Qt or napari."""
        self._todo, self._splitting = [], None
        if self._run is not None:
            self._run.drop()
        self.folder.leave()

    def _ask_for_folders(self) -> None:
        source = QFileDialog.getExistingDirectory(self, "Images to segment")
        target = source and QFileDialog.getExistingDirectory(self, "Where to write labels and tables")
        if source and target:
            self.start_folder(Path(source), Path(target))

    def _next(self) -> None:
        if not self._todo:
            self._finish("")
            return
        pair = self._todo.pop(0)
        try:
            plan = self._plan(pair)
            self._run = Run(self._viewer, self._engine(), plan, self)
            self._run.progressed.connect(self._on_event)
            self._run.finished.connect(self._on_layer)
            self._run.failed.connect(self._on_failed)
            self._run.cancelled.connect(self._on_cancelled)
            self.form.set_running(f"{pair.image.name}: waiting for the engine…")
            self._run.start()
        except PapernetsError as error:
            self._on_failed(error)

    def _on_cancelled(self, reason: str) -> None:
        left = f" {counted(len(self._todo), 'image')} not begun." if self._todo else ""
        self._todo.clear()
        self._finish(f"{reason}.{left}")

    def _plan(self, pair: AnnotatedImage) -> RunPlan:
        assert self._wish is not None
        block = pair.block()
        plan = plan_run(
            self._viewer, pair.image, block, self._wish.model, self._wish.settings(block),
            "stack", device=self._wish.device,
        )  # fmt: skip
        return replace(
            plan, key=output_key("classes", pair.image), name=f"{pair.image.name} classes", supersedes=()
        )

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Started):
            self.form.set_running(f"0 of {event.total} tiles", 0, event.total)
        elif isinstance(event, TileDone):
            self.form.set_running(f"{event.done} of {event.total} tiles", event.done, event.total)

    def _on_layer(self, layer: napari.layers.Labels, result: Prediction) -> None:
        assert self._run is not None
        assert self._wish is not None
        plan, wish, self._run = self._run.plan, self._wish, None
        self._put_below(layer, plan)
        if wish.objects is None:
            layer.visible = self._sees(plan)
            self.results.add_result(layer, plan)
            self.told.emit(f"{layer.name}: done.")
            self._next()
            return
        self._splitting = worker = beside(wish.objects.find, plan.take_back(layer.data))

        def on_end(then: Callable[..., None], *answer: Any) -> None:
            if self._splitting is worker:  # not cancelled meanwhile
                self._splitting = None
                then(*answer)

        worker.returned.connect(lambda objects: on_end(self._on_objects, layer, plan, result, objects))
        worker.errored.connect(lambda error: on_end(self._on_failed, error))
        worker.start()

    def _on_objects(
        self, classes: napari.layers.Labels, plan: RunPlan, result: Prediction, objects: Any
    ) -> None:
        assert self._wish is not None
        rule = self._wish.objects
        assert rule is not None
        plan = replace(plan, key=plan.key.replace("classes", f"objects {rule.name}", 1))
        shown, place = plan.place(objects)
        account = rule.account(result.provenance)
        layer = put_output(
            self._viewer, "labels", plan.key, name_of(plan.image.name, rule.name), shown, place,
            metadata={PROVENANCE: account}, visible=self._sees(plan),
        )  # fmt: skip
        classes.visible = False
        self._put_below(layer, plan)
        self.results.add_result(layer, plan)
        self.told.emit(f"{layer.name}: {counted(int(objects.max(initial=0)), 'object')}.")
        self._next()

    def _sees(self, plan: RunPlan) -> bool:
        """Whether the image is to be seen: what lies on a hidden one would cover another."""
        return any(la.unique_id == plan.identity and la.visible for la in self._viewer.layers)

    def _put_below(self, layer: napari.layers.Labels, plan: RunPlan) -> None:
        """Strokes stay on top."""
        for pair in self._painting.images.pairs():
            if plan.key.endswith(str(pair.image.unique_id)):
                put_below(self._viewer, layer, pair.labels)

    def _on_cancel(self) -> None:
        self._todo = []
        if self._run is not None:
            self._run.cancel()
        elif self._splitting is not None:
            self._splitting = None
            self._finish("Cancelled.")
        else:
            self.folder.cancel()

    def _on_failed(self, error: BaseException) -> None:
        self._finish("Failed.")
        self.failed.emit(error)

    def _on_file(self, done: int, total: int, name: str) -> None:
        self.form.set_running(f"{name} ({done + 1} of {total})", done, total)

    def _on_folder(self, done: FolderDone) -> None:
        rest = f" {counted(done.left_out, 'result')} of this program left out." if done.left_out else ""
        if done.failed:
            rest += f" {counted(len(done.failed), 'file')} left out – {'; '.join(done.failed)}."
        self._finish(f"{counted(done.written, 'image')} written to {done.folder}.{rest}")

    def _finish(self, text: str) -> None:
        self._run, self._todo = None, []
        self.form.set_idle(text or "Done.")

    def _current_block(self) -> Any:
        return (self._painting.images.current() or _nothing()).block()

    def _connect(self) -> None:
        self.form.requested.connect(self.start)
        self.form.versionChanged.connect(self.refresh_classes)
        self.form.cancelRequested.connect(self._on_cancel)
        self.results.told.connect(self.told)
        self.results.failed.connect(self.failed)
        self.folder.progressed.connect(self._on_file)
        self.folder.finished.connect(self._on_folder)
        self.folder.failed.connect(self._on_failed)


def name_of(image: str, kind: str) -> str:
    """Name of the layer of numbered objects of a class.

    >>> name_of("field 3", "nucleus"), name_of("field 3", "object")
    ('field 3 nucleus objects', 'field 3 objects')
    """
    return f"{image} objects" if kind in ("object", "objects") else f"{image} {kind} objects"


def _nothing() -> Any:
    raise InputError("image", "none in this session", "choose an image and press “Annotate”")
