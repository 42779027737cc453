"""How each kind of network is trained where the settings leave it open."""

from __future__ import annotations

from dataclasses import dataclass, replace

ADAMW_DECAY = 1e-4


@dataclass(frozen=True)
class Recipe:
    """What a paper, or experience, prescribes for a kind of network.

    Attributes
    ----------
    fresh_rate, taught_rate : float
        Learning rate of AdamW, for weights just drawn and for others.
    sgd_rate : float or None
        Of SGD; None is as AdamW.
    momentum, sgd_decay : float
        Of SGD: momentum and weight decay.
    sgd_last_factor : float
        By which the last layer's learning rate is larger with SGD. With AdamW, whose steps do not know
        how large a gradient is, it would throw a fitted last layer about.
    crop : int
        Side in pixels of a training crop.
    """

    fresh_rate: float
    taught_rate: float
    sgd_rate: float | None
    momentum: float
    sgd_decay: float
    sgd_last_factor: float
    crop: int


# Ronneberger et al. 2015, section 3 (momentum high for a batch of one).
UNET = Recipe(2e-3, 5e-4, None, momentum=0.99, sgd_decay=0.0, sgd_last_factor=1.0, crop=128)
# Chen et al. 2015, section 3.2. AdamW's rates are low: sixteen layers do not normalise.
DEEPLAB = Recipe(1e-4, 2e-5, 1e-3, momentum=0.9, sgd_decay=5e-4, sgd_last_factor=10.0, crop=257)

# Larger steps wipe out what a pre-trained transformer knows.
VIT = replace(UNET, taught_rate=3e-5)

RECIPES = {"deeplab": DEEPLAB, "vit_segmenter": VIT}


def recipe_of(architecture: str) -> Recipe:
    """The recipe for a `ModelSpec.architecture`."""
    return RECIPES.get(architecture, UNET)
