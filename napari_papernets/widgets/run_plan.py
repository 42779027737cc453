"""What one press of a run button means: the arguments of ``predict``, and where its answer belongs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError, ModelError
from ..core.image import ImageBlock
from ..core.model import ModelRef
from ..core.predict_settings import PredictSettings
from ..core.results import Prediction
from ..core.tiles import Region
from .image_layers import current_plane, layer_axes, shows_plane, visible_region
from .outputs import key_of, output_key, outputs_of
from .placement import Placement, lay_out, placement_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

Kind = Literal["view", "plane", "stack"]

RESULT = "labels "  # how the keys of the labels of a run begin
INSIDE = "inside"  # and that of feature maps


@dataclass(frozen=True, eq=False)
class RunPlan:
    """A run that was asked for, as values: what the viewer does meanwhile does not change it.

    Attributes
    ----------
    image : ImageBlock
        The image.
    model : ModelRef
        The model.
    settings : PredictSettings
        The settings.
    device : str
        "auto", "cpu", "cuda" or "mps".
    probabilities : bool
        Whether probabilities are wanted.
    region : (y0, y1, x0, x1) or None
        The pixels to do; None for all.
    planes : tuple of tuple of int, or None
        The planes to do; None for all.
    focus : (y, x) or None
        What to do first.
    like : str
        Axes of the image layer (of an RGB layer without the colours).
    placement : Placement
        Of the image layer.
    identity : object
        unique_id of the image layer.
    key, name : str
        Of the labels layer.
    supersedes : tuple of str
        Keys of the other results of this image, which are hidden so that this one is seen alone.
    note : str
        What the user should know before.
    """

    image: ImageBlock
    model: ModelRef
    settings: PredictSettings
    device: str
    probabilities: bool
    region: Region | None
    planes: tuple[tuple[int, ...], ...] | None
    focus: tuple[float, float] | None
    like: str
    placement: Placement
    identity: Any
    key: str
    name: str
    supersedes: tuple[str, ...] = ()
    note: str = ""

    @property
    def instances(self) -> bool:
        """Whether the labels are objects, not classes."""
        wanted = self.settings.output
        return (self.model.spec.task if wanted == "auto" else wanted) == "instances"

    @property
    def axes(self) -> str:
        """Axes of the answer: those of the stack, then Y and X."""
        return self.image.stack_axes + "YX"

    @property
    def origin(self) -> tuple[int, ...]:
        """Where the answer starts in the image, along `axes`."""
        plane = self.planes[0] if self.planes else (0,) * len(self.image.stack_axes)
        return (*plane, *((self.region[0], self.region[2]) if self.region else (0, 0)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of the answer along `axes`."""
        stack = (1,) * len(self.image.stack_axes) if self.planes else self.image.stack_shape
        if self.region is None:
            return (*stack, *self.image.plane_shape)
        y0, y1, x0, x1 = self.region
        return (*stack, y1 - y0, x1 - x0)

    @property
    def label_type(self) -> np.dtype[Any]:
        """Type of the labels layer. It stays the same from the first tile to the result, since napari
        takes five times as long to swap data of another type."""
        return np.dtype(np.uint16 if self.instances else np.uint8)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the verb ``predict``."""
        return dict(
            image=self.image,
            model=self.model,
            settings=self.settings,
            device=self.device,
            probabilities=self.probabilities,
            region=self.region,
            planes=self.planes,
            focus=self.focus,
        )

    def prepare(self, result: Prediction) -> Prediction:
        """Bring an answer into the shape and type that its layers take; free of Qt and napari.

        Returns
        -------
        Prediction
            labels with `shape`, in `label_type` unless an object number is too large for it, and
            probabilities of shape (K, *shape) or None.
        """
        labels = np.asarray(result.labels).reshape(self.shape)
        if np.can_cast(labels.dtype, self.label_type) or labels.max() <= np.iinfo(self.label_type).max:
            labels = labels.astype(self.label_type, copy=not labels.flags.writeable)
        chances = result.probabilities
        if chances is not None:
            chances = np.asarray(chances).reshape(len(chances), *self.shape)
        return Prediction(labels, chances, result.provenance)

    def place(self, array: NDArray[Any], step: int = 1) -> tuple[NDArray[Any], Placement]:
        """An array with `axes` as its layer takes it, and where that layer lies.

        Parameters
        ----------
        array : ndarray
            Of `shape`, or with every `step`-th pixel along Y and X.
        step : int
            Pixels of the image for each pixel of `array`.
        """
        sizes = {axis: self.image.size(axis) for axis in self.like}
        laid, dims = lay_out(array, self.axes, self.like, sizes)
        starts = dict(zip(self.axes, self.origin, strict=True))
        names = [self.like[d] for d in dims]
        steps = [step if axis in "YX" else 1 for axis in names]
        return laid, self.placement.keep(dims).part([starts.get(a, 0) for a in names], steps)

    def take_back(self, shown: NDArray[Any]) -> NDArray[Any]:
        """The array with `axes` that `place` laid out as `shown`, with what the user edited."""
        there = self.like[len(self.like) - shown.ndim :]
        index = tuple(0 if axis not in self.axes else slice(None) for axis in there)
        order = [axis for axis in there if axis in self.axes]
        return shown[index].transpose([order.index(axis) for axis in self.axes])


def plan_run(
    viewer: napari.viewer.Viewer,
    layer: napari.layers.Image,
    image: ImageBlock,
    model: ModelRef,
    settings: PredictSettings,
    kind: Kind,
    device: str = "auto",
    probabilities: bool = False,
) -> RunPlan:
    """Work out a run from the state of the viewer.

    Raises
    ------
    InputError
        If the model or the channels do not fit, or a preview was asked of an image out of view.
    """
    check_channels(model, image, settings.channels)
    in_view = _look(viewer, layer, image.axes, kind)
    whole = in_view is None or in_view == (0, image.plane_shape[0], 0, image.plane_shape[1])
    one_plane = image.stack_axes and kind != "stack"
    suffix = {"view": " preview", "plane": " plane" if one_plane else "", "stack": ""}[kind]
    name = (
        model.name if settings.output in ("auto", model.spec.task) else f"{model.name} {settings.output}"
    )
    planes = (current_plane(viewer, layer, image.axes),) if one_plane else None
    key = output_key(f"{RESULT}{name}{suffix}", layer)
    rivals = [key_of(la) for la in outputs_of(viewer, (RESULT, INSIDE), layer.unique_id)]
    return RunPlan(
        image=image,
        model=model,
        settings=settings,
        device=device,
        probabilities=probabilities,
        region=in_view if kind == "view" and not whole else None,
        planes=planes,
        focus=((in_view[0] + in_view[1]) / 2, (in_view[2] + in_view[3]) / 2) if in_view else None,
        like=layer_axes(layer, image.axes),
        placement=placement_of(layer),
        identity=layer.unique_id,
        key=key,
        name=f"{image.name} {name}{suffix}",
        supersedes=tuple(k for k in rivals if k != key),
        note="" if shows_plane(viewer, layer, image.axes) else _not_flat(image, planes, kind),
    )


def check_channels(model: ModelRef, image: ImageBlock, channels: Sequence[int] | None) -> None:
    """Refuse channels that the model does not take, with a mend in the words of the panel.

    Parameters
    ----------
    model : ModelRef
        The model.
    image : ImageBlock
        The image.
    channels : sequence of int, optional
        What was chosen; None where that is automatic.

    Raises
    ------
    ModelError
        If the model cannot take that many.
    InputError
        If a chosen channel does not exist.
    """
    try:
        model.spec.pick_channels(image, channels)
    except ModelError as error:
        if image.channels == 1:
            raise
        untick = "untick auto and " if channels is None else ""
        mend = (
            f"model {model.name!r} takes {model.spec.takes}. Under Channels, {untick}type which, such "
            "as 1; or correct Axes, if C is not the channel axis"
        )
        raise ModelError(error.field, error.received, mend) from error


def _look(
    viewer: napari.viewer.Viewer, layer: napari.layers.Image, axes: str, kind: Kind
) -> Region | None:
    """What is in view; None where that cannot be told."""
    try:
        return visible_region(viewer, layer, axes)
    except InputError:
        if kind == "view":
            raise
        return None


def _not_flat(image: ImageBlock, planes: tuple[tuple[int, ...], ...] | None, kind: Kind) -> str:
    """Which plane is taken where the canvas does not tell."""
    if planes is None and kind != "view":
        return ""
    plane = zip(image.stack_axes, planes[0], strict=True) if planes else ()
    at = "".join(f" {axis} {n}" for axis, n in plane)
    return f"The view is not a flat Y-X plane: the whole plane{at} is taken."
