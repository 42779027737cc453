"""The pictures of docs/annotate.md: from an empty layer to objects and their table."""

from __future__ import annotations

from stage import Stage, paint, strokes_of

from napari_papernets.core.events import Step, Version
from napari_papernets.samples import load_sample
from napari_papernets.widgets.comparison import ComparisonDialog

STEPS = 40  # of training, until the curves are photographed


def main() -> None:
    stage = Stage("Annotate & fine-tune", "nuclei")
    parts, tabs, viewer = stage.panel.parts, stage.panel.tabs, stage.viewer
    seen: list[object] = []
    parts.control.happened.connect(seen.append)
    while parts.painting.images.pairs():  # the sample's own strokes were taken up
        parts.image.remove.click()
        stage.rest()
    for name in ("nuclei strokes", "nuclei truth"):
        if stage.layer(name):
            viewer.layers.remove(name)
    parts.image.annotate.click()
    stage.shoot("annotate_1_panel")

    sample = load_sample("nuclei").strokes
    background, nuclei = strokes_of(sample, 1), strokes_of(sample, 2)
    layer = stage.layer("nuclei strokes")
    parts.bar.live.setChecked(False)
    paint(layer, background[:2], 1)
    paint(layer, nuclei[:2], 2)
    stage.shoot("annotate_2_strokes")

    parts.bar.live.setChecked(True)
    paint(layer, nuclei[2:3], 2)
    stage.wait("a prediction", lambda: shown(stage))
    stage.shoot("annotate_3_quick")

    paint(layer, background[2:], 1)
    paint(layer, nuclei[3:], 2)
    tabs.setCurrentIndex(1)
    stage.wait("training", lambda: steps(seen) >= STEPS)
    stage.shoot("annotate_4_learning")

    stage.wait("an uncertain place", parts.bar.place.isEnabled)
    parts.bar.place.click()
    stage.layer("nuclei uncertainty").visible = True
    tabs.setCurrentIndex(0)
    stage.shoot("annotate_5_uncertain")
    stage.layer("nuclei uncertainty").visible = False
    viewer.reset_view()

    stop(stage, seen)
    parts.bar.train.click()
    began = steps(seen)
    stage.wait("more training", lambda: steps(seen) >= began + STEPS)
    stop(stage, seen)
    tabs.setCurrentIndex(2)
    parts.versions.view.selectRow(1)
    parts.versions.against.click()
    stage.wait("a comparison", lambda: stage.dialog(ComparisonDialog))
    stage.shoot("annotate_6_versions", stage.dialog(ComparisonDialog))
    stage.dialog(ComparisonDialog).close()

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


def steps(seen: list[object]) -> int:
    """How many steps of training there were."""
    return sum(isinstance(event, Step) for event in seen)


def stop(stage: Stage, seen: list[object]) -> None:
    """Press Stop, and wait for the version."""
    before = versions(seen)
    stage.panel.parts.bar.stop.click()
    stage.wait("a version", lambda: versions(seen) > before and stage.panel.parts.bar.train.isEnabled())


def versions(seen: list[object]) -> int:
    """How many versions there were."""
    return sum(isinstance(event, Version) for event in seen)


if __name__ == "__main__":
    main()
