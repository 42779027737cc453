"""What the ViT panel shows beside the image: all heads, distances, filters, positions; and the score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget
from superqt import QCollapsible, QElidingLabel

from ..atomic import replacing
from ..core.errors import InputError
from ..core.feature_maps import FeatureMaps
from .curve_plots import import_pyqtgraph
from .picture import PictureView, to_image
from .settings_form import folded
from .theme_colours import theme_colours

EMBEDDING_HELP = (
    "Show what the network's first layer looks for (Filters) and how it knows places apart (Positions). "
    "It needs no image."
)
KEY_SIZE = "9pt"
SAVED_SIDE = 960  # pixels of a saved picture, about
PICTURES = {
    "heads": ("All heads", "Attention of every head for the clicked place, each in its own contrast."),
    "filters": (
        "Filters",
        "Principal components of the patch-embedding filters, grey is 0 (the paper's figure 7, left). A "
        "network that has learnt shows edges and colours; random weights show noise.",
    ),
    "positions": (
        "Positions",
        "Cosine similarity of position embeddings (figure 7, centre): each small picture belongs to the "
        "patch where it lies, and shows its likeness to all others.",
    ),
    "distances": (
        "Distances",
        "Mean attention distance of every head by block (figure 7, right), in pixels: what is near 0 "
        "looks next to itself, what is high looks across the image. Needs Rollout.",
    ),
}


class DistancePlot(QWidget):
    """Mean attention distance of every head over the block, as points."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pg: Any = import_pyqtgraph()
        self.view = self._pg.GraphicsLayoutWidget()
        self.view.setMinimumHeight(200)
        self.view.setAccessibleName("Mean attention distance of every head by block")
        self.plot = self.view.addPlot()
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.setLabel("bottom", "block")
        self.plot.setLabel("left", "distance (px)")
        self.plot.showGrid(x=True, y=True, alpha=0.15)
        self.points: dict[bool, Any] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)

    def draw(self, distances: NDArray[np.float32], random: bool) -> None:
        """Show the heads of every block (L, heads); those of random weights stay beside them."""
        colours = theme_colours(self)
        self.view.setBackground(colours.background)
        for side in ("left", "bottom"):
            self.plot.getAxis(side).setPen(self._pg.mkPen(colours.faint))
            self.plot.getAxis(side).setTextPen(self._pg.mkPen(colours.text))
        if random not in self.points:
            self.points[random] = self.plot.plot(pen=None)
        depth, heads = distances.shape
        blocks = np.repeat(np.arange(1, depth + 1), heads) + (0.25 if random else 0.0)
        colour = colours.second if random else colours.first
        look = dict(symbol="x" if random else "o", symbolBrush=colour, symbolPen=None, symbolSize=7)
        self.points[random].setData(blocks, distances.ravel(), **look)
        self._write_key()

    def drop(self, random: bool) -> None:
        """Take the points of a network away."""
        if random in self.points:
            self.plot.removeItem(self.points.pop(random))
            self._write_key()

    def _write_key(self) -> None:
        """Which points are whose, in their colours; nothing where there is but one kind."""
        if len(self.points) < 2:
            self.plot.setTitle(None)
            return
        colours = theme_colours(self)
        kinds = (colours.first, "● this network"), (colours.second, "× random weights")
        key = "&nbsp; ".join(f'<span style="color: {colour}">{text}</span>' for colour, text in kinds)
        self.plot.setTitle(key, size=KEY_SIZE)

    def picture(self) -> QImage:
        """What is shown."""
        return self.view.grab().toImage()


class VitExtras(QWidget):
    """Pictures that belong to the network or to a click, not onto the image; each can be saved.

    Attributes
    ----------
    embeddingRequested : Signal()
        Filters and positions are wanted.
    told : Signal(str)
        Where something was saved.
    """

    embeddingRequested = Signal()
    told = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pictures: dict[str, NDArray[np.uint8]] = {}
        self.views = {name: PictureView() for name in ("heads", "filters", "positions")}
        self._distances: DistancePlot | None = None
        self.embedding = QPushButton("Look at the embedding")
        self.embedding.setToolTip(f"<p>{EMBEDDING_HELP}</p>")
        self.embedding.clicked.connect(self.embeddingRequested)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.embedding)
        self.folds: dict[str, QCollapsible] = {}
        self.captions: dict[str, QElidingLabel] = {}
        for name, (title, help) in PICTURES.items():
            self.folds[name] = self._fold(name, title, help)
            layout.addWidget(self.folds[name])

    def show_picture(self, name: str, picture: NDArray[np.uint8], caption: str = "") -> None:
        """Show a picture (H, W, 3), and unfold it where it is the first."""
        self.captions[name].setText(caption)
        if name not in self.pictures:
            self.folds[name].expand(animate=False)
        self.pictures[name] = picture
        self.views[name].show_picture(picture)

    def show_distances(self, maps: FeatureMaps, network: str, random: bool, where: str = "") -> None:
        """Show the distances, where they were asked for.

        Parameters
        ----------
        maps : FeatureMaps
            What was read.
        network : str
            Name of the network.
        random : bool
            Whether they are those of random weights beside it.
        where : str
            Of the image; goes behind the names.
        """
        if maps.distances is None:
            return
        if self._distances is None:
            self._distances, fold = DistancePlot(), self.folds["distances"]
            self._hold(fold).insertWidget(0, self._distances)
            self._distances.show()  # now, not with the next event: what is hidden has no height
            fold.collapse(animate=False)  # it measures its content when it is unfolded
            fold.expand(animate=False)
        self._distances.draw(maps.distances, random)
        if not random:
            self._distances.drop(True)
            self.captions["distances"].setText(f"{network}{where}")

    @property
    def distances(self) -> DistancePlot | None:
        """The plot, once there was something to plot."""
        return self._distances

    def save(self, name: str, path: str | Path) -> None:
        """Write a picture, enlarged without smoothing, or the plot as it is seen."""
        if name == "distances":
            image = self._distances.picture() if self._distances is not None else QImage()
        else:
            picture = self.pictures[name]
            factor = max(1, SAVED_SIDE // max(picture.shape[:2]))
            image = to_image(picture.repeat(factor, 0).repeat(factor, 1))
        try:
            with replacing(Path(path)) as temporary:
                if image.isNull() or not image.save(str(temporary)):
                    raise OSError(f"{path} cannot be written")
        except (InputError, OSError):
            self.told.emit(f"{path} could not be written")
        else:
            self.told.emit(f"Saved {path}")

    def _fold(self, name: str, title: str, help: str) -> QCollapsible:
        rows = QVBoxLayout()
        button = QPushButton("Save…")
        button.setToolTip("<p>Save this picture as PNG.</p>")
        button.setAccessibleName(f"Save {title}")
        button.clicked.connect(lambda: self._ask_where(name))
        self.captions[name] = QElidingLabel()
        line = QHBoxLayout()
        line.addWidget(self.captions[name], 1)
        line.addWidget(button)
        if name in self.views:
            self.views[name].setAccessibleName(title)
            rows.addWidget(self.views[name])
        rows.addLayout(line)
        fold = folded(title, rows)
        for part in (fold.toggleButton(), fold.content()):
            part.setToolTip(f"<p>{help}</p>")
        return fold

    def _hold(self, fold: QCollapsible) -> QVBoxLayout:
        layout = fold.content().layout()
        assert isinstance(layout, QVBoxLayout)
        return layout

    def _ask_where(self, name: str) -> None:
        if name in self.pictures or (name == "distances" and self._distances is not None):
            path, _ = QFileDialog.getSaveFileName(self, "Save picture", f"{name}.png", "PNG (*.png)")
            if path:
                self.save(name, path)
