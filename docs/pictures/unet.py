"""The pictures of docs/unet.md: labels and their table, the tile plan, and feature maps."""

from __future__ import annotations

from stage import Stage

from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.widgets.table_window import TableWindow

LEVEL = "contract 2"
PICKED = 24  # the object whose row is shown


def main() -> None:
    labels_and_maps()
    tiles()


def labels_and_maps() -> None:
    """The nuclei of the sample, their table, and what the network makes of them inside."""
    stage = open_stage("nuclei")
    viewer, panel = stage.viewer, stage.panel
    finished: list[object] = []
    panel.runFinished.connect(lambda *answer: finished.append(answer))
    for count in (1, 2):  # the first one also waits for the engine to start
        panel.bar.buttons["plane"].click()
        stage.wait("labels", lambda count=count: len(finished) == count)
    stage.shoot("unet_labels")

    panel.results.measure.click()
    stage.wait("the table", lambda: stage.dialog(TableWindow))
    stage.dialog(TableWindow).resize(500, 240)  # as it is photographed
    viewer.layers["nuclei nuclei"].selected_label = PICKED  # as the pipette does it
    stage.shoot("unet_table", stage.dialog(TableWindow))
    stage.dialog(TableWindow).close()

    viewer.layers.selection.active = viewer.layers["nuclei"]
    inside = panel.closer.inside
    inside.button.click()
    stage.wait("feature maps", inside.combo.isEnabled)
    names = [inside.combo.itemText(i) for i in range(inside.combo.count())]
    chosen = next(i for i, name in enumerate(names) if name.startswith(LEVEL))
    inside.combo.setCurrentIndex(chosen)
    inside.combo.activated.emit(chosen)  # as a hand does it
    stage.shoot("unet_inside")
    stage.close()


def tiles() -> None:
    """Where the tiles of a side of 320 pixels lie."""
    stage = open_stage("tissue")
    stage.panel.form.setValue(PredictSettings(zoom=1.0, tile=320))
    stage.panel.closer.tiles.click()
    stage.wait("the plan", lambda: stage.layer("tissue tiles"))
    stage.shoot("unet_tiles")
    stage.close()


def open_stage(sample: str) -> Stage:
    """The panel with a sample, of which only the image is shown."""
    stage = Stage("U-Net", sample, width=1240, height=780)
    for layer in stage.viewer.layers:
        layer.visible = layer.name == sample
    stage.viewer.layers.selection.active = stage.viewer.layers[sample]
    return stage


if __name__ == "__main__":
    main()
