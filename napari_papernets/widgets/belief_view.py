"""Shows a refinement: its labels, the iteration that is looked at, a swipe, the energy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, Qt, QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from ..core.events import Event, Refined
from ..core.results import Refinement
from .calm_wheel import CalmWheel
from .crf_plan import CRFPlan
from .energy_plot import EnergyPlot
from .label_sink import class_colours
from .outputs import PROVENANCE, find_output, output_key, put_output, refill_layer
from .probability_layers import map_options
from .safe_removal import SafeRemoval
from .settings_form import add_row, aligned_rows
from .theme_colours import theme_colours

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

HELP = {
    "iteration": "The labels after each iteration of mean field; 0 is before the first one.",
    "swipe": "On the left of the image the labels before the CRF, on the right those after it. "
    "All the way to the left shows what the CRF made, all the way to the right what it was given.",
    "layers": "Add the probability maps before and after the CRF, and the labels before, as layers; of "
    "a DeepLab also its coarse scores, one for every 8 × 8 pixels.",
}
PREVIEW = "refined preview"  # role of the layer
STEPS = 1000  # of the swipe
LATER = 30  # ms after the labels
OPACITY = 0.5  # of a new layer: the edges below must be seen


class BeliefView(QWidget):
    """Shows the newest refinement of what is in view.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers go.

    Attributes
    ----------
    told : Signal(str)
        A sentence for the person.
    """

    told = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._plan: CRFPlan | None = None
        self._coming: list[Refined] = []
        self._history: list[NDArray[Any]] = []
        self._before: NDArray[Any] | None = None
        self._result: Refinement | None = None
        self._instead: Any = None  # a whole result that is seen in place of the preview
        self._resting: Any = None  # a preview of a plane that is not in view, which is hidden meanwhile
        self._removal = SafeRemoval(viewer, self)
        self._coloured: Any = None  # the layer, and classes and numbers that it has the colours of
        self.plot = EnergyPlot()
        self.iteration, self.swipe = _slider(), _slider(STEPS)
        self.number = QLabel("–")
        self.layers = QPushButton("Add as layers")
        # The labels come first; window and curve are painted in turns, or one of them would wait long.
        self._later = QTimer(self, singleShot=True, interval=LATER)
        self._later.timeout.connect(self._draw_plot)
        self.iteration.valueChanged.connect(self._on_iteration)
        self.swipe.valueChanged.connect(self._draw)
        self.layers.clicked.connect(lambda: self.add_layers())
        self._lay_out()
        self._enable()

    def watch(self, plan: CRFPlan, event: Event) -> None:
        """Collect the iterations of a refinement that is on its way."""
        if isinstance(event, Refined):
            if event.iteration == 0:
                self._coming = []
            self._coming.append(event)

    def show_result(self, plan: CRFPlan, result: Refinement) -> None:
        """Show a refinement, at the last iteration where that is where the slider was."""
        before, was_last = self.iteration.value(), self.iteration.value() == self.iteration.maximum()
        self._history = [e.labels for e in self._coming if e.labels is not None]
        self._history = self._history or [result.labels]
        self._plan, self._result = plan, result
        # Iteration 0 is what the CRF was given.
        self._before = plan.beliefs.labels_given(self._history[0])
        last = len(self._history) - 1
        self.iteration.blockSignals(True)
        self.iteration.setMaximum(last)
        self.iteration.setValue(last if was_last else min(before, last))
        self.iteration.blockSignals(False)
        self._enable()
        self._draw()
        self._later.start()

    def remarks(self) -> list[str]:
        """What to know about what is shown, in a line each."""
        if self._plan is None or not self._history:
            return []
        first = self._history[0]
        if first.size == 0 or (first != first.flat[0]).any():
            return []
        if self._before is not None and not self._before.any() and self._plan.beliefs.gaps:
            return ["nothing that is in view is labelled"]
        name = self._plan.beliefs.classes[int(first.flat[0]) - 1].name
        return [f"all that is in view is {name}: the CRF has no border to move"]

    def clear(self) -> None:
        """Forget what is shown, and take its layer away, or hide it where it lies in another plane."""
        layer = self._layer_of(self._plan.identity) if self._plan is not None else None
        if layer is not None and not self._removal.at_once(layer) and layer.visible:
            layer.visible, self._resting = False, layer
        self._forget_plan()

    def _forget_plan(self) -> None:
        self._plan, self._result, self._history = None, None, []
        self._draw_plot()
        self._enable()

    def give_way(self, result: napari.layers.Layer) -> None:
        """Hide the preview behind the layer of a whole result, which is hidden by the next one: they
        could not be told apart."""
        self._instead = result
        if self._plan is not None:
            layer = self._layer_of(self._plan.identity)
            if layer is not None:
                layer.visible = False

    def forget(self, image: napari.layers.Layer) -> None:
        """An image is gone: so is the preview of it."""
        layer = self._layer_of(image)
        if layer is not None:
            self._removal.soon(layer)
        if self._plan is not None and self._plan.identity == image:
            self._forget_plan()

    def leave(self) -> None:
        """The panel goes away."""
        self._removal.leave()

    def _layer_of(self, image: napari.layers.Layer) -> napari.layers.Layer | None:
        """The preview of an image."""
        return find_output(self._viewer, output_key(PREVIEW, image))

    def add_layers(self) -> None:
        """Add the probabilities and labels of the preview as layers of their own."""
        if self._plan is None or self._result is None or self._before is None:
            return
        plan = self._plan
        given = np.asarray(plan.beliefs.probabilities)  # kept since the engine read them
        self._add_maps("before", "before CRF", given)
        self._add_maps("after", "after CRF", self._result.probabilities)
        step = plan.beliefs.step
        top, left = (-edge % step for edge in (plan.region or (0, 0, 0, 0))[::2])
        coarse = given[..., top::step, left::step]
        if step > 1 and coarse.size:
            self._add_maps("coarse", f"every {step} pixels", coarse, step, (top, left))
        data, placement = plan.place(self._before)
        put_output(
            self._viewer, "labels", plan.key("labels before"),
            f"{plan.image.name} before CRF", data, placement, visible=False, **self._colours(plan),
        )  # fmt: skip
        self.told.emit("Added, hidden: click on the eye of a layer to see it.")

    def _add_maps(
        self, role: str, text: str, maps: NDArray[np.float32], step: int = 1,
        start: tuple[int, int] = (0, 0),
    ) -> None:  # fmt: skip
        """A layer for the scores of each class, (K, Y, X), from pixel `start` of the region on."""
        plan = self._plan
        assert plan is not None
        for about, values in zip(plan.beliefs.classes, maps, strict=True):
            data, placement = plan.place(np.ascontiguousarray(values), step, start)
            put_output(
                self._viewer, "image", plan.key(f"{role} {about.name}"),
                f"{plan.image.name} {text}, score of {about.name}", data, placement,
                **map_options(about),
            )  # fmt: skip

    def _colours(self, plan: CRFPlan) -> dict[str, Any]:
        return class_colours(plan.beliefs.classes, plan.beliefs.values)

    def event(self, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange, QEvent.Type.Show):
            self.plot.recolour(theme_colours(self))
        return super().event(event)

    def _draw_plot(self) -> None:
        """The energies and the number of the iteration."""
        result = self._result
        energies = result.energies[0] if result is not None and result.energies else ()
        self.plot.draw([e / result.labels.size for e in energies] if result is not None else ())
        if result is not None:
            self._tell_iteration()

    def _tell_iteration(self) -> int:
        last = len(self._history) - 1
        at = min(self.iteration.value(), last)
        self.plot.mark(at)
        self.number.setText(f"{at} of {last}")
        return at

    def _on_iteration(self) -> None:
        if self._plan is not None:
            self._tell_iteration()
            self._draw()

    def _draw(self, *_: object) -> None:
        if self._plan is None or self._before is None:
            return
        at = min(self.iteration.value(), len(self._history) - 1)
        after = self._plan.beliefs.labels(self._history[at])
        shown = swiped(self._before, after, self.swipe.value() / STEPS if at else 1.0)
        data, placement = self._plan.place(shown)
        key = output_key(PREVIEW, self._plan.identity)
        layer = find_output(self._viewer, key)
        if layer is None:
            colours = self._colours(self._plan)
            layer = put_output(
                self._viewer, "labels", key, self._plan.name, data, placement, opacity=OPACITY, **colours
            )
            self._coloured = self._colour_key(layer)
        else:
            self._removal.keep(layer)
            refill_layer(layer, data, placement)
            if self._resting is not None and self._resting == layer:
                layer.visible = True
        self._resting = None
        if self._coloured != self._colour_key(layer):  # dear, and seldom another
            for name, value in self._colours(self._plan).items():
                setattr(layer, name, value)
            self._coloured = self._colour_key(layer)
        layer.metadata[PROVENANCE] = dict(self._result.provenance) if self._result else {}
        if self._instead is not None:
            layer.visible, self._instead.visible, self._instead = True, False, None

    def _colour_key(self, layer: Any) -> Any:
        assert self._plan is not None
        return layer.unique_id, self._plan.beliefs.classes, self._plan.beliefs.values

    def _enable(self) -> None:
        for widget in (self.iteration, self.swipe, self.layers):
            widget.setEnabled(self._plan is not None)
        if self._plan is None:
            self.number.setText("–")

    def _lay_out(self) -> None:
        rows, beside = aligned_rows(), QWidget()
        line = QHBoxLayout(beside)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.iteration, 1)
        line.addWidget(self.number)
        add_row(rows, "Iteration", beside, HELP["iteration"])
        add_row(rows, "Before | after", self.swipe, HELP["swipe"])
        self.iteration.setAccessibleName("Iteration")
        self.layers.setToolTip(f"<p>{HELP['layers']}</p>")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        layout.addLayout(rows)
        layout.addWidget(self.layers)


def swiped(before: NDArray[Any], after: NDArray[Any], share: float) -> NDArray[Any]:
    """Labels (..., X) of which the left `share` is from before."""
    edge = round(share * after.shape[-1])
    if edge <= 0:
        return after
    mixed = after.copy()
    mixed[..., :edge] = before[..., :edge]
    return mixed


def _slider(maximum: int = 0) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(0, maximum)
    slider.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    CalmWheel(slider)
    return slider
