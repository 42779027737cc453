"""The engine's own side, without a process."""

from __future__ import annotations

from multiprocessing.connection import Pipe
from types import SimpleNamespace
from typing import Any

import pytest

from napari_papernets.core.errors import EngineError, InputError
from napari_papernets.engine import failures, server
from napari_papernets.engine.server import Server


def test_memory_is_given_back_after_a_pause(monkeypatch: Any) -> None:
    rests = []

    def rest() -> None:
        rests.append(1)
        one._jobs.put(None)

    near, far = Pipe()
    one = Server(near, SimpleNamespace(rest=rest))  # type: ignore[arg-type]
    monkeypatch.setattr(server, "REST_AFTER", 0.001)
    assert one._next() is None
    assert rests == [1]
    one._jobs.put(None)
    assert one._next() is None
    assert rests == [1]  # a job was there
    far.close()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 TiB"),
        RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate"),
        type("OutOfMemoryError", (RuntimeError,), {})("no words"),
    ],
)
def test_out_of_memory_is_known_in_all_its_forms(error: Exception) -> None:
    assert "smaller tiles" in str(failures.readable(error))


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
