"""What takes long the first time is begun when a panel opens, beside the window."""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Callable
from contextlib import suppress

from qtpy.QtCore import QObject, QTimer

from ..core.errors import EngineError, PapernetsError
from .job_adapter import Engine

PAUSE = 300  # ms after a panel was made, so that the window comes first

# napari imports these with the first Labels layer, on the thread of the window: a second of silence.
AHEAD = ("pandas", "scipy.linalg", "skimage.color", "skimage.exposure", "skimage.util", "numba")


class WarmUp(QTimer):
    """Starts the engine beside the window, so that the first job of a panel need not wait for it, and
    imports ahead. To be stopped with the panel, which would take the engine again.

    Parameters
    ----------
    engine : callable
        The engine.
    complain : callable
        Gets the error where it does not start.
    parent : QObject
        The panel.
    *also : callable
        As `import_ahead` takes them.
    """

    def __init__(
        self,
        engine: Callable[[], Engine],
        complain: Callable[[BaseException], object],
        parent: QObject,
        *also: Callable[[], object],
    ) -> None:
        super().__init__(parent, singleShot=True, interval=PAUSE)
        self._engine, self._complain, self._also = engine, complain, also
        self.timeout.connect(self._begin)
        self.start()

    def _begin(self) -> None:
        try:
            self._engine().start()
        except PapernetsError as error:
            self._complain(error)
        import_ahead(*self._also)


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
