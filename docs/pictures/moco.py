"""The pictures of docs/moco.md: from a stack without annotation to an encoder and its dictionary."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QScrollArea, QWidget
from stage import SETTLE, Stage

SAMPLE = "nuclei_stack"
MINUTES = 6
PANEL = 505  # pixels: eight pictures side by side
RIGHT = 0.85  # share of the map's width beyond which dots are drawn around


def main() -> None:
    stage = Stage("MoCo", SAMPLE, width=1300, height=1000)
    viewer, panel = stage.viewer, stage.panel
    widen(stage, PANEL)
    kept: list[object] = []
    panel.trained.connect(kept.append)
    panel.form.name.setText("nuclei")
    panel.form.minutes.setValue(MINUTES)
    strokes = stage.layer(f"{SAMPLE} strokes")
    panel.sources.strokes.setCurrentText(strokes.name)
    viewer.layers.selection.active = strokes
    viewer.dims.set_current_step(0, most_painted(strokes.data))
    stage.shoot("moco_1_panel")

    panel.bar.start.click()
    stage.wait("the encoder", lambda: kept, 60 * MINUTES + 300)
    show(stage, panel.plots.numbers)
    stage.shoot("moco_2_learning")

    panel.dictionary.make.click()
    stage.wait("the dictionary", lambda: panel.dictionary.patch_map is not None)
    strokes.visible = False
    viewer.layers.selection.active = stage.layer(SAMPLE)
    plane = int(viewer.dims.current_step[0])
    look_up_brightest(stage, plane)
    show(stage, panel.dictionary.hardest)
    stage.shoot("moco_3_dictionary")

    scatter = panel.dictionary.scatter
    x = panel.dictionary.patch_map.plane_map[:, 0]
    left = float(x.min() + RIGHT * np.ptp(x))
    scatter._on_lasso([(left, -9.0), (9.0, -9.0), (9.0, 9.0), (left, 9.0)])
    panel.dictionary.paint.click()
    stage.shoot("moco_4_painted")
    stage.close()


def widen(stage: Stage, width: int) -> None:
    """Give the panel so many pixels."""
    dock = stage.panel.parentWidget()
    while not isinstance(dock, QDockWidget):
        dock = dock.parentWidget()
    stage.window.resizeDocks([dock], [width], Qt.Orientation.Horizontal)
    stage.rest()
    stage.viewer.reset_view()


def most_painted(strokes: np.ndarray) -> int:
    """The plane of a stack with the most strokes on it."""
    return int((strokes > 0).sum((1, 2)).argmax())


def look_up_brightest(stage: Stage, plane: int) -> None:
    """Look up the patch of a plane whose middle is brightest: it lies on a nucleus."""
    found = stage.panel.dictionary.patch_map
    here = np.flatnonzero(found.places[:, 1] == plane)
    y, x = found.places[here, 2:].T
    side = found.side // 4
    image = stage.layer(SAMPLE).data[plane]
    middles = [image[b - side : b + side, a - side : a + side].mean() for b, a in zip(y, x, strict=True)]
    stage.panel.dictionary.look_up(int(here[int(np.argmax(middles))]))


def show(stage: Stage, widget: QWidget) -> None:
    """Scroll the panel so far that a widget is in sight, whole."""
    stage.rest(SETTLE)
    stage.panel.findChild(QScrollArea).ensureWidgetVisible(widget, 0, 12)


if __name__ == "__main__":
    main()
