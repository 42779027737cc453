"""Encoders: torchvision's numbers, public checkpoints, places, and weights that fit a U-Net."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision

from napari_papernets.core.errors import InputError, ModelError
from napari_papernets.networks import DeepLab, MoCo, UNet
from napari_papernets.networks.encoder_network import EncoderNetwork
from napari_papernets.networks.encoders import UNetEncoder, at_places, encoder_factory
from napari_papernets.networks.public_moco import load_public, public_encoder, public_state
from napari_papernets.networks.residual import ResNetEncoder
from napari_papernets.networks.vgg_encoder import VGGEncoder, folded


@pytest.mark.parametrize("layers", [18, 50])
def test_residual_networks_are_torchvisions(layers: int) -> None:
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, f"resnet{layers}")(num_classes=7).eval()
    ours = ResNetEncoder(layers, 7).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)
        assert [m.shape[1] for m in ours.maps(x)] == ours.channels
        assert [64 // m.shape[-1] for m in ours.maps(x)] == [2, 4, 8, 16, 32]


@pytest.mark.parametrize(("name", "channels", "mlp"), [("resnet50", 3, True), ("resnet18", 1, False)])
def test_public_checkpoints_open_as_they_are(
    tmp_path: Path, name: str, channels: int, mlp: bool
) -> None:
    """The layout of facebookresearch/moco (ResNet-50, version 2) and of CEM500K (one channel)."""
    torch.manual_seed(0)
    model = MoCo(encoder_factory(name, channels), dim=12, K=6, mlp=mlp).eval()
    path = tmp_path / "public.pth.tar"
    torch.save({"epoch": 200, "arch": name, "state_dict": public_state(model)}, path)
    state = torch.load(path, weights_only=True)["state_dict"]
    expected = {"module.encoder_q.conv1.weight", "module.encoder_k.layer4.1.bn2.running_var"}
    expected |= {"module.queue", "module.queue_ptr"}
    expected |= {"module.encoder_q.fc.2.weight" if mlp else "module.encoder_q.fc.weight"}
    assert expected <= set(state)
    encoder, x = public_encoder(state).eval(), torch.randn(1, channels, 32, 32)
    with torch.no_grad():
        assert torch.equal(encoder(x), model.encoder_q(x))
    again = MoCo(encoder_factory(name, channels), dim=12, K=6, mlp=mlp)
    load_public(again, state)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())


def test_other_files_are_refused_by_name() -> None:
    model = MoCo(encoder_factory("resnet18", 3), dim=4, K=6)
    state = public_state(model)
    with pytest.raises(ModelError, match="conv1"):
        public_encoder({"backbone.weight": torch.zeros(1)})
    with pytest.raises(ModelError, match=r"layer3\.0\.bn1\.bias"):
        public_encoder({k: v for k, v in state.items() if k != "module.encoder_q.layer3.0.bn1.bias"})
    name = "module.encoder_q.layer3.0.conv1.weight"
    with pytest.raises(ModelError, match=r"layer3\.0\.conv1\.weight has shape \(3, 3\)"):
        public_encoder({**state, name: torch.zeros(3, 3)})
    with pytest.raises(ModelError, match=r"layer3\.0\.conv1\.weight holds numbers that are not finite"):
        public_encoder({**state, name: state[name] * torch.nan})
    with pytest.raises(ModelError, match=r"module\.queue: \(4, 6\)"):
        load_public(MoCo(encoder_factory("resnet18", 3), dim=4, K=7), state)


def test_an_unknown_encoder_is_refused() -> None:
    with pytest.raises(InputError, match="contracting"):
        encoder_factory("vgg", 3)  # type: ignore[arg-type]


def test_places_read_the_maps_where_they_are() -> None:
    """At the centre of a pixel its own value, whatever the size of the map."""
    maps = [torch.arange(16.0).view(1, 1, 4, 4), torch.arange(4.0).view(1, 1, 2, 2)]
    places = torch.tensor([[[-0.75, -0.75], [0.25, 0.75], [0.5, -0.5]]])  # (x, y)
    found = at_places(maps, places)
    assert found[:2, 0].tolist() == [0.0, 14.0]
    assert found[2].tolist() == [4.5, 1.0]


@pytest.mark.parametrize("whole", [False, True])
def test_tensors_of_the_unet_encoder_are_a_unets(whole: bool) -> None:
    encoder = UNetEncoder(5, in_channels=2, width=4, depth=2, whole=whole)
    unet = UNet(2, 3, width=4, depth=2, padding="same", norm="batch", dropout=0.0)
    missing, unknown = unet.load_state_dict(encoder.unet.state_dict(), strict=False)
    assert unknown == []
    parts = {name.split(".")[0] for name in missing}
    assert parts == ({"head"} if whole else {"up", "expand", "head"})
    x, encoder, unet = torch.randn(1, 2, 16, 16), encoder.eval(), unet.eval()
    named: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        unet.decode(x, named)
        ours = encoder.maps(x)
    assert [m.shape[1] for m in ours] == encoder.channels
    assert all(torch.equal(a, b) for a, b in zip(ours, named.values(), strict=False))


def trained_trunk(width: int = 8) -> VGGEncoder:
    """A trunk whose batch normalisation has statistics and weights of its own."""
    torch.manual_seed(0)
    encoder = VGGEncoder(5, in_channels=2, width=width, dense=True)
    for norm in (m for m in encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.uniform_(norm.bias, -0.5, 0.5)
    encoder(torch.rand(4, 2, 48, 48), torch.rand(4, 3, 2))
    return encoder.eval()


def test_the_trunk_of_a_deeplab_answers_as_the_encoder_does() -> None:
    """Batch normalisation is folded into the convolutions, which are those of DeepLab."""
    encoder = trained_trunk()
    deeplab = DeepLab(2, 3, width=8 / 64).eval()
    deeplab.features.load_state_dict(folded(encoder))
    x = torch.rand(1, 2, 57, 64)
    with torch.no_grad():
        maps = encoder.maps(x)
        torch.testing.assert_close(deeplab.features(x), maps[-1], rtol=1e-4, atol=1e-4)
    assert [m.shape[1] for m in maps] == encoder.channels == [8, 16, 32, 64, 64]
    assert [tuple(m.shape[2:]) for m in maps] == [(57, 64), (29, 32), (15, 16), (8, 8), (8, 8)]
    assert len([m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)]) == 13


@pytest.mark.parametrize("size", [32, 33, 39])
def test_elements_of_the_trunk_lie_on_every_eighth_pixel(size: int) -> None:
    """At such a pixel the element itself is read, and between two pixels the line between them."""
    ramp = torch.arange(float(size)).expand(1, 1, size, size)
    maps = [ramp[..., ::s, ::s] for s in (1, 2, 8)]
    x = torch.tensor([0.0, 8.0, 11.0, 24.0])
    places = torch.stack([x, x.flip(0)], 1)  # (x, y) in pixels
    found = at_places(maps, ((2 * places + 1) / size - 1)[None], (1, 2, 8))
    torch.testing.assert_close(found, x[:, None].expand(-1, 3), rtol=0, atol=1e-4)


def test_a_linear_layer_reads_the_trunk_where_it_lies() -> None:
    """Of a ramp every level makes the same ramp, up to the last element."""
    head = EncoderNetwork(1, 1, "vgg16", width=1).head
    ramp = torch.arange(40.0).expand(1, 1, 40, 40)
    sizes = zip(head.strides, head.channels, strict=True)
    maps = [ramp[..., ::s, ::s].expand(-1, c, -1, -1) for s, c in sizes]
    for level in range(5):
        for number, layer in enumerate(head.weights):
            torch.nn.init.constant_(layer.weight, float(number == level) / layer.in_channels)
        assert torch.allclose(head(maps)[..., :33], ramp[..., :33], atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16"])
def test_a_spot_is_read_where_it_lies_in_every_map(name: str) -> None:
    """With kernels that take the mean, the centre of mass of what a spot becomes stays where it was."""
    encoder = encoder_factory(name, 1, width=2)(num_classes=4).eval()
    for layer in encoder.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
    x = torch.zeros(1, 1, 384, 384)
    x[..., 192, 160] = 1.0
    with torch.no_grad():
        maps = encoder.maps(x)
    for found, stride in zip(maps, encoder.strides, strict=True):
        spread = found[0].sum(0)
        spread /= spread.sum()
        for axis, pixel in ((0, 192), (1, 160)):
            line = spread.sum(1 - axis)
            centre = float((line * torch.arange(len(line))).sum()) * stride
            assert centre == pytest.approx(pixel, abs=0.02 * stride)


@pytest.mark.parametrize("encoder", ["contracting", "resnet18", "vgg16"])
def test_a_linear_layer_on_an_encoder_answers_every_pixel(encoder: str) -> None:
    network = EncoderNetwork(3, 4, encoder, width=4, depth=2).eval()
    maps: dict[str, torch.Tensor] = {}
    assert network(torch.randn(2, 3, 64, 32), maps).shape == (2, 4, 64, 32)
    assert [m.shape[1] for m in maps.values()] == network.encoder.channels
    assert network.part("head") == [network.head]
    with pytest.raises(InputError, match="takes 3"):
        network(torch.randn(1, 1, 32, 32))
