"""``papernets refine``: the fully connected CRF on files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from .cli_options import FILE, IntegerList, settings_options
from .cli_tools import device_option, drain_with_bar, friendly_errors, given
from .core.crf_settings import Backend, CRFSettings
from .core.errors import InputError
from .image_folders import LABELS, PROBABILITIES

if TYPE_CHECKING:
    from .core.image import ImageBlock
    from .core.part import Part
    from .core.results import Refinement

ENDS = (LABELS, PROBABILITIES)


@click.command()
@click.argument("probabilities", type=FILE)
@click.argument("image", type=FILE)
@click.option("--axes", help="Axes of the image, as in YX, CYX, ZYX or YXC. Default: from the file.")
@click.option("--out", "-o", type=FILE, default=Path("."), show_default=True,
              help="Folder for the results.")  # fmt: skip
@click.option("--backend", type=click.Choice(get_args(Backend)), default="torch", show_default=True,
              help="torch: our own; pydensecrf: that library (extra crf).")  # fmt: skip
@device_option
@click.option("--region", type=IntegerList(), help="Only these pixels: y0,y1,x0,x1.")
@click.option("--plane", "planes", type=IntegerList(), multiple=True,
              help="Only this plane of a stack, as in 3 or (time, z) 0,3; may be repeated.")  # fmt: skip
@settings_options(CRFSettings)
def refine(
    probabilities: Path,
    image: Path,
    axes: str | None,
    out: Path,
    backend: Backend,
    device: str,
    region: tuple[int, int, int, int] | None,
    planes: tuple[tuple[int, ...], ...],
    **options: Any,
) -> None:
    """Refine PROBABILITIES (classes along C, as predict writes them) to the edges of IMAGE."""
    with friendly_errors():
        from .atomic import check_folder
        from .core.part import Part
        from .engine.device import keep_heap
        from .engine.refine import refine as run
        from .file_names import base_name
        from .files import read_image
        from .result_files import check_results

        settings = CRFSettings.from_dict(given(options))
        check_folder(out, "out")
        keep_heap()
        stem = f"{base_name(image)}_refined"
        check_results(out, [stem], ENDS, (probabilities, image))
        block = read_image(image, axes)
        job = run(
            _classes_first(_read_maps(probabilities, block)),
            block,
            settings,
            backend=backend,
            device=device,
            region=region,
            planes=planes or None,
            show="nothing",
            source=str(probabilities),
        )
        result = drain_with_bar(job, image.name)
        for written in _write(result, Part(block, region, planes or None), out, stem):
            click.echo(written)


def _read_maps(path: Path, image: ImageBlock) -> ImageBlock:
    """Probabilities, by the axes of their file where C is among them, else with C before the image's."""
    from .files import read_image

    found, wanted = read_image(path, field="probabilities"), f"C{image.stack_axes}YX"
    if "C" in found.axes:
        return found
    if len(found.axes) != len(wanted):
        mend = f"give one map for each class, as in a file with the axes {wanted}"
        raise InputError("probabilities", f"{path.name} of shape {found.shape}", mend)
    return replace(found, axes=wanted)


def _classes_first(block: ImageBlock) -> Any:
    """The array of a block with its axes in the order (C, *stack, Y, X)."""
    import numpy as np

    order = ["C", *block.stack_axes, "Y", "X"]
    return np.asarray(block.data).transpose([block.axes.index(a) for a in order])


def _write(result: Refinement, part: Part, out: Path, stem: str) -> Iterator[Path]:
    from .files import write_image, write_labels
    from .result_files import write_account

    account = write_account(out, stem, result.provenance, ENDS)
    unit, where = part.image.unit, part.positions()
    target = out / f"{stem}{LABELS}"
    write_labels(target, result.labels, part.axes, part.scale, unit, where)
    yield target
    target = out / f"{stem}{PROBABILITIES}"
    write_image(target, result.probabilities, f"C{part.axes}", (1.0, *part.scale), unit, where)
    yield target
    yield account
