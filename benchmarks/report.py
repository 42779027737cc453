"""Tables for people: printed, and put between markers of a Markdown page."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns."""
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"

    return "\n".join([line(header), line(["-" * w for w in widths]), *map(line, rows)])


def machine(*packages: str) -> str:
    """One line on where and with what a table was measured."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", *packages))
    return (
        f"{processor()}, {torch.get_num_threads()} threads, {device}; "
        f"Python {platform.python_version()}, {versions}"
    )


def processor() -> str:
    """The processor's own name where the system tells."""
    try:
        names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        return names[0] if names else platform.machine()
    except OSError:
        return platform.processor() or platform.machine()


def key_on(key: str, device: torch.device) -> str:
    """The section's own name where it was measured on a GPU, beside that of a processor."""
    return key if device.type == "cpu" else f"{key}-{device.type}"


def brief(seconds: float) -> str:
    """Seconds with three digits, but at most milliseconds."""
    return f"{seconds:.{2 if seconds >= 1 else 3}f}"


def publish(text: str, key: str, page: Path | None) -> None:
    """Print a section, and put it into a page where one is given; on a GPU its title says so."""
    if key.endswith("-cuda"):
        text = text.replace("\n", ", on a GPU\n", 1)
    print(text)
    if page is not None:
        put_section(page, key, text)


def put_section(page: Path, key: str, text: str) -> None:
    """Replace the section `key` of a page (between its markers), or append it."""
    begin, end = f"<!-- {key}: begin, written by script -->", f"<!-- {key}: end -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    old = page.read_text(encoding="utf-8") if page.exists() else "# Benchmarks\n"
    if begin in old:
        head, rest = old.split(begin, 1)
        new = head + section + rest.split(end, 1)[1]
    else:
        new = f"{old.rstrip()}\n\n{section}\n"
    temporary = page.with_suffix(".tmp")
    temporary.write_text(new, encoding="utf-8")
    temporary.replace(page)
