"""The picture of docs/crf.md: coarse scores on the left, the CRF's answer on the right."""

from __future__ import annotations

from napari_papernets.benchmarks.crf_liveness import coarse
from stage import Stage

from napari_papernets.core.crf_settings import CRFSettings
from napari_papernets.samples import load_sample


def main() -> None:
    stage = Stage("DeepLab + CRF", "tissue")
    viewer, panel = stage.viewer, stage.panel
    for name in [layer.name for layer in viewer.layers if "strokes" in layer.name]:
        viewer.layers.remove(name)
    image = viewer.layers["tissue"]
    scores = coarse(load_sample("tissue").truth)
    scale, units = (1, *image.scale), ("pixel", *image.units)
    viewer.add_image(scores, name="coarse scores", visible=False, scale=scale, units=units)
    stage.rest()
    viewer.reset_view()
    answers: list[object] = []
    panel.previewed.connect(answers.append)
    panel.beliefs.combo.setCurrentText("coarse scores")
    panel.form.setValue(CRFSettings())
    panel.previews.request()
    stage.wait("a preview", lambda: answers)
    panel.view.swipe.setValue(panel.view.swipe.maximum() // 2)
    for layer in viewer.layers:
        if "truth" in layer.name:
            layer.visible = False
    stage.shoot("crf_panel")
    stage.close()


if __name__ == "__main__":
    main()
