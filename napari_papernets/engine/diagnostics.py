"""What a report of a problem with the engine should hold."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._version import __version__


def report(engine: Mapping[str, Any], log: Sequence[str]) -> str:
    """Plain text for the clipboard.

    Parameters
    ----------
    engine : mapping
        State of the engine and what it told of itself.
    log : sequence of str
        Last lines of its output.
    """
    facts = {
        "napari-papernets": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "numpy": np.__version__,
        **engine,
    }
    facts |= facts.pop("versions", {})
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in facts.items()]
    return "\n".join([*lines, "", "Engine log:", *log])
