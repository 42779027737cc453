"""Tokens of a Vision Transformer beside timm's, on the same pixels with the same weights.

Every variant runs in a process of its own (timm's is stock: no allocator settings of ours), and the
variants take turns, so that a slow minute of the machine falls on all of them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from .predict import Call, Worker, serve
from .report import brief, key_on, machine, markdown_table, publish

CASES = {"224": (8, 224, 16), "1024": (1, 1024, 16), "1036": (1, 1036, 14)}  # images, side, patch
TITLES = {
    "224": "8 images of 224×224, patch 16",
    "1024": "1 image of 1024×1024, patch 16, 4096 tokens",
    "1036": "1 image of 1036×1036, patch 14, 5476 tokens",
}
GEMM = (
    (2048, 2048, 2048),
    (4096, 384, 1536),
    (1576, 1536, 384),
)  # M, K, N of the fastest product sought


def run_benchmark(size: str, rounds: int, device: str, page: Path | None) -> None:
    """Measure both, print the table, and put it into `page` where one is given.

    Parameters
    ----------
    size : {"tiny", "small"}
        Of the network. Small is also measured with patches of 14 pixels.
    rounds : int
        How often each is timed.
    device : str
        As everywhere.
    page : Path, optional
        Markdown.
    """
    from napari_papernets.engine.device import pick_device

    who = [w for w in ("timm", "ours") if w != "timm" or find_spec("timm")]
    cases = [case for case, (*_, patch) in CASES.items() if patch == 16 or size == "small"]
    names = [f"{size} {case} {w}" for case in cases for w in who]
    with tempfile.TemporaryDirectory() as folder:
        workers = {n: Worker(n, Path(folder), device, "tokens") for n in names}
        timings: dict[str, list[float]] = {n: [] for n in names}
        for _ in range(rounds):
            for name, worker in workers.items():
                timings[name].append(worker.ask("run")["seconds"])
                print(f"{name}: {timings[name][-1]:.3f} s", file=sys.stderr)
        peaks = {n: w.ask("facts")["peak_mb"] for n, w in workers.items()}
        rows = [row(Path(folder), n, timings, peaks) for n in names]
    header = (
        "case", "tokens by", "seconds (range)", "speed", "GFLOP/s", "peak MB above model",
        "relative error",
    )  # fmt: skip
    packages = ("timm",) if find_spec("timm") else ()
    text = (
        f"## Tokens of ViT-{size.title()} in float32, beside timm\n\n"
        f"Medians of {rounds} interleaved rounds, one process each. {machine(*packages)}. The error is "
        f"the largest difference over the largest token.{ceiling(device)}\n\n"
        f"{markdown_table(header, rows)}"
    )
    publish(text, key_on("tokens", pick_device(device)), page)


def row(
    folder: Path, name: str, timings: dict[str, list[float]], peaks: dict[str, float]
) -> tuple[str, ...]:
    """One line of the table."""
    size, case, who = name.split()
    peer = name.replace(" ours", " timm")
    seconds = timings[name]
    speed = f"{median(timings[peer]) / median(seconds):.2f}×" if peer in timings else "–"
    error = "–"
    if who == "ours" and peer in timings:
        theirs, ours = (np.load(folder / f"{n}.npy") for n in (peer, name))
        error = f"{np.abs(ours - theirs).max() / np.abs(theirs).max():.1e}"
    spread = f"{brief(median(seconds))} ({brief(min(seconds))}–{brief(max(seconds))})"
    rate = f"{flops(size, case) / median(seconds) / 1e9:.0f}"
    return TITLES[case], who, spread, speed, rate, f"{peaks[name]:.0f}", error


def flops(size: str, case: str) -> float:
    """Multiplications and additions of linear layers and attention."""
    from napari_papernets.networks.vit import SIZES

    depth, dim, _ = SIZES[size]
    count, side, patch = CASES[case]
    tokens = (side // patch) ** 2 + 1
    linear, attention = 2 * tokens * 12 * dim**2, 4 * tokens**2 * dim
    return float(count * depth * (linear + attention))


def ceiling(device: str) -> str:
    """A sentence on the fastest product of matrices that torch finds here, on a processor."""
    from napari_papernets.engine.device import pick_device

    if pick_device(device).type != "cpu":
        return ""
    best = 0.0
    for m, k, n in GEMM:
        x, weight, bias = torch.randn(m, k), torch.randn(n, k), torch.randn(n)
        ways = [lambda: torch.nn.functional.linear(x, weight, bias)]  # noqa: B023
        if torch.backends.mkldnn.is_available():
            ways.append(lambda: torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""))  # noqa: B023
        for way in ways:
            best = max(best, 2 * m * k * n / _fastest(way) / 1e9)
    return (
        f" The fastest float32 product of matrices found here (by MKL or oneDNN, of {len(GEMM)} shapes) "
        f"runs at {best:.0f} GFLOP/s: no network of these products can do more."
    )


def _fastest(call: Callable[[], object], times: int = 10) -> float:
    """Seconds of the fastest of some calls."""
    taken = []
    with torch.inference_mode():
        for _ in range(times):
            began = time.perf_counter()
            call()
            taken.append(time.perf_counter() - began)
    return min(taken)


def make_call(name: str, folder: Path, device: str) -> Call:
    """What the variant does, as a function of nothing; `folder` is not needed."""
    size, case, who = name.split()
    if who == "ours":
        from napari_papernets.engine.device import keep_heap

        keep_heap()
    from napari_papernets.engine.device import pick_device

    count, side, patch = CASES[case]
    target = pick_device(device)
    x = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0)).to(target)
    network = theirs(size, who, target, patch)

    @torch.inference_mode()
    def call() -> NDArray[np.float32]:
        answer = network.tokens(x) if who == "ours" else network.forward_features(x)
        return answer.float().cpu().numpy()

    return call


def theirs(size: str, who: str, device: torch.device, patch: int) -> torch.nn.Module:
    """timm's network with weights drawn by a seed, or ours with the same weights."""
    from napari_papernets.networks import VisionTransformer

    torch.manual_seed(0)
    if not find_spec("timm"):
        from napari_papernets.networks.vit import SIZES

        depth, dim, heads = SIZES[size]
        return VisionTransformer(224, patch, dim, depth, heads).eval().to(device)
    import timm

    name = f"vit_{size}_patch16_224" if patch == 16 else f"vit_{size}_patch14_dinov2"
    peer = timm.create_model(name, dynamic_img_size=True).eval()
    if who == "timm":
        return peer.to(device)
    return VisionTransformer.from_state_dict(peer.state_dict()).to(device)


if __name__ == "__main__":
    asked = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    serve(*asked[:2], make_call(*asked))
