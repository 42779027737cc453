"""Typed options, and settings as options: the same description that makes the form in the viewer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .core.fields import FieldInfo, Settings

Command = TypeVar("Command", bound=Callable[..., Any])


class FileName(click.Path):
    """A path; an empty one, which a variable of the shell gives that is not set, is not this folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("got an empty name; give a file or folder, as in . for this one", param, ctx)
        return super().convert(value, param, ctx)


class PageName(FileName):
    """A page to write or replace, which is known to be possible before the work for it is done."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        page = Path(super().convert(value, param, ctx))
        if page.is_dir():
            self.fail(f"got {page}, a folder; give the name of a page in it", param, ctx)
        if not (page.parent.is_dir() and os.access(page.parent, os.W_OK)):
            self.fail(
                f"got {page}; give a page in a folder that is there and may be written", param, ctx
            )
        return page


FILE = FileName(path_type=Path)
write_option = click.option("--write", type=PageName(), help="Put the table into this Markdown page.")


class IntegerList(click.ParamType):
    """Whole numbers separated by commas."""

    name = "n,n,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(v) for v in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers such as 0,2", param, ctx)


class OrAuto(click.ParamType):
    """Values of another type, or `auto`, which is as if nothing were typed."""

    def __init__(self, inner: click.ParamType) -> None:
        self.inner, self.name = inner, inner.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return None if value == "auto" else self.inner.convert(value, param, ctx)


def settings_options(kind: type[Settings]) -> Callable[[Command], Command]:
    """One option for each field of a settings class, with its help, range and default."""

    def decorate(command: Command) -> Command:
        for info in reversed(kind.fields()):
            command = _option(info)(command)
        return command

    return decorate


def _option(info: FieldInfo) -> Callable[[Command], Command]:
    text = f"{info.label} – {info.tooltip}  [{_facts(info)}]"
    if info.type is bool:
        return click.option(f"{info.option}/--no-{info.option[2:]}", info.name, default=None, help=text)
    if info.choices:
        kind: click.ParamType = click.Choice(info.choices)
    else:
        kind = IntegerList() if info.type is tuple else click.types.convert_type(info.type)
    kind = OrAuto(kind) if info.optional else kind
    return click.option(info.option, info.name, type=kind, default=None, help=text)


def _facts(info: FieldInfo) -> str:
    """Default and range, as click tells them."""
    default = "auto" if info.default is None else info.default
    low = "" if info.min is None else f"{info.min:.7g}<="
    high = "" if info.max is None else f"<={info.max:.10g}"
    return f"default: {default}" + (f"; {low}x{high}" if low or high else "")
