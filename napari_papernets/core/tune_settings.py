"""The settings of `finetune`: a U-Net (Ronneberger et al. 2015) learns from annotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from .fields import Channels, CheckpointEvery, Seed, Settings, TrainingPrecision, described

Encoding = Literal["border", "ridge"]
Kind = Literal["strokes", "classes", "instances"]


@dataclass(frozen=True, repr=False)
class TuneSettings(Settings):
    """How to train from annotations (Ronneberger et al. 2015, section 3, and its extensions)."""

    kind: Annotated[
        Kind,
        described(
            "Annotations are",
            "strokes: 0 is not annotated, 1 to K are classes; classes: every number is a class, "
            "0 too; instances: 0 is background, every other number is one object.",
        ),
    ] = "strokes"
    seconds: Annotated[
        float | None,
        described(
            "Seconds",
            "Stop after this time; what comes before the first step and after the last counts, up to "
            "half of it. Leave it out to train for a number of steps, which can be repeated exactly.",
            min=0.0,
            max=1e7,
            step=5.0,
        ),
    ] = None
    steps: Annotated[
        int | None,
        described(
            "Steps",
            "Stop after this many optimiser steps. Without seconds and steps: 500.",
            min=0,
            max=10_000_000,
            step=50,
        ),
    ] = None
    train: Annotated[
        Literal["all", "decoder", "head"],
        described(
            "Train",
            "all: every weight; decoder: the expanding path and the head; head: only the last "
            "1×1 convolution. Of a Vision Transformer, decoder: its convolutional head or last block, "
            "and the head.",
        ),
    ] = "all"
    architecture: Annotated[
        Literal["unet", "deeplab"],
        described(
            "Network",
            "unet: sharp borders; deeplab: maps eight times coarser that see about 400 pixels around, "
            "for the fully connected CRF to sharpen (from scratch).",
        ),
    ] = "unet"
    width: Annotated[
        int,
        described(
            "Width",
            "Channels at the first level (from scratch); the papers' networks have 64.",
            min=1,
            max=256,
            step=8,
        ),
    ] = 16
    depth: Annotated[
        int, described("Depth", "Number of poolings (U-Net from scratch).", min=1, max=6, step=1)
    ] = 4
    padding: Annotated[
        Literal["same", "valid"],
        described("Padding", "valid: the paper's unpadded convolutions (U-Net from scratch)."),
    ] = "same"
    norm: Annotated[
        Literal["batch", "none"],
        described("Normalisation", "none: as in the paper; batch: learns faster (U-Net from scratch)."),
    ] = "batch"
    encoding: Annotated[
        Encoding,
        described(
            "Objects as",
            "border: background, inside and border classes; ridge: the paper's foreground with a "
            "1-pixel ridge of background between touching objects (instances only).",
        ),
    ] = "border"
    density: Annotated[
        int,
        described(
            "Token resolution",
            "By how much the image is enlarged before it is divided into patches: tokens for each patch "
            "along Y and X. More is for small objects; 2 takes four times as long as 1 (from a Vision "
            "Transformer).",
            min=1,
            max=4,
            step=1,
        ),
    ] = 2
    convolutions: Annotated[
        bool,
        described(
            "Convolutional head",
            "Put two 3×3 convolutions between tokens and last layer; they must be trained by steps "
            "(from a Vision Transformer).",
        ),
    ] = False
    optimiser: Annotated[
        Literal["adamw", "sgd"],
        described(
            "Optimiser",
            "sgd: the papers', with momentum 0.99 (DeepLab: 0.9); adamw: learns faster.",
        ),
    ] = "adamw"
    learning_rate: Annotated[
        float | None,
        described(
            "Learning rate",
            "Largest step size. Automatic: for a U-Net 0.002 from scratch and 0.0005 for a model that "
            "has learnt something already; for DeepLab 0.0001 and 0.00002, with sgd the paper's 0.001 "
            "(ten times as much for its last layer); for a Vision Transformer 0.00003.",
            min=0.0,
            max=10.0,
            step=1e-4,
        ),
    ] = None
    schedule: Annotated[
        Literal["constant", "cosine", "poly", "step"],
        described(
            "Schedule",
            "How the learning rate falls over the run. cosine: to 0; poly: to 0 as (1 − progress)^0.9; "
            "step: to a tenth after each third, as DeepLab's over 6000 steps.",
        ),
    ] = "constant"
    weight_decay: Annotated[
        float | None,
        described(
            "Weight decay",
            "Pull of the weights towards 0. Automatic: 0.0001 with adamw; with sgd, as in the papers, "
            "0.0005 for DeepLab and none for a U-Net.",
            min=0.0,
            max=1.0,
            step=1e-4,
        ),
    ] = None
    average: Annotated[
        float,
        described(
            "Average weights",
            "Judge and keep not the last weights but their running mean, which forgets at this rate "
            "(0.99: over about 100 steps; 0: off). It steadies a constant learning rate.",
            min=0.0,
            max=0.9999,
            step=0.01,
        ),
    ] = 0.0
    batch: Annotated[
        int, described("Batch", "Crops in each step (the paper uses 1).", min=1, max=256, step=1)
    ] = 2
    crop: Annotated[
        int | None,
        described(
            "Crop",
            "Side of a training crop in pixels. Automatic: 128; for DeepLab, which sees further, 257 "
            "(the paper's: 321).",
            min=16,
            max=4096,
            step=16,
        ),
    ] = None
    w0: Annotated[
        float,
        described(
            "Border weight w₀",
            "Extra weight of background pixels between close objects (paper: 10; 0 is off).",
            min=0.0,
            max=100.0,
            step=1.0,
        ),
    ] = 10.0
    sigma: Annotated[
        float,
        described(
            "Border width σ",
            "Distance in pixels over which the border weight falls (paper: 5).",
            min=0.1,
            max=100.0,
            step=0.5,
        ),
    ] = 5.0
    balance: Annotated[
        bool, described("Balance classes", "Weight classes by the inverse of their frequency.")
    ] = True
    elastic: Annotated[
        float,
        described(
            "Elastic σ",
            "Standard deviation in pixels of the displacements on a 3×3 grid (paper: 10; 0 off).",
            min=0.0,
            max=100.0,
            step=1.0,
        ),
    ] = 10.0
    rotate: Annotated[
        bool, described("Rotate and flip", "Any angle, and mirror images, while training.")
    ] = True
    zoom_range: Annotated[
        float,
        described(
            "Zoom range",
            "Crops are resized by a random factor from 1/range to range (1: off).",
            min=1.0,
            max=8.0,
            step=0.1,
        ),
    ] = 1.25
    undeformed: Annotated[
        float,
        described(
            "Undeformed",
            "Share of crops that are neither bent, resized nor turned by other than quarter turns: "
            "deformed images are smoother than those that the model will be shown.",
            min=0.0,
            max=1.0,
            step=0.1,
        ),
    ] = 0.5
    grey: Annotated[
        float,
        described(
            "Grey values",
            "Strength of random brightness, contrast, gamma, blur and noise (0: off).",
            min=0.0,
            max=2.0,
            step=0.1,
        ),
    ] = 0.2
    invert: Annotated[
        float,
        described(
            "Invert",
            "Share of crops whose grey values are inverted, so that light and dark backgrounds "
            "are both learnt.",
            min=0.0,
            max=1.0,
            step=0.1,
        ),
    ] = 0.0
    held_out: Annotated[
        float,
        described(
            "Held out",
            "Share of the annotation, by image, object or stroke, that is kept to judge the model.",
            min=0.0,
            max=0.9,
            step=0.05,
        ),
    ] = 0.2
    checkpoint_every: CheckpointEvery = 200
    precision: TrainingPrecision = "auto"
    seed: Seed = 0
    channels: Channels = None
