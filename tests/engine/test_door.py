"""The engine process: jobs, cancel, kill and crash, ends and beginnings, and what is left behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import psutil
import pytest
import zarr

from napari_papernets.core.errors import EngineError, InputError, ModelError, PapernetsError
from napari_papernets.core.events import Started
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.engine.door import Engine, shared_engine
from napari_papernets.engine.process import can_give_way

HERE = Path(__file__).parent
PATIENCE = 40.0  # seconds after which something is taken to have hung
LINUX = sys.platform.startswith("linux")
on_posix = pytest.mark.skipif(os.name != "posix", reason="kills by signal")
on_linux = pytest.mark.skipif(not LINUX, reason="looks into /proc")


class Watched:
    """A job and all that it told."""

    def __init__(
        self, engine: Engine, verb: str, on_end: Callable[[], None] = lambda: None, **arguments: Any
    ) -> None:
        self._on_end = on_end
        self.events: list[Any] = []
        self.outcomes: list[tuple[str, Any]] = []
        self.threads: set[str] = set()
        self._changed = threading.Condition()
        self.job = engine.submit(
            verb,
            on_event=lambda event: self._note(self.events, event),
            on_returned=lambda result: self._end("returned", result),
            on_failed=lambda error: self._end("failed", error),
            on_cancelled=lambda: self._end("cancelled", None),
            **arguments,
        )

    def _note(self, notes: list[Any], what: Any) -> None:
        with self._changed:
            self.threads.add(threading.current_thread().name)
            notes.append(what)
            self._changed.notify_all()

    def _end(self, kind: str, value: Any) -> None:
        self._on_end()
        self._note(self.outcomes, (kind, value))

    def wait_for_event(self) -> Any:
        with self._changed:
            assert self._changed.wait_for(lambda: self.events or self.outcomes, PATIENCE)
        return self.events[0]

    def outcome(self) -> tuple[str, Any]:
        with self._changed:
            assert self._changed.wait_for(lambda: self.outcomes, PATIENCE)
        assert len(self.outcomes) == 1
        return self.outcomes[0]

    def forget(self) -> None:
        self.events.clear()
        self.outcomes.clear()

    def result(self) -> Any:
        kind, value = self.outcome()
        assert kind == "returned", value
        return value

    def error(self) -> PapernetsError:
        kind, value = self.outcome()
        assert kind == "failed", value
        return value


def wait_until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def fall_asleep(engine: Engine, folder: Path, **options: Any) -> Watched:
    """A job that hears nothing any more."""
    mark = folder / "asleep"
    watched = Watched(engine, "sleep_deaf", mark=str(mark), **options)
    wait_until(mark.exists)
    return watched


def is_gone(pid: int) -> bool:
    """Whether that process has ended (it may wait to be reaped by a parent that is not ours)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module", autouse=True)
def toys() -> Iterator[None]:
    """Make the toy verbs importable in the child."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One engine for the tests that do not harm it."""
    one = Engine(verbs="toy_verbs")
    yield one
    one.close()


@pytest.fixture
def fresh() -> Iterator[Callable[..., Engine]]:
    made: list[Engine] = []

    def make(**options: Any) -> Engine:
        made.append(Engine(**{"verbs": "toy_verbs", **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_events_come_in_order_then_the_result_on_a_thread_of_the_door(engine: Engine) -> None:
    watched = Watched(engine, "count", n=200)
    assert watched.result() == ()
    assert watched.events == [Started(i, "tile") for i in range(200)]
    assert threading.current_thread().name not in watched.threads
    assert watched.job.done


def test_arrays_go_there_and_back(engine: Engine) -> None:
    values = dict(
        small=np.arange(5, dtype=">i2"),
        tile=np.random.default_rng(0).random((300, 200), np.float32)[::2].T,
        large=np.arange(5_000_000, dtype=np.int32).reshape(1000, -1),
        none=None,
        path=Path("a") / "b",
    )
    watched = Watched(engine, "echo", **values)
    result = watched.result()
    assert result["none"] is None
    assert result["path"] == values["path"]
    for name in ("small", "tile", "large"):
        np.testing.assert_array_equal(result[name], values[name])
        result[name][...] = 0  # the owner may write
    assert len(watched.events) == 3
    np.testing.assert_array_equal(watched.events[1].labels, values["tile"])


def test_jobs_run_one_after_the_other(engine: Engine) -> None:
    order: list[int] = []
    jobs = [Watched(engine, "count", n=3, on_end=lambda n=n: order.append(n)) for n in range(4)]
    for watched in jobs:
        assert watched.result() == ()
    assert order == [0, 1, 2, 3]


def test_a_waiting_job_is_dropped_and_the_others_go_on(engine: Engine) -> None:
    first = Watched(engine, "wait_for_value")
    second = Watched(engine, "count", n=1)
    third = Watched(engine, "count", n=2)
    first.wait_for_event()
    second.job.cancel()
    assert second.outcome() == ("cancelled", None)
    assert second.events == []
    assert not third.job.done
    first.job.send("go on")
    assert first.result() == "go on"
    assert third.result() == ()


def test_a_training_lets_others_run_and_goes_on(engine: Engine) -> None:
    training = Watched(engine, "live")
    training.wait_for_event()
    assert Watched(engine, "count", n=3).result() == ()
    training.job.send("a stroke")
    wait_until(lambda: len(training.events) == 2)
    assert Watched(engine, "count", n=3).result() == ()
    assert not training.outcomes
    training.job.stop()
    assert training.result() == "stopped"
    assert training.events[1].message == "a stroke"


def test_trainings_take_turns(engine: Engine) -> None:
    order: list[str] = []
    long, longer = (
        Watched(engine, "pretrain", n=n, on_end=lambda n=n: order.append(str(n))) for n in (20, 40)
    )
    resting = Watched(engine, "live")
    assert (long.result(), longer.result()) == (20, 40)
    assert len(long.events) == 20
    assert len(longer.events) == 40
    assert order == ["20", "40"]
    resting.job.stop()
    assert resting.result() == "stopped"


def test_each_job_reads_blocks_of_its_own_arrays(engine: Engine) -> None:
    ones, twos = (ImageBlock(da.full((3, 4, 5), v, chunks=2), "ZYX") for v in (1, 2))
    training = Watched(engine, "live", image=ones)
    training.wait_for_event()
    assert Watched(engine, "read_plane", image=twos).result().mean() == 2
    training.job.send(1)
    wait_until(lambda: len(training.events) == 2)
    assert training.events[1].message == "1.0"
    training.job.cancel()
    assert training.outcome() == ("cancelled", None)


def test_a_training_that_is_cancelled_while_another_job_computes_harms_it_not(
    fresh: Any, tmp_path: Path
) -> None:
    engine = fresh()
    training = Watched(engine, "live")
    training.wait_for_event()
    busy = fall_asleep(engine, tmp_path, seconds=2.5)  # longer than a cancelled job may take
    pid = engine.pid
    training.job.cancel()
    busy.result()
    assert training.outcome() == ("cancelled", None)
    assert engine.pid == pid


def test_where_a_deaf_job_is_killed_a_training_is_told_why(fresh: Any, tmp_path: Path) -> None:
    engine = fresh()
    training = Watched(engine, "live")
    training.wait_for_event()
    deaf = fall_asleep(engine, tmp_path)
    deaf.job.cancel()
    assert deaf.outcome() == ("cancelled", None)
    assert "another job did not end" in str(training.error())
    assert Watched(engine, "count", n=2).result() == ()


def test_where_a_deaf_job_is_killed_one_that_had_told_nothing_begins_anew(
    fresh: Any, tmp_path: Path
) -> None:
    """With its arguments, lazy ones too, and what was sent to it."""
    engine = fresh()
    deaf = fall_asleep(engine, tmp_path)
    pid = engine.pid
    image = ImageBlock(da.arange(12, chunks=4).reshape(3, 2, 2), "ZYX")
    resting = Watched(engine, "live", image=image)
    wait_until(lambda: resting.job._task.state == "running")
    resting.job.send(2)
    deaf.job.cancel()
    assert deaf.outcome() == ("cancelled", None)
    wait_until(lambda: len(resting.events) == 2)
    assert resting.events[1].message == "9.5"  # of the plane that was asked for
    resting.job.stop()
    assert resting.result() == "stopped"
    assert engine.pid != pid


def test_values_sent_before_the_job_runs_arrive_in_order(engine: Engine) -> None:
    watched = Watched(engine, "count", n=2000)
    watched.job.send({"strokes": np.arange(20_000)})
    watched.job.send("second")
    watched.job.stop()
    first, second, stop = watched.result()
    np.testing.assert_array_equal(first["strokes"], np.arange(20_000))
    assert (second, stop) == ("second", "stop")


def test_a_value_that_may_not_cross_fails_the_job(engine: Engine) -> None:
    watched = Watched(engine, "wait_for_value")
    watched.wait_for_event()
    watched.job.send(object())
    assert isinstance(watched.error(), InputError)
    assert Watched(engine, "count", n=1).result() == ()


def test_a_polite_verb_cleans_up_when_cancelled(engine: Engine, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    watched = Watched(engine, "sleep_politely", mark=str(mark))
    watched.wait_for_event()
    pid = engine.pid
    watched.job.cancel()
    watched.job.cancel()
    assert watched.outcome() == ("cancelled", None)
    assert mark.read_text() == "closed"
    assert engine.pid == pid  # nobody was killed


def test_cancel_at_once_and_cancel_when_done(engine: Engine) -> None:
    watched = Watched(engine, "count", n=10**6)
    watched.job.cancel()
    assert watched.outcome() == ("cancelled", None)
    done = Watched(engine, "count", n=1)
    assert done.result() == ()
    done.job.cancel()
    done.job.send("late")
    assert Watched(engine, "count", n=1).result() == ()
    assert len(done.outcomes) == 1


@pytest.mark.parametrize("hold_gil", [False, pytest.param(True, marks=on_posix)])
def test_a_deaf_verb_is_killed_and_the_engine_starts_again(
    fresh: Any, tmp_path: Path, hold_gil: bool
) -> None:
    engine = fresh()
    watched = fall_asleep(engine, tmp_path, hold_gil=hold_gil)
    pid = engine.pid
    waiting = Watched(engine, "count", n=2)
    watched.job.cancel()
    assert watched.outcome() == ("cancelled", None)
    assert waiting.result() == ()
    assert is_gone(pid)
    assert engine.pid not in (None, pid)


@pytest.mark.parametrize(
    ("kind", "expected", "words"),
    [
        ("input", InputError, "axes: got 'QQ'; use letters of TZCYX"),
        ("model", ModelError, "choose another"),
        ("memory", EngineError, "ran out of memory"),
        ("other", EngineError, "ZeroDivisionError: division by zero"),
    ],
)
def test_errors_come_as_one_clear_line(
    engine: Engine, kind: str, expected: type[Exception], words: str
) -> None:
    watched = Watched(engine, "fail", kind=kind)
    error = watched.error()
    assert type(error) is expected
    assert words in str(error)
    assert "\n" not in str(error)
    assert len(watched.events) == 1


def test_the_traceback_of_an_unexpected_error_is_in_the_diagnostics(engine: Engine) -> None:
    Watched(engine, "fail", kind="other").error()
    text = engine.diagnostics()
    assert "and a second line" in text
    assert "toy_verbs.py" in text


def test_arguments_and_results_of_foreign_classes_fail_the_job_only(engine: Engine) -> None:
    assert isinstance(Watched(engine, "echo", foreign=object()).error(), InputError)
    assert "Fraction" in str(Watched(engine, "return_foreign").error())
    assert Watched(engine, "count", n=1).result() == ()


def test_a_mistake_in_a_callback_does_not_end_the_door(engine: Engine, caplog: Any) -> None:
    ended = threading.Event()
    engine.submit(
        "count",
        n=2,
        on_event=lambda event: 1 / 0,
        on_returned=lambda result: ended.set(),
        on_failed=lambda error: None,
        on_cancelled=lambda: None,
    )
    assert ended.wait(PATIENCE)
    assert "ZeroDivisionError" in caplog.text


def lazy_arrays(data: Any, folder: Path) -> dict[str, Any]:
    mapped = np.memmap(folder / "mapped", data.dtype, "w+", shape=data.shape)
    mapped[...] = data
    disk = zarr.create_array(folder / "disk.zarr", shape=data.shape, chunks=(1, 8, 8), dtype=data.dtype)
    disk[...] = data
    return {
        "dask": da.from_array(data, chunks=(1, 16, 16)),
        "zarr in memory": zarr.array(data, chunks=(1, 8, 8)),
        "zarr on disk": disk,
        "memmap": mapped,
    }


@pytest.mark.parametrize("kind", ["dask", "zarr in memory", "zarr on disk", "memmap"])
def test_lazy_arrays_are_read_block_by_block(engine: Engine, tmp_path: Path, kind: str) -> None:
    data = np.random.default_rng(1).integers(0, 1000, (3, 40, 50), np.uint16)
    indices = ((0, slice(None), slice(None)), (slice(1, 3), slice(5, 30, 3), 7), (2, 3, 4))
    image = ImageBlock(lazy_arrays(data, tmp_path)[kind], "ZYX")
    there, blocks = Watched(engine, "read_blocks", image=image, indices=indices).result()
    assert there == ("Array" if kind == "zarr on disk" else "RemoteArray")
    for index, block in zip(indices, blocks, strict=True):
        np.testing.assert_array_equal(block, data[index])
    window = Watched(engine, "read_plane", image=image).result()
    np.testing.assert_array_equal(window, data[:1])


class Broken:
    """An array whose file is gone; or that takes its time."""

    shape, dtype = (4, 5), np.dtype("u1")

    def __init__(self, answer: Callable[[], Any]) -> None:
        self._answer = answer

    def __getitem__(self, index: Any) -> Any:
        return self._answer()


def test_data_that_cannot_be_read_is_an_error_of_the_image(engine: Engine) -> None:
    def answer() -> Any:
        raise FileNotFoundError("cells.tif")

    error = Watched(engine, "read_plane", image=ImageBlock(Broken(answer), "YX")).error()
    assert isinstance(error, InputError)
    assert "cells.tif" in str(error)


def test_a_job_that_waits_for_data_can_be_cancelled(engine: Engine) -> None:
    asked, proceed = threading.Event(), threading.Event()

    def answer() -> Any:
        asked.set()
        proceed.wait(PATIENCE)
        return np.zeros((4, 5), np.uint8)

    watched = Watched(engine, "read_plane", image=ImageBlock(Broken(answer), "YX"))
    assert asked.wait(PATIENCE)
    pid = engine.pid
    watched.job.cancel()
    assert watched.outcome() == ("cancelled", None)
    proceed.set()
    assert engine.pid == pid
    assert Watched(engine, "count", n=1).result() == ()


@on_posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_is_told_once_and_the_next_job_runs(fresh: Any, number: int) -> None:
    engine = fresh()
    watched = Watched(engine, "crash", number=int(number))
    waiting = Watched(engine, "count", n=2)
    error = watched.error()
    assert isinstance(error, EngineError)
    assert signal.Signals(number).name in str(error)
    assert "Nothing in the viewer was lost" in str(error)
    assert waiting.result() == ()
    assert Watched(engine, "count", n=2).result() == ()


@on_posix
def test_kill_from_outside_in_mid_job(fresh: Any, tmp_path: Path) -> None:
    engine = fresh()
    watched = fall_asleep(engine, tmp_path)
    os.kill(engine.pid, signal.SIGKILL)
    assert "SIGKILL" in str(watched.error())
    wait_until(lambda: not engine.is_running)
    assert Watched(engine, "count", n=1).result() == ()


def test_an_exit_of_the_engine_is_told_with_its_code(fresh: Any) -> None:
    assert "exit code 7" in str(Watched(fresh(), "leave", status=7).error())


def test_an_engine_that_cannot_start_fails_all_that_waits(fresh: Any) -> None:
    engine = fresh(verbs="no_such_module")
    jobs = [Watched(engine, "count", n=1) for _ in range(2)]
    for watched in jobs:
        assert "could not start" in str(watched.error())
        assert "no_such_module" in str(watched.error())
    assert "ModuleNotFoundError" in engine.diagnostics()
    assert not engine.is_running


@on_posix
def test_a_kill_while_it_starts_is_made_up_for(fresh: Any) -> None:
    engine = fresh()
    watched = Watched(engine, "count", n=1)
    wait_until(lambda: engine.pid)
    os.kill(engine.pid, signal.SIGKILL)
    assert watched.result() == ()


def test_the_memory_limit_is_named(fresh: Any) -> None:
    engine = fresh(memory_limit_gb=0.4)
    watched = Watched(engine, "grow", step_mb=50, steps=400)
    assert "memory limit of 0.4 GB" in str(watched.error())
    assert Watched(engine, "count", n=1).result() == ()


def test_idle_engines_end_and_start_again(fresh: Any) -> None:
    engine = fresh(idle_seconds=0.05)
    assert Watched(engine, "count", n=1).result() == ()
    wait_until(lambda: not engine.is_running)
    assert "without jobs" in engine.diagnostics()
    assert Watched(engine, "count", n=1).result() == ()


def test_start_is_idempotent_and_warms(fresh: Any) -> None:
    engine = fresh()
    assert not engine.is_running
    assert engine.info == {}
    engine.start()
    engine.start()
    wait_until(lambda: engine.info)
    assert engine.info == {"device": "toy", "pid": engine.pid}
    wait_until(lambda: "toy verbs are ready" in engine.diagnostics())
    assert f"process: {engine.pid}" in engine.diagnostics()


def test_close_ends_everything(fresh: Any, tmp_path: Path) -> None:
    engine = fresh()
    running = fall_asleep(engine, tmp_path)
    waiting = Watched(engine, "count", n=1)
    pid = engine.pid
    engine.close()
    assert is_gone(pid)
    assert running.outcome() == waiting.outcome() == ("cancelled", None)
    assert not engine.is_running
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        Watched(engine, "count", n=1)


def test_close_lets_a_polite_verb_clean_up(fresh: Any, tmp_path: Path) -> None:
    engine = fresh()
    watched = Watched(engine, "sleep_politely", mark=str(tmp_path / "mark"))
    watched.wait_for_event()
    engine.close()
    assert (tmp_path / "mark").read_text() == "closed"


def test_close_while_it_starts(fresh: Any) -> None:
    engine = fresh()
    watched = Watched(engine, "count", n=1)
    engine.close()
    assert watched.outcome() == ("cancelled", None)


VIEWER = """
import sys, threading
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.engine.door import Engine

engine = Engine(verbs="toy_verbs")
tell = lambda event: print(engine.pid, flush=True)
nothing = lambda *a: None
engine.submit("sleep_deaf", mark=sys.argv[1], hold_gil=bool(int(sys.argv[2])),
              on_event=tell, on_returned=nothing, on_failed=nothing, on_cancelled=nothing)
sys.stdin.readline()
"""


@on_posix
@pytest.mark.parametrize("hold_gil", [False, pytest.param(True, marks=on_linux)])
@pytest.mark.parametrize("killed", [True, False])
def test_no_engine_outlives_its_viewer(tmp_path: Path, killed: bool, hold_gil: bool) -> None:
    mark = tmp_path / "asleep"
    command = [sys.executable, "-c", VIEWER, str(mark), str(int(hold_gil))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as viewer:
        assert viewer.stdout is not None
        child = int(viewer.stdout.readline())
        wait_until(mark.exists)
        assert not is_gone(child)
        if killed:
            viewer.kill()
        _, complaints = viewer.communicate("\n", timeout=PATIENCE)
    wait_until(lambda: is_gone(child))
    assert complaints == ""


def shared_files(pid: int | str) -> list[str]:
    """Shared memory of this program that a process holds."""
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(os.readlink(entry))
        except FileNotFoundError:  # closed in between
            continue
    return [link for link in links if "papernets" in link]


@on_linux
@pytest.mark.parametrize("end", ["return", "cancel", "crash"])
def test_no_shared_memory_is_left_behind(fresh: Any, tmp_path: Path, end: str) -> None:
    gc.collect()  # what other tests still hold
    before = sorted(os.listdir("/dev/shm"))
    engine = fresh()
    large = np.zeros((3000, 3000), np.uint16)
    watched = Watched(engine, "echo", a=large, b=large[:200])
    assert watched.result()["a"].shape == large.shape
    watched.forget()
    wait_until(lambda: shared_files(engine.pid) == [])
    wait_until(lambda: shared_files("self") == [])
    if end == "cancel":
        watched = fall_asleep(engine, tmp_path, ballast=large)
        watched.job.cancel()
    else:
        watched = Watched(engine, "crash" if end == "crash" else "echo", ballast=large)
    kind = watched.outcome()[0]
    assert kind == {"return": "returned", "cancel": "cancelled", "crash": "failed"}[end]
    watched.forget()
    wait_until(lambda: shared_files("self") == [])
    assert sorted(os.listdir("/dev/shm")) == before


def test_the_viewers_side_imports_nothing_heavy() -> None:
    code = (
        "import sys, napari_papernets.engine.door;"
        "heavy = {'torch', 'scipy', 'skimage', 'dask', 'zarr', 'napari', 'qtpy', 'psutil', 'numba'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


@on_posix
def test_the_engine_steps_back_for_the_viewer(fresh: Any) -> None:
    facts = Watched(fresh(threads=3), "about_process").result()
    assert facts["nice"] > os.nice(0)
    assert facts["threads"] == "3"
    if LINUX:
        assert int(facts["out of memory"]) > 0


def policies(pid: int) -> set[int]:
    """How the kernel schedules the threads of a process."""
    return {os.sched_getscheduler(int(thread)) for thread in os.listdir(f"/proc/{pid}/task")}


@on_linux
@pytest.mark.parametrize(("device", "gives"), [("cpu", True), ("cuda", False)])
def test_the_engine_gives_way_and_takes_turns_again(
    fresh: Any, monkeypatch: Any, device: str, gives: bool
) -> None:
    if not can_give_way():
        pytest.skip("the limits of this system do not allow it")
    monkeypatch.setenv("TOY_DEVICE", device)
    engine = fresh()
    engine.give_way()  # there is none yet
    engine.take_turns()
    engine.start()
    wait_until(lambda: engine.info)
    engine.give_way()
    assert policies(engine.pid) == {os.SCHED_IDLE if gives else os.SCHED_OTHER}
    assert Watched(engine, "about_process").result()["nice"] > os.nice(0)
    engine.take_turns()
    assert policies(engine.pid) == {os.SCHED_OTHER}
    assert Watched(engine, "about_process").result()["nice"] > os.nice(0)


@on_linux
def test_what_could_not_be_taken_back_is_not_done(fresh: Any, monkeypatch: Any) -> None:
    asked = []

    def refuse(thread: int, policy: int, _: Any) -> None:
        asked.append(thread)
        if policy == os.SCHED_OTHER:
            raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setenv("TOY_DEVICE", "cpu")
    can_give_way.cache_clear()
    try:
        engine = fresh()
        engine.start()
        wait_until(lambda: engine.info)
        engine.give_way()
        assert asked == [0, 0], "a thread of its own tries it"
        assert policies(engine.pid) == {os.SCHED_OTHER}
    finally:
        can_give_way.cache_clear()


def test_the_verbs_run_as_they_do_in_this_process(fresh: Any, tmp_path: Path) -> None:
    from napari_papernets.api import drain, save_model
    from napari_papernets.engine.predict import predict
    from napari_papernets.networks import UNet

    model = save_model(UNet(1, 2, width=4, depth=2, padding="same"), tmp_path / "model")
    image = ImageBlock(np.random.default_rng(0).random((90, 70), np.float32), "YX")
    settings = PredictSettings(tile=64, precision="float32")
    expected = drain(predict(image, model, settings, device="cpu"))
    watched = Watched(
        fresh(verbs="napari_papernets.engine.verbs"),
        "predict",
        image=image,
        model=model,
        settings=settings,
        device="cpu",
    )
    answer = watched.result()
    np.testing.assert_array_equal(answer.labels, expected.labels)
    np.testing.assert_array_equal(answer.probabilities, expected.probabilities)
    assert answer.provenance["weights_sha256"] == expected.provenance["weights_sha256"]
    assert [type(e).__name__ for e in watched.events].count("PlaneDone") == 1


def test_there_is_one_shared_engine() -> None:
    engine = shared_engine()
    assert shared_engine() is engine
    assert not engine.is_running
    assert f"memory limit gb: {psutil.virtual_memory().total * 0.8e-9:.1f}" in engine.diagnostics()
