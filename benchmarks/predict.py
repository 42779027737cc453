"""Tiled prediction beside MONAI's sliding window and one pass over the whole image.

Every variant runs in a process of its own (MONAI's is stock: no allocator settings of ours), and the
variants take turns, so that a slow minute of the machine falls on all of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from napari_papernets.benchmarks.report import brief, key_on, machine, markdown_table, publish
from numpy.typing import NDArray

from napari_papernets.engine.device import fast_bf16, pick_device

PEER = "MONAI roi 512, overlap 0.25, gaussian, float32"
VARIANTS = {
    "monai": PEER,
    "monai4": PEER + ", batch 4",
    "whole32": "one pass, float32",
    "tiled32": "papernets tiles, float32",
    "whole16": "one pass, bfloat16",
    "tiled16": "papernets tiles, bfloat16",
}
Call = Callable[[], NDArray[np.float32]]


def run_benchmark(size: int, rounds: int, device: str, page: Path | None) -> None:
    """Measure all variants and print the table; put it into `page` where one is given."""
    names = [n for n in VARIANTS if not n.startswith("monai") or find_spec("monai")]
    target = pick_device(device)
    rounded = fast_bf16(target)
    if not rounded:
        names = [n for n in names if not n.endswith("16")]
    with tempfile.TemporaryDirectory() as folder:
        make_case(Path(folder), size)
        workers = {n: Worker(n, Path(folder), device) for n in names}
        timings: dict[str, list[float]] = {n: [] for n in names}
        for _ in range(rounds):
            for name, worker in workers.items():
                timings[name].append(worker.ask("run")["seconds"])
                print(f"{VARIANTS[name]}: {timings[name][-1]:.3f} s", file=sys.stderr)
        facts = {n: w.ask("facts") for n, w in workers.items()}
        table = make_table(Path(folder), timings, facts)
    packages = ("monai",) if find_spec("monai") else ()
    title = f"Tiled prediction, {size}×{size}, U-Net of width 32, depth 4, `same`, batch norm"
    lacking = "" if rounded else ", on a processor without bfloat16"
    text = (
        f"## {title}{lacking}\n\n"
        f"Medians of {rounds} interleaved rounds, one process each. {machine(*packages)}. "
        f"Differences are of probabilities, against one pass in float32.\n\n{table}"
    )
    publish(text, key_on("predict" if rounded else "predict-float32", target), page)


def make_case(folder: Path, size: int) -> None:
    """A network with plausible weights and an image of blurred noise, in `folder`."""
    from scipy.ndimage import gaussian_filter

    from napari_papernets.api import save_model
    from napari_papernets.networks import UNet

    torch.manual_seed(0)
    network = UNet(1, 2, width=32, depth=4, padding="same", norm="batch")
    save_model(network, folder / "network.safetensors")
    noise = np.random.default_rng(0).normal(size=(size, size))
    np.save(folder / "image.npy", gaussian_filter(noise, 2).astype(np.float32))


def make_table(folder: Path, timings: dict[str, list[float]], facts: dict[str, dict[str, Any]]) -> str:
    """One row for each variant."""
    reference = np.load(folder / "whole32.npy")
    peer = median(timings["monai"]) if "monai" in timings else None
    rows = []
    for name, seconds in timings.items():
        answer = np.load(folder / f"{name}.npy")
        whole = median(timings["whole16" if name.endswith("16") else "whole32"])
        rows.append(
            (
                VARIANTS[name],
                f"{brief(median(seconds))} ({brief(min(seconds))}–{brief(max(seconds))})",
                f"{peer / median(seconds):.1f}×" if peer else "–",
                f"{median(seconds) / whole:.2f}" if not name.startswith("monai") else "–",
                f"{facts[name]['peak_mb']:.0f}",
                f"{np.abs(answer - reference).max():.1e}",
                f"{(answer.argmax(0) == reference.argmax(0)).mean():.5f}",
            )
        )
    header = (
        "variant", "seconds (range)", "speed vs MONAI", "time vs one pass", "peak MB above model",
        "largest difference", "labels equal",
    )  # fmt: skip
    return markdown_table(header, rows)


class Worker:
    """One variant in a process of its own, asked through its standard input and output."""

    def __init__(self, name: str, folder: Path, device: str, script: str = "predict") -> None:
        module = f"napari_papernets.benchmarks.{script}"
        command = [sys.executable, "-m", module, name, str(folder), device]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ask("ready")

    def ask(self, what: str) -> dict[str, Any]:
        """Send a line, wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"worker ended with {self._process.wait()}")
        return json.loads(line)


def serve(name: str, folder: Path, call: Call) -> None:
    """The worker: warm up once, then run when asked."""
    watch = MemoryWatch()
    np.save(folder / f"{name}.npy", call())
    for line in sys.stdin:
        answer: dict[str, Any] = {}
        if line.strip() == "run":
            started = time.perf_counter()
            call()
            answer["seconds"] = time.perf_counter() - started
        elif line.strip() == "facts":
            answer["peak_mb"] = watch.peak_mb
        print(json.dumps(answer), flush=True)


class MemoryWatch:
    """Peak of the process's memory above what it has now: on the GPU torch's own count."""

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self._peak = self._before
        threading.Thread(target=self._sample, daemon=True).start()

    @property
    def peak_mb(self) -> float:
        if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
            return torch.cuda.max_memory_allocated() / 1e6
        return (self._peak - self._before) / 1e6

    def _sample(self) -> None:
        while True:
            self._peak = max(self._peak, self._process.memory_info().rss)
            time.sleep(0.005)


def make_call(name: str, folder: Path, device: str) -> Call:
    """What the variant does with the case in `folder`."""
    from napari_papernets.engine.device import keep_heap, pick_device
    from napari_papernets.engine.models import load_model

    if not name.startswith("monai"):
        keep_heap()
    image = np.load(folder / "image.npy")
    model = load_model(folder / "network.safetensors")
    target = pick_device(device)
    if name.startswith("monai"):
        return _monai(image, model.network, target, batch=4 if name.endswith("4") else 1)
    precision = "bfloat16" if name.endswith("16") else "float32"
    if name.startswith("whole"):
        return _whole(image, model.network, target, precision)
    return _tiled(image, folder / "network.safetensors", device, precision)


def _normalised(image: NDArray[np.float32]) -> NDArray[np.float32]:
    from napari_papernets.core.image import ImageBlock
    from napari_papernets.core.model import Normalisation
    from napari_papernets.engine.tiling import open_source

    source = open_source(ImageBlock(image, "YX"), (), (0,), Normalisation())
    return source.read((0, image.shape[0]), (0, image.shape[1]))[None]


def _monai(image: Any, network: torch.nn.Module, device: torch.device, batch: int) -> Call:
    from monai.inferers import sliding_window_inference

    network, x = network.to(device).eval(), torch.from_numpy(_normalised(image))

    @torch.inference_mode()
    def call() -> NDArray[np.float32]:
        logits = sliding_window_inference(
            x.to(device), (512, 512), batch, network, overlap=0.25, mode="gaussian"
        )
        return torch.softmax(logits, 1)[0].cpu().numpy()  # type: ignore[arg-type, index]

    return call


def _whole(image: Any, network: torch.nn.Module, device: torch.device, precision: str) -> Call:
    from napari_papernets.engine.runner import Runner

    runner, x = Runner(network, device, precision), _normalised(image)
    return lambda: runner(x)[0]


def _tiled(image: Any, path: Path, device: str, precision: str) -> Call:
    from napari_papernets.api import predict
    from napari_papernets.core.predict_settings import PredictSettings

    settings = PredictSettings(precision=precision, zoom=1.0)

    def call() -> NDArray[np.float32]:
        probabilities = predict(image, path, settings=settings, device=device).probabilities
        assert probabilities is not None
        return probabilities

    return call


if __name__ == "__main__":
    asked = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    serve(*asked[:2], make_call(*asked))
