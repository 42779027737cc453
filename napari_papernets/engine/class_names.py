"""Classes of a training: their names, and what is said where one is never annotated."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.errors import InputError
from ..core.events import Notice
from ..core.model import ModelRef
from ..core.tune_settings import TuneSettings
from .annotated import Plane, annotated_classes
from .targets import BORDER_CLASSES, RIDGE_CLASSES


def check_class_names(names: Sequence[str]) -> None:
    """Refuse what are no names.

    Raises
    ------
    InputError
        If it is one text, or one of them is no text, or empty, or comes twice.
    """
    texts = not isinstance(names, str) and all(isinstance(n, str) and n.strip() for n in names)
    if not texts:
        mend = "give one name for each class, as in ['ground', 'cell']"
        raise InputError("class_names", names, mend)
    if len({name.strip() for name in names}) < len(names):
        raise InputError("class_names", list(names), "give each class a name of its own")


def name_classes(
    planes: Sequence[Plane],
    settings: TuneSettings,
    class_names: Sequence[str] | None,
    base: ModelRef | None,
) -> list[str] | None:
    """Names of the classes that are annotated; None where those of `base`, or of objects, stand.

    Raises
    ------
    InputError
        If there are more classes than names, names for objects, or what is no name.
    """
    if settings.kind == "instances":
        if class_names is not None:
            mend = "objects have no class names; leave class_names out"
            raise InputError("class_names", list(class_names), mend)
        return None
    annotated = annotated_classes(planes)[-1] + 1
    if class_names is not None:
        check_class_names(class_names)
        if len(class_names) < annotated:
            mend = f"{annotated} classes are annotated: give as many names"
            raise InputError("class_names", list(class_names), mend)
        return list(class_names)
    if base is not None and base.spec.task == "semantic" and annotated <= len(base.spec.classes):
        return None
    return [f"class {i + 1}" for i in range(annotated)]


def object_classes(encoding: str) -> tuple[str, ...]:
    """Names of the classes that objects are turned into."""
    return BORDER_CLASSES if encoding == "border" else RIDGE_CLASSES


def notices_of_gaps(planes: Sequence[Plane], settings: TuneSettings) -> tuple[Notice, ...]:
    """What to say where a class below the highest is never annotated."""
    if settings.kind == "instances":
        return ()
    seen, first = annotated_classes(planes), int(settings.kind == "strokes")
    missing = [c + first for c in range(seen[-1]) if c not in seen]
    if not missing:
        return ()
    message = f"Nothing is annotated as class {', '.join(map(str, missing))}: it will not be learnt"
    return (Notice(message, dict(missing=missing)),)
