"""The settings of `predict`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from .fields import Channels, Precision, Settings, described

Output = Literal["auto", "instances", "semantic"]

# GB, in float32: larger windows gain little on a CPU, and nothing is seen before the first is done.
CPU_MEMORY = 0.8


@dataclass(frozen=True, repr=False)
class PredictSettings(Settings):
    """How to predict; the defaults suit a first look at any image."""

    zoom: Annotated[
        float | None,
        described(
            "Zoom",
            "Factor by which the image is resized before the network sees it. Use it when your "
            "objects are much larger (< 1) or smaller (> 1) than those the model was trained on. "
            "Automatic: estimated from the objects found at a few zooms.",
            min=0.1,
            max=8.0,
            step=0.05,
        ),
    ] = None
    output: Annotated[
        Output,
        described(
            "Labels are",
            "instances: one number for each object; semantic: the class of each pixel, "
            "1 to K; auto: what the model was trained for.",
        ),
    ] = "auto"
    threshold: Annotated[
        float | None,
        described(
            "Threshold",
            "Foreground probability above which a pixel belongs to an object (instances only). "
            "Lower it if objects come out too small. Automatic: the one at which the model's training "
            "objects came out as they were annotated.",
            min=0.01,
            max=0.99,
            step=0.05,
        ),
    ] = None
    min_size: Annotated[
        int,
        described(
            "Smallest object",
            "Objects with fewer pixels than this are dropped (instances only).",
            min=0,
            max=1_000_000,
            step=5,
        ),
    ] = 15
    turns: Annotated[
        int,
        described(
            "Turns",
            "Average the probabilities over so many turned and mirrored versions of the image (8: all "
            "quarter turns and their mirror images). A little better, and so many times slower; the "
            "paper averages over 7 rotations.",
            min=1,
            max=8,
            step=1,
        ),
    ] = 1
    tile: Annotated[
        int | None,
        described(
            "Tile",
            "Side of the square window that the network sees at once, in pixels. It changes speed "
            "and memory, not the result. Automatic: few large tiles that fit the memory.",
            min=1,
            max=16384,
            step=16,
        ),
    ] = None
    precision: Annotated[
        Precision,
        described(
            "Precision",
            "bfloat16 is about twice as fast where the processor supports it and changes "
            "probabilities by about 0.01; auto uses it only there, and reports the difference.",
        ),
    ] = "auto"
    memory: Annotated[
        float | None,
        described(
            "Memory (GB)",
            f"Memory that the network's maps may take while it predicts. Automatic: {CPU_MEMORY} GB of "
            "main memory, or 60 % of what is free on the GPU.",
            min=0.05,
            max=1024.0,
            step=0.1,
        ),
    ] = None
    channels: Channels = None
