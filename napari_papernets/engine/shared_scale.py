"""Grey values on one scale for all images of a job, beside those of each plane on its own.

Normalising every plane by itself makes images of different exposure alike, and loses what tells a dark
image from a bright one. Grey values may mean the same in every image (tomography, one camera with fixed
settings), so the forest beside a network looks at these. The two err on different images, which is
what makes their mean better than either. Which scale it is does not matter: a tree
chooses its thresholds on it. The range of the first plane is taken once, and kept with the model.
"""

from __future__ import annotations

from dataclasses import replace

from ..core.image import ImageBlock
from ..core.model import ModelSpec
from .far_greys import near_zero
from .normalise import normalisation_range


def with_shared_scale(spec: ModelSpec, image: ImageBlock) -> ModelSpec:
    """The same model with a scale for all images; one that has a scale keeps it.

    Parameters
    ----------
    spec : ModelSpec
        Of a network that takes `image`.
    image : ImageBlock
        The range of its first plane becomes 0…1.

    Raises
    ------
    InputError
        If that plane holds no finite value.
    """
    if spec.normalisation.shared:
        return spec
    plane, image = next(image.planes()), near_zero(image)
    low, high = normalisation_range(image, plane, spec.pick_channels(image), spec.normalisation)
    pairs = tuple(zip(low.tolist(), high.tolist(), strict=True))
    return replace(spec, normalisation=replace(spec.normalisation, shared=pairs))
