"""Prediction: tiles equal the whole, for every size, type and layout; memory runs out gracefully."""

from __future__ import annotations

import os

import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_papernets.api import drain, predict, save_model
from napari_papernets.core.errors import InputError, ModelError
from napari_papernets.core.events import Notice, PlaneDone, Started, TileDone
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import Normalisation
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.core.tiles import plan_tiles
from napari_papernets.engine import prediction_job, runner
from napari_papernets.engine.answer import classes_of
from napari_papernets.engine.predict import predict as job
from napari_papernets.engine.runner import Runner
from napari_papernets.engine.tiling import TileLoop, open_source
from napari_papernets.networks import HypercolumnUNet, UNet

EXACT = PredictSettings(precision="float32", zoom=1.0)


def network(padding: str = "same", depth: int = 2, channels: int = 1, norm: str = "batch") -> UNet:
    torch.manual_seed(depth)
    net = UNet(channels, 3, width=4, depth=depth, padding=padding, norm=norm)
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # statistics as if it had been trained
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
    return net.eval()


@given(
    padding=st.sampled_from(["same", "valid"]),
    depth=st.integers(1, 3),
    shape=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    tile=st.integers(80, 200),
)
@settings(deadline=None, max_examples=30)
def test_tiled_logits_equal_one_pass(padding, depth, shape, tile):
    """The issue's measure: max |tiled − whole| ≤ 1e-5 × max |logit|, in float32."""
    net = network(padding, depth)
    image = ImageBlock(np.random.default_rng(0).normal(size=shape).astype(np.float32), "YX")
    source = open_source(image, (), (0,), Normalisation())
    runner = Runner(net, torch.device("cpu"))
    whole_plan = plan_tiles(shape, net.size_rule)
    (whole,) = whole_plan
    expected = runner.logits(source.read(whole.y.read, whole.x.read)[None])[0]
    expected = expected[(slice(None), *whole.crop)]
    tiled = np.full_like(expected, np.nan)
    for part in plan_tiles(shape, net.size_rule, tile):
        answer = runner.logits(source.read(part.y.read, part.x.read)[None])[0]
        tiled[(slice(None), *part.write)] = answer[(slice(None), *part.crop)]
    assert np.abs(tiled - expected).max() <= 1e-5 * np.abs(expected).max()


def test_one_pass_is_the_bare_network_on_the_mirrored_image():
    """Independent of our tiler and runner: numpy pads, the plain module answers."""
    net = network("valid", 2)
    image = np.random.default_rng(1).random((37, 50)).astype(np.float32)
    rule = net.size_rule
    low, high = np.percentile(image, [1.0, 99.8])
    sides = [rule.whole(n) for n in image.shape]
    pads = [(rule.context, s - n - rule.context) for n, s in zip(image.shape, sides, strict=True)]
    x = np.pad((image - low) / (high - low), pads, mode="reflect").astype(np.float32)
    with torch.inference_mode():
        expected = net(torch.from_numpy(x)[None, None]).softmax(1)[0, :, :37, :50].numpy()
    got = predict(image, net, settings=EXACT).probabilities
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "i8", "f2", "f4", "f8", "?"])
@pytest.mark.parametrize(
    ("axes", "shape"), [("YX", (70, 41)), ("ZYX", (2, 33, 40)), ("TZCYX", (2, 2, 1, 20, 30))]
)
def test_every_type_and_stack(dtype, axes, shape):
    data = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    small = predict(data, network(), axes, 60, EXACT)
    whole = predict(data, network(), axes, None, EXACT)
    plain = tuple(n for n, a in zip(shape, axes, strict=True) if a != "C")
    assert small.labels.shape == plain
    assert small.probabilities.shape == (3, *plain)
    assert small.probabilities.dtype == np.float32
    np.testing.assert_allclose(small.probabilities, whole.probabilities, atol=1e-5)
    np.testing.assert_allclose(small.probabilities.sum(0), 1, atol=1e-5)
    assert set(np.unique(small.labels)) <= {1, 2, 3}


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_turned_tiles_equal_the_turned_whole(padding):
    data = np.random.default_rng(0).random((170, 131)).astype(np.float32)
    whole, tiled = (
        predict(data, network(padding), tile=t, settings=EXACT.replace(turns=8)).probabilities
        for t in (None, 70)
    )
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_classes_are_those_of_argmax(classes):
    block = np.random.default_rng(0).integers(0, 4, (classes, 40, 50)).astype(np.float32)  # with ties
    np.testing.assert_array_equal(classes_of(block), block.argmax(0) + 1)


def test_not_finite_values_do_not_spread():
    data = np.random.default_rng(0).random((60, 60)).astype(np.float32)
    data[3, 4], data[50, 50] = np.nan, np.inf
    assert np.isfinite(predict(data, network(), settings=EXACT).probabilities).all()


@pytest.mark.parametrize("wrap", [lambda a: da.from_array(a, chunks=16), zarr.array])
def test_lazy_arrays_give_the_same(wrap):
    data = np.random.default_rng(0).integers(0, 255, (2, 50, 60)).astype("u1")
    lazy, plain = (predict(d, network(), "ZYX", 40, EXACT) for d in (wrap(data), data))
    np.testing.assert_array_equal(lazy.probabilities, plain.probabilities)


@given(data=st.data(), padding=st.sampled_from(["same", "valid"]), zoom=st.sampled_from([1.0, 0.6, 1.7]))
@settings(deadline=None, max_examples=15)
def test_a_region_is_answered_as_in_the_whole(data, padding, zoom):
    y0, x0 = data.draw(st.integers(0, 119)), data.draw(st.integers(0, 99))
    y1, x1 = data.draw(st.integers(y0 + 1, 120)), data.draw(st.integers(x0 + 1, 100))
    image = ImageBlock(np.random.default_rng(3).random((120, 100)).astype(np.float32), "YX")
    how, net = EXACT.replace(zoom=zoom, tile=60), network(padding)
    whole = drain(job(image, net, how))
    events: list[object] = []
    part = drain(job(image, net, how, region=(y0, y1, x0, x1)), events.append)
    np.testing.assert_allclose(part.probabilities, whole.probabilities[:, y0:y1, x0:x1], atol=1e-5)
    for tile in (e for e in events if isinstance(e, TileDone)):
        assert y0 <= tile.y[0] <= tile.y[1] <= y1
        assert x0 <= tile.x[0] <= tile.x[1] <= x1
        assert tile.labels.shape == (tile.y[1] - tile.y[0], tile.x[1] - tile.x[0])


def test_events_tell_the_whole_story_in_order():
    events = []
    image = np.random.default_rng(0).random((3, 80, 90))
    predict(image, network(), "ZYX", 60, EXACT, on_event=events.append)
    started, *rest = events
    assert isinstance(started, Started)
    tiles = [e for e in rest if isinstance(e, TileDone)]
    assert [t.done for t in tiles] == list(range(1, started.total + 1))
    assert [e.plane for e in rest if isinstance(e, PlaneDone)] == [(0,), (1,), (2,)]
    for tile in tiles:
        assert tile.labels.shape == (tile.y[1] - tile.y[0], tile.x[1] - tile.x[0])


def test_focus_comes_first():
    image = ImageBlock(np.zeros((200, 200), "u1"), "YX")
    events = job(image, network(), EXACT.replace(tile=60), focus=(199, 0))
    first = next(e for e in events if isinstance(e, TileDone))
    assert (first.y[1], first.x[0]) == (200, 0)


def test_closing_the_generator_ends_it_between_tiles():
    run = job(ImageBlock(np.zeros((400, 400), "u1"), "YX"), network(), EXACT.replace(tile=60))
    assert isinstance(next(run), Started)
    assert isinstance(next(run), TileDone)
    run.close()
    with pytest.raises(StopIteration):
        next(run)


class Scarce(Runner):
    """A runner on a device that holds no more than `room` pixels at once."""

    def __init__(self, network, room):
        super().__init__(network, torch.device("cpu"))
        self.device, self.room = torch.device("meta"), room

    def __call__(self, windows):
        if windows.shape[0] * windows.shape[2] * windows.shape[3] > self.room:
            raise torch.OutOfMemoryError("out of memory")
        self.device = torch.device("cpu")
        try:
            return super().__call__(windows)
        finally:
            self.device = torch.device("meta")


def test_out_of_memory_halves_batch_then_tile_then_goes_to_the_cpu():
    net = network()
    data = np.random.default_rng(0).random((200, 200)).astype(np.float32)
    expected = predict(data, net, settings=EXACT).probabilities
    source = open_source(ImageBlock(data, "YX"), (), (0,), Normalisation())
    for room, words in ((20_000, ["batch", "tiles"]), (2_000, ["batch", "tiles", "CPU"])):
        loop = TileLoop(Scarce(net, room), net.size_rule, max_pixels=45_000, batch=2)
        answer = np.full_like(expected, np.nan)
        for item in loop.run(source):
            if not isinstance(item, Notice):
                tile, part = item
                answer[(slice(None), *tile.write)] = part
        np.testing.assert_allclose(answer, expected, atol=1e-5)
        text = " ".join(n.message for n in loop.steps_down)
        assert all(word in text for word in words), text
        assert ("CPU" in text) == ("CPU" in words)


def test_a_model_that_does_not_fit_the_gpu_runs_on_the_processor(monkeypatch):
    net, image = network(), np.random.default_rng(0).random((60, 70)).astype(np.float32)
    expected = predict(image, net, settings=EXACT, device="cpu").probabilities
    make = Runner.__init__

    def full(self, network, device, *more):
        if device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        make(self, network, device, *more)

    monkeypatch.setattr(Runner, "__init__", full)
    monkeypatch.setattr(prediction_job, "pick_device", lambda _: torch.device("meta"))
    events = []
    found = drain(job(ImageBlock(image, "YX"), net, EXACT), events.append)
    np.testing.assert_array_equal(found.probabilities, expected)
    assert found.provenance["device"] == "cpu"
    assert "does not fit" in found.provenance["notices"][0]
    assert "does not fit" in next(e.message for e in events if isinstance(e, Notice))


def test_a_model_of_a_file_is_made_ready_once(tmp_path, monkeypatch):
    """And is not confused with the one that takes its place, or with another precision."""
    image, path = (
        np.random.default_rng(0).random((40, 50)).astype(np.float32),
        tmp_path / "model.safetensors",
    )
    made, make = [], Runner.__init__

    def counting(self, *given):
        made.append(given)
        make(self, *given)

    monkeypatch.setattr(Runner, "__init__", counting)
    save_model(network(), path)
    first = [predict(image, path, settings=EXACT).probabilities for _ in range(3)]
    assert len(made) == 1
    assert all(np.array_equal(first[0], again) for again in first[1:])
    rounded = predict(image, path, settings=EXACT.replace(precision="bfloat16")).probabilities
    assert 0 < np.abs(rounded - first[0]).max() < 0.05
    path.unlink()
    other = network(depth=1)
    save_model(other, path)
    found = predict(image, path, settings=EXACT).probabilities
    np.testing.assert_allclose(found, predict(image, other, settings=EXACT).probabilities, atol=1e-6)


def test_a_file_is_read_again_when_its_copy_keeps_the_time_of_writing(tmp_path):
    image = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    path, one, two = tmp_path / "model.safetensors", network(), network()
    with torch.no_grad():
        two.head.weight.mul_(-1)
    answers = []
    for net in (one, two):
        path.unlink(missing_ok=True)
        save_model(net, path)
        os.utime(path, ns=(0, 0))
        answers.append(predict(image, path, settings=EXACT).probabilities)
    expected = predict(image, two, settings=EXACT).probabilities
    np.testing.assert_allclose(answers[1], expected, atol=1e-6)
    assert np.abs(answers[1] - answers[0]).max() > 0.01


def test_runners_kept_of_other_models_make_room_on_a_gpu(tmp_path, monkeypatch):
    """Only where the model does not fit even without them it runs on the processor."""
    image = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    predict(image, save_model(network(), tmp_path / "kept").path, settings=EXACT)
    made = Runner.__init__

    def crowded(self, *given):
        if runner._kept_runner.cache_info().currsize:
            raise torch.OutOfMemoryError("CUDA out of memory")
        made(self, *given)

    other = save_model(network(depth=1), tmp_path / "other").path
    monkeypatch.setattr(Runner, "__init__", crowded)
    monkeypatch.setattr(prediction_job, "pick_device", lambda _: torch.device("meta"))
    monkeypatch.setattr(prediction_job, "open_runner", on_the_processor(prediction_job.open_runner))
    assert not predict(image, other, settings=EXACT).provenance["notices"]


def on_the_processor(make):
    def made(network, device, *more, **options):
        return make(network, torch.device("cpu"), *more, **options)

    return made


def test_tiles_that_were_done_are_not_done_again(monkeypatch):
    """After stepping down, only what is missing is computed."""
    net, calls = network(), []
    data = ImageBlock(np.random.default_rng(0).random((50, 400)).astype(np.float32), "YX")
    answer = Runner.__call__

    def failing_once(self, windows):
        calls.append(windows.shape)
        if len(calls) == 4:
            raise torch.OutOfMemoryError("out of memory")
        return answer(self, windows)

    monkeypatch.setattr(Runner, "__call__", failing_once)
    events = list(job(data, net, EXACT.replace(tile=120)))
    tiles = [e for e in events if isinstance(e, TileDone)]
    columns = np.zeros(400, int)
    for tile in tiles:
        columns[slice(*tile.x)] += 1
    assert columns.min() >= 1
    assert len([e for e in events if isinstance(e, Notice)]) == 1
    first_three = tiles[2].x[1]
    assert all(t.x[1] > first_three for t in tiles[3:])


def test_the_plane_without_a_number_is_named():
    stack = np.random.default_rng(0).random((2, 3, 40, 40)).astype(np.float32)
    stack[1, 2] = np.nan
    with pytest.raises(InputError, match="plane T=1, Z=2 without any finite value"):
        predict(stack, network(), axes="TZYX")


def test_a_plane_that_is_asked_for_twice_is_refused():
    with pytest.raises(InputError, match="each plane once"):
        drain(job(ImageBlock(np.zeros((3, 40, 40)), "ZYX"), network(), planes=[(0,), (0,)]))


def test_a_bare_network_that_reads_hypercolumns_predicts(tmp_path):
    torch.manual_seed(0)
    bare = HypercolumnUNet(1, 2, width=4, depth=2)
    image = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    expected = predict(image, bare).probabilities
    assert expected.shape == (2, 40, 50)
    path = save_model(bare, tmp_path / "kept").path
    np.testing.assert_allclose(predict(image, path).probabilities, expected, atol=1e-6)


def test_provenance_repeats_and_reports(tmp_path):
    data = np.random.default_rng(0).random((60, 60))
    path = save_model(network(), tmp_path / "kept").path
    result = predict(data, path, settings=PredictSettings(precision="bfloat16", tile=40))
    account = result.provenance
    assert account["precision"] == "bfloat16"
    assert account["architecture"] == "unet"  # tells a DeepLab, whose scores are coarse
    assert 0 < account["bf16_max_difference"] < 0.2
    assert account["tiles"]["window"] == [52, 52]
    assert account["command"].startswith(f"papernets predict image.tif --model {path} --axes YX")
    assert "--probabilities" in account["command"].split()
    alone = predict(data, path, probabilities=False).provenance
    assert "--probabilities" not in alone["command"].split()


def test_a_network_that_is_in_no_file_has_no_command():
    assert predict(np.eye(40), network()).provenance["command"] == ""


@pytest.mark.parametrize(
    ("data", "axes", "more", "error"),
    [
        (np.zeros((0, 4)), "YX", {}, InputError),
        (np.zeros(4), "X", {}, InputError),
        (np.zeros((1,) * 6), "TZCYX", {}, InputError),
        (np.full((8, 8), np.nan), "YX", {}, InputError),
        (np.zeros((2, 8, 8)), "CYX", {}, ModelError),
        (np.zeros((8, 8)), "ZYX", {}, InputError),
        (np.zeros((8, 8)), "YX", {"model": "no such model"}, ModelError),
        (np.zeros((8, 8)), "YX", {"device": "tpu"}, InputError),
        (np.zeros((8, 8)), "YX", {"tile": -3}, InputError),
        (np.zeros((8, 8)), "YX", {"model": UNet(1, 256, width=2, depth=1)}, ModelError),
    ],
)
def test_bad_input_is_one_line_with_the_mend(data, axes, more, error):
    with pytest.raises(error) as caught:
        predict(data, axes=axes, **{"model": network(), **more})
    assert ";" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_start_without_classes_is_refused_with_what_to_do() -> None:
    image = ImageBlock(np.random.default_rng(0).random((40, 50)).astype(np.float32), "YX")
    with pytest.raises(ModelError, match="fine-tune it"):
        next(predict(image, "strokes"))
