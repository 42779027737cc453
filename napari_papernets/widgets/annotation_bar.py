"""Live or not, train now, stop; one line on what goes on; where to paint next."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from .live_control import LiveState
from .theme_colours import theme_colours

# Others than those of napari's menus and of the other panels: Qt takes a key that two have as nobody's.
KEYS = {"live": "Alt+A", "train": "Alt+T", "stop": "Alt+K", "place": "Alt+U"}
HELP = {
    "live": "Learn while you paint: every stroke changes the prediction at once, then the network "
    "itself is trained until nothing improves (Alt+A).",
    "train": "Train now, with all strokes so far (Alt+T).",
    "stop": "Stop this round of training and keep what was learnt as a version; Keep: keep the answer "
    "that is shown as one, without training. Live goes on with the next stroke (Alt+K).",
    "place": "Move to the place that the model is most uncertain of, away from your strokes: the best "
    "place for the next one (Alt+U). The hidden layer “uncertainty” shows all of them.",
}
DOT = "●"


class AnnotationBar(QWidget):
    """Asks for training and shows how it goes; it starts nothing itself.

    Attributes
    ----------
    liveChanged : Signal(bool)
        Live was switched.
    trainRequested : Signal()
        Train now was pressed.
    stopRequested : Signal()
        Stop was pressed.
    placeRequested : Signal()
        The most uncertain place is wanted.
    """

    liveChanged = Signal(bool)
    trainRequested = Signal()
    stopRequested = Signal()
    placeRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.live = QCheckBox("Live")
        self.live.setChecked(True)
        self.live.toggled.connect(self.liveChanged)
        self.train, self.stop = QPushButton("Train now"), QPushButton("Stop")
        self.place = QPushButton("Most uncertain place")
        self.dot, self.line = QLabel(DOT), QLabel()
        self.line.setWordWrap(True)
        self.line.setAccessibleName("State of the training")
        self.line.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        for name, signal in (
            ("train", self.trainRequested),
            ("stop", self.stopRequested),
            ("place", self.placeRequested),
        ):
            getattr(self, name).clicked.connect(lambda _=False, signal=signal: signal.emit())
        for name, help_ in HELP.items():
            control = getattr(self, name)
            control.setToolTip(f"<p>{help_}</p>")
            control.setShortcut(KEYS[name])
        self._lay_out()
        self.state: LiveState | None = None

    def show_state(self, state: LiveState) -> None:
        """Say what goes on, and offer what can be done now."""
        self.state = state
        self.line.setText(state.text)
        self.train.setEnabled(state.kind not in ("learning", "waiting", "empty"))
        self.stop.setEnabled(state.kind == "learning" or state.unsaved)
        self.stop.setText("Keep" if state.unsaved else "Stop")
        self.stop.setShortcut(KEYS["stop"])  # which goes with the text
        self._recolour()

    def set_place_known(self, known: bool) -> None:
        """Whether there is an uncertainty to look at."""
        self.place.setEnabled(known)

    def showEvent(self, event: object) -> None:
        super().showEvent(event)
        self._recolour()

    def _recolour(self) -> None:
        colours = theme_colours(self)
        kind = self.state.kind if self.state else "off"
        colour = {
            "learning": colours.good, "resting": colours.first, "failed": colours.bad,
            "starting": colours.second, "waiting": colours.second,
        }.get(kind, colours.faint)  # fmt: skip
        self.dot.setStyleSheet(f"color: {colour};")

    def _lay_out(self) -> None:
        buttons, state = QHBoxLayout(), QGridLayout()
        buttons.addWidget(self.live)
        buttons.addWidget(self.train, 1)
        buttons.addWidget(self.stop, 1)
        state.addWidget(self.dot, 0, 0, Qt.AlignmentFlag.AlignTop)
        state.addWidget(self.line, 0, 1)
        state.setColumnStretch(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(state)
        layout.addLayout(buttons)
        layout.addWidget(self.place)
