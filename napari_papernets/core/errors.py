"""Errors that a person can act on."""

from __future__ import annotations


class PapernetsError(Exception):
    """Base of every error that this project raises on purpose."""


class InputError(PapernetsError, ValueError):
    """Something that the user gave cannot be used.

    Parameters
    ----------
    field : str
        The argument, setting or file that is wrong.
    received : object
        What was received, in a form that fits on one line.
    mend : str
        What to do about it.
    """

    def __init__(self, field: str, received: object, mend: str) -> None:
        self.field = field
        self.received = received
        self.mend = mend
        super().__init__(f"{field}: got {received}; {mend}")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.field, self.received, self.mend)


class ModelError(InputError):
    """A model file cannot be read, or does not fit the image or the task."""


class EngineError(PapernetsError, RuntimeError):
    """The engine process failed; nothing in the viewer was lost."""
