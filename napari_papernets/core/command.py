"""The command line that repeats what was just done."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .fields import Settings
from .image import ImageBlock


def command_line(
    verb: str,
    inputs: Sequence[str],
    options: Mapping[str, Any],
    settings: Settings,
) -> str:
    """A `papernets` command, quoted for a POSIX shell.

    Parameters
    ----------
    verb : str
        "predict", "finetune" …
    inputs : sequence of str
        Positional arguments.
    options : mapping
        Further options by name; None is left out, True is a flag, a list of lists is repeated.
    settings : Settings
        Those that differ from their defaults become options.
    """
    words = ["papernets", verb, *(f"./{name}" if name.startswith("-") else name for name in inputs)]
    return shlex.join([*words, *_words({**options, **settings.changed()})])


def command_with(command: str, options: Mapping[str, Any]) -> str:
    """A command with further options, as in `command_line`; one that is empty stays so."""
    return " ".join([command, *map(shlex.quote, _words(options))]) if command else ""


def _words(options: Mapping[str, Any]) -> list[str]:
    words = []
    for name, value in options.items():
        repeated = isinstance(value, tuple | list) and value and isinstance(value[0], tuple | list)
        for single in value if repeated else (value,):
            words += _option(name, single)
    return words


def training_command(
    verb: str,
    inputs: Sequence[str],
    images: Sequence[ImageBlock],
    settings: Settings,
    steps: int,
    device: str,
    **options: Any,
) -> str:
    """The command line that trains again, by steps where this run went by the clock.

    Parameters
    ----------
    verb, inputs, settings
        As for `command_line`.
    images : sequence of ImageBlock
        What `inputs` are read as: their axes are told where all have the same; where they differ, the
        files tell.
    steps : int
        How many were done.
    device : str
        As it was asked for.
    **options
        As for `command_line`.
    """
    axes = {image.axes for image in images}
    told = dict(axes=axes.pop() if len(axes) == 1 else None, device=None if device == "auto" else device)
    return command_line(verb, inputs, options | told, settings.replace(steps=steps, seconds=None))


def listed(names: Iterable[str]) -> str:
    """Names as one text; `names_of` gives them back, whatever is in them.

    >>> listed(["cell", "cell, dead"])
    'cell,"cell, dead"'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(names)
    return text.getvalue()


def names_of(text: str) -> list[str]:
    """The names in a text; those with a comma in them stand between double quotes.

    >>> names_of('cell, "cell, dead"')
    ['cell', 'cell, dead']
    """
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True))]


def _option(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if value is None:
        return []
    if value is True:
        return [flag]
    if value is False:
        return ["--no-" + flag[2:]]
    if isinstance(value, tuple | list):
        return [flag, ",".join(_text(v) for v in value)]
    return [flag, _text(value)]


def _text(value: Any) -> str:
    """The shortest text that reads back as the same value."""
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))
