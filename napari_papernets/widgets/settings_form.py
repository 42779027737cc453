"""A form made from a settings class: labels, help, ranges and defaults are those of its fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Generic, TypeVar

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QFormLayout, QLabel, QLayout, QVBoxLayout, QWidget
from superqt import QCollapsible

from ..core.fields import FieldInfo, Settings
from .editors import Editor, OptionalEditor, make_editor
from .offered import offer

S = TypeVar("S", bound=Settings)

FIELD_LABEL = "papernets-field-label"


class SettingsForm(QWidget, Generic[S]):
    """Edits one frozen settings value.

    Parameters
    ----------
    kind : type
        A subclass of ``Settings``; a fresh form holds its defaults.
    basic : collection of str
        Fields that are always in sight; the others are folded away under "Advanced".
    leave_out : collection of str
        Fields that are edited elsewhere: they keep what `setValue` was given.
    starts : mapping, optional
        What optional fields start from when "auto" is unchecked.

    Attributes
    ----------
    basic_rows, advanced_rows : QFormLayout
        Where a panel may add rows of its own.
    advanced : QCollapsible
        The folded part.
    valueChanged : Signal(object)
        With the new settings, after an edit that gives valid ones.
    """

    valueChanged = Signal(object)

    def __init__(
        self,
        kind: type[S],
        *,
        basic: Collection[str],
        leave_out: Collection[str] = (),
        starts: Mapping[str, Any] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._base = kind()
        self._editors: dict[str, Editor] = {}
        self.basic_rows, self.advanced_rows = aligned_rows(), aligned_rows()
        self.advanced = folded("Advanced", self.advanced_rows)
        self.advanced.toggleButton().setToolTip("Settings that seldom need a change.")
        for info in kind.fields():
            if info.name not in leave_out:
                rows = self.basic_rows if info.name in basic else self.advanced_rows
                self._add(info, rows, (starts or {}).get(info.name))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self.basic_rows)
        layout.addWidget(self.advanced)

    def value(self) -> S:
        """The settings that are shown.

        Raises
        ------
        InputError
            If they do not pass the checks of their class.
        """
        return self._base.replace(**{name: e.value() for name, e in self._editors.items()})

    def setValue(self, settings: S) -> None:
        """Show other settings; `valueChanged` is emitted once."""
        self._base = settings
        self.blockSignals(True)
        for name, editor in self._editors.items():
            editor.setValue(getattr(settings, name))
        self.blockSignals(False)
        self._tell()

    def foresee(self, name: str, value: Any) -> None:
        """Show greyed what an optional field will come to while it is automatic; None: not known."""
        editor = self._editors[name]
        assert isinstance(editor, OptionalEditor)
        editor.foresee(value)

    def editor(self, name: str) -> Editor:
        """The editor of a field."""
        return self._editors[name]

    def offer(self, name: str, obstacle: str = "") -> None:
        """Grey a field that has no say now, which its tooltip explains; or give it back."""
        (about,) = (info.tooltip for info in type(self._base).fields() if info.name == name)
        offer(self._editors[name], about, obstacle)

    def _add(self, info: FieldInfo, rows: QFormLayout, start: Any) -> None:
        editor = self._editors[info.name] = make_editor(info, start)
        editor.valueChanged.connect(self._tell)
        add_row(rows, info.label, editor, info.tooltip)

    def _tell(self, *_: object) -> None:
        self.valueChanged.emit(self.value())


def aligned_rows() -> QFormLayout:
    """A form layout that fits a narrow dock."""
    rows = QFormLayout()
    rows.setContentsMargins(0, 0, 0, 0)
    rows.setHorizontalSpacing(8)
    rows.setVerticalSpacing(5)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return rows


def add_row(rows: QFormLayout, text: str, field: QWidget, tooltip: str) -> QLabel:
    """Add a labelled field with its help on both; returns the label."""
    label = QLabel(text)
    label.setObjectName(FIELD_LABEL)
    label.setBuddy(field)
    label.setToolTip(f"<p>{tooltip}</p>")
    field.setToolTip(f"<p>{tooltip}</p>")
    for part in (field, field.focusProxy()):  # the focus, and with it a screen reader, goes to the proxy
        if part is not None and not part.accessibleName():
            part.setAccessibleName(text)
    rows.addRow(label, field)
    return label


def add_above(fold: QCollapsible, rows: QFormLayout, field: QWidget) -> None:
    """Add a field that has its own text to the rows above a folded part, for the Tab key too."""
    rows.addRow("", field)
    before = fold.toggleButton().previousInFocusChain()
    while before.focusPolicy() == Qt.FocusPolicy.NoFocus:  # Qt takes no such widget
        before = before.previousInFocusChain()
    QWidget.setTabOrder(before, field)


def align_labels(panel: QWidget) -> None:
    """Give the labels of all forms in `panel` the width of the longest, so that their fields line up."""
    labels = panel.findChildren(QLabel, FIELD_LABEL)
    for label in labels:
        label.ensurePolished()
    width = max((label.sizeHint().width() for label in labels), default=0)
    for label in labels:
        label.setMinimumWidth(width)


def folded(title: str, rows: QLayout) -> QCollapsible:
    """Rows that are folded away under a title, in napari's colours."""
    # The icons of QCollapsible are drawn once in the colour of the palette, which napari's themes do not
    # set: an arrow in the text follows the theme.
    pixel = QPixmap(1, 1)  # PySide6 takes an empty icon for none at all
    pixel.fill(Qt.GlobalColor.transparent)
    nothing = QIcon(pixel)
    fold = QCollapsible(f"▸ {title}", None, nothing, nothing)
    fold.setDuration(0)
    button = fold.toggleButton()
    button.setStyleSheet("text-align: left; background: transparent; padding: 3px 0px;")
    fold.toggled.connect(lambda open_: fold.setText(f"{'▾' if open_ else '▸'} {title}"))
    content = QWidget()
    rows.setContentsMargins(0, 4, 0, 4)
    content.setLayout(rows)
    fold.setContent(content)
    fold.collapse(animate=False)
    fold.layout().setContentsMargins(0, 0, 0, 0)
    fold.layout().setSpacing(0)  # what is folded away takes no room
    return fold
