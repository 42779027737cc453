"""``papernets pretrain`` and its benchmark."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from .cli_options import FILE, settings_options, write_option
from .cli_tools import COUNT, device_option, drain_with_bar, expand, friendly_errors, given
from .core.moco_settings import MoCoSettings


@click.command()
@click.argument("images", nargs=-1, required=True, type=FILE)
@click.option("--model", default="scratch", show_default=True,
              help="Where to start: scratch, a model name or file, or a public MoCo checkpoint of a "
                   "ResNet (.pth, .pth.tar).")  # fmt: skip
@click.option("--name", help="Name of the new model, which replaces one of that name. Default: moco, "
                             "or moco-2, … so that none is replaced.")  # fmt: skip
@click.option("--out", "-o", type=FILE,
              help="Folder for the model and its checkpoints. Default: your models.")  # fmt: skip
@click.option("--axes", help="Axes of the images. Default: from the files.")
@device_option
@click.option("--resume", is_flag=True, help="Go on from the checkpoint of an interrupted run.")
@settings_options(MoCoSettings)
def pretrain(
    images: tuple[Path, ...],
    model: str,
    name: str | None,
    out: Path | None,
    axes: str | None,
    device: str,
    resume: bool,
    **options: Any,
) -> None:
    """Train an encoder on IMAGES (files, folders, OME-Zarr) without annotation: MoCo.

    On several GPUs: torchrun --nproc-per-node N -m napari_papernets.cli pretrain …
    """
    with friendly_errors():
        from .api import drain
        from .engine.device import keep_heap
        from .engine.pretrain import pretrain as run
        from .files import read_image

        settings = MoCoSettings.from_dict(given(options))
        keep_heap()
        blocks = [read_image(path, axes) for path in expand(images)]
        job = run(
            blocks, model, settings, device=device, name=name, folder=out, resume=resume,
            inputs=[str(path) for path in images],
        )  # fmt: skip
        first = os.environ.get("RANK", "0") == "0"  # of the processes of torchrun
        tuned = drain_with_bar(job, name or "pre-training") if first else drain(job)
        if first:
            click.echo(tuned.model.path)


@click.command("pretrain")
@click.option(
    "--rounds", type=COUNT, default=4, show_default=True, help="Interleaved rounds of 10 steps."
)
@device_option
@write_option
def bench_pretrain(rounds: int, device: str, write: Path | None) -> None:
    """A step of pre-training beside its bare cost: the encoders' passes alone, without data."""
    with friendly_errors():
        from .benchmarks.pretrain import run_benchmark

        run_benchmark(rounds, device, write)
