"""The MoCo panel: learn from images without annotation, watch the dictionary, see whether it helps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal

from ..core.errors import InputError
from ..core.events import Checkpoint, Event
from ..core.results import Tuned
from .dictionary_view import DictionaryView
from .docked_panel import DockedPanel
from .engine_access import EngineHold
from .farewell import when_destroyed
from .job_adapter import Engine
from .message_line import MessageLine
from .moco_plots import MoCoPlots
from .moco_sources import SourcePicker
from .offered import NO_IMAGE
from .panel_layout import fill_panel, group
from .pretrain_bar import PretrainBar
from .pretrain_control import PretrainControl
from .pretrain_form import PretrainForm
from .settings_form import align_labels
from .warm_up import WarmUp

if TYPE_CHECKING:
    import napari.viewer


class MoCoPanel(DockedPanel):
    """Pre-trains encoders by momentum contrast.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer that the panel belongs to.
    engine : Engine, optional
        In place of the one that all panels share.

    Attributes
    ----------
    trained : Signal(object)
        The Tuned of a training that came to its end.
    """

    trained = Signal(object)

    def __init__(self, napari_viewer: napari.viewer.Viewer, *, engine: Engine | None = None) -> None:
        super().__init__()
        self.setObjectName("papernets-moco")
        self._hold = EngineHold(engine)
        self.sources, self.form = SourcePicker(napari_viewer), PretrainForm()
        self.plots = MoCoPlots()
        self.bar, self.message = PretrainBar(), MessageLine(napari_viewer)
        self._saved = 0  # step of the last checkpoint of the training that runs
        self.control = PretrainControl(self._hold.engine, self.plan, self)
        self.dictionary = DictionaryView(
            napari_viewer, self._hold.engine, self.sources.value, self.form.encoder, self.form.crop
        )
        groups = (
            group("Images", self.sources),
            group("Training", self.form),
            group("How it goes", self.plots),
            group("Dictionary", self.dictionary),
        )
        fill_panel(self, groups, (self.bar, self.message))
        # Not at once: the list of layers, which changes then, is not to be changed meanwhile.
        self._emptied = QTimer(self, singleShot=True, interval=0)
        self._connect()
        self._warm = WarmUp(self._hold.engine, self.message.complain, self)

    def plan(self, go_on: bool = False) -> dict[str, Any]:
        """Arguments of the training that would be started now, or gone on with.

        Raises
        ------
        InputError
            If nothing is chosen, or something chosen does not fit.
        """
        sources = self.sources.value()
        return self.form.value(go_on) | dict(
            images=sources.images, strokes=sources.strokes, folder_of_images=sources.folder
        )

    def shut_down(self) -> None:
        """Drop what runs, remember the settings and let go of the viewer and the engine."""
        for timer in (self._warm, self._emptied):
            timer.stop()
        self.form.remember()
        self.sources.close_events()
        self.control.drop()
        self.dictionary.leave()
        self._hold.release()

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self.form.refresh_models()
        self._offer()
        align_labels(self)

    def closeEvent(self, event: Any) -> None:
        self.shut_down()
        super().closeEvent(event)

    def _on_started(self, arguments: dict[str, Any]) -> None:
        self.form.remember()
        self.plots.clear()
        self._saved, shown = 0, self.form.name.text().strip()
        kept = "" if arguments["name"] == shown else f"“{shown}” stays as it is. "
        self.form.name.setText(arguments["name"])
        found, _ = self.form.checkpoint()
        if arguments["resume"] and found is not None:
            self._saved = found.step
            self.plots.take_up(found.history)
        self.message.tell(f"{kept}The new one is called “{arguments['name']}”." if kept else "")
        self.bar.set_running(arguments["settings"].seconds)

    def _on_finished(self, tuned: Tuned) -> None:
        self.bar.set_idle()
        self.form.refresh_models()
        self.form.take_learnt(tuned.model)
        self.dictionary.clear()  # it is of another encoder
        self._offer()
        steps = tuned.provenance.get("steps_done", 0)
        text = (
            f"Kept as “{tuned.model.name}” after {steps} step{'s' * (steps != 1)}. "
            "Annotate & fine-tune can start from it."
        )
        self.message.tell(f"{text} {self.plots.helps.text()}")
        self.trained.emit(tuned)

    def _on_failed(self, error: BaseException) -> None:
        self.bar.set_idle()
        self._offer()
        if isinstance(error, InputError) and error.field == "resume":
            mend = "choose the images that it began with, or press Learn to start anew"
            error = InputError("Go on", error.received, mend)
        self.message.complain(error)

    def _on_cancelled(self) -> None:
        self.bar.set_idle()
        self._offer()
        saved = f"no encoder was kept. “Go on” takes it up at step {self._saved}."
        self.message.tell(f"Cancelled; {saved if self._saved else 'nothing was kept.'}")

    def _on_event(self, event: Event) -> None:
        self.plots.add(event)
        self.bar.show_event(event)
        if isinstance(event, Checkpoint):
            self._saved = event.step

    def _offer(self) -> None:
        """Offer to go on where there is a checkpoint, and all else where there are images."""
        self.bar.set_obstacle(self.sources.obstacle())
        self.bar.offer(*self.form.checkpoint())
        self.dictionary.set_obstacle("" if self.sources.has_layers() else NO_IMAGE)

    def _on_sources(self) -> None:
        self.message.forgive()
        self._offer()
        if not self.sources.has_layers():
            self._emptied.start()

    def _forget_images(self) -> None:
        """All layers are gone: what was told of them goes too."""
        if self.sources.has_layers():
            return
        self.dictionary.clear()
        if not self.control.is_running:
            self.plots.clear()
            self.message.tell("")

    def _stop(self) -> None:
        self.bar.set_stopping()
        self.control.stop()

    def _connect(self) -> None:
        self.bar.startRequested.connect(self.control.start)
        self.bar.goOnRequested.connect(lambda: self.control.start(go_on=True))
        self.form.changed.connect(self._offer)
        self.sources.changed.connect(self._on_sources)
        self._emptied.timeout.connect(self._forget_images)
        self._offer()
        self.bar.stopRequested.connect(self._stop)
        self.bar.cancelRequested.connect(self.control.cancel)
        self.control.started.connect(self._on_started)
        self.control.happened.connect(self._on_event)
        self.control.finished.connect(self._on_finished)
        self.control.failed.connect(self._on_failed)
        self.control.cancelled.connect(self._on_cancelled)
        self.dictionary.told.connect(self.message.tell)
        self.dictionary.failed.connect(self.message.complain)
        # The window was destroyed, and its widgets with it: nothing of the panel outlives it.
        when_destroyed(
            self, self.control.drop, self.dictionary.leave, self.sources.close_events, self._hold.release
        )
