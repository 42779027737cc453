"""The fully connected CRF beside pydensecrf, and both beside brute force.

Every program runs in a process of its own and they take turns, so that a slow minute of the machine
falls on all of them. Set-up is included. The images are scikit-image's; the large ones mirror tilings
of them with shading and noise, so that nothing repeats.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROGRAMS = ("papernets", "pydensecrf")
CASES = {  # name: image, side in pixels (0: as it is), classes
    "RGB, 512², 2 classes": ("immunohistochemistry", 0, 2),
    "RGB, 512², 5 classes": ("immunohistochemistry", 0, 5),
    "grey, 660×550, 2 classes": ("cell", 0, 2),
    "RGB, 2048², 2 classes": ("immunohistochemistry", 2048, 2),
    "grey, 2048², 2 classes": ("cell", 2048, 2),
}
KERNELS = dict(w1=5.0, sigma_alpha=60.0, sigma_beta=10.0, w2=3.0, sigma_gamma=3.0, iterations=10)
EXACT_SIDE = 64  # pixels of the crop that brute force can do


def run_benchmark(rounds: int, large: bool, device: str, page: Path | None) -> None:
    """Measure, print the tables, and put them into `page` where one is given."""
    from napari_papernets.benchmarks.report import key_on, machine, markdown_table, publish

    from napari_papernets.engine.crf_solvers import crf_device

    target = crf_device(device)
    programs = [p for p in PROGRAMS if p == "papernets" or find_spec("pydensecrf")]
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            row
            for name, (image, side, classes) in CASES.items()
            if large or not side
            for row in measure(name, image, side, classes, programs, rounds, Path(folder), target.type)
        ]
    header = (
        "case", "program", "seconds (range)", "speed", "set-up", "iterations", "again, other w₁",
        "peak MB above start", "labels equal", "largest ΔQ",
    )  # fmt: skip
    packages = ("numba", "pydensecrf2") if "pydensecrf" in programs else ("numba",)
    text = (
        "## The CRF beside pydensecrf\n\n"
        f"Ten iterations, w₁ 5, σ_α 60, σ_β 10, w₂ 3, σ_γ 3, set-up included. Medians of {rounds} "
        "interleaved rounds, one process each, as its user calls it (ours with its checks and account); "
        "peak is above what the process held with libraries and inputs loaded. Labels and ΔQ are "
        "against pydensecrf.\n\n"
        f"{markdown_table(header, rows)}\n\n{exact_table(programs, target.type)}\n\n"
        f"{machine(*packages)}. Written by `papernets bench refine`."
    )
    publish(text, key_on("refine", target), page)


def measure(
    name: str,
    image: str,
    side: int,
    classes: int,
    programs: list[str],
    rounds: int,
    folder: Path,
    device: str,
) -> Iterator[tuple[str, ...]]:
    """A row for each program."""
    pixels = make_image(image, side)
    np.save(folder / "image.npy", pixels)
    np.save(folder / "probabilities.npy", make_probabilities(pixels, classes))
    workers = {p: Worker(p, folder, device) for p in programs}
    told: dict[str, list[dict[str, float]]] = {p: [] for p in programs}
    for _ in range(rounds):
        for program, worker in workers.items():
            told[program].append(worker.ask())
            print(name, program, told[program][-1], file=sys.stderr)
    for worker in workers.values():
        worker.end()
    answers = {p: np.load(folder / f"{p}.npy", mmap_mode="r") for p in programs}
    peer = median(t["total"] for t in told["pydensecrf"]) if "pydensecrf" in programs else None
    for program in programs:
        each = {key: [t[key] for t in told[program]] for key in told[program][0]}
        total = each["total"]
        again = [r / i for r, i in zip(each["again"], each["iterations"], strict=True)]
        same = "–", "–"
        if program != "pydensecrf" and peer:
            theirs = answers["pydensecrf"]
            equal = (answers[program].argmax(0) == theirs.argmax(0)).mean()
            same = f"{100 * equal:.3f} %", f"{np.abs(answers[program] - theirs).max():.1e}"
        yield (
            name,
            program,
            f"{median(total):.3f} ({min(total):.3f}–{max(total):.3f})",
            f"{peer / median(total):.1f}×" if peer else "–",
            f"{median(each['set_up']):.3f}",
            f"{median(each['iterations']):.3f}",
            f"{median(each['again']):.3f} ({median(again):.2f}× iterations)"
            if program == "papernets"
            else "–",
            f"{max(each['peak']):.0f}",
            *same,
        )


def exact_table(programs: list[str], device: str) -> str:
    """How far the lattices are from brute force on crops."""
    from napari_papernets.benchmarks.report import markdown_table

    rows = []
    for image in ("immunohistochemistry", "cell"):
        full = make_image(image, 0)
        pixels = np.ascontiguousarray(full[200 : 200 + EXACT_SIDE, 200 : 200 + EXACT_SIDE])
        share = make_probabilities(pixels, 2)
        exact = brute_force(pixels, share)
        for program in programs:
            found = solver(program, device)(pixels, share)[0]
            off, equal = np.abs(found - exact), (found.argmax(0) == exact.argmax(0)).mean()
            cells = f"{off.mean():.4f}", f"{off.max():.3f}", f"{100 * equal:.2f} %"
            rows.append((f"{image}, {EXACT_SIDE}² crop", program, *cells))
    header = "image", "program", "mean ΔQ", "largest ΔQ", "labels equal"
    title = "Against brute force over all pairs of pixels, with the same normalisation:"
    return f"{title}\n\n{markdown_table(header, rows)}"


def brute_force(pixels: NDArray[Any], share: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean field with the Gaussians themselves."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].reshape(2, -1).astype(float)
    grey = pixels.reshape(height * width, -1).astype(float)
    smooth = np.column_stack([x, y]) / KERNELS["sigma_gamma"]
    look = np.column_stack(
        [x / KERNELS["sigma_alpha"], y / KERNELS["sigma_alpha"], grey / KERNELS["sigma_beta"]]
    )
    kernel = KERNELS["w2"] * _gaussian(smooth) + KERNELS["w1"] * _gaussian(look)
    logits = start = np.log(np.clip(share.reshape(len(share), -1).astype(float), 1e-5, 1))
    for _ in range(int(KERNELS["iterations"]) + 1):
        q = np.exp(logits - logits.max(0))
        q /= q.sum(0)
        logits = start + q @ kernel
    return q.reshape(share.shape)


def _gaussian(features: NDArray[np.float64]) -> NDArray[np.float64]:
    square = (features**2).sum(1)
    kernel = np.exp(features @ features.T - square[:, None] / 2 - square / 2)
    norm = kernel.sum(1) ** -0.5
    return kernel * norm[:, None] * norm


def make_image(name: str, side: int) -> NDArray[np.uint8]:
    """An image of scikit-image, or a large one of its mirror images."""
    from skimage import data

    pixels = getattr(data, name)()
    if not side:
        return pixels
    margins = [(0, max(0, side - n)) for n in pixels.shape[:2]]
    large = np.pad(pixels, [*margins, *[(0, 0)] * (pixels.ndim - 2)], mode="symmetric")[:side, :side]
    shade = np.linspace(0.8, 1.1, side)[:, None] * np.linspace(0.9, 1.1, side)
    shade = shade.reshape(side, side, *[1] * (pixels.ndim - 2))
    noise = np.random.default_rng(0).normal(0, 2, large.shape)
    return np.clip(large * shade + noise, 0, 255).astype(np.uint8)


def make_probabilities(pixels: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    """Noisy probabilities that follow grey levels."""
    grey = pixels.reshape(*pixels.shape[:2], -1).mean(-1).astype(np.float32)
    levels = np.quantile(grey, np.linspace(0.1, 0.9, classes))
    noise = np.random.default_rng(1).normal(0, 0.7, (classes, *grey.shape)).astype(np.float32)
    logits = noise - ((grey - levels[:, None, None].astype(np.float32)) / 25) ** 2
    share = np.exp(logits - logits.max(0))
    return (share / share.sum(0)).astype(np.float32)


class Worker:
    """A program in a process of its own, asked through its standard input and output."""

    def __init__(self, program: str, folder: Path, device: str) -> None:
        module = "napari_papernets.benchmarks.refine"
        command = [sys.executable, "-m", module, program, str(folder), device]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ask()  # the first run compiles, or loads what was compiled

    def ask(self) -> dict[str, float]:
        """One run; how long it took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"worker ended with {self._process.wait()}")
        return json.loads(line)

    def end(self) -> None:
        self._process.communicate()


def serve(program: str, folder: Path, device: str) -> None:
    """The worker: a run for each line."""
    from napari_papernets.benchmarks.predict import MemoryWatch

    from napari_papernets.engine.device import keep_heap

    run = solver(program, device)
    if program == "papernets":
        keep_heap()  # as all its entries do
    pixels, share = np.load(folder / "image.npy"), np.load(folder / "probabilities.npy")
    run(pixels[:64, :64].copy(), share[:, :64, :64].copy())  # libraries, compiled code
    watch, peak = MemoryWatch(), 0.0
    for _ in sys.stdin:
        started = time.perf_counter()
        answer, set_up = run(pixels, share)
        total = time.perf_counter() - started
        peak = peak or watch.peak_mb  # of the first run: later ones find the memory of those before
        np.save(folder / f"{program}.npy", answer)
        again = time_again(pixels, share, device) if program == "papernets" else 0.0
        told = dict(total=total, set_up=set_up, iterations=total - set_up, again=again, peak=peak)
        print(json.dumps(told), flush=True)


def solver(program: str, device: str) -> Any:
    """A function of pixels and probabilities that returns beliefs (K, Y, X) and the time of set-up."""
    return _pydensecrf if program == "pydensecrf" else partial(_papernets, device=device)


def _papernets(
    pixels: NDArray[Any], share: NDArray[np.float32], device: str
) -> tuple[NDArray[np.float32], float]:
    return _refined(pixels, share, device, False)


def time_again(pixels: NDArray[Any], share: NDArray[np.float32], device: str) -> float:
    """Seconds of a run with other weights, after one that kept its lattices."""
    from napari_papernets.engine.crf_solvers import kept_lattices

    _refined(pixels, share, device, True)
    started = time.perf_counter()
    _refined(pixels, share, device, True, w1=6.0)
    seconds = time.perf_counter() - started
    kept_lattices().clear()
    return seconds


def _refined(
    pixels: NDArray[Any], share: NDArray[np.float32], device: str, keep: bool, **changes: float
) -> tuple[NDArray[np.float32], float]:
    from napari_papernets.core.crf_settings import CRFSettings
    from napari_papernets.core.events import Refined
    from napari_papernets.core.image import ImageBlock
    from napari_papernets.engine.refine import refine

    started, set_up = time.perf_counter(), 0.0
    image = ImageBlock(pixels, "YXC" if pixels.ndim == 3 else "YX")
    settings = CRFSettings(**(KERNELS | changes))  # type: ignore[arg-type]
    job = refine(share, image, settings, device=device, show="nothing", keep=keep)
    while True:
        try:
            event = next(job)
        except StopIteration as end:
            return end.value.probabilities, set_up
        if isinstance(event, Refined) and event.iteration == 0:
            set_up = time.perf_counter() - started


def _pydensecrf(pixels: NDArray[Any], share: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """As its README does; grey images as features (x, y, i), which is what its 2-D class lacks."""
    import pydensecrf.densecrf as densecrf
    from pydensecrf.utils import unary_from_softmax

    started, classes, (height, width) = time.perf_counter(), len(share), pixels.shape[:2]
    alpha, beta, gamma = (KERNELS[f"sigma_{s}"] for s in ("alpha", "beta", "gamma"))
    unary = np.ascontiguousarray(unary_from_softmax(share))
    if pixels.ndim == 3:
        crf = densecrf.DenseCRF2D(width, height, classes)
        crf.setUnaryEnergy(unary)
        crf.addPairwiseGaussian(sxy=gamma, compat=KERNELS["w2"])
        crf.addPairwiseBilateral(sxy=alpha, srgb=beta, rgbim=pixels, compat=KERNELS["w1"])
    else:
        crf = densecrf.DenseCRF(width * height, classes)
        crf.setUnaryEnergy(unary)
        y, x = np.mgrid[:height, :width].reshape(2, -1).astype(np.float32)
        crf.addPairwiseEnergy(np.stack([x / gamma, y / gamma]).astype(np.float32), KERNELS["w2"])
        look = np.stack([x / alpha, y / alpha, pixels.ravel() / beta]).astype(np.float32)
        crf.addPairwiseEnergy(look, KERNELS["w1"])
    set_up = time.perf_counter() - started
    found = np.array(crf.inference(int(KERNELS["iterations"])), np.float32)
    return found.reshape(share.shape), set_up


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
