"""What takes long the first time is begun when a panel opens, beside the window."""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Callable
from contextlib import suppress

from ..core.errors import EngineError

# napari imports these with the first Labels layer, on the thread of the window: a second of silence.
AHEAD = ("pandas", "scipy.linalg", "skimage.color", "skimage.exposure", "skimage.util", "numba")


def import_ahead(*also: Callable[[], object]) -> threading.Thread:
    """Import what napari needs for labels on a thread of its own, and what a panel wants `also`.

    What is not installed is left out.
    """
    thread = threading.Thread(target=_import_all, args=also, name="papernets-imports", daemon=True)
    thread.start()
    return thread


def _import_all(*also: Callable[[], object]) -> None:
    for name in AHEAD:
        if importlib.util.find_spec(name.split(".", maxsplit=1)[0]) is not None:
            importlib.import_module(name)
    _draw_dashes()
    _map_colours()
    for more in also:
        with suppress(ImportError, EngineError):  # which is told once it is wanted
            more()


def _draw_dashes() -> None:
    """The first Labels layer has vispy draw every pattern of dashes there is, and remember them."""
    with suppress(ImportError):
        from vispy.visuals.line.dash_atlas import DashAtlas

        DashAtlas()


def _map_colours() -> None:
    """The first Labels layer with colours of its own has numba compile how they are looked up."""
    with suppress(ImportError):
        import numpy as np
        from napari.utils.colormaps import DirectLabelColormap

        colours = {None: "transparent", 0: "transparent", 1: "white"}
        DirectLabelColormap(color_dict=colours).map(np.zeros((1, 1), np.uint8))
