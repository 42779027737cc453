"""One editor for each kind of setting: a number, a choice, a yes or no, indices, or automatic."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QLocale, Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QHBoxLayout,
    QLineEdit,
    QSizePolicy,
    QWidget,
)

from ..core.fields import FieldInfo
from .calm import DECIMALS, CalmComboBox, CalmDoubleSpinBox, CalmSpinBox

LARGEST_INT = 2**31 - 1
AUTO = "auto"


class Editor(QWidget):
    """Edits one value: ``value()``, ``setValue()``, ``valueChanged``."""

    valueChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(0, 0, 0, 0)
        self.row.setSpacing(6)

    def value(self) -> Any:
        raise NotImplementedError

    def setValue(self, value: Any) -> None:
        raise NotImplementedError

    def set_name(self, name: str) -> None:
        """Tell screen readers what is edited; they read the widget that takes the focus."""
        self.setAccessibleName(name)
        proxy = self.focusProxy()
        if proxy is not None:
            proxy.setAccessibleName(name)

    def _tell(self, *_: object) -> None:
        self.valueChanged.emit(self.value())

    def _fill(self, widget: QWidget) -> None:
        self.row.addWidget(widget, 1)
        self.setFocusProxy(widget)


class NumberEditor(Editor):
    """A spin box for int or float, with the bounds and step of its field."""

    def __init__(self, info: FieldInfo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.spin = CalmSpinBox() if info.type is int else CalmDoubleSpinBox()
        low = -LARGEST_INT if info.min is None else info.min
        high = LARGEST_INT if info.max is None else info.max
        if isinstance(self.spin, CalmDoubleSpinBox):
            self.spin.setDecimals(DECIMALS)
        self.spin.setRange(info.type(low), info.type(high))
        self.spin.setSingleStep(info.type(info.step or 1))
        self.spin.setLocale(QLocale.c())
        self.spin.setKeyboardTracking(False)
        self.spin.setStepType(QAbstractSpinBox.StepType.DefaultStepType)
        # Wide bounds (a million pixels) must not make a narrow panel wide.
        self.spin.setMinimumWidth(60)
        self.spin.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.spin.valueChanged.connect(self._tell)
        self._fill(self.spin)

    def value(self) -> int | float:
        return self.spin.value()

    def setValue(self, value: float) -> None:
        self.spin.setValue(value)

    def set_known(self, known: bool) -> None:
        """Show the number, or that it is not known yet."""
        self.spin.set_word("" if known else AUTO)


class ChoiceEditor(Editor):
    """A combo box of texts."""

    def __init__(self, info: FieldInfo, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.combo = CalmComboBox()
        self.combo.addItems(list(info.choices))
        self.combo.currentTextChanged.connect(self._tell)
        self._fill(self.combo)

    def value(self) -> str:
        return self.combo.currentText()

    def setValue(self, value: str) -> None:
        self.combo.setCurrentText(value)


class CheckEditor(Editor):
    """A check box."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = QCheckBox()
        self.box.toggled.connect(self._tell)
        self._fill(self.box)

    def value(self) -> bool:
        return self.box.isChecked()

    def setValue(self, value: bool) -> None:
        self.box.setChecked(value)


class IndexListEditor(Editor):
    """A line of whole numbers from 0, separated by commas."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line = QLineEdit()
        self.line.setPlaceholderText("0, 1, 2")
        self.line.setMinimumWidth(60)
        self.line.setValidator(_IndexListValidator(self.line))
        self.line.editingFinished.connect(self._tell)
        self._fill(self.line)

    def value(self) -> tuple[int, ...]:
        words = self.line.text().replace(",", " ").split()
        return tuple(int(word) for word in words)

    def setValue(self, value: tuple[int, ...]) -> None:
        self.line.setText(", ".join(str(v) for v in value))


class _IndexListValidator(QValidator):
    """Digits, commas and spaces; Qt 5 and 6 differ in their regular expression classes."""

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        text = text or ""
        fine = all(c.isdecimal() or c in ", " for c in text)
        return (QValidator.State.Acceptable if fine else QValidator.State.Invalid), text, position


class OptionalEditor(Editor):
    """A check box "auto", which stands for None, beside the editor of the value. While it is checked,
    a number is shown only where it is known what "auto" will come to.

    Parameters
    ----------
    inner : Editor
        Edits the value while "auto" is not checked.
    start : object
        What the inner editor shows first then.
    """

    def __init__(self, inner: Editor, start: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.auto = QCheckBox(AUTO)
        self.inner = inner
        self._foreseen: Any = None
        inner.setValue(start)
        self.row.addWidget(self.auto)
        self.row.addWidget(inner, 1)
        self.setFocusProxy(self.auto)
        self.auto.toggled.connect(inner.setDisabled)
        self.auto.toggled.connect(self._show_foreseen)
        self.auto.toggled.connect(self._tell)
        inner.valueChanged.connect(self._tell)
        self.auto.setChecked(True)

    def set_name(self, name: str) -> None:
        """Of both parts, which take the focus one after the other."""
        self.setAccessibleName(name)
        self.auto.setAccessibleName(f"{name}: auto")
        self.inner.set_name(name)

    def value(self) -> Any:
        if self.auto.isChecked():
            return None
        value = self.inner.value()
        return None if value == () else value

    def setValue(self, value: Any) -> None:
        if value is not None:
            self.inner.setValue(value)
        self.auto.setChecked(value is None)

    def foresee(self, value: Any) -> None:
        """Show greyed what "auto" will come to, None where that is not known; a value that the person
        chose stays."""
        self._foreseen = value
        self._show_foreseen()

    def _show_foreseen(self, *_: object) -> None:
        automatic, known = self.auto.isChecked(), self._foreseen is not None
        if automatic and known:
            self.inner.blockSignals(True)
            self.inner.setValue(self._foreseen)
            self.inner.blockSignals(False)
        if isinstance(self.inner, NumberEditor):
            self.inner.set_known(known or not automatic)


def make_editor(info: FieldInfo, start: Any = None) -> Editor:
    """The editor that fits a field, showing its default.

    Parameters
    ----------
    info : FieldInfo
        From a settings class.
    start : object, optional
        What an optional value starts from when "auto" is unchecked.
    """
    editor = _plain_editor(info)
    if info.optional:
        default_start = () if info.type is tuple else max(info.min or 0, 1)
        editor = OptionalEditor(editor, default_start if start is None else start)
    editor.setValue(info.default)
    editor.setToolTip(f"<p>{info.tooltip}</p>")
    editor.set_name(info.label)
    return editor


def _plain_editor(info: FieldInfo) -> Editor:
    if info.choices:
        return ChoiceEditor(info)
    if info.type is bool:
        return CheckEditor()
    if info.type in (int, float):
        return NumberEditor(info)
    if info.type is tuple:
        return IndexListEditor()
    raise TypeError(f"no editor for {info.name} of type {info.type.__name__}")
