"""The files that a live training leaves: its versions, and beside each the course that led to it."""

from __future__ import annotations

from pathlib import Path

from ..core.model import ModelRef
from ..model_files import COURSE_SUFFIX, model_path
from .course import Course


class VersionFiles:
    """Versions "<name> 1", "<name> 2" … in a folder, none of which is ever overwritten.

    Parameters
    ----------
    folder : Path
        Where they lie.
    name : str
        Of the training.

    Attributes
    ----------
    last : ModelRef or None
        The newest of this training.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self.last: ModelRef | None = None

    def free_path(self) -> Path:
        """Of the next one."""
        number = 1
        while (path := model_path(self._folder, f"{self._name} {number}")).exists():
            number += 1
        return path

    def add(self, version: ModelRef, course: Course | None) -> None:
        """A version was written; so is its course, where there is one."""
        self.last = version
        if course is not None:
            course.write(version.path.with_name(version.path.stem + COURSE_SUFFIX))
