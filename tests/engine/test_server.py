"""The engine's own side, without a process."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_papernets.core.errors import EngineError, InputError
from napari_papernets.engine import failures, server
from napari_papernets.engine.messages import (
    Block,
    Cancel,
    Cancelled,
    Failed,
    Quit,
    Returned,
    Run,
    WantBlock,
)
from napari_papernets.engine.remote import RemoteArray
from napari_papernets.engine.server import Server


class Heard:
    """In place of the line to the viewer."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any) -> None:
        self.sent.append(message)


def make_server(monkeypatch: Any, verbs: Any) -> tuple[Server, list[Any]]:
    heard = Heard()
    monkeypatch.setattr(server, "Line", lambda connection, fetch: heard)
    return Server(None, verbs), heard.sent


def steps(n: int) -> Any:
    yield from range(n)
    return "done"


VERBS = SimpleNamespace(find_verb=lambda name: steps, rest=lambda: None)


def turns(one: Server, count: int) -> None:
    for _ in range(count):
        one._give_turn(one._whose_turn())


def test_a_job_runs_to_its_end_while_trainings_wait_and_these_take_turns(monkeypatch: Any) -> None:
    one, sent = make_server(monkeypatch, VERBS)
    one._sort(Run(1, "live", dict(n=2)))
    one._sort(Run(2, "pretrain", dict(n=2)))
    turns(one, 3)
    assert [m.job for m in sent] == [1, 2, 1]
    one._sort(Run(3, "predict", dict(n=2)))
    turns(one, 3)
    assert [m.job for m in sent[3:]] == [3, 3, 3]
    assert sent[5].result == "done"
    turns(one, 3)
    assert [(m.job, isinstance(m, Returned)) for m in sent[6:]] == [(2, False), (1, True), (2, True)]


def test_who_is_cancelled_is_closed_before_anybody_goes_on(monkeypatch: Any) -> None:
    one, sent = make_server(monkeypatch, VERBS)
    one._sort(Run(1, "live", dict(n=2)))
    one._sort(Run(2, "predict", dict(n=2)))
    turns(one, 1)
    one._sort(Cancel(1))
    turns(one, 1)
    assert sent[-1] == Cancelled(1)


def test_a_block_that_nobody_waits_for_any_more_is_not_kept(monkeypatch: Any) -> None:
    def read(image: Any) -> Any:
        yield image[0, 0]

    one, sent = make_server(monkeypatch, SimpleNamespace(find_verb=lambda name: read))
    image = RemoteArray((4, 5), np.uint8, lambda index: one._fetch((1, 0), index))
    one._sort(Run(1, "predict", dict(image=image)))
    turn = threading.Thread(target=turns, args=(one, 1))
    turn.start()
    while not sent:
        time.sleep(0.01)
    one._sort(Cancel(1))
    turn.join()
    assert [type(m) for m in sent] == [WantBlock, Cancelled]
    one._sort(Block(sent[0].number, np.zeros((), np.uint8)))
    assert not one._blocks


def test_a_verb_that_cleans_up_badly_fails_alone(monkeypatch: Any) -> None:
    def bad() -> Any:
        try:
            yield 1
        finally:
            raise ValueError("no")

    one, sent = make_server(monkeypatch, SimpleNamespace(find_verb=lambda name: bad))
    one._sort(Run(1, "live", {}))
    turns(one, 1)
    one._sort(Cancel(1))
    turns(one, 1)
    assert isinstance(sent[-1], Failed)
    assert not one._running


def test_memory_is_given_back_after_a_pause(monkeypatch: Any) -> None:
    rests = []

    def rest() -> None:
        rests.append(1)
        one._sort(Run(1, "predict", dict(n=1)))

    verbs = SimpleNamespace(find_verb=lambda name: steps, rest=rest)
    monkeypatch.setattr(server, "REST_AFTER", 0.001)
    one, _ = make_server(monkeypatch, verbs)
    turns(one, 2)
    assert rests == [1]
    one._sort(Quit())
    assert one._whose_turn() is None
    assert rests == [1]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 TiB"),
        RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        type("OutOfMemoryError", (RuntimeError,), {})("no words"),
    ],
)
def test_out_of_memory_is_known_in_all_its_forms(error: Exception) -> None:
    assert "smaller tiles" in str(failures.readable(error))


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("out of memory")])
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not failures.is_out_of_memory(error)


def test_our_own_errors_stay_as_they_are() -> None:
    error = InputError("axes", "'Q'", "mend")
    assert failures.readable(error) is error
    assert failures.not_handed_over(error) is error


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), MemoryError(), TypeError("x")]
)
def test_data_that_cannot_be_handed_over_is_one_line(error: Exception) -> None:
    told = failures.not_handed_over(error)
    assert isinstance(told, EngineError)
    assert type(error).__name__ in str(told)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "no process"),
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-9, "SIGKILL"),
        (-200, "signal 200"),
    ],
)
def test_how_a_process_ended(code: int | None, words: str) -> None:
    assert words in failures.describe_end(code)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (failures.why_ended("memory", -9, limit_gb=2.5), "2.5 GB"),
        (failures.why_ended(failures.BROKEN_LINE, -9), "may not cross"),
        (failures.why_ended("", -11), "native code"),
        (failures.why_ended("", 1, started=False, last_line="No module named 'torch'"), "'torch'"),
    ],
)
def test_the_end_of_a_process_is_one_clear_line(told: EngineError, words: str) -> None:
    assert words in str(told)
    assert "\n" not in str(told)
