"""The line: what crosses comes out equal, and nothing else crosses."""

from __future__ import annotations

import gc
import os
import pickle
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_papernets.core.errors import EngineError, InputError, ModelError
from napari_papernets.core.events import Notice, TileDone
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import Normalisation
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.core.results import LevelMaps
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine.messages import Block, Cancel, Failed, Quit, Returned, Run, Value
from napari_papernets.engine.remote import RemoteArray, full_index, stays_behind
from napari_papernets.engine.segments import ALIGNMENT, MAP_FROM, Segment, lay_out
from napari_papernets.engine.wire import SHARE_FROM, Line, may_cross, pack


def unpickler(body: bytes) -> Any:
    from napari_papernets.engine.wire import _Unpickler

    return _Unpickler(body, [], None)


class Ends:
    """Both ends of a line, in one process; messages are small enough for the socket's own memory."""

    def __init__(self, fetch: Any = None) -> None:
        self.near, self.far = (Line(end, fetch) for end in Pipe(duplex=True))

    def pass_on(self, message: Any, keep: Any = None) -> Any:
        """The message as the other side gets it; its receipt is read."""
        self.near.post(pack(message, keep))
        received, confirmed = self.far.receive(), threading.Event()
        self.far._receipts.put(confirmed.set)
        assert confirmed.wait(10)
        self.far.send(Quit())
        assert self.near.receive() == Quit()
        return received

    def close(self) -> None:
        self.near.close()
        self.far.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    both = Ends()
    yield both
    both.close()


def open_segments() -> list[str]:
    """Descriptors and mappings of shared memory of this program in this process."""
    folder = Path("/proc/self/fd")
    links = [os.readlink(entry) for entry in folder.iterdir() if entry.is_symlink()]
    return [link for link in links if "papernets" in link]


arrays = hnp.arrays(
    st.sampled_from(["u1", "i2", ">i4", "f4", "f8", "?", "c8"]),
    hnp.array_shapes(min_dims=0, max_side=70),
)


@given(
    array=arrays, step=st.sampled_from([1, 2, -1]), transpose=st.booleans(), order=st.sampled_from("CF")
)
def test_any_array_crosses(array: Any, step: int, transpose: bool, order: str) -> None:
    view = np.asarray(array, order=order)
    view = view[::step] if view.ndim else view
    view = view.T if transpose else view
    ends = Ends()
    got = ends.pass_on(Value(1, [view, {"again": view}])).value
    ends.close()
    for other in (got[0], got[1]["again"]):
        assert type(other) is np.ndarray
        assert other.dtype == view.dtype
        assert other.flags.writeable
        np.testing.assert_array_equal(other, view)


@pytest.mark.parametrize(
    "value",
    [
        PredictSettings(tile=64, channels=(0, 2)),
        TuneSettings(kind="instances"),
        Path("some") / "model.safetensors",
        Notice("hello", {"a": [1, 2.5, None, True]}),
        Normalisation(0.5, 99.0),
        {1, 2},
        frozenset({"a"}),
        slice(1, None, 2),
        np.float32(1.5),
        np.dtype(">f4"),
        1 + 2j,
    ],
)
def test_plain_values_and_core_classes_cross(ends: Ends, value: Any) -> None:
    assert ends.pass_on(Value(1, value)).value == value


def test_arrays_inside_of_dataclasses_cross(ends: Ends) -> None:
    maps = LevelMaps(
        {"down 1": np.arange(24.0).reshape(2, 3, 4), "bottom": np.ones((80, 90), "f4")},
        {"down 1": (0.0, 3.0, 0.0, 4.0), "bottom": (0.0, 80.0, 0.0, 90.0)},
        {"verb": "inspect"},
    )
    got = ends.pass_on(Returned(3, maps))
    assert got.job == 3
    for name, array in maps.maps.items():
        np.testing.assert_array_equal(got.result.maps[name], array)
    assert got.result.boxes == maps.boxes


def test_arrays_do_not_outlive_their_use(ends: Ends) -> None:
    """Neither end may keep a message in a circle that waits for the garbage collector."""
    gc.disable()
    try:
        array = np.zeros(MAP_FROM, np.uint8)
        got = ends.pass_on(Value(1, array)).value
        ours, theirs = weakref.ref(array), weakref.ref(got)
        del array, got
        assert ours() is None
        assert theirs() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("size", [SHARE_FROM - 1, SHARE_FROM, MAP_FROM - 1, MAP_FROM, MAP_FROM + 12345])
def test_every_way_of_carrying_bytes(ends: Ends, size: int) -> None:
    array = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    got = ends.pass_on(Block(1, array)).values
    np.testing.assert_array_equal(got, array)
    got[...] = 7  # its own memory: writing it harms nobody


def test_long_texts_do_not_fill_the_socket(ends: Ends) -> None:
    history = tuple({"step": i, "loss": i / 7} for i in range(50_000))
    parcel = pack(Returned(1, history))
    assert parcel.body == b""
    parcel.close()
    assert ends.pass_on(Returned(1, history)).result == history


def test_both_sides_may_send_more_than_the_line_holds(ends: Ends) -> None:
    """Receipts too have to be sent while both threads that send are waiting."""
    count, got = 1000, {ends.near: 0, ends.far: 0}
    array = np.zeros(SHARE_FROM, np.uint8)

    def send(end: Line) -> None:
        for _ in range(count):
            end.send(Value(1, array))

    def receive(end: Line) -> None:
        for _ in range(count):
            end.receive()
            got[end] += 1

    threads = [
        threading.Thread(target=what, args=[end], daemon=True) for end in got for what in (send, receive)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert list(got.values()) == [count, count]


def test_a_segment_is_closed_once_by_however_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []

    def close(descriptor: int) -> None:
        closed.append(descriptor)

    segment = Segment(SHARE_FROM)
    descriptor = segment.descriptor
    with monkeypatch.context() as patch:
        patch.setattr("napari_papernets.engine.segments.os.close", close)
        threads = [threading.Thread(target=segment.close) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    os.close(descriptor)
    assert closed == [descriptor]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_nothing_is_left_behind(ends: Ends) -> None:
    before, held = sorted(os.listdir("/dev/shm")), len(open_segments())
    for size in (SHARE_FROM, MAP_FROM):
        event = TileDone(1, 1, (), (0, 1), (0, size), np.zeros((1, size), np.uint8))
        got = ends.pass_on(Value(1, event))
        del got
    assert len(open_segments()) == held
    ends.near.send(Value(1, np.zeros(MAP_FROM, np.uint8)))  # never received
    assert len(open_segments()) == held + 1
    ends.close()
    assert len(open_segments()) == held
    assert sorted(os.listdir("/dev/shm")) == before


@pytest.mark.parametrize(
    "error", [InputError("axes", "'Q'", "mend"), ModelError("m", 1, "n"), EngineError("x")]
)
def test_errors_cross_as_themselves(ends: Ends, error: Exception) -> None:
    got = ends.pass_on(Failed(1, error, "trace")).error
    assert type(got) is type(error)
    assert str(got) == str(error)
    assert got.__dict__ == error.__dict__


class Unpickled:
    """What a hostile or careless pickle would run."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    "value",
    [
        Fraction(1, 3),
        OrderedDict(a=1),
        print,
        Unpickled,
        object(),
        Unpickled(os.getcwd),
        np.ma.masked_array([1, 2], [True, False]),
        np.array([{}, []], dtype=object),
        lambda: None,
    ],
)
def test_a_foreign_class_is_refused_when_it_is_sent(value: Any) -> None:
    with pytest.raises(InputError, match=r"can cross|give an array|fill it"):
        pack(Value(1, [value]))


@pytest.mark.parametrize(
    "value",
    [
        Fraction(1, 3),
        Unpickled(os.getcwd),
        Unpickled(eval, "1"),
        Unpickled(getattr, "a", "join"),
        Unpickled(PredictSettings.from_dict, {}),
        Unpickled,
    ],
)
def test_a_foreign_class_is_refused_when_it_is_received(value: Any) -> None:
    with pytest.raises(pickle.UnpicklingError, match="may not cross"):
        unpickler(pickle.dumps(value, protocol=5)).load()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("napari_papernets.core.fields", "json.loads"),  # reached through a module's own imports
        ("napari_papernets.core.fields", "json"),
        ("napari_papernets.core.fields", "check_value"),  # a function
        ("napari_papernets.core.image", "np"),
        ("napari_papernets.core.results", "ModelRef"),  # not its home
        ("napari_papernets.engine.wire", "Line"),
        ("napari_papernets.core_of_others", "X"),
        ("builtins", "eval"),
        ("numpy", "load"),
    ],
)
def test_only_classes_at_home_in_core_may_cross(module: str, name: str) -> None:
    assert not may_cross(module, name)


def test_messages_and_core_classes_may_cross() -> None:
    assert may_cross("napari_papernets.core.model", "ModelRef")
    assert may_cross(Cancel.__module__, "Cancel")


def test_lazy_arrays_stay_and_are_read_by_block() -> None:
    data = np.arange(4 * 6 * 8).reshape(4, 6, 8)
    kept = [da.from_array(data, chunks=2), zarr.array(data, chunks=(2, 3, 4))]
    ends = Ends(fetch=lambda key, index: np.asarray(kept[key][index]))
    images = [ImageBlock(array, "ZYX", name=str(n)) for n, array in enumerate(kept)]
    got = ends.pass_on(
        Run(1, "predict", {"images": images}), keep=lambda a: [a is k for k in kept].index(True)
    )
    for image in got.arguments["images"]:
        assert isinstance(image.data, RemoteArray)
        assert (image.shape, image.dtype, image.data.nbytes) == (data.shape, data.dtype, data.nbytes)
        np.testing.assert_array_equal(
            image.read((2,), (-1, 4), (1, 10)), ImageBlock(data, "ZYX").read((2,), (-1, 4), (1, 10))
        )
        np.testing.assert_array_equal(np.asarray(image.data), data)
        np.testing.assert_array_equal(image.data[np.int64(1), ..., ::2], data[1, ..., ::2])
    ends.close()


def test_a_zarr_array_on_disk_is_opened_there(tmp_path: Path) -> None:
    stored = zarr.create_group(tmp_path / "a.zarr").create_array(
        "inner/0", data=np.eye(9), chunks=(4, 4)
    )
    ends = Ends(fetch=lambda key, index: pytest.fail("the engine asked for a block"))
    got = ends.pass_on(Run(1, "predict", {"image": stored}), keep=lambda a: pytest.fail("kept"))
    np.testing.assert_array_equal(got.arguments["image"][2:5, ::2], np.eye(9)[2:5, ::2])
    ends.close()


def test_what_stays_behind(tmp_path: Path) -> None:
    assert stays_behind(np.memmap(tmp_path / "m", np.uint8, "w+", shape=(3, 3)))
    assert stays_behind(da.zeros((3, 3)))
    assert stays_behind(np.broadcast_to(np.uint8(0), (2**16, 2**16)))  # 4 GiB by its shape
    assert not stays_behind(np.zeros((3, 3)))
    assert not stays_behind(np.float32(1))
    assert not stays_behind(ImageBlock(np.zeros((3, 3)), "YX"))


def test_results_with_lazy_arrays_are_refused() -> None:
    with pytest.raises(InputError, match="dask"):
        pack(Returned(1, da.zeros((3, 3))))


@given(
    index=st.lists(
        st.one_of(st.integers(0, 2), st.slices(3), st.just(slice(None))), min_size=0, max_size=3
    ),
    at=st.one_of(st.none(), st.integers(0, 3)),
)
def test_a_full_index_means_what_numpy_means(index: list[Any], at: int | None) -> None:
    data = np.arange(27).reshape(3, 3, 3)
    if at is not None:
        index.insert(min(at, len(index)), Ellipsis)
    full = full_index(tuple(index), 3)
    assert len(full) == 3
    np.testing.assert_array_equal(data[full], data[tuple(index)])


@pytest.mark.parametrize("index", [(0, 0, 0, 0), (..., ...), "a", [0, 1], 1.5, None])
def test_other_indices_are_refused(index: Any) -> None:
    with pytest.raises(IndexError):
        full_index(index, 3)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20))
def test_buffers_lie_apart_and_aligned(sizes: list[int]) -> None:
    spans, size = lay_out(sizes)
    assert [stop - start for start, stop in spans] == sizes
    assert all(start % ALIGNMENT == 0 for start, _ in spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert size >= max(stop for _, stop in spans)
