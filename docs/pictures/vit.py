"""The pictures of docs/vit.md: what a Vision Transformer sees in a corner of real tissue.

make pictures WEIGHTS=FILE    # of DINOv2-Small: they are not part of the project
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtWidgets import QScrollArea, QWidget
from skimage.draw import line
from skimage.morphology import dilation, disk
from stage import Stage

SAMPLE, SIDE = "immunohistochemistry", 504  # pixels of the corner: 36 patches of 14
WANTED, UNWANTED = (130.0, 200.0), (268.0, 262.0)  # places that are clicked: a gland, and what is around
HEAD = 1
STROKES = {  # of glands, and of what is between them: (y, x) from, to
    1: [((60, 80), (150, 130)), ((120, 405), (220, 435)), ((370, 90), (470, 110)),
        ((390, 300), (450, 340))],
    2: [((255, 225), (280, 290)), ((380, 195), (450, 200)), ((120, 478), (220, 490)),
        ((430, 400), (480, 470))],
}  # fmt: skip
COLOURS = {None: "transparent", 1: "#F0E442", 2: "#D55E00"}


def main(weights: Path) -> None:
    stage = Stage("ViT", SAMPLE, SIDE, width=1120)
    stage.panel.actions.adopt(weights)
    stage.wait("the network", lambda: not stage.panel.model.is_random)
    stage.panel.message.tell("")  # where the weights are kept, of which the reader has others
    stage.scroll(0)
    stage.shoot("vit_0_panel")
    whole_image(stage)
    places(stage)
    class_token(stage)
    tidy(stage)
    embedding(stage)
    tidy(stage)
    resolution(stage)
    random_weights(stage)
    tidy(stage)
    strokes(stage)
    threshold(stage)
    stage.close()


def whole_image(stage: Stage) -> None:
    """Tokens as colour, and in groups."""
    controls = stage.panel.controls
    read(stage)
    stage.shoot("vit_1_colours")
    controls.colours.setChecked(False)
    controls.clusters.setChecked(True)
    stage.shoot("vit_2_clusters")
    controls.clusters.setChecked(False)


def places(stage: Stage) -> None:
    """What a place is like, and what it attends to, by one head and by all."""
    panel, controls = stage.panel, stage.panel.controls
    controls.similarity.setChecked(True)
    click(stage)
    stage.shoot("vit_3_similarity")
    controls.similarity.setChecked(False)
    controls.head.setCurrentIndex(HEAD)
    controls.attention.setChecked(True)
    read(stage)
    look_at(stage, panel.extras.folds["heads"])
    stage.shoot("vit_4_attention")
    controls.attention.setChecked(False)
    panel.extras.folds["heads"].collapse(animate=False)


def class_token(stage: Stage) -> None:
    """Rollout, and the distances that the heads look over."""
    panel = stage.panel
    panel.controls.clear.click()
    panel.controls.rollout.setChecked(True)
    panel.controls.control.setChecked(True)  # distances of random weights beside the learnt ones
    read(stage)
    stage.viewer.reset_view()
    look_at(stage, panel.extras.folds["distances"])
    stage.shoot("vit_5_rollout")
    panel.controls.rollout.setChecked(False)
    panel.extras.folds["distances"].collapse(animate=False)


def embedding(stage: Stage) -> None:
    """Filters and positions, beside those of random weights."""
    extras = stage.panel.extras
    stage.panel.controls.colours.setChecked(True)
    extras.embedding.click()
    stage.wait("the embedding", lambda: "positions" in extras.pictures)
    wait(stage)
    stage.viewer.reset_view()
    look_at(stage, extras.folds["positions"])
    stage.shoot("vit_6_embedding")
    stage.panel.controls.control.setChecked(False)
    stage.panel.controls.colours.setChecked(False)
    for name in ("filters", "positions"):
        extras.folds[name].collapse(animate=False)


def resolution(stage: Stage) -> None:
    """The similarity once more, in tokens of a quarter of the side."""
    controls = stage.panel.controls
    controls.density.setCurrentIndex(2)
    read(stage)
    controls.similarity.setChecked(True)
    click(stage)
    stage.scroll(0)
    stage.shoot("vit_7_resolution")
    controls.density.setCurrentIndex(0)
    controls.clear.click()
    controls.similarity.setChecked(False)


def random_weights(stage: Stage) -> None:
    """Colours that were learnt, and beside them those of random weights."""
    controls = stage.panel.controls
    controls.colours.setChecked(True)
    controls.control.setChecked(True)
    read(stage)
    stage.viewer.reset_view()
    stage.scroll(0)
    stage.shoot("vit_8_random")
    controls.control.setChecked(False)
    controls.colours.setChecked(False)


def strokes(stage: Stage) -> None:
    """The score of a few strokes, and labels from them."""
    viewer, panel = stage.viewer, stage.panel
    painted = np.zeros((SIDE, SIDE), np.uint8)
    for value, ends in STROKES.items():
        for start, end in ends:
            painted[line(*start, *end)] = value
    colours = DirectLabelColormap(color_dict=COLOURS)
    viewer.add_labels(dilation(painted, disk(4)), name="strokes", opacity=1, colormap=colours)
    panel.strokes.score.click()
    stage.wait("the score", lambda: "</table>" in panel.strokes.table.text())
    wait(stage)
    look_at(stage, panel.threshold)
    stage.shoot("vit_9_score")

    panel.strokes.learn.click()
    stage.wait("labels", lambda: stage.layer(f"labels from strokes of {SAMPLE}"))
    viewer.layers["strokes"].visible = False
    stage.shoot("vit_10_labels")
    stage.layer(f"labels from strokes of {SAMPLE}").visible = False


def threshold(stage: Stage) -> None:
    """Labels of what is nearer to the wanted place than to the unwanted one."""
    panel = stage.panel
    read(stage)
    click(stage)
    panel.threshold.value.setValue(0)
    panel.threshold.button.click()
    look_at(stage, panel.threshold)
    stage.shoot("vit_11_threshold")


def click(stage: Stage) -> None:
    """One place that is wanted, and one that is not."""
    for place, negative in ((WANTED, False), (UNWANTED, True)):
        stage.panel.board.click(*place, negative)


def tidy(stage: Stage) -> None:
    """Take away what was shown so far: what lies beside the image makes it small."""
    layers = stage.viewer.layers
    for name in [layer.name for layer in layers if layer.name != SAMPLE]:
        layers.remove(name)
    stage.viewer.reset_view()


def wait(stage: Stage) -> None:
    """Until nothing runs any more."""
    stage.rest()  # a change of the controls is read a moment later
    stage.wait("the end", lambda: not (stage.panel.source.busy or stage.panel.side.busy))


def read(stage: Stage) -> None:
    """Read the plane, and wait until it is shown."""
    shown: list[int] = []
    note = lambda: shown.append(1)  # noqa: E731 - to be disconnected again
    stage.panel.shown.connect(note)
    stage.panel.read("plane")
    stage.wait("a reading", lambda: shown)
    stage.panel.shown.disconnect(note)


def look_at(stage: Stage, part: QWidget) -> None:
    """Scroll the panel so far that the lower end of a part is seen."""
    stage.rest()  # until what was unfolded has its height
    stage.panel.findChild(QScrollArea).ensureWidgetVisible(part, 0, 8)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
