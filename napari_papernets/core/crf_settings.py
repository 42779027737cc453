"""The settings of the fully connected CRF, in the paper's symbols."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from .fields import Settings, described

Backend = Literal["torch", "pydensecrf"]
Grey = Literal["auto", "raw", "stretch"]


@dataclass(frozen=True, repr=False)
class CRFSettings(Settings):
    """Kernels and mean field (Chen et al. 2015, section 4.2; Krähenbühl & Koltun 2011)."""

    w1: Annotated[
        float,
        described(
            "w₁ · edges",
            "Weight of the appearance kernel, without unit: how strongly near pixels of like colour "
            "are drawn to the same class (paper: searched from 5 to 10; 0 is off).",
            min=0.0,
            max=100.0,
            step=0.5,
        ),
    ] = 5.0
    sigma_alpha: Annotated[
        float,
        described(
            "σ_α · reach",
            "How far, in pixels, pixels of like colour feel each other: standard deviation of the "
            "appearance kernel in space (paper: searched from 50 to 100).",
            min=0.5,
            max=1000.0,
            step=5.0,
        ),
    ] = 60.0
    sigma_beta: Annotated[
        float,
        described(
            "σ_β · colour",
            "How different, in grey levels of 0 to 255, colours may be and still count as alike: "
            "smaller follows fainter edges (paper: searched from 3 to 10).",
            min=0.1,
            max=1000.0,
            step=1.0,
        ),
    ] = 10.0
    w2: Annotated[
        float,
        described(
            "w₂ · smooth",
            "Weight of the smoothness kernel, without unit: removes specks, whatever the colours "
            "(paper: 3; 0 is off).",
            min=0.0,
            max=100.0,
            step=0.5,
        ),
    ] = 3.0
    sigma_gamma: Annotated[
        float,
        described(
            "σ_γ · speck",
            "Standard deviation of the smoothness kernel in pixels: about the size of the specks that "
            "go (paper: 3).",
            min=0.1,
            max=1000.0,
            step=0.5,
        ),
    ] = 3.0
    denoise: Annotated[
        float,
        described(
            "Denoise",
            "Standard deviation, in pixels, of a Gaussian that smooths each plane of the image before "
            "its colours are compared: grain is no edge, and σ_β may be smaller then (not in the "
            "paper; 0 is off).",
            min=0.0,
            max=50.0,
            step=0.5,
        ),
    ] = 0.0
    iterations: Annotated[
        int,
        described(
            "Iterations",
            "Of mean field (paper: 10). 0 leaves the probabilities as they are.",
            min=0,
            max=1000,
            step=1,
        ),
    ] = 10
    grey: Annotated[
        Grey,
        described(
            "Grey values",
            "What σ_β is measured in. raw: the image's own values; stretch: darkest to brightest "
            "become 0 to 255; auto: raw for values within 0…255, fractions times 255, else stretched.",
        ),
    ] = "auto"
    channels: Annotated[
        tuple[int, ...] | None,
        described(
            "Channels",
            "Channels of the image whose edges count, counted from 0. Automatic: all of them (without "
            "an alpha channel).",
        ),
    ] = None
    volume: Annotated[
        bool,
        described(
            "Join along Z",
            "One CRF for a whole Z stack, with the distance of its planes, instead of one for each "
            "plane.",
        ),
    ] = False
    tile: Annotated[
        int | None,
        described(
            "Tile",
            "Side of tiles in pixels, for images too large for one lattice. Approximate: the result "
            "says by how much. Automatic: no tiles, which is exact.",
            min=64,
            max=65536,
            step=64,
        ),
    ] = None
