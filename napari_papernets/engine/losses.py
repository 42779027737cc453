"""The loss of the papers, weighted cross-entropy of a pixel-wise softmax; and that of a student."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..networks import DeepLab
from ..networks.deeplab import STRIDE


def answer_to_learn_from(network: nn.Module, images: Tensor, kind: str) -> tuple[Tensor, int]:
    """Logits to compare with the target, and of how many pixels one is compared.

    DeepLab's are compared as the paper does it, on its coarse maps with the target sub-sampled by 8:
    score i with pixel 8i. A stroke of a few pixels would all but vanish in this (1 pixel in 64 is
    left), so for strokes the scores are restored to full size first, and every annotated pixel counts.
    U-Nets are compared pixel by pixel.

    Parameters
    ----------
    network : nn.Module
        In training mode.
    images : Tensor, shape (B, C, H, W)
        Normalised.
    kind : {"strokes", "classes", "instances"}
        Of the annotation.

    Returns
    -------
    logits : Tensor, shape (B, K, h, w)
    every : int
        They belong to target[:, ::every, ::every].
    """
    if isinstance(network, DeepLab) and kind != "strokes":
        return network.scores(images), STRIDE
    return network(images), 1


def weighted_cross_entropy(logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy of a pixel-wise softmax, averaged with the weights of the pixels.

    The paper sums (eq. 1); the weighted mean differs by a factor and leaves the learning rate
    independent of how much is annotated.

    Parameters
    ----------
    logits : Tensor, shape (B, K, H, W)
        Any floating type; computed in float32.
    classes : Tensor, shape (B, H, W), int64
        Target, 0…K−1; any value where the weight is 0.
    weights : Tensor, shape (B, H, W), float32
        w(x), at least 0.

    Returns
    -------
    Tensor
        A scalar; 0 where all weights are 0.
    """
    log_p = torch.log_softmax(logits.float(), dim=1)  # (B, K, H, W)
    # gather instead of nll_loss, whose sum on a GPU is not reproducible
    truth = classes.clamp(0, logits.shape[1] - 1).unsqueeze(1)  # (B, 1, H, W)
    losses = -log_p.gather(1, truth).squeeze(1)  # (B, H, W)
    return (losses * weights).sum() / weights.sum().clamp(min=torch.finfo(torch.float32).tiny)


def taught_cross_entropy(logits: Tensor, taught: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy with what a teacher says, over the pixels that are not annotated.

    Parameters
    ----------
    logits : Tensor, shape (B, K, H, W)
        Any floating type; computed in float32.
    taught : Tensor, shape (B, K, H, W), float32
        Probabilities. Pixels weigh by how sure the teacher is: by the difference of the two highest.
    classes : Tensor, shape (B, H, W), int64
        Annotated classes, below 0 where there are none.

    Returns
    -------
    Tensor
        A scalar; 0 where all is annotated.
    """
    log_p = torch.log_softmax(logits.float(), dim=1)  # (B, K, H, W)
    best = taught.topk(2, dim=1).values
    weights = (best[:, 0] - best[:, 1]) * (classes < 0)  # (B, H, W)
    losses = -(taught * log_p).sum(1)
    return (losses * weights).sum() / weights.sum().clamp(min=torch.finfo(torch.float32).tiny)
