"""``papernets predict``: segment files, and folders of files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from .cli_options import FILE, IntegerList, settings_options
from .cli_tools import device_option, drain_with_bar, expand, friendly_errors, given, naming
from .core.command import command_with
from .core.errors import InputError
from .core.predict_settings import PredictSettings
from .image_folders import LABELS, PROBABILITIES, TABLE

if TYPE_CHECKING:
    from .core.model import ModelRef
    from .core.part import Part
    from .core.results import Prediction
    from .objects import ObjectRule


@click.command()
@click.argument("images", nargs=-1, required=True, type=FILE)
@click.option("--model", "-m", default="nuclei", show_default=True, help="Model name or file.")
@click.option("--axes", help="Axes of the image, as in YX, CYX, ZYX or YXC. Default: from the file.")
@click.option("--out", "-o", type=FILE, default=Path("."), show_default=True,
              help="Folder for the results.")  # fmt: skip
@device_option
@click.option("--probabilities", is_flag=True, help="Write the probabilities too (float32 TIFF).")
@click.option("--table", is_flag=True, help="Write measurements of every object (CSV).")
@click.option("--objects", metavar="CLASS",
              help="Number the connected parts of this class (its name or number) instead of writing "
                   "classes; smaller ones than --min-size are dropped.")  # fmt: skip
@click.option("--split", is_flag=True, help="Cut objects that touch at a narrow neck (with --objects).")
@click.option("--region", type=IntegerList(), help="Only these pixels: y0,y1,x0,x1.")
@click.option("--plane", "planes", type=IntegerList(), multiple=True,
              help="Only this plane of a stack, as in 3 or (time, z) 0,3; may be repeated.")  # fmt: skip
@settings_options(PredictSettings)
def predict(
    images: tuple[Path, ...],
    model: str,
    axes: str | None,
    out: Path,
    device: str,
    probabilities: bool,
    table: bool,
    objects: str | None,
    split: bool,
    region: tuple[int, int, int, int] | None,
    planes: tuple[tuple[int, ...], ...],
    **options: Any,
) -> None:
    """Segment IMAGES (files, or folders of files) and write NAME_labels.tif for each.

    What this program wrote beside a NAME_provenance.json is left out of folders, and replaced by
    another run; no other file ever is.
    """
    with friendly_errors():
        from .atomic import check_folder
        from .core.part import Part
        from .core.tiles import check_region
        from .engine.device import keep_heap
        from .engine.predict import predict as run
        from .engine.prediction_job import check_planes
        from .file_names import result_names
        from .files import read_image
        from .model_files import find_model
        from .result_files import check_results

        settings, ref = PredictSettings.from_dict(given(options)), find_model(model)
        settings, rule = _object_rule(settings, ref, objects, split)
        check_folder(out, "out")
        keep_heap()
        names = result_names(expand(images))
        ends = _ends(probabilities, table)
        check_results(out, names.values(), ends, names)
        count = len(names)
        for path in names if count > 1 else ():  # a bad one is found before any result is written
            with naming(path, 0, count):
                image = read_image(path, axes)
                ref.spec.pick_channels(image, settings.channels)
                check_planes(image, planes or None)
                check_region(region, image.plane_shape)
        for number, (path, called) in enumerate(names.items()):
            with naming(path, number, count):
                image = read_image(path, axes)
                job = run(
                    image,
                    ref,
                    settings,
                    device=device,
                    probabilities=probabilities,
                    region=region,
                    planes=planes or None,
                )
                result = _with_objects(drain_with_bar(job, path.name), rule)
            part = Part(image, region, planes or None)
            for written in _write(result, part, out, called, ends):
                click.echo(written)


def _object_rule(
    settings: PredictSettings, model: ModelRef, wanted: str | None, split: bool
) -> tuple[PredictSettings, ObjectRule | None]:
    """How objects are made of classes, where that is wanted, and settings that give classes."""
    from .objects import ObjectRule

    if wanted is None:
        if split:
            raise InputError("split", "no class", "give --objects CLASS too")
        return settings, None
    if settings.output == "instances":
        mend = "leave --output out: objects are made of classes"
        raise InputError("output", "'instances' together with objects", mend)
    rule = ObjectRule.of(model.spec.classes, wanted, settings.min_size, split)
    return settings.replace(output="semantic"), rule


def _with_objects(result: Prediction, rule: ObjectRule | None) -> Prediction:
    if rule is None:
        return result
    labels = rule.find(np.asarray(result.labels))
    return replace(result, labels=labels, provenance=rule.account(result.provenance))


def _ends(probabilities: bool, table: bool) -> list[str]:
    """What the names of the results end in."""
    return [LABELS, *[PROBABILITIES] * probabilities, *[TABLE] * table]


def _write(result: Prediction, part: Part, out: Path, stem: str, ends: list[str]) -> Iterator[Path]:
    from .files import write_image, write_labels, write_table
    from .measure import measure
    from .result_files import write_account

    command = command_with(result.provenance["command"], {"table": TABLE in ends or None})
    account = write_account(out, stem, dict(result.provenance, command=command), ends)
    unit, where = part.image.unit, part.positions()
    target = out / f"{stem}{LABELS}"
    write_labels(target, result.labels, part.axes, part.scale, unit, where)
    yield target
    if result.probabilities is not None:
        target = out / f"{stem}{PROBABILITIES}"
        write_image(target, result.probabilities, f"C{part.axes}", (1.0, *part.scale), unit, where)
        yield target
    if TABLE in ends:
        target = out / f"{stem}{TABLE}"
        columns = measure(result.labels, part.image, region=part.region, planes=part.planes)
        write_table(target, columns)
        yield target
    yield account
