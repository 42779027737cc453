"""A small table: how well a new version and the one before it answer what is annotated."""

from __future__ import annotations

import html
from collections.abc import Sequence

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from ..core.events import ClassScore, mean_scores
from .theme_colours import theme_colours
from .versions_model import signed

HELP = (
    "IoU of each class on everything that was annotated when the new version was made, whether it was "
    "learnt from or held out. Compare tells it image by image."
)


class ClassScores(QLabel):
    """Rows of classes with the IoU of both versions; hidden while there are none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.setAccessibleName("New version beside the one before")
        self.setToolTip(f"<p>{HELP}</p>")
        self._shown: tuple[int, int, Sequence[str], Sequence[ClassScore]] | None = None
        self.hide()

    def show_scores(
        self, old: int, new: int, names: Sequence[str], scores: Sequence[ClassScore]
    ) -> None:
        """Show how two versions do; `names` are those of the classes 1…K."""
        self._shown = (old, new, names, scores) if scores else None
        self._write()

    def clear(self) -> None:
        """Show none."""
        self._shown = None
        self._write()

    def changeEvent(self, event: QEvent) -> None:
        """The theme may have changed."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and self.isVisible():
            self._write()

    def _write(self) -> None:
        self.setVisible(self._shown is not None)
        if self._shown is None:
            self.setText("")
            return
        old, new, names, scores = self._shown
        rows = [_row("IoU", f"version {old} → {new}", "change", bold=True)]
        rows += [self._scores(names[s.number - 1], s.old, s.new) for s in scores]
        rows.append(self._scores("mean", *mean_scores(scores)))
        self.setText(f"<table cellspacing='0' cellpadding='2' width='100%'>{''.join(rows)}</table>")

    def _scores(self, name: str, old: float, new: float) -> str:
        colours, change = theme_colours(self), signed(new - old)
        colour = {"+": colours.good, "−": colours.bad}.get(change[0], colours.text)
        coloured = f"<span style='color:{colour}'>{change}</span>"
        return _row(html.escape(name), f"{old:.3f} → {new:.3f}", coloured)


def _row(first: str, *others: str, bold: bool = False) -> str:
    tag = "th" if bold else "td"
    cells = "".join(f"<{tag} align='right'>&nbsp;&nbsp;{one}</{tag}>" for one in others)
    return f"<tr><{tag} align='left'>{first}</{tag}>{cells}</tr>"
