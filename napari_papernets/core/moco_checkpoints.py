"""Public checkpoints of MoCo: residual networks that learnt without labels."""

from __future__ import annotations

from .checkpoints import CHECKPOINTS, IMAGENET_MEAN, IMAGENET_STD, OFFICIAL, PublicCheckpoint

MOCO_V2 = "Chen et al.: Improved Baselines with Momentum Contrastive Learning. 2020, 2003.04297"
CEM500K = (
    "Conrad and Narayan: CEM500K, a large-scale heterogeneous unlabeled cellular electron microscopy "
    "image dataset for deep learning. eLife 2021, 10:e65894"
)
IMAGENET = dict(mean=IMAGENET_MEAN, std=IMAGENET_STD)


def _moco(name: str, path: str, epochs: int) -> PublicCheckpoint:
    about = f"MoCo v2, ResNet-50, {epochs} epochs: ImageNet-1k without labels; not for commercial use"
    url = f"{OFFICIAL}/moco/moco_checkpoints/{path}/{path}_pretrain.pth.tar"
    return PublicCheckpoint(name, about, url, "CC-BY-NC-4.0", MOCO_V2, 28.0, "", IMAGENET, "moco")


MOCO_CHECKPOINTS: tuple[PublicCheckpoint, ...] = (
    _moco("moco-v2-200", "moco_v2_200ep", 200),
    _moco("moco-v2-800", "moco_v2_800ep", 800),
    PublicCheckpoint(
        "cem500k",
        "MoCo v2, ResNet-50, 200 epochs: 500,000 images of electron microscopy without labels",
        "https://zenodo.org/records/6453140/files/cem500k_mocov2_resnet50_200ep.pth.tar",
        "see the record on Zenodo",
        CEM500K,
        28.0,
        "",
        dict(mean=(0.57287007,), std=(0.12740536,)),
        "moco",
    ),
)

ALL_CHECKPOINTS = (*CHECKPOINTS, *MOCO_CHECKPOINTS)
