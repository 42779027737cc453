"""What all commands share: bad input as one line, the progress bar, files in folders, typed options."""

from __future__ import annotations

import io
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from .core.errors import InputError, PapernetsError
from .core.fields import Device

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from .core.events import Event

Result = TypeVar("Result")

# What a system says of a wrong name or folder.
MENDABLE = (
    FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError,
)  # fmt: skip

COUNT = click.IntRange(1)

device_option = click.option(
    "--device",
    type=click.Choice(get_args(Device)),
    default="auto",
    show_default=True,
    help="Where to compute.",
)


class OneLineGroup(click.Group):
    """Commands whose misspelt options end with one line, as all bad input does."""

    def main(self, *args: Any, **options: Any) -> Any:
        # Where output is redirected on Windows, σ has no letter: rather a question mark than no help.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        return super().main(*args, **options)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with friendly_errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with friendly_errors():
            return super().invoke(ctx)


@contextmanager
def friendly_errors() -> Iterator[None]:
    """Turn what a person can mend into one line and exit code 2; other failures into exit code 1."""
    try:
        yield
    except (click.exceptions.NoArgsIsHelpError, BrokenPipeError):  # nobody reads on: click is quiet
        raise
    except click.UsageError as error:
        click.echo(f"papernets: {' '.join(error.format_message().split())}", err=True)
        sys.exit(2)
    except (InputError, *MENDABLE) as error:
        click.echo(f"papernets: {_one_line(error)}", err=True)
        sys.exit(2)
    except (PapernetsError, OSError) as error:  # OSError: a full disk, say
        click.echo(f"papernets: {_one_line(error)}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("papernets: cancelled", err=True)
        sys.exit(130)


@contextmanager
def naming(path: Path, written: int = 0, count: int = 1) -> Iterator[None]:
    """Let bad input tell the file that it is about and, of several images, how many were written."""
    try:
        yield
    except InputError as error:
        named = error.field == "model" or path.name in str(error)
        field = error.field if named else f"{error.field} of {path.name}"
        done = f" ({written} of {count} images were written)" if count > 1 else ""
        raise type(error)(field, error.received, f"{error.mend}{done}") from error


def drain_with_bar(job: Generator[Event, Any, Result], title: str) -> Result:
    """Run a job to its end with a progress bar on standard error; return its result."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(), TextColumn("{task.fields[note]}", markup=False),
    )  # fmt: skip
    # Names of files and notices are shown as they are: "[ch0]" is no style.
    with Progress(*columns, console=Console(stderr=True, markup=False, emoji=False)) as bar:
        task = bar.add_task(title, total=None, note="")
        try:
            while True:
                _show(next(job), bar, task)
        except StopIteration as end:
            return end.value
        except InputError:
            bar.live.transient = True  # so that one line is left, not even an empty one beside it
            bar.console.quiet = not bar.console.is_terminal
            raise
        finally:
            job.close()


def _show(event: Event, bar: Progress, task: TaskID) -> None:
    from .core.events import EpochDone, Notice, Progress, Refined, Started, Step, TileDone

    if isinstance(event, Started):
        bar.update(task, total=event.total or None, completed=0, note=event.message)
    elif isinstance(event, TileDone | Progress):
        bar.update(task, completed=event.done)
    elif isinstance(event, Refined):
        bar.update(task, completed=event.done, note=f"energy {event.energy:.0f}")
    elif isinstance(event, Step):
        bar.update(task, completed=event.step, note=f"loss {event.loss:.3f}")
    elif isinstance(event, EpochDone) and event.score is not None:
        bar.console.print(f"step {event.step}: held-out IoU {event.score:.3f}")
    elif isinstance(event, Notice):
        bar.console.print(event.message)


def expand(paths: tuple[Path, ...], results: bool = False) -> list[Path]:
    """Files, and the images in folders; all of them are there. A zarr folder is one image.

    Unless `results` are wanted, those of this program that lie in a folder are left out, and a line
    says how many.
    """
    from .files import check_readable
    from .image_folders import is_folder, list_folder

    found: list[Path] = []
    for path in paths:
        if not is_folder(path):
            found.append(path)
            continue
        listing = list_folder(path, results)
        if listing.left_out:
            click.echo(f"{path}: left out {listing.left_out} results of this program", err=True)
        found += listing.images
    for path in found:
        check_readable(path)
    return found


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Only what was typed; the settings class knows the defaults."""
    return {name: value for name, value in options.items() if value is not None}


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
