"""The settings of `pretrain`: MoCo (He et al. 2020) on the user's own images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from .fields import CheckpointEvery, Seed, Settings, TrainingPrecision, described

Encoder = Literal["unet", "contracting", "vgg16", "resnet18", "resnet50"]
Contrast = Literal["dense", "image"]
OF_WEIGHTS = ("encoder", "width", "depth")  # a model that is started from determines them


@dataclass(frozen=True, repr=False)
class MoCoSettings(Settings):
    """How to pre-train; the defaults keep a step short on a processor."""

    seconds: Annotated[
        float | None,
        described(
            "Seconds",
            "Stop after this time. Leave it out to train for a number of steps, which can be "
            "repeated exactly.",
            min=0.0,
            max=1e7,
            step=60.0,
        ),
    ] = None
    steps: Annotated[
        int | None,
        described(
            "Steps",
            "Stop after this many steps. Without seconds and steps: 2000.",
            min=0,
            max=10_000_000,
            step=500,
        ),
    ] = None
    encoder: Annotated[
        Encoder,
        described(
            "Encoder",
            "unet: a whole U-Net; contracting: its contracting path; vgg16: DeepLab's trunk; resnet18, "
            "resnet50: residual networks. The first two can start a U-Net, vgg16 a DeepLab.",
        ),
    ] = "unet"
    contrast: Annotated[
        Contrast,
        described(
            "Contrast",
            "image: a crop is one entry of the dictionary, as in the paper; dense: every place of a "
            "crop is one, which teaches features at fine resolution.",
        ),
    ] = "dense"
    width: Annotated[
        int,
        described(
            "Width",
            "Channels at the first level of the U-Net, or of vgg16 (VGG-16 itself has 64).",
            min=1,
            max=256,
            step=8,
        ),
    ] = 8
    depth: Annotated[
        int, described("Depth", "Number of the U-Net's poolings.", min=1, max=6, step=1)
    ] = 3
    K: Annotated[
        int,
        described(
            "Queue K",
            "Keys in the dictionary (paper: 65536). A larger one costs time and memory in each step.",
            min=1,
            max=2**20,
            step=1024,
        ),
    ] = 4096
    m: Annotated[
        float,
        described(
            "Momentum m",
            "How slowly the key encoder follows (paper: 0.999; there, 0 fails). Lower follows sooner.",
            min=0.0,
            max=1.0,
            step=0.001,
        ),
    ] = 0.99
    T: Annotated[
        float,
        described(
            "Temperature τ",
            "Of the softmax (paper: 0.07; version 2: 0.2).",
            min=0.001,
            max=10,
            step=0.01,
        ),
    ] = 0.2
    dim: Annotated[
        int, described("Dimension C", "Of queries and keys (paper: 128).", min=2, max=4096, step=32)
    ] = 128
    mlp: Annotated[
        bool, described("Two-layer head", "Version 2's head (thrown away after training).")
    ] = True
    bn_groups: Annotated[
        int,
        described(
            "BN groups",
            "Statistics of batch normalisation are taken over so many shuffled parts of a batch, as on "
            "so many devices, so that they cannot leak the answer (1: off).",
            min=1,
            max=256,
            step=1,
        ),
    ] = 2
    near: Annotated[
        bool,
        described("Near negatives", "Other places of the same crop are negatives too (dense only)."),
    ] = False
    places: Annotated[
        int,
        described("Places", "Looked up in each crop (dense only).", min=1, max=4096, step=16),
    ] = 32
    batch: Annotated[int, described("Batch", "Crops in each step.", min=1, max=4096, step=4)] = 32
    crop: Annotated[int, described("Crop", "Side of a crop in pixels.", min=16, max=4096, step=16)] = 64
    optimiser: Annotated[
        Literal["adamw", "sgd"],
        described("Optimiser", "sgd: the paper's, with momentum 0.9; or adamw."),
    ] = "adamw"
    learning_rate: Annotated[
        float | None,
        described(
            "Learning rate",
            "Largest step size. Automatic: 0.002 for adamw; 0.03 · batch/256 for sgd, the paper's.",
            min=0.0,
            max=10.0,
            step=1e-4,
        ),
    ] = None
    schedule: Annotated[
        Literal["constant", "cosine"],
        described("Schedule", "cosine: the learning rate falls to 0 over the run (version 2)."),
    ] = "cosine"
    weight_decay: Annotated[
        float, described("Weight decay", "Paper: 0.0001.", min=0.0, max=1.0, step=1e-4)
    ] = 1e-4
    rotate: Annotated[bool, described("Rotate and flip", "Any angle, and mirror images.")] = True
    zoom_range: Annotated[
        float,
        described(
            "Zoom range",
            "Each view is resized by a random factor from 1/range to range (1: off).",
            min=1.0,
            max=4.0,
            step=0.1,
        ),
    ] = 1.4
    shift: Annotated[
        float,
        described(
            "Shift",
            "How far the two views of a place lie apart at most, as a share of the crop.",
            min=0.0,
            max=1.0,
            step=0.05,
        ),
    ] = 0.25
    elastic: Annotated[
        float,
        described(
            "Elastic σ",
            "Standard deviation in pixels of the displacements on a 3×3 grid (0: off).",
            min=0.0,
            max=100.0,
            step=1.0,
        ),
    ] = 3.0
    grey: Annotated[
        float,
        described(
            "Grey values",
            "Strength of random brightness, contrast and gamma, for each channel of its own "
            "(0: off). Grey images stay grey.",
            min=0.0,
            max=4.0,
            step=0.1,
        ),
    ] = 1.0
    blur: Annotated[
        float,
        described("Blur σ", "Largest blur of a view, in pixels (0: off).", min=0.0, max=20.0, step=0.5),
    ] = 1.0
    noise: Annotated[
        float,
        described(
            "Noise",
            "Largest standard deviation of added noise, where 1 is the range of the grey values.",
            min=0.0,
            max=1.0,
            step=0.01,
        ),
    ] = 0.05
    queue_device: Annotated[
        Literal["same", "cpu"],
        described("Queue on", "same: beside the network; cpu: in main memory, where there is more."),
    ] = "same"
    checkpoint_every: CheckpointEvery = 200
    precision: TrainingPrecision = "auto"
    seed: Seed = 0
