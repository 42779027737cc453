"""``papernets features`` and ``papernets weights``: tokens of files, and public checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .cli_options import FILE, IntegerList, settings_options
from .cli_tools import device_option, drain_with_bar, expand, friendly_errors, given, naming
from .core.command import command_with
from .core.errors import InputError
from .core.feature_settings import FeatureSettings
from .image_folders import CLUSTERS, PCA, ROLLOUT, TOKENS

if TYPE_CHECKING:
    from .core.feature_maps import FeatureMaps
    from .core.part import Part

FORMATS = ("npz", "zarr")


@click.command()
@click.argument("images", nargs=-1, required=True, type=FILE)
@click.option("--model", "-m", required=True,
              help="Name or file of a Vision Transformer, or of a public checkpoint.")  # fmt: skip
@click.option("--axes", help="Axes of the image, as in YX, CYX, ZYX or YXC. Default: from the file.")
@click.option("--out", "-o", type=FILE, default=Path("."), show_default=True,
              help="Folder for the results.")  # fmt: skip
@device_option
@click.option("--format", "kind", type=click.Choice(FORMATS), default="npz", show_default=True,
              help="What the tokens are written as.")  # fmt: skip
@click.option("--clusters", type=click.IntRange(1, 255), help="Write groups of tokens as labels.")
@click.option("--region", type=IntegerList(), help="Only these pixels: y0,y1,x0,x1.")
@click.option("--plane", "planes", type=IntegerList(), multiple=True,
              help="Only this plane of a stack, as in 3 or (time, z) 0,3; may be repeated.")  # fmt: skip
@click.option("--random-weights", is_flag=True, help="The control: the same with random weights.")
@settings_options(FeatureSettings)
def features(
    images: tuple[Path, ...],
    model: str,
    axes: str | None,
    out: Path,
    device: str,
    kind: str,
    clusters: int | None,
    region: tuple[int, int, int, int] | None,
    planes: tuple[tuple[int, ...], ...],
    random_weights: bool,
    **options: Any,
) -> None:
    """Read the patch tokens of IMAGES and write NAME_tokens and a picture of them for each."""
    with friendly_errors():
        from .atomic import check_folder
        from .core.part import Part
        from .engine.device import keep_heap
        from .engine.features import features as run
        from .engine.features import open_features
        from .engine.prediction_job import check_planes
        from .engine.vit_models import load_vit
        from .file_names import result_names
        from .files import read_image
        from .result_files import check_results

        settings = FeatureSettings.from_dict(given(options))
        check_folder(out, "out")
        keep_heap()
        names = result_names(expand(images))
        ends = _ends(kind, clusters, settings.summaries)
        check_results(out, names.values(), ends, names)
        count = len(names)
        for path in names if count > 1 else ():  # a bad one is found before any result is written
            with naming(path, 0, count):
                image = read_image(path, axes)
                open_features(image, load_vit(model, random_weights), settings, region)
                check_planes(image, planes or None)
        for number, (path, called) in enumerate(names.items()):
            with naming(path, number, count):
                image = read_image(path, axes)
                job = run(
                    image, model, settings, device=device, region=region,
                    planes=planes or None, random_weights=random_weights,
                )  # fmt: skip
                maps = drain_with_bar(job, path.name)
            part = Part(image, region, planes or None)
            for written in _write(maps, part, out, called, ends, kind, clusters):
                click.echo(written)


@click.command()
@click.argument("name", required=False)
@click.option("--file", "file", type=FILE,
              help="Keep this file (.safetensors or .pth) as a model instead.")  # fmt: skip
@click.option("--heads", type=click.IntRange(1), help="Of the file: number of heads. Default: D / 64.")
@click.option("--antialias/--no-antialias", default=True, show_default=True,
              help="Of the file: position embeddings as timm, or as DINO and MAE.")  # fmt: skip
def weights(name: str | None, file: Path | None, heads: int | None, antialias: bool) -> None:
    """List public checkpoints, download the one called NAME, or keep a file that you have."""
    with friendly_errors():
        from .core.moco_checkpoints import ALL_CHECKPOINTS
        from .engine.downloads import adopt, download

        if file is None and heads is not None:
            raise InputError("heads", heads, "it is of a file: give --file too")
        if file is not None:
            job = adopt(file, name=name or "", heads=heads, antialias=antialias)
            click.echo(drain_with_bar(job, file.name).path)
        elif name is not None:
            click.echo(drain_with_bar(download(name), name).path)
        else:
            for c in ALL_CHECKPOINTS:
                click.echo(f"{c.name:<23} {c.megabytes:>4} MB  {c.licence:<26} {c.about}")


def _ends(kind: str, clusters: int | None, summaries: bool) -> list[str]:
    """What the names of the results end in."""
    asked = [CLUSTERS] * bool(clusters) + [ROLLOUT] * summaries
    return [f"{TOKENS}.{kind}", PCA, *asked]


def _write(
    maps: FeatureMaps, part: Part, out: Path, stem: str, ends: list[str], kind: str, clusters: int | None
) -> Iterator[Path]:
    """Tokens, a picture of their principal components, and what else was asked for."""
    import numpy as np

    from .feature_files import write_tokens
    from .files import write_image, write_labels
    from .result_files import write_account

    asked = dict(clusters=clusters, format=None if kind == FORMATS[0] else kind)
    command = command_with(maps.provenance["command"], asked)
    account = write_account(out, stem, dict(maps.provenance, command=command), ends)
    yield write_tokens(out / f"{stem}{TOKENS}.{kind}", maps)
    axes, unit, where = part.axes, part.image.unit, _positions(maps, part)
    scale = _scale(part, maps.cell)
    colours = (maps.pca_rgb() * 255).round().astype(np.uint8)
    target = out / f"{stem}{PCA}"
    write_image(target, np.moveaxis(colours, -1, 0), f"C{axes}", (1.0, *scale), unit, where)
    yield target
    if clusters:
        target = out / f"{stem}{CLUSTERS}"
        write_labels(target, maps.clusters(clusters).astype(np.uint8), axes, scale, unit, where)
        yield target
    if maps.rollout is not None:
        target = out / f"{stem}{ROLLOUT}"
        write_image(target, maps.rollout, axes, _scale(part, maps.patch), unit, where)
        yield target
    yield account


def _scale(part: Part, side: float) -> tuple[float | None, ...]:
    """Along the axes of `part`, for squares of `side` pixels."""
    y, x = part.image.plane_scale
    return *part.scale[:-2], y * side, x * side


def _positions(maps: FeatureMaps, part: Part) -> dict[str, list[float]]:
    """As `Part.positions`, of the grid: it begins at the border of a patch."""
    where = part.positions()
    for axis, start, size in zip("YX", maps.origin, part.image.plane_scale, strict=True):
        if axis in where:
            where[axis] = [start * size] * len(where[axis])
    return where
