"""Pixels that nobody annotated are learnt from what network and forest said together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import class_infos
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine.annotated import Plane, read_planes
from napari_papernets.engine.crops import draw_crop, pose_problem
from napari_papernets.engine.grow import ForestGrower
from napari_papernets.engine.losses import taught_cross_entropy
from napari_papernets.engine.quick import HeadFitter
from napari_papernets.engine.runner import Runner
from napari_papernets.engine.teacher import Teacher
from napari_papernets.engine.training import Training
from napari_papernets.networks import HypercolumnUNet
from napari_papernets.networks.build import unet_spec, with_hypercolumns

CPU = torch.device("cpu")
SETTINGS = TuneSettings(
    weight_decay=1e-4, kind="strokes", crop=32, batch=2, learning_rate=3e-3, held_out=0.0
)


@pytest.fixture
def plane() -> Plane:
    """A bright half on the right; a stroke in each."""
    rng = np.random.default_rng(0)
    pixels = np.full((80, 112), 60.0)
    pixels[:, 56:] = 150
    painted = np.zeros(pixels.shape, np.uint8)
    painted[10:13, 5:45], painted[60:63, 70:105] = 1, 2
    image = ImageBlock((pixels + rng.normal(0, 10, pixels.shape)).astype(np.float32), "YX")
    return read_planes([image], [painted], "strokes", SPEC)[0]


SPEC = with_hypercolumns(unet_spec("toy", 1, class_infos(["a", "b"]), 4, 2, "same", "batch", 0.0))


@pytest.fixture
def network(plane: Plane) -> HypercolumnUNet:
    """With fitted head and forest."""
    torch.manual_seed(0)
    made = HypercolumnUNet(1, 2, width=4, depth=2).eval()
    HeadFitter(made, CPU, False).fit([plane])
    ForestGrower(made, CPU).grow([plane])
    return made


def test_a_teacher_says_what_prediction_would(plane: Plane, network: HypercolumnUNet) -> None:
    teacher = Teacher(network, CPU, bf16=False)
    whole = Runner(network, CPU)(plane.window((0, 80), (0, 112))[None])[0]
    window = teacher.answer(plane, (20, 70), (30, 60))
    np.testing.assert_allclose(window, whole[:, 20:70, 30:60], atol=2e-3)  # kept in 16 bits
    beyond = teacher.answer(plane, (-8, 8), (0, 10))
    np.testing.assert_array_equal(beyond[:, 1:8], beyond[:, :8:-1])  # rows −7…−1 are rows 7…1


def test_a_teacher_stays_as_it_was_made(plane: Plane, network: HypercolumnUNet) -> None:
    teacher = Teacher(network, CPU, bf16=False)
    before = teacher.answer(plane, (0, 80), (0, 112))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(-1)
    network.set_forest(None)
    again = Teacher(network, CPU, bf16=False)
    assert np.abs(again.answer(plane, (0, 80), (0, 112)) - before).max() > 0.2
    np.testing.assert_array_equal(teacher.answer(plane, (0, 80), (0, 112)), before)


def test_its_answers_are_bent_with_the_crop(plane: Plane, network: HypercolumnUNet) -> None:
    problem = pose_problem([plane], SPEC, SETTINGS)
    teacher = Teacher(network, CPU, bf16=False)
    crops = [draw_crop([plane], np.ones(1), problem, step, 0, teacher) for step in range(6)]
    for step, crop in enumerate(crops):
        plain = draw_crop([plane], np.ones(1), problem, step, 0)
        assert torch.equal(crop.image, plain.image)  # what is drawn does not depend on the teacher
        assert plain.taught is None
        known = crop.classes >= 0
        assert (crop.taught.argmax(0)[known] == crop.classes[known]).float().mean() > 0.9


def test_every_second_crop_is_taken_away_from_annotation(plane: Plane, network: HypercolumnUNet) -> None:
    problem = pose_problem([plane], SPEC, SETTINGS.replace(elastic=0.0))
    teacher = Teacher(network, CPU, bf16=False)
    painted = np.argwhere(plane.annotation >= 0)

    def distance(item: int, step: int) -> float:
        field = draw_crop([plane], np.ones(1), problem, step, item, teacher).field
        return float(np.hypot(*(painted - (field.y.mean(), field.x.mean())).T).min())

    assert max(distance(0, step) for step in range(20)) < 12
    assert max(distance(1, step) for step in range(20)) > 20


def test_annotated_pixels_and_doubtful_ones_are_not_taught() -> None:
    logits = torch.zeros(1, 2, 1, 3)
    logits[0, 0] = torch.tensor([4.0, -4.0, 1.0])
    taught = torch.tensor([[[[0.5, 0.5, 0.9]], [[0.5, 0.5, 0.1]]]])
    classes = torch.tensor([[[-1, 0, -1]]])
    log_p = torch.log_softmax(logits, 1)[0, :, 0, 2]
    expected = -(0.9 * log_p[0] + 0.1 * log_p[1])
    torch.testing.assert_close(taught_cross_entropy(logits, taught, classes), expected)
    assert taught_cross_entropy(logits, taught, classes.clamp(min=0)) == 0


def test_with_a_teacher_the_network_keeps_what_strokes_do_not_say(
    plane: Plane, network: HypercolumnUNet, tmp_path: Path
) -> None:
    teacher = Teacher(network, CPU, bf16=False)
    before = teacher.answer(plane, (0, 80), (0, 112))
    start = {k: v.clone() for k, v in network.state_dict().items()}
    changes = []
    about = {"spec": SPEC.to_dict()}
    for guide in (None, teacher):
        network.load_state_dict(start)
        problem = pose_problem([plane], SPEC, SETTINGS)
        training = Training(
            network, [plane], np.ones(1), problem, CPU, False, False, tmp_path / "x", about, guide
        )
        for _ in range(15):
            list(training.advance())
        training.close()
        network.eval()
        after = Teacher(network, CPU, bf16=False).answer(plane, (0, 80), (0, 112))
        changes.append(np.abs(after - before).mean())
    assert changes[1] < changes[0]
