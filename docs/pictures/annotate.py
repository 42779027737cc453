"""The pictures of docs/annotate.md: from an empty layer to objects and their table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from stage import Stage, paint, strokes_of

from napari_papernets.core.events import Step
from napari_papernets.samples import load_sample
from napari_papernets.widgets.comparison import ComparisonDialog

STEPS = 160  # of training, until the curves are photographed
LONG = 3000.0  # seconds that they may take
SEAMS = 8  # between nuclei that touch, painted as background


def main() -> None:
    stage = Stage(
        "Annotate & fine-tune", "nuclei", width=1560, panel_width=470,
        without=("nuclei strokes", "nuclei truth"),
    )  # fmt: skip
    parts, tabs, viewer = stage.panel.parts, stage.panel.tabs, stage.viewer
    seen: list[object] = []
    parts.control.happened.connect(seen.append)
    parts.image.annotate.click()
    stage.wait("the engine", lambda: said(stage))
    stage.shoot("annotate_1_panel")

    sample = load_sample("nuclei")
    background, nuclei = strokes_of(sample.strokes, 1), strokes_of(sample.strokes, 2)
    layer = stage.layer("nuclei strokes")
    parts.bar.live.setChecked(False)
    paint(layer, background[:2], 1)
    paint(layer, nuclei[:2], 2)
    stage.wait("the end of the job", lambda: said(stage))
    stage.shoot("annotate_2_strokes")

    parts.bar.live.setChecked(True)
    stage.wait("a prediction", lambda: shown(stage))
    stage.wait("its end", lambda: said(stage))
    stage.shoot("annotate_3_quick")
    parts.bar.stop.click()  # it says Keep now
    stage.wait("the quick version", lambda: listed(stage) == 1)

    paint(layer, background[2:], 1)
    paint(layer, nuclei[2:], 2)
    paint(layer, seams(sample.truth)[:SEAMS], 1)
    tabs.setCurrentIndex(1)
    stage.wait("training", lambda: steps(seen) >= STEPS or listed(stage) == 2, LONG)
    stage.shoot("annotate_4_learning")

    stage.wait("an uncertain place", parts.bar.place.isEnabled)
    parts.bar.place.click()
    stage.layer("nuclei uncertainty").visible = True
    tabs.setCurrentIndex(0)
    stage.shoot("annotate_5_uncertain")
    stage.layer("nuclei uncertainty").visible = False
    viewer.reset_view()

    if parts.bar.stop.isEnabled():
        parts.bar.stop.click()
    stage.wait("the trained version", lambda: listed(stage) == 2)
    tabs.setCurrentIndex(2)
    stage.wait("its comparison", lambda: parts.versions.current().number == 2)
    parts.versions.view.selectRow(1)
    parts.versions.against.click()
    stage.wait("a comparison", lambda: stage.dialog(ComparisonDialog))
    stage.shoot("annotate_6_versions", stage.dialog(ComparisonDialog))
    stage.dialog(ComparisonDialog).close()

    tabs.setCurrentIndex(3)
    stage.wait("a crop", parts.augmentation.layers.isEnabled)
    stage.shoot("annotate_augment")

    tabs.setCurrentIndex(4)
    parts.apply.form.labels.setCurrentIndex(parts.apply.form.labels.count() - 1)
    parts.apply.form.buttons["image"].click()
    stage.wait("objects", lambda: any(la.name.endswith("objects") for la in viewer.layers))
    layer.visible = stage.layer("nuclei prediction").visible = False
    parts.apply.results.measure.click()
    stage.wait("the table", lambda: parts.apply.results.windows)
    stage.shoot("annotate_7_apply", parts.apply.results.windows[0])
    stage.close()


def shown(stage: Stage) -> bool:
    """Whether a prediction is on the screen."""
    layer = stage.layer("nuclei prediction")
    return layer is not None and bool(layer.data.any())


def said(stage: Stage) -> bool:
    """Whether the panel's line has come to rest."""
    return not stage.panel.parts.bar.line.text().endswith("…")


def steps(seen: list[object]) -> int:
    """How many steps of training there were."""
    return sum(isinstance(event, Step) for event in seen)


def listed(stage: Stage) -> int:
    """How many versions the table has."""
    return len(stage.panel.parts.versions.model.versions)


def seams(truth: NDArray[np.integer]) -> list[tuple[NDArray[np.intp], ...]]:
    """A thin stroke for each place where two objects touch, the longest first."""
    near = np.zeros(truth.shape, bool)
    for axis in (0, 1):
        objects, seam = np.moveaxis(truth, axis, 0), np.moveaxis(near, axis, 0)
        touch = (objects[1:] != objects[:-1]) & (objects[1:] > 0) & (objects[:-1] > 0)
        seam[1:] |= touch
        seam[:-1] |= touch
    return sorted(strokes_of(near, 1), key=lambda stroke: -len(stroke[0]))


if __name__ == "__main__":
    main()
