"""The settings of the verb `features`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from .fields import Channels, Settings, described

FeaturePrecision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, repr=False)
class FeatureSettings(Settings):
    """What to read of a Vision Transformer (Dosovitskiy et al. 2021)."""

    block: Annotated[
        int | None,
        described(
            "Block",
            "Encoder block whose tokens are read, from 1; the network's last LayerNorm follows. "
            "Automatic: the last block.",
            min=1,
            max=256,
            step=1,
        ),
    ] = None
    density: Annotated[
        int,
        described(
            "Resolution",
            "Tokens for each patch along Y and X. 2 or 4 read the image again with the patches shifted "
            "by a half or a quarter of their side, so it takes 4 or 16 times as long.",
            min=1,
            max=4,
            step=1,
        ),
    ] = 1
    positions: Annotated[
        bool,
        described(
            "Keep positions",
            "Tokens also tell where their patch lies. Without, what they show of an image of one grey "
            "value is left out of them, so that places are alike only where they look alike.",
        ),
    ] = True
    attention: Annotated[
        bool,
        described(
            "Keep attention",
            "Keep queries and keys of the block, from which the attention of any patch can be told.",
        ),
    ] = False
    summaries: Annotated[
        bool,
        described(
            "Rollout and distances",
            "Attention rollout of the class token, and the mean attention distance of every head. They "
            "need the attention of all blocks, which takes longer than the tokens.",
        ),
    ] = False
    tile: Annotated[
        int | None,
        described(
            "Window",
            "Side in pixels of the window that the network sees at once; attention ends at it. "
            "Automatic: as large as 6400 patches, so that most images are seen as a whole.",
            min=16,
            max=8192,
            step=16,
        ),
    ] = None
    precision: Annotated[
        FeaturePrecision,
        described(
            "Precision",
            "bfloat16 is faster where the processor supports it, and changes tokens by a few percent.",
        ),
    ] = "float32"
    channels: Channels = None
