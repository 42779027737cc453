"""Public checkpoints of Vision Transformers: where they lie, and on what terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import InputError

HALVES = (0.5, 0.5, 0.5)
# Of red, green and blue in 0…1 on ImageNet's photographs, as most checkpoints take them.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OFFICIAL = "https://dl.fbaipublicfiles.com"
TIMM = "https://huggingface.co/timm"

DINO = "Caron et al.: Emerging Properties in Self-Supervised Vision Transformers. ICCV 2021, 2104.14294"
DINOV2 = "Oquab et al.: DINOv2: Learning Robust Visual Features without Supervision. 2023, 2304.07193"
REGISTERS = "Darcet et al.: Vision Transformers Need Registers. ICLR 2024, 2309.16588"
MAE = "He et al.: Masked Autoencoders Are Scalable Vision Learners. CVPR 2022, 2111.06377"
DEIT = "Touvron et al.: Training data-efficient image transformers. ICML 2021, 2012.12877"
AUGREG = "Steiner et al.: How to train your ViT? TMLR 2022, 2106.10270"


@dataclass(frozen=True)
class PublicCheckpoint:
    """One checkpoint that can be downloaded.

    Attributes
    ----------
    name : str
        Of the model file that is made of it.
    about : str
        One line: size, patch, what it was trained with.
    url : str
        Of a ``.pth`` or ``.safetensors`` file.
    licence : str
        Of the weights.
    paper : str
        What to cite beside the ViT paper.
    millions : float
        Parameters; a file in float32 has four bytes for each.
    sha256 : str
        Of the file, or its first digits as the authors wrote them into its name; empty where no
        authority gives it. Then the size that the server tells, and the file's own structure, are
        checked.
    options : mapping
        What a state dict does not tell: `antialias`, `mean`, `std`, `heads`.
    kind : {"vit", "moco"}
        A Vision Transformer, or a residual network in MoCo's layout.
    """

    name: str
    about: str
    url: str
    licence: str
    paper: str
    millions: float
    sha256: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["vit", "moco"] = "vit"

    @property
    def megabytes(self) -> int:
        """About the size of the file."""
        return round(self.millions * 4)


def _dinov2(name: str, path: str, size: str, millions: float, registers: bool) -> PublicCheckpoint:
    about = f"DINOv2, {size}, patch 14{', 4 registers' if registers else ''}: 142 million photographs"
    paper = f"{DINOV2}; {REGISTERS}" if registers else DINOV2
    url = f"{OFFICIAL}/dinov2/{path}_pretrain.pth"
    options = dict(antialias=registers)  # as the authors' own code does it
    return PublicCheckpoint(name, about, url, "Apache-2.0", paper, millions, options=options)


def _dino(name: str, path: str, size: str, patch: int, millions: float) -> PublicCheckpoint:
    about = f"DINO, {size}, patch {patch}: ImageNet-1k without labels"
    url = f"{OFFICIAL}/dino/{path}/{path}.pth"
    return PublicCheckpoint(
        name, about, url, "Apache-2.0", DINO, millions, options=dict(antialias=False)
    )


def _augreg(name: str, path: str, size: str, millions: float) -> PublicCheckpoint:
    about = f"Google's ImageNet-21k, {size}, patch 16: 14 million labelled photographs"
    url = f"{TIMM}/{path}/resolve/main/model.safetensors"
    options = dict(mean=HALVES, std=HALVES)
    return PublicCheckpoint(name, about, url, "Apache-2.0", AUGREG, millions, options=options)


def _deit(name: str, file: str, size: str, millions: float, sha256: str) -> PublicCheckpoint:
    about = f"DeiT, {size}, patch 16: ImageNet-1k with labels"
    url = f"{OFFICIAL}/deit/{file}-{sha256}.pth"
    return PublicCheckpoint(name, about, url, "Apache-2.0", DEIT, millions, sha256)


CHECKPOINTS: tuple[PublicCheckpoint, ...] = (
    _dinov2("dinov2-small", "dinov2_vits14/dinov2_vits14", "Small", 22.1, False),
    _dinov2("dinov2-small-registers", "dinov2_vits14/dinov2_vits14_reg4", "Small", 22.1, True),
    _dinov2("dinov2-base", "dinov2_vitb14/dinov2_vitb14", "Base", 86.6, False),
    _dino("dino-small-8", "dino_deitsmall8_pretrain", "Small", 8, 21.7),
    _dino("dino-small-16", "dino_deitsmall16_pretrain", "Small", 16, 21.7),
    _augreg("google-tiny-16", "vit_tiny_patch16_224.augreg_in21k", "Tiny", 9.7),
    _augreg("google-small-16", "vit_small_patch16_224.augreg_in21k", "Small", 30.1),
    _augreg("google-base-16", "vit_base_patch16_224.augreg_in21k", "Base", 102.6),
    _deit("deit-tiny-16", "deit_tiny_patch16_224", "Tiny", 5.7, "a1311bcf"),
    _deit("deit-small-16", "deit_small_patch16_224", "Small", 22.1, "cd65a155"),
    PublicCheckpoint(
        "mae-base-16",
        "MAE, Base, patch 16: ImageNet-1k without labels; not for commercial use",
        f"{OFFICIAL}/mae/pretrain/mae_pretrain_vit_base.pth",
        "CC-BY-NC-4.0",
        MAE,
        85.8,
        options=dict(antialias=False),
    ),
)


def find_checkpoint(name: str, among: Sequence[PublicCheckpoint] = CHECKPOINTS) -> PublicCheckpoint:
    """The checkpoint of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    found = {c.name: c for c in among}
    if name not in found:
        raise InputError("checkpoint", repr(name), f"choose one of {', '.join(found)}")
    return found[name]
