"""Of images that lie on each other, the one that is chosen is seen with what belongs to it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_papernets.widgets.live_layers import LIVE
from napari_papernets.widgets.outputs import OUTPUT, output_key
from napari_papernets.widgets.reveal import Reveal

pytestmark = pytest.mark.gui


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def annotated(viewer: ViewerModel, name: str, **place: Any) -> Any:
    """An image with strokes and a prediction."""
    image = viewer.add_image(np.zeros((20, 30)), name=name, **place)
    key = output_key(f"{LIVE}prediction", image)
    mark = {OUTPUT: {"key": key, "name": f"{name} prediction"}}
    empty = np.zeros((20, 30), np.uint8)
    predicted = viewer.add_labels(empty, name=f"{name} prediction", metadata=mark, **place)
    labels = viewer.add_labels(empty, name=f"{name} strokes", **place)
    return SimpleNamespace(image=image, labels=labels, predicted=predicted)


def seen(viewer: ViewerModel) -> set[str]:
    return {layer.name for layer in viewer.layers if layer.visible}


def test_the_chosen_image_is_seen_with_what_belongs_to_it(viewer: ViewerModel) -> None:
    first, second = annotated(viewer, "a"), annotated(viewer, "b")
    reveal = Reveal(viewer)
    reveal.show(first, [second])
    assert seen(viewer) == {"a", "a prediction", "a strokes"}
    reveal.show(second, [first])
    assert seen(viewer) == {"a", "b", "b prediction", "b strokes"}  # a lies below


def test_what_the_person_hid_stays_hidden(viewer: ViewerModel) -> None:
    first, second = annotated(viewer, "a"), annotated(viewer, "b")
    second.predicted.visible = False
    reveal = Reveal(viewer)
    reveal.show(first, [second])
    reveal.show(second, [first])
    assert "b prediction" not in seen(viewer)


def test_images_that_lie_apart_are_left_alone(viewer: ViewerModel) -> None:
    first, second = annotated(viewer, "a"), annotated(viewer, "b", translate=(0, 100))
    before = seen(viewer)
    Reveal(viewer).show(first, [second])
    assert seen(viewer) == before


@pytest.mark.parametrize(
    ("options", "hidden"),
    [({}, True), ({"blending": "additive"}, False), ({"opacity": 0.5}, False)],
)
def test_other_images_are_hidden_where_they_cover_it(
    viewer: ViewerModel, options: dict[str, Any], hidden: bool
) -> None:
    first = annotated(viewer, "a")
    viewer.add_image(np.ones((20, 30)), name="other", **options)
    Reveal(viewer).show(first, [])
    assert ("other" not in seen(viewer)) is hidden
