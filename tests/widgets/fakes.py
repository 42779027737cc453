"""An engine without a process, a model without weights, and a panel's surroundings."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_papernets.core.errors import EngineError
from napari_papernets.core.model import ModelRef, ModelSpec, class_infos
from napari_papernets.core.results import Prediction
from napari_papernets.core.tiles import SizeRule


class FakeJob:
    """A submitted job that the test plays; every callback comes on another thread, as the door's do."""

    def __init__(self, verb: str, arguments: dict[str, Any], callbacks: dict[str, Callable[..., None]]):
        self.verb, self.arguments, self._callbacks = verb, arguments, callbacks
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def tell(self, event: Any) -> None:
        self._call("on_event", event)

    def give(self, result: Any) -> None:
        self._call("on_returned", result)

    def fail(self, error: Exception) -> None:
        self._call("on_failed", error)

    def end(self) -> None:
        """As the engine does with a job that was cancelled, by whomever."""
        self._call("on_cancelled")

    def _call(self, name: str, *values: Any) -> None:
        thread = threading.Thread(target=self._callbacks[name], args=values)
        thread.start()
        thread.join()


class FakeEngine:
    """Takes jobs and does nothing with them."""

    def __init__(self) -> None:
        self.jobs: list[FakeJob] = []
        self.info: dict[str, Any] = {}
        self.started = self.closed = self.gives_way = False

    def start(self) -> None:
        self.started = True

    def submit(self, verb: str, *, on_event, on_returned, on_failed, on_cancelled, **arguments: Any):
        if self.closed:
            raise EngineError("the engine was closed")
        callbacks = dict(
            on_event=on_event, on_returned=on_returned, on_failed=on_failed, on_cancelled=on_cancelled
        )
        self.jobs.append(FakeJob(verb, arguments, callbacks))
        return self.jobs[-1]

    def give_way(self) -> None:
        self.gives_way = True

    def take_turns(self) -> None:
        self.gives_way = False

    def diagnostics(self) -> str:
        return "fake engine: fine"

    def close(self) -> None:
        self.closed = True


def spec(task: str = "instances", name: str = "toy", **changes: Any) -> ModelSpec:
    names = {
        "instances": ("background", "inside", "border"),
        "semantic": ("background", "cell"),
        "features": (),
    }[task]
    values: dict[str, Any] = dict(
        name=name,
        architecture="unet",
        options={},
        in_channels=1,
        classes=class_infos(names),
        size_rule=SizeRule("same", 16, 48, 16),
        task=task,
        encoding="border" if task == "instances" else "",
    )
    return ModelSpec(**{**values, **changes})


def ref(task: str = "instances", **changes: Any) -> ModelRef:
    made = spec(task, **changes)
    return ModelRef(made, Path(f"/models/{made.name}.safetensors"))


def prediction(labels: Any, probabilities: Any = None, **account: Any) -> Prediction:
    about = dict(
        verb="predict", seconds=1.2, zoom=1.0, device="cpu", precision="float32", notices=[],
        command="papernets predict image.tif --model toy", **account,
    )  # fmt: skip
    return Prediction(np.asarray(labels), probabilities, about)
