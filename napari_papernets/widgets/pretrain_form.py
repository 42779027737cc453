"""How to pre-train: where to start, for how long, under which name, with which settings."""

from __future__ import annotations

import typing
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QVBoxLayout, QWidget

from ..core.errors import InputError, ModelError
from ..core.fields import Device
from ..core.moco_settings import OF_WEIGHTS, MoCoSettings
from ..core.model import ModelRef
from ..model_files import list_models
from .calm import CalmComboBox, CalmDoubleSpinBox
from .pretrain_checkpoint import Unfinished, free_name, unfinished
from .remembered import recall, remember
from .settings_form import SettingsForm, add_row, aligned_rows

MEMORY = "moco_panel"
BASIC = ("encoder", "contrast", "K", "m", "T", "crop")
SCRATCH = "scratch"
MINUTES = 10.0
NAME_HELP = (
    "Name of the encoder that is made; it is then among the models that training starts from. Where one "
    "is called so already, it stays, and the new one gets a number."
)
MINUTES_HELP = (
    "How long to learn, with the time before an interruption. Stop and keep ends it at any time."
)
START_HELP = "Random weights, or an encoder that has learnt already and goes on."
DEVICE_HELP = "Where to compute: auto is the GPU where there is one, else the processor."


class PretrainForm(QWidget):
    """Edits all of a pre-training but the images.

    Attributes
    ----------
    settings : SettingsForm
        The settings, but for the time.
    start_from, device : QComboBox
    minutes : CalmDoubleSpinBox
    name : QLineEdit
    changed : Signal()
        Something else is shown.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._models: list[ModelRef] = []
        self._learnt: ModelRef | None = None
        self.settings = SettingsForm(
            MoCoSettings, basic=BASIC, leave_out=("seconds", "steps"), starts={"learning_rate": 0.002}
        )
        self.start_from, self.device = CalmComboBox(), CalmComboBox()
        self.device.addItems(typing.get_args(Device))
        self.minutes, self.name = CalmDoubleSpinBox(), QLineEdit("moco")
        self._lay_out()
        self.refresh_models()
        self._recall()
        self.start_from.currentIndexChanged.connect(self._offer_weights)
        for chosen in (self.start_from.activated, self.name.textEdited):
            chosen.connect(lambda _: self.take_learnt(None))
        for signal in (
            self.settings.valueChanged,
            self.start_from.currentIndexChanged,
            self.minutes.valueChanged,
            self.name.textChanged,
        ):
            signal.connect(lambda *_: self.changed.emit())

    def value(self, go_on: bool = False) -> dict[str, Any]:
        """Arguments of the verb, but for the images.

        Parameters
        ----------
        go_on : bool
            From the checkpoint of that name.

        Raises
        ------
        InputError
            If a setting is out of range, or there is no checkpoint that fits.
        """
        settings, name = self._timed_settings(), self.name.text().strip()
        if go_on:
            found, why_not = self.checkpoint()
            if found is None or why_not:
                mend = "press Learn to start anew"
                raise InputError("name", f"{name!r}: {why_not or 'no checkpoint'}", mend)
            kept = dict(seconds=settings.seconds, checkpoint_every=settings.checkpoint_every)
            settings = found.settings.replace(steps=None, **kept)
        return dict(
            model=self._start(),
            settings=settings,
            device=self.device.currentText(),
            name=name if go_on else free_name(name),
            resume=go_on,
        )

    def checkpoint(self) -> tuple[Unfinished | None, str]:
        """What is left of a training of the name that is shown, and why what is shown cannot go on
        from it: empty where it can."""
        found, start = unfinished(self.name.text().strip()), self._start()
        if found is None:
            return None, ""
        base = start.name if isinstance(start, ModelRef) else start
        return found, found.why_not(self._timed_settings(), base)

    def encoder(self) -> ModelRef:
        """The encoder that was learnt last, until another start or name is chosen; otherwise the one
        that a training would start from, or else the one of the name that is shown.

        Raises
        ------
        ModelError
            If there is none yet.
        """
        chosen = self._learnt or self._start()
        if isinstance(chosen, ModelRef):
            return chosen
        named = [ref for ref in self._models if ref.name == self.name.text().strip()]
        if not named:
            raise ModelError("model", "no encoder yet", "learn one first, or choose one to start from")
        return named[-1]

    def take_learnt(self, model: ModelRef | None) -> None:
        """A training gave this encoder."""
        self._learnt = model

    def crop(self) -> int:
        """Side of a crop in pixels."""
        return self.settings.value().crop

    def refresh_models(self) -> None:
        """Offer the encoders that there are."""
        before = self.start_from.currentText()
        self._models = [ref for ref in list_models() if ref.spec.architecture == "encoder"]
        self.start_from.clear()
        self.start_from.addItems([SCRATCH, *(ref.name for ref in self._models)])
        self.start_from.setCurrentIndex(max(0, self.start_from.findText(before)))

    def remember(self) -> None:
        """Keep what is shown for the next time."""
        values = dict(
            settings=self.settings.value().changed(),
            minutes=self.minutes.value(),
            device=self.device.currentText(),
        )
        remember(MEMORY, values)

    def _recall(self) -> None:
        values = recall(MEMORY)
        try:
            self.settings.setValue(MoCoSettings.from_dict(values.get("settings", {})))
            self.minutes.setValue(float(values.get("minutes", MINUTES)))
        except (InputError, TypeError, ValueError, AttributeError):
            pass  # of another version: the defaults are fine
        self.device.setCurrentText(str(values.get("device", "auto")))

    def _timed_settings(self) -> MoCoSettings:
        start = self._start()
        taken = start.spec.options if isinstance(start, ModelRef) else {}
        taken = {name: taken[name] for name in OF_WEIGHTS if name in taken}
        return self.settings.value().replace(seconds=60 * self.minutes.value(), **taken)

    def _offer_weights(self, _: object = None) -> None:
        """Grey what the model that is started from determines."""
        start = self._start()
        for name in OF_WEIGHTS:
            taken = start.spec.options.get(name) if isinstance(start, ModelRef) else None
            why_not = "" if taken is None else f"Taken from the model to start from: {taken}."
            self.settings.offer(name, why_not)

    def _start(self) -> str | ModelRef:
        index = self.start_from.currentIndex() - 1
        return self._models[index] if 0 <= index < len(self._models) else SCRATCH

    def _lay_out(self) -> None:
        self.minutes.setRange(0.1, 10_000)
        self.minutes.setDecimals(1)
        self.minutes.setValue(MINUTES)
        rows = aligned_rows()
        add_row(rows, "Start from", self.start_from, START_HELP)
        add_row(rows, "Minutes", self.minutes, MINUTES_HELP)
        add_row(rows, "Name", self.name, NAME_HELP)
        add_row(self.settings.advanced_rows, "Device", self.device, DEVICE_HELP)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addWidget(self.settings)
