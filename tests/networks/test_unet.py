"""The paper's network: its numbers, its sizes, its initialisation, and that tiles see all they need."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_papernets.core.errors import InputError
from napari_papernets.networks import UNet
from napari_papernets.networks.unet import same_halo, size_rule


@pytest.fixture(scope="module")
def paper() -> UNet:
    return UNet()


def test_figure_1(paper):
    convolutions = [m for m in paper.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convolutions) == 23
    assert sum(p.numel() for p in paper.parameters()) == 31_030_658
    with torch.inference_mode():
        assert paper.eval()(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)


def test_tensors_keep_their_names():
    """Model files are read by them."""
    names = set(UNet(depth=1, width=2, padding="same", norm="batch").state_dict())
    blocks = ("contract.0", "contract.1", "expand.0")
    layers = [f"{block}.{number}" for block in blocks for number in (0, 1, 3, 4)]
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = {f"{layer}.weight" for layer in layers} | {"up.0.weight", "up.0.bias"}
    expected |= {f"{layer}.{n}" for layer in layers if layer[-1] in "14" for n in norm}
    assert names == expected | {"head.weight", "head.bias"}


def test_weights_are_drawn_with_the_papers_deviation(paper):
    for module in paper.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx(np.sqrt(2 / fan_in), rel=0.05)


def test_dropout_stands_at_the_end_of_the_contracting_path(paper):
    drops = [any(isinstance(m, nn.Dropout) for m in block) for block in paper.contract]
    assert drops == [False, False, False, True, True]
    assert not any(isinstance(m, nn.Dropout) for m in paper.expand.modules())


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_valid_sizes_are_those_that_pool_evenly(depth):
    """Walk every size through the contracting path; the rule must accept just those that survive."""
    rule = size_rule(depth, "valid")
    for size in range(1, rule.minimum + 3 * rule.step):
        side, fits = size, True
        for _ in range(depth):
            side -= 4
            fits, side = fits and side > 0 and side % 2 == 0, side // 2
        side -= 4
        for _ in range(depth):
            side = 2 * side - 4
            fits = fits and side > 0
        assert (rule.round_up(size) == size) == fits, size


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_halo_is_the_true_receptive_field(depth):
    """Change one input pixel: outputs in blocks further than the halo must not move at all, and some
    output at the halo's edge must (the halo is not larger than it has to be)."""
    step, halo = 2**depth, same_halo(depth)
    torch.manual_seed(0)
    network = UNet(1, 1, width=2, depth=depth, padding="same", dropout=0.0).eval().double()
    for parameter in network.parameters():
        parameter.data.abs_()  # no ReLU closes, no cancellation: what can matter does
    size = 2 * (halo // step + 2) * step + step
    reached = 0
    for pixel in range(size // 2 // step * step, size // 2 // step * step + step):
        image = torch.rand(1, 1, step, size, dtype=torch.float64)
        changed = image.clone()
        changed[..., pixel] += 10
        with torch.inference_mode():
            moved = (network(image) != network(changed)).any(dim=(0, 1, 2)).nonzero()[:, 0]
        for output in moved.tolist():
            block = output // step * step
            reached = max(reached, block - pixel, pixel - (block + step - 1))
    assert reached == halo


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"width": 0}, "width"),
        ({"classes": 0}, "classes"),
        ({"padding": "full"}, "padding"),
        ({"norm": "group"}, "norm"),
    ],
)
def test_bad_options_are_refused(arguments, field):
    with pytest.raises(InputError) as error:
        UNet(**arguments)
    assert error.value.field == field


def test_bad_sizes_say_what_to_pad_to(paper):
    with pytest.raises(InputError, match="pad it to 588"):
        paper(torch.zeros(1, 1, 573, 572))
    with pytest.raises(InputError, match="this network takes 1"):
        paper(torch.zeros(1, 3, 572, 572))
