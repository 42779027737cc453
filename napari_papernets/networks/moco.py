"""MoCo: momentum contrast (He, Fan, Wu, Xie, Girshick, CVPR 2020, arXiv 1911.05722).

Two views of an image are encoded, one by f_q into a query q, one by f_k into its positive key k₊. The
loss (InfoNCE, equation 1) is the cross-entropy of looking up q in a dictionary of k₊ and K older keys at
temperature T. The dictionary is a queue, first in, first out, so that its size does not depend on the
batch; θ_k follows θ_q as a moving average (equation 2), so that its keys stay alike. No gradient reaches
a key. The body of `MoCo.forward` is the paper's algorithm 1, line by line.

`mlp=True` with T = 0.2 is version 2 (Chen, Fan, Girshick, He, arXiv 2003.04297): two layers instead of
one behind the encoder.

Deviations, all optional: a view may be encoded at several places of each image (`places_q`, `places_k`),
and then every place is a query of its own, whose positive key is the same place in the other view
(dense contrast: Pinheiro et al. 2020, arXiv 2011.05499; Wang et al. 2021, arXiv 2011.09157); other
places of the same image may stand beside the queue as negatives (`near`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from ..core.errors import InputError
from .split_norm import split_batch_norm


class MoCo(nn.Module):
    """A query encoder, a key encoder that follows it, and a queue of keys.

    Parameters
    ----------
    base_encoder : callable
        ``base_encoder(num_classes=dim)`` makes a module that maps images (N, C, H, W) to (N, dim). For
        version 2 its last layer must be a linear layer named ``fc``.
    dim : int
        C, dimension of queries and keys.
    K : int
        Size of the queue: number of negatives.
    m : float
        Momentum of the key encoder, 0…1.
    T : float
        Temperature τ.
    mlp : bool
        Version 2's head.
    bn_groups : int
        Batch normalisation in so many groups of each batch, shuffled for the keys: what as many devices
        would compute. The paper's shuffling means nothing with one group on one device.
    near : bool
        Other places of the same image are negatives too (only where places are given).
    queue_device : str or torch.device, optional
        Where the queue stays, whatever device the encoders are moved to; with them by default.

    Attributes
    ----------
    encoder_q, encoder_k : nn.Module
        f_q and f_k.
    bn_groups : int
        As given.
    queue : Tensor, shape (dim, K)
        Keys of length 1, as columns.
    queue_ptr : Tensor, shape (1,), int64
        Column that the next key goes to.

    Raises
    ------
    InputError
        If a number is out of range.
    """

    queue: Tensor
    queue_ptr: Tensor

    def __init__(
        self,
        base_encoder: Callable[..., nn.Module],
        dim: int = 128,
        K: int = 65536,
        m: float = 0.999,
        T: float = 0.07,
        mlp: bool = False,
        *,
        bn_groups: int = 1,
        near: bool = False,
        queue_device: str | torch.device | None = None,
    ) -> None:
        super().__init__()
        _check(dim=dim, K=K, bn_groups=bn_groups)
        if not (0 <= m <= 1 and T > 0):
            raise InputError("m, T", (m, T), "give 0 ≤ m ≤ 1 and T > 0")
        self.dim, self.K, self.m, self.T = dim, K, m, T
        self.near, self.bn_groups, self.queue_device = near, bn_groups, queue_device
        self.encoder_q = base_encoder(num_classes=dim)
        self.encoder_k = base_encoder(num_classes=dim)
        for encoder in (self.encoder_q, self.encoder_k):
            if mlp:
                encoder.fc = two_layers(encoder.fc)
            if bn_groups > 1:
                split_batch_norm(encoder, bn_groups)
        self.encoder_k.load_state_dict(self.encoder_q.state_dict())  # initialise f_k as f_q
        self.encoder_k.requires_grad_(False)  # no update by gradient
        self.register_buffer("queue", F.normalize(torch.randn(dim, K), dim=0))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))
        if queue_device is not None:
            self.queue = self.queue.to(queue_device)

    def forward(
        self,
        im_q: Tensor,
        im_k: Tensor,
        places_q: Tensor | None = None,
        places_k: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logits of looking up each query in the dictionary, and the right answers.

        Parameters
        ----------
        im_q, im_k : Tensor, shape (B, C, H, W)
            Two views of the same images.
        places_q, places_k : Tensor, shape (B, P, 2), optional
            The same P places of each image in both views, as (x, y) in −1…1; the encoders are then
            called with them and answer (B·P, dim).

        Returns
        -------
        logits : Tensor, shape (N, 1 + K) or (N, 1 + K + P − 1)
            Similarities over T, N = B or B·P; the positive key comes first.
        labels : Tensor, shape (N,), int64
            Zeros.
        """
        if len(im_q) != len(im_k):
            raise InputError("im_k", f"{len(im_k)} views", f"give one for each of {len(im_q)} queries")
        # compute query features
        q = self._encode(self.encoder_q, im_q, places_q)  # queries: (N, C)

        # compute key features
        with torch.no_grad():  # no gradient to keys
            self._momentum_update_key_encoder()
            im_k, places_k, idx_unshuffle = self._batch_shuffle(im_k, places_k)  # for making use of BN
            k = self._encode(self.encoder_k, im_k, places_k)  # keys: (N, C)
            k = self._batch_unshuffle(k, idx_unshuffle)  # undo shuffle

        # compute logits
        q = q / self.T  # apply temperature, to the queries: fewer numbers than the logits
        l_pos = torch.einsum("nc,nc->n", q, k).unsqueeze(-1)  # positive logits: (N, 1)
        l_neg = torch.einsum("nc,ck->nk", q, self.queue.to(q.device, copy=True))  # negative: (N, K)
        logits = torch.cat([l_pos, l_neg, *self._near(q, k, len(im_q))], dim=1)  # (N, 1 + K)

        # labels: positives are the 0-th
        labels = torch.zeros(len(logits), dtype=torch.long, device=logits.device)

        self._dequeue_and_enqueue(k)
        return logits, labels

    def _encode(self, encoder: nn.Module, images: Tensor, places: Tensor | None) -> Tensor:
        features = encoder(images) if places is None else encoder(images, places)
        return F.normalize(features.float(), dim=1)

    @torch.no_grad()
    def _momentum_update_key_encoder(self) -> None:
        """θ_k ← m·θ_k + (1 − m)·θ_q (equation 2)."""
        params_q, params_k = list(self.encoder_q.parameters()), list(self.encoder_k.parameters())
        torch._foreach_mul_(params_k, self.m)  # for all parameters at once
        torch._foreach_add_(params_k, params_q, alpha=1 - self.m)

    @torch.no_grad()
    def _dequeue_and_enqueue(self, keys: Tensor) -> None:
        """The newest keys take the places of the oldest; of more than K only the last K stay."""
        keys = concat_all_gather(keys)  # gather keys before updating queue
        ptr, count = self.queue_ptr, len(keys)
        kept = keys[-self.K :]
        at = (ptr + count - len(kept) + torch.arange(len(kept), device=ptr.device)) % self.K
        at = at.to(self.queue.device)
        self.queue[:, at] = kept.T.to(self.queue.device, self.queue.dtype)  # dequeue and enqueue
        self.queue_ptr.copy_((ptr + count) % self.K)  # move pointer

    @torch.no_grad()
    def _batch_shuffle(
        self, x: Tensor, places: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Deal the images of all devices out anew, so that no group of BN holds a query's neighbours.

        Returns
        -------
        x, places
            This device's share after shuffling.
        idx_unshuffle : Tensor or None
            For each image of the whole batch its place in the shuffled one; None where all are
            normalised together, so that their order means nothing.
        """
        world, rank = world_and_rank()
        if world * self.bn_groups == 1:
            return x, places, None
        idx_shuffle = torch.randperm(len(x) * world, device=x.device)  # random shuffle index
        if world > 1:
            dist.broadcast(idx_shuffle, src=0)  # the same on all devices
        idx_unshuffle = torch.argsort(idx_shuffle)  # index for restoring
        idx_this = idx_shuffle.view(world, -1)[rank]
        shuffled = concat_all_gather(x)[idx_this]
        if x.is_contiguous(memory_format=torch.channels_last):
            shuffled = shuffled.contiguous(memory_format=torch.channels_last)
        if places is not None:
            places = concat_all_gather(places)[idx_this]
        return shuffled, places, idx_unshuffle

    @torch.no_grad()
    def _batch_unshuffle(self, k: Tensor, idx_unshuffle: Tensor | None) -> Tensor:
        """Undo `_batch_shuffle` for keys (N, C), each image's places together."""
        if idx_unshuffle is None:
            return k
        world, rank = world_and_rank()
        every = concat_all_gather(k).view(len(idx_unshuffle), -1, k.shape[1])  # (B of all, P, C)
        idx_this = idx_unshuffle.view(world, -1)[rank]
        return every[idx_this].flatten(0, 1)

    def _near(self, q: Tensor, k: Tensor, images: int) -> list[Tensor]:
        """Logits (N, P − 1) of the keys of the other places of the same image."""
        count = len(q) // images
        if not self.near or count == 1:
            return []
        queries, keys = (t.view(images, count, -1) for t in (q, k))
        every = torch.einsum("bpc,bqc->bpq", queries, keys).flatten(0, 1)  # (N, P)
        place, other = (torch.arange(n, device=q.device) for n in (count, count - 1))
        others = other + (other >= place[:, None])  # (P, P − 1): of each place all but itself
        return [every.gather(1, others.repeat(images, 1))]

    def _apply(self, fn: Any, recurse: bool = True) -> MoCo:
        queue = self.queue
        super()._apply(fn, recurse)
        if self.queue_device is not None:
            self.queue = queue
        return self


class LookUpLoss(torch.autograd.Function):
    """Cross-entropy of logits (N, 1 + K) whose right answer is the first, mean over N (equation 1).

    The same as `cross_entropy(logits.float(), labels)`, in half the time where K is large: one array of
    float32 is renewed in place from the logits to their gradient. It can be gone back through once.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        most, values = logits.amax(1, keepdim=True).float(), logits.float()
        less = values - most if values is logits else values.sub_(most)
        ctx.shares, ctx.kind = less.exp_(), logits.dtype
        ctx.total = ctx.shares.sum(1, keepdim=True)  # (N, 1)
        return (ctx.total.log() + most - logits[:, :1]).mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        of_each = gradients[0] / len(ctx.total)
        found = ctx.shares.mul_(of_each / ctx.total)
        found[:, 0] -= of_each
        del ctx.shares
        return found.to(ctx.kind)


def two_layers(fc: nn.Module) -> nn.Sequential:
    """Version 2's head: another layer and a ReLU before the linear layer `fc`.

    Raises
    ------
    InputError
        If `fc` is no linear layer.
    """
    if not isinstance(fc, nn.Linear):
        raise InputError("mlp", type(fc).__name__, "the encoder's fc must be a linear layer")
    return nn.Sequential(nn.Linear(fc.in_features, fc.in_features), nn.ReLU(), fc)


def world_and_rank() -> tuple[int, int]:
    """Number of processes that train together, and which one this is; (1, 0) for one alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_world_size(), dist.get_rank()
    return 1, 0


@torch.no_grad()
def concat_all_gather(tensor: Tensor) -> Tensor:
    """The tensors of all processes along the first axis, in the order of their ranks; no gradient."""
    world, _ = world_and_rank()
    if world == 1:
        return tensor
    tensor = tensor.contiguous()
    gathered = [torch.empty_like(tensor) for _ in range(world)]
    dist.all_gather(gathered, tensor)
    return torch.cat(gathered)


def _check(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise InputError(name, value, "give at least 1")
