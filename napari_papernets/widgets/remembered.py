"""What a panel remembers from day to day: a small JSON file in the user's configuration folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from ..files import write_json


def memory_file(panel: str) -> Path:
    """Where a panel's memory lies."""
    return Path(platformdirs.user_config_dir("napari-papernets", appauthor=False)) / f"{panel}.json"


def recall(panel: str) -> dict[str, Any]:
    """What was remembered; empty if nothing was, or if the file is damaged."""
    try:
        values = json.loads(memory_file(panel).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def remember(panel: str, values: Mapping[str, Any]) -> None:
    """Keep `values` (JSON-able), whole or not at all; a folder that cannot be written to is no error,
    since losing a preference must not stop a run."""
    with contextlib.suppress(OSError):
        write_json(memory_file(panel), values)
