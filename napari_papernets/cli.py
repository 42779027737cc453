"""``papernets``: the verbs on files. Bad input ends with exit code 2 and one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ._version import __version__
from .cli_features import features, weights
from .cli_options import FILE, settings_options, write_option
from .cli_predict import predict
from .cli_pretrain import bench_pretrain, pretrain
from .cli_refine import refine
from .cli_tools import (
    COUNT,
    OneLineGroup,
    device_option,
    drain_with_bar,
    expand,
    friendly_errors,
    given,
)
from .core.command import names_of
from .core.errors import InputError
from .core.tune_settings import TuneSettings

MOST_NAMED = 5  # files in a message


@click.group(
    cls=OneLineGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="papernets")
def main() -> None:
    """U-Net, DeepLab, ViT and MoCo on your own microscopy images: segment, train, look inside."""


@main.command()
@click.argument("images", type=FILE)
@click.argument("annotations", type=FILE)
@click.option("--model", "-m", default="auto", show_default=True,
              help="Where to start: scratch, a model name or a file (of VGG-16's weights for a DeepLab "
                   "too); auto: the start taught for strokes, else scratch.")  # fmt: skip
@click.option("--classes", help="Names of the classes 1 to K, separated by commas; one with a comma "
                                "in it between double quotes.")  # fmt: skip
@click.option("--name", help="Name of the new model, which replaces one of that name. Default: tuned, "
                             "or tuned-2, … so that none is replaced.")  # fmt: skip
@click.option("--out", "-o", type=FILE,
              help="Folder for the model and its checkpoints. Default: your models.")  # fmt: skip
@click.option("--axes", help="Axes of the images. Default: from the files.")
@device_option
@click.option("--resume", is_flag=True, help="Go on from the checkpoint of an interrupted run.")
@click.option("--course", type=FILE,
              help="Of a round in a session: repeat it stroke by stroke, to the same weights.",
)  # fmt: skip
@settings_options(TuneSettings)
def finetune(
    images: Path,
    annotations: Path,
    model: str,
    classes: str | None,
    name: str | None,
    out: Path | None,
    axes: str | None,
    device: str,
    resume: bool,
    course: Path | None,
    **options: Any,
) -> None:
    """Train a model on IMAGES (a file or folder) and ANNOTATIONS (of the same file names)."""
    with friendly_errors():
        from .engine.device import keep_heap
        from .engine.finetune import finetune as run
        from .files import read_image, read_labels

        settings = TuneSettings.from_dict(given(options))
        keep_heap()
        pairs = _pair(images, annotations)
        job = run(
            [read_image(image, axes) for image, _ in pairs],
            [read_labels(labels) for _, labels in pairs],
            model,
            settings,
            device=device,
            name=name,
            class_names=names_of(classes) if classes else None,
            folder=out,
            resume=resume,
            inputs=[str(images), str(annotations)],
            course=course,
        )
        tuned = drain_with_bar(job, name or "fine-tuning")
        click.echo(tuned.model.path)


main.add_command(predict)
main.add_command(refine)


@main.command()
@click.argument("name", required=False)
def models(name: str | None) -> None:
    """List the models, or show the details of the model NAME."""
    with friendly_errors():
        from .model_files import find_model, list_models

        if name is not None:
            ref = find_model(name)
            click.echo(json.dumps({"path": str(ref.path), **ref.spec.to_dict()}, indent=2))
            return
        for ref in list_models():
            spec = ref.spec
            known = () if spec.task == "features" else spec.classes  # its last layer is learnt anew
            classes = ", ".join(c.name for c in known) or "–"
            click.echo(f"{spec.name:<15} {spec.task:<11} {classes:<39} {spec.description}")


@main.command()
@click.option("--output", type=FILE,
              help="Write labels, table and a screenshot to this folder, then quit.")  # fmt: skip
@click.option("--sample", default="nuclei", show_default=True, help="Sample to open.")
def demo(output: Path | None, sample: str) -> None:
    """Open napari with a sample and the U-Net panel, and run the bundled model."""
    with friendly_errors():
        from .widgets.demo import run_demo

        for written in run_demo(sample, output):
            click.echo(written)


@main.group()
def bench() -> None:
    """Measure this machine: the project beside a peer, in one interleaved run."""


@bench.command("predict")
@click.option("--size", type=COUNT, default=2048, show_default=True, help="Side of the image in pixels.")
@click.option("--rounds", type=COUNT, default=3, show_default=True, help="Interleaved rounds.")
@device_option
@write_option
def bench_predict(size: int, rounds: int, device: str, write: Path | None) -> None:
    """Tiled prediction beside MONAI's sliding window (install the `bench` extra for the peer)."""
    with friendly_errors():
        from .benchmarks.predict import run_benchmark

        run_benchmark(size, rounds, device, write)


@bench.command("refine")
@click.option("--rounds", type=COUNT, default=3, show_default=True, help="Interleaved rounds.")
@click.option("--large/--no-large", default=True, show_default=True, help="2048×2048 pixels too.")
@device_option
@write_option
def bench_refine(rounds: int, large: bool, device: str, write: Path | None) -> None:
    """The CRF beside pydensecrf (install the `crf` extra for the peer)."""
    with friendly_errors():
        from .benchmarks.refine import run_benchmark

        run_benchmark(rounds, large, device, write)


@bench.command("features")
@click.option("--model", default="small", show_default=True, type=click.Choice(["tiny", "small"]),
              help="Size of the network, patch 16, random weights.")  # fmt: skip
@click.option("--rounds", type=COUNT, default=5, show_default=True, help="Interleaved rounds.")
@device_option
@write_option
def bench_features(model: str, rounds: int, device: str, write: Path | None) -> None:
    """Tokens of a Vision Transformer beside timm's (install the `bench` extra for the peer)."""
    with friendly_errors():
        from .benchmarks.tokens import run_benchmark

        run_benchmark(model, rounds, device, write)


main.add_command(features)
main.add_command(weights)
main.add_command(pretrain)
bench.add_command(bench_pretrain)


def _pair(images: Path, annotations: Path) -> list[tuple[Path, Path]]:
    """Images with their annotations: two files, or two folders matched by file name."""
    from .file_names import pair_by_name
    from .files import check_readable
    from .image_folders import is_folder

    if is_folder(images) != is_folder(annotations):
        wanted = "folder" if is_folder(images) else "file"
        check_readable(annotations, "annotations")
        raise InputError("annotations", str(annotations), f"give a {wanted}, as for the images")
    if not is_folder(images):
        check_readable(annotations, "annotations")
        return [(images, annotations)]
    found, given_labels = expand((images,)), expand((annotations,), results=True)
    pairs = pair_by_name(found, given_labels)
    if not pairs:
        mend = f"name annotations as their images; {annotations} has none of the same name"
        raise InputError("annotations", str(annotations), mend)
    for kind, given_files, used in (
        ("images", found, {image for image, _ in pairs}),
        ("annotations", given_labels, {labels for _, labels in pairs}),
    ):
        alone = [path.name for path in given_files if path not in used]
        if alone:
            names = ", ".join(alone[:MOST_NAMED]) + (", …" if alone[MOST_NAMED:] else "")
            what = f"{len(alone)} of {len(given_files)} {kind} have no counterpart of their name"
            click.echo(f"papernets: {what} and are left out: {names}", err=True)
    return pairs


if __name__ == "__main__":
    main()
