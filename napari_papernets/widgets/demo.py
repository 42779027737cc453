"""The demo: a sample, the U-Net panel, and a first run, in a window or into a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.part import Part
from ..core.results import Prediction
from ..files import write_labels, write_table
from ..image_folders import LABELS, TABLE
from ..measure import measure
from ..result_files import check_results, write_account
from ..samples import load_sample

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from .unet_panel import UNetPanel

PLUGIN, PANEL = "napari-papernets", "U-Net"
SETTLE = 1500  # ms until the last layer update is on the screen


def run_demo(sample: str, output: Path | None) -> Iterator[Path]:
    """Open napari with a sample and the U-Net panel, and run the bundled model on it.

    Parameters
    ----------
    sample : str
        Name of a shipped sample.
    output : Path, optional
        Write labels, table, provenance and a screenshot of the window here, then close it. Without
        it the window stays until the user closes it.

    Yields
    ------
    Path
        The files written.

    Raises
    ------
    InputError
        If there is no such sample, napari and a Qt binding are not installed, or the window was closed
        before `output` was complete.
    """
    shown = load_sample(sample)
    if output is not None:
        check_results(output, [sample], (LABELS, TABLE), (), "output")
    viewer, panel = open_window(sample)
    results: list[Prediction] = []
    errors: list[BaseException] = []
    panel.runFinished.connect(lambda _layer, result: results.append(result))
    panel.runFailed.connect(errors.append)
    pictures = _close_when_done(viewer, panel, output) if output is not None else []
    panel.start_run("stack" if shown.image.stack_axes else "plane")
    import napari

    napari.run()
    if errors:
        raise errors[0]
    if output is not None:
        if not pictures:
            mend = "leave it open: it closes by itself when the run is done"
            raise InputError("window", "closed before the run was done", mend)
        yield from _write(results[0], shown.image, output, sample)
        yield from pictures


def open_window(sample: str) -> tuple[Viewer, UNetPanel]:
    """A viewer with the sample and the panel docked, as the menus would open them."""
    try:
        import napari
        import qtpy.QtWidgets  # noqa: F401 - asks for a Qt binding
    except ImportError as error:
        mend = 'install it with a Qt binding: pip install "napari-papernets[pyqt5]"'
        raise InputError("napari", f"not installed ({error})", mend) from error
    viewer = napari.Viewer(title="napari-papernets")
    viewer.window.resize(1500, 940)
    viewer.open_sample(PLUGIN, sample)
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    return viewer, panel


def _close_when_done(viewer: Viewer, panel: UNetPanel, output: Path) -> list[Path]:
    """The list that the screenshot is put into when it is there."""
    from qtpy.QtCore import QTimer

    pictures: list[Path] = []

    def finish(*_: Any) -> None:
        QTimer.singleShot(SETTLE, shoot)

    def shoot() -> None:
        output.mkdir(parents=True, exist_ok=True)
        picture = output / "window.png"
        viewer.window.screenshot(str(picture), canvas_only=False, flash=False)
        pictures.append(picture)
        viewer.close()

    panel.runFinished.connect(finish)
    panel.runFailed.connect(lambda _: viewer.close())
    return pictures


def _write(result: Prediction, image: Any, output: Path, sample: str) -> Iterator[Path]:
    part = Part(image)
    account = write_account(output, sample, result.provenance, (LABELS, TABLE))
    labels = output / f"{sample}{LABELS}"
    write_labels(labels, result.labels, part.axes, part.scale, image.unit)
    table = output / f"{sample}{TABLE}"
    write_table(table, measure(result.labels, image))
    yield from (labels, table, account)
