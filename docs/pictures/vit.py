"""The pictures of docs/vit.md: what a Vision Transformer sees in a corner of real tissue.

make pictures WEIGHTS=FILE    # of DINOv2-Small: they are not part of the project
"""

from __future__ import annotations

import sys
from pathlib import Path

from stage import Stage

SIDE = 364  # pixels of the corner: 26 patches of 14
WANTED, UNWANTED = (0.4, 0.55), (0.9, 0.4)  # places that are clicked, as shares of the side


def main(weights: Path) -> None:
    stage = Stage("ViT", "immunohistochemistry", SIDE)
    viewer, panel = stage.viewer, stage.panel
    controls = panel.controls
    panel.actions.adopt(weights)
    stage.wait("the network", lambda: not panel.model.is_random)
    stage.scroll(0)
    stage.shoot("vit_0_panel")

    read(stage)
    stage.shoot("vit_1_colours")
    controls.colours.setChecked(False)
    controls.clusters.setChecked(True)
    stage.shoot("vit_2_clusters")
    controls.clusters.setChecked(False)

    controls.similarity.setChecked(True)
    for (y, x), negative in ((WANTED, False), (UNWANTED, True)):
        panel.board.click(y * SIDE, x * SIDE, negative)
    stage.shoot("vit_3_similarity")
    controls.similarity.setChecked(False)
    controls.attention.setChecked(True)
    controls.head.setCurrentIndex(1)
    stage.shoot("vit_4_attention")
    controls.attention.setChecked(False)

    controls.rollout.setChecked(True)
    read(stage)
    stage.shoot("vit_5_rollout")
    controls.rollout.setChecked(False)
    controls.colours.setChecked(True)
    controls.control.setChecked(True)
    read(stage)
    viewer.reset_view()
    stage.shoot("vit_6_random")

    panel.extras.embedding.click()
    stage.wait("the embedding", lambda: not panel.extras.views["positions"].isHidden())
    stage.rest(5)
    stage.scroll(0.62)
    stage.shoot("vit_8_extras")
    stage.close()


def read(stage: Stage) -> None:
    """Read the plane, and wait until it is shown."""
    shown: list[int] = []
    note = lambda: shown.append(1)  # noqa: E731 - to be disconnected again
    stage.panel.shown.connect(note)
    stage.panel.read("plane")
    stage.wait("a reading", lambda: shown)
    stage.panel.shown.disconnect(note)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
