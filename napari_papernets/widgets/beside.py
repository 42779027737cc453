"""Work on a thread beside the window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from superqt.utils import create_worker


def beside(function: Callable[..., Any], *arguments: Any) -> Any:
    """A worker that calls a function once it is started; its `returned` or `errored` follows.

    Whoever asked for it tells of an error; napari does not, beside it, with a traceback.
    """
    return create_worker(function, *arguments, _ignore_errors=True)
