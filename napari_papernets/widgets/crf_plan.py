"""What a refinement was asked for, as values: what the viewer does meanwhile does not change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..core.annotation import middle_of
from ..core.crf_settings import CRFSettings
from ..core.image import ImageBlock
from ..core.tiles import Region
from .belief_sources import BeliefSource
from .beliefs import Beliefs
from .image_layers import current_plane, layer_axes, visible_region
from .layer_parts import NothingToRefine, overlap
from .outputs import output_key
from .placement import Placement, lay_out, placement_of
from .run_plan import Kind

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer


@dataclass(frozen=True, eq=False)
class CRFPlan:
    """A refinement.

    Attributes
    ----------
    beliefs : Beliefs
        Of the region of the plane, of the plane, or of the whole stack.
    image : ImageBlock
        Of the same planes.
    settings : CRFSettings
        The settings.
    device : str
        "auto", "cpu", "cuda" or "mps".
    region : (y0, y1, x0, x1) or None
        The pixels to do; None for all.
    plane : tuple of int, or None
        The plane along the stack axes of the layer; None for all.
    stack_axes, like : str
        Stack axes of the whole image; axes of its layer.
    sizes : dict
        Length of the axes of the layer.
    placement : Placement
        Of the image layer.
    identity : napari.layers.Image
        The image layer, which the keys of outputs tell.
    name : str
        What results are called.
    source : object
        Tells where the probabilities came from.
    """

    beliefs: Beliefs
    image: ImageBlock
    settings: CRFSettings
    device: str
    region: Region | None
    plane: tuple[int, ...] | None
    stack_axes: str
    like: str
    sizes: dict[str, int]
    placement: Placement
    identity: napari.layers.Image
    name: str
    source: Any

    def arguments(self, show: str = "labels") -> dict[str, Any]:
        """Keyword arguments of the verb ``refine``."""
        return dict(
            probabilities=self.beliefs.probabilities,
            image=self.image,
            settings=self.settings,
            device=self.device,
            region=self.region,
            show=show,
            keep=show == "labels",
        )

    def key(self, role: str) -> str:
        """Of an output."""
        return output_key(f"refined {role}", self.identity)

    def place(
        self, array: NDArray[Any], step: int = 1, start: tuple[int, int] = (0, 0)
    ) -> tuple[NDArray[Any], Placement]:
        """A result (*stack, Y, X) as its layer takes it, and where that layer lies.

        Parameters
        ----------
        array : ndarray
            Of every `step`-th pixel along Y and X, from pixel `start` of the region on.
        step : int
            Pixels of the image from one to the next, on whose centres they lie.
        start : (y, x)
            The first of them.
        """
        array = array.reshape(*[1] * (len(self.stack_axes) + 2 - array.ndim), *array.shape)
        laid, dims = lay_out(array, f"{self.stack_axes}YX", self.like, self.sizes)
        starts: dict[str, float] = dict(zip(self.stack_axes, self.plane or (), strict=False))
        top, left = (self.region[0], self.region[2]) if self.region is not None else (0, 0)
        beside = (step - 1) / 2  # from the edge of a large pixel to the centre of the small one
        starts |= {"Y": top + start[0] - beside, "X": left + start[1] - beside}
        names = [self.like[d] for d in dims]
        steps = [step if axis in "YX" else 1 for axis in names]
        return laid, self.placement.keep(dims).part([starts.get(a, 0) for a in names], steps)


def plan_refinement(
    viewer: napari.viewer.Viewer,
    layer: napari.layers.Image,
    image: ImageBlock,
    source: BeliefSource,
    settings: CRFSettings,
    kind: Kind,
    device: str = "auto",
) -> CRFPlan:
    """Work out a refinement from the state of the viewer.

    Raises
    ------
    InputError
        If a preview was asked of an image out of view, or the source has nothing for what is asked.
    """
    plane = None if kind == "stack" else current_plane(viewer, layer, image.axes)
    region = source.window if kind != "stack" else None
    if kind == "view":
        seen = _in_sight(visible_region(viewer, layer, image.axes), region)
        region = middle_of(seen or (0, image.plane_shape[0], 0, image.plane_shape[1]))
        settings = settings.replace(volume=False, tile=None)
    elif kind == "plane":
        settings = settings.replace(volume=False)
    part = image if plane is None else image.at(plane)
    return CRFPlan(
        beliefs=source.beliefs(plane, region, keep=kind == "view"),
        image=part,
        settings=settings,
        device=device,
        region=region,
        plane=plane,
        stack_axes=image.stack_axes,
        like=layer_axes(layer, image.axes),
        sizes={axis: image.size(axis) for axis in layer_axes(layer, image.axes)},
        placement=placement_of(layer),
        identity=layer,
        name=f"{layer.name} CRF" + (" preview" if kind == "view" else ""),
        source=source.identity,
    )


def _in_sight(view: Region | None, window: Region | None) -> Region | None:
    """What is in view of the part of a plane that a source covers, which may be all of it."""
    if window is None or view is None:
        return window or view
    shared = overlap(view, window)
    if shared is None:
        mend = "move to it, or predict the whole image"
        raise NothingToRefine("probabilities", "a preview of another part of the image", mend)
    return shared
