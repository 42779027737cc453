"""MoCo against the paper and a reference: loss, queue, momentum, gradients, shuffling BN."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from moco_run import STEPS, small_moco, train
from torch import nn
from torch.nn import functional as F

from napari_papernets.core.errors import InputError
from napari_papernets.networks import MoCo
from napari_papernets.networks.encoders import encoder_factory
from napari_papernets.networks.moco import LookUpLoss
from napari_papernets.networks.split_norm import SplitBatchNorm2d, split_batch_norm


class Flat(nn.Module):
    """The least encoder: one linear layer on the mean of each channel."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(3, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.mean((2, 3)))


def images(batch: int, seed: int = 0, side: int = 4) -> torch.Tensor:
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


def logits_by_hand(model: MoCo, im_q: torch.Tensor, im_k: torch.Tensor) -> np.ndarray:
    """Equation 1's similarities in float64, from the weights before the step; m must be 1."""

    def embed(encoder: nn.Module, x: torch.Tensor) -> np.ndarray:
        weight, bias = (p.detach().double().numpy() for p in (encoder.fc.weight, encoder.fc.bias))
        z = x.double().mean((2, 3)).numpy() @ weight.T + bias
        return z / np.linalg.norm(z, axis=1, keepdims=True)

    q, k = embed(model.encoder_q, im_q), embed(model.encoder_k, im_k)
    queue = model.queue.double().numpy()
    return np.concatenate([(q * k).sum(1, keepdims=True), q @ queue], axis=1) / model.T


def test_loss_is_infonce() -> None:
    torch.manual_seed(1)
    model = MoCo(Flat, dim=8, K=13, m=1.0, T=0.07)
    model.encoder_k.fc.weight.data.normal_()  # a key encoder of its own
    im_q, im_k = images(5, 1), images(5, 2)
    expected = logits_by_hand(model, im_q, im_k)
    logits, labels = model(im_q, im_k)
    assert logits.shape == (5, 14)
    assert labels.tolist() == [0] * 5
    assert np.abs(logits.detach().numpy() - expected).max() < 1e-5  # divided by 0.07
    by_hand = np.mean(np.log(np.exp(expected).sum(1)) - expected[:, 0])
    assert F.cross_entropy(logits, labels).item() == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize(("kind", "close"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-3)])
def test_the_quick_loss_is_the_cross_entropy(kind: torch.dtype, close: float) -> None:
    torch.manual_seed(0)
    logits = (torch.randn(7, 50) * 20).to(kind).requires_grad_()
    before = logits.detach().clone()
    plain = before.float().requires_grad_()
    ours, wanted = LookUpLoss.apply(logits), F.cross_entropy(plain, torch.zeros(7, dtype=torch.long))
    (3 * ours).backward()
    (3 * wanted).backward()
    assert ours.item() == pytest.approx(wanted.item(), abs=1e-5)
    assert logits.grad.dtype == kind
    assert torch.allclose(logits.grad.float(), plain.grad, atol=close)
    assert torch.equal(logits.detach(), before)  # others read them, too


def test_loss_is_that_of_a_reference() -> None:
    lightly = pytest.importorskip("lightly.loss")
    torch.manual_seed(2)
    model = MoCo(Flat, dim=16, K=64, m=1.0, T=0.2)
    reference = lightly.NTXentLoss(temperature=0.2, memory_bank_size=(64, 16))
    reference.memory_bank.bank = model.queue.T.clone()
    im_q, im_k = images(6, 3), images(6, 4)
    with torch.no_grad():
        theirs = reference(model.encoder_q(im_q), model.encoder_k(im_k))
    ours = F.cross_entropy(*model(im_q, im_k))
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)


@given(st.integers(1, 9), st.lists(st.integers(1, 25), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_queue_is_first_in_first_out(size: int, batches: list[int]) -> None:
    """Whatever the batch sizes, also those that do not divide K or surpass it."""
    model = MoCo(Flat, dim=2, K=size)
    expected = deque(model.queue.T.tolist(), maxlen=size)
    number = 0
    for batch in batches:
        keys = torch.arange(number, number + 2 * batch, dtype=torch.float32).view(batch, 2)
        number += 2 * batch
        model._dequeue_and_enqueue(keys)
        expected.extend(keys.tolist())
    oldest_first = torch.roll(model.queue, -int(model.queue_ptr), dims=1)
    assert oldest_first.T.tolist() == list(expected)


def test_keys_of_a_step_enter_the_queue_in_the_order_of_their_images() -> None:
    torch.manual_seed(0)
    model = MoCo(Flat, dim=4, K=10, m=1.0)
    im_k = images(3, 5)
    model(images(3, 6), im_k)
    expected = F.normalize(model.encoder_k(im_k), dim=1)
    assert torch.allclose(model.queue[:, :3].T, expected, atol=1e-6)
    assert int(model.queue_ptr) == 3


def test_key_encoder_is_the_moving_average() -> None:
    torch.manual_seed(0)
    model = MoCo(Flat, dim=4, K=8, m=0.9)
    optimiser = torch.optim.SGD(model.encoder_q.parameters(), lr=0.5)
    average = model.encoder_k.fc.weight.double().clone()
    for step in range(20):
        average = 0.9 * average + 0.1 * model.encoder_q.fc.weight.detach().double()
        F.cross_entropy(*model(images(4, step), images(4, 100 + step))).backward()
        optimiser.step()
    assert not torch.allclose(model.encoder_k.fc.weight, model.encoder_q.fc.weight, atol=1e-3)
    assert torch.allclose(model.encoder_k.fc.weight.double(), average, atol=1e-6)


def test_no_gradient_reaches_keys() -> None:
    model = MoCo(Flat, dim=4, K=8)
    im_k = images(4, 1).requires_grad_()
    F.cross_entropy(*model(images(4, 0), im_k)).backward()
    assert im_k.grad is None
    assert all(p.grad is None and not p.requires_grad for p in model.encoder_k.parameters())
    assert not model.queue.requires_grad
    assert all(p.grad is not None for p in model.encoder_q.parameters())


def test_the_queue_stays_where_it_is_told() -> None:
    model = MoCo(Flat, dim=4, K=8, queue_device="cpu").to("meta")
    assert model.encoder_q.fc.weight.device.type == "meta"
    assert model.queue.device.type == "cpu"
    assert MoCo(Flat, dim=4, K=8).to("meta").queue.device.type == "meta"


def test_version_2_has_two_layers() -> None:
    model = MoCo(encoder_factory("resnet18", 3), dim=16, K=8, T=0.2, mlp=True)
    names = {name for name in model.encoder_q.state_dict() if name.startswith("fc")}
    assert names == {"fc.0.weight", "fc.0.bias", "fc.2.weight", "fc.2.bias"}
    assert model.encoder_q.fc[0].weight.shape == (512, 512)


@pytest.mark.parametrize(
    ("field", "value"),
    [("dim", 0), ("K", 0), ("bn_groups", 0), ("T", 0.0), ("T", float("nan")), ("m", 1.5)],
)
def test_impossible_numbers_are_refused(field: str, value: float) -> None:
    with pytest.raises(InputError, match=field):
        MoCo(Flat, **{field: value})


def test_queries_and_keys_come_in_pairs() -> None:
    model = MoCo(encoder_factory("contracting", 1, width=2, depth=1), dim=4, K=8)
    with pytest.raises(InputError, match="one for each of 4"):
        model(torch.rand(4, 1, 32, 32), torch.rand(2, 1, 32, 32))


def test_each_place_is_a_query_of_its_own() -> None:
    """Views that are the same image, m = 1: the positive of a place is itself, similarity 1."""
    torch.manual_seed(0)
    encoder = encoder_factory("contracting", 3, width=4, depth=2, dense=True)
    model = MoCo(encoder, dim=8, K=11, m=1.0, T=1.0, near=True).eval()
    view = images(2, 0, side=16)
    places = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(1)) * 1.6 - 0.8
    logits, labels = model(view, view, places, places)
    assert logits.shape == (10, 1 + 11 + 4)
    assert labels.tolist() == [0] * 10
    assert torch.allclose(logits[:, 0], torch.ones(10), atol=1e-5)
    q = F.normalize(model.encoder_q(view, places), dim=1).view(2, 5, 8)
    similar = torch.einsum("bpc,brc->bpr", q, q)  # of places of one image
    own = torch.eye(5, dtype=torch.bool).expand(2, 5, 5)
    others = similar[~own].view(10, 4)
    assert torch.allclose(logits[:, 12:], others, atol=1e-5)


def test_bn_groups_are_normalised_each_for_itself() -> None:
    x = torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(0)) * 3 + 1
    split, plain = SplitBatchNorm2d(2, groups=3), nn.BatchNorm2d(2)
    expected = torch.cat([nn.BatchNorm2d(2)(part) for part in x.chunk(3)])
    assert torch.allclose(split(x), expected, atol=1e-6)
    alone = [nn.BatchNorm2d(2) for _ in range(3)]
    for norm, part in zip(alone, x.chunk(3), strict=True):
        norm(part)
    assert torch.allclose(split.running_var, torch.stack([n.running_var for n in alone]).mean(0))
    plain.load_state_dict(split.state_dict())
    assert torch.allclose(split.eval()(x), plain.eval()(x))
    with pytest.raises(InputError, match="multiple of the 3 groups"):
        split.train()(x[:5])


def test_splitting_keeps_names_and_weights() -> None:
    encoder = encoder_factory("resnet18", 3)(num_classes=4)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    split_batch_norm(encoder, 2)
    after = encoder.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert sum(isinstance(m, SplitBatchNorm2d) for m in encoder.modules()) == 20


def test_two_processes_equal_one_with_bn_in_two_groups(tmp_path: Path) -> None:
    """Shuffling BN: the same losses and weights, with the same permutation (gloo, CPU)."""
    script = Path(__file__).with_name("moco_run.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*command, str(script), str(tmp_path)], check=True, timeout=240)
    two = json.loads((tmp_path / "run.json").read_text())
    alone, losses = small_moco(bn_groups=2), []
    train(alone, alone.encoder_q, losses, slice(None))
    assert losses == pytest.approx(two["losses"], abs=1e-5)
    assert len(losses) == STEPS
    assert alone.queue.sum().item() == pytest.approx(two["queue"], abs=1e-3)
    weight = alone.encoder_k.unet.contract[1][0].weight
    assert weight.flatten()[:8].tolist() == pytest.approx(two["weight"], abs=1e-5)
    plain, others = small_moco(bn_groups=1), []
    train(plain, plain.encoder_q, others, slice(None))
    assert others != pytest.approx(two["losses"], abs=1e-4)  # the groups do matter
