"""A step of `pretrain` beside its bare cost: do data and augmentation hide behind the computing?

The bare cost is the forward and backward pass of the query encoder and the forward pass of the key
encoder on views that lie ready, as torch runs them: on a GPU kernel by kernel, where a step replays what
was recorded. Both take turns, ten steps each, in one process.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from napari_papernets.sample_data import __file__ as samples
from torch import Tensor

from napari_papernets.core.events import Step
from napari_papernets.core.moco_settings import MoCoSettings
from napari_papernets.engine.device import keep_heap, pick_device
from napari_papernets.engine.pretrain import open_pretraining
from napari_papernets.engine.pretrain_account import Request
from napari_papernets.engine.pretraining import Pretraining
from napari_papernets.files import read_image

from .report import key_on, machine, markdown_table, publish

STEPS, WARM_UP = 10, 3
SMALL = ("contracting", 16, 64)  # encoder (width 16, depth 4), crops in a step, side of a crop
CASES = {"cpu": (SMALL, ("resnet18", 32, 128)), "cuda": (SMALL, ("resnet50", 128, 128))}


def run_benchmark(rounds: int, device: str, page: Path | None) -> None:
    """Measure a small and a large encoder and print the table; put it into `page` where one is given."""
    keep_heap()
    where, rows = pick_device(device), []
    for encoder, batch, crop in CASES.get(where.type, CASES["cpu"]):
        for contrast in ("image", "dense"):
            chosen = dict(encoder=encoder, contrast=contrast, batch=batch, crop=crop)
            settings = MoCoSettings(width=16, depth=4, steps=10**6, **chosen)
            with tempfile.TemporaryDirectory() as folder:
                image = read_image(Path(samples).with_name("nuclei_stack.tif"))
                request = Request([image], "scratch", settings, "bench", Path(folder), None, {})
                _, training, _ = open_pretraining(request, where, resume=False)
                case = f"{encoder}, {batch} crops of {crop}×{crop}"
                rows.append([case, contrast, *measure(training, rounds)])
                training.close()
    header = ["encoder", "contrast", "step, ms", "bare, ms", "ratio (range)", "images/s"]
    eager = ". The bare passes run kernel by kernel; a step replays recorded ones."
    text = (
        f"## A step of pre-training beside its bare cost\n\n"
        f"Medians of {rounds} interleaved rounds of {STEPS} steps; the contracting path has width 16 "
        f"and depth 4. Made by `papernets bench pretrain`. "
        f"{machine('torchvision')}{eager if where.type == 'cuda' else ''}\n\n"
        f"{markdown_table(header, rows)}"
    )
    publish(text, key_on("pretrain", where), page)


def measure(training: Pretraining, rounds: int) -> list[str]:
    """The numbers of one row of the table."""
    bare = bare_step(training)
    for call in (lambda: step(training), bare):
        seconds_of(call, WARM_UP, training.device)
    whole, alone = [], []
    for _ in range(rounds):
        whole.append(seconds_of(lambda: step(training), STEPS, training.device))
        alone.append(seconds_of(bare, STEPS, training.device))
    ratios = [a / b for a, b in zip(whole, alone, strict=True)]
    return [
        f"{median(whole) * 1e3:.1f}",
        f"{median(alone) * 1e3:.1f}",
        f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
        f"{training.settings.batch / median(whole):.0f}",
    ]


def step(training: Pretraining) -> None:
    """One step as the verb does it."""
    assert Step in [type(event) for event in training.advance(1e-3)]


def bare_step(training: Pretraining) -> Callable[[], None]:
    """The encoders' passes of one step, on views that lie ready."""
    views = training._read(0)()
    model = copy.deepcopy(training.model)
    query, key = model.encoder_q, model.encoder_k

    def encode(module: torch.nn.Module, images: Tensor, places: Tensor | None) -> Tensor:
        return module(images) if places is None else module(images, places)

    def run() -> None:
        with torch.autocast(training.device.type, torch.bfloat16, enabled=training.bf16):
            q = encode(query, views.im_q, views.places_q)
            with torch.no_grad():
                encode(key, views.im_k, views.places_k)
        query.zero_grad(set_to_none=True)
        q.float().square().mean().backward()

    return run


def seconds_of(call: Callable[[], None], count: int, device: torch.device) -> float:
    """Seconds that one call takes, of `count` in a row."""
    began = time.perf_counter()
    for _ in range(count):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / count
