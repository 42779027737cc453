"""Model files: round trips; garbage is refused in one line; nothing is unpickled or half written."""

from __future__ import annotations

import json
import pickle
import struct

import pytest
import torch
from safetensors.torch import save_file

from napari_papernets import atomic
from napari_papernets.api import load_model, save_model
from napari_papernets.core.errors import InputError, ModelError
from napari_papernets.engine.models import describe_network
from napari_papernets.engine.models import load_model as load_network
from napari_papernets.engine.weights import HASH_KEY, load_weights, save_weights
from napari_papernets.model_files import HEADER_KEY, list_models, read_header
from napari_papernets.networks import UNet


@pytest.fixture
def network() -> UNet:
    torch.manual_seed(0)
    return UNet(1, 2, width=4, depth=2, padding="same", norm="batch")


def test_weights_go_round(network, tmp_path):
    ref = save_model(network, tmp_path / "m")
    assert ref.path == tmp_path / "m.safetensors"
    loaded = load_weights(load_model(ref.path))
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert load_model(ref.path).spec == ref.spec


def test_half_precision_files_are_half_the_size(network, tmp_path):
    spec, state = describe_network(network), network.state_dict()
    full = save_weights(spec, state, tmp_path / "full")
    half = save_weights(spec, state, tmp_path / "half", half=True)
    assert half.path.stat().st_size < 0.7 * full.path.stat().st_size
    assert all(p.dtype == torch.float32 for p in load_weights(half).parameters())


def test_an_existing_file_is_not_overwritten(network, tmp_path):
    ref = save_model(network, tmp_path / "m")
    with pytest.raises(InputError, match="exists"):
        save_model(network, ref.path)
    copy = save_model(ref, tmp_path / "copy")
    assert copy.path.read_bytes() == ref.path.read_bytes()


@pytest.mark.parametrize(
    ("name", "words"), [(None, "path: got None"), ("x" * 300, "use at most 240"), ("", "name of a file")]
)
def test_a_name_that_cannot_be_that_of_a_file_is_refused(network, name, words):
    with pytest.raises(InputError, match=words):
        save_model(network, name)


def test_too_long_a_name_is_that_of_no_model():
    with pytest.raises(ModelError, match="give a file or one of"):
        load_model("x" * 300)


def test_a_failed_write_leaves_nothing(network, tmp_path, monkeypatch):
    monkeypatch.setattr(atomic.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_model(network, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_damaged_files_are_left_out_of_the_list(network, tmp_path):
    save_model(network, tmp_path / "good")
    (tmp_path / "bad.safetensors").write_bytes(b"junk")
    assert [ref.path.stem for ref in list_models(tmp_path) if ref.path.parent == tmp_path] == ["good"]


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickle was opened",)


def of_another_program(_: bytes) -> bytes:
    header = json.dumps({"__metadata__": {"papernets": "{}"}}).encode()
    return struct.pack("<Q", len(header)) + header


def test_a_description_without_a_format_is_not_called_new(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(of_another_program(b""))
    with pytest.raises(ModelError, match="not a model of napari-papernets"):
        load_model(path)


def truncated(good: bytes) -> bytes:
    return good[: len(good) // 2]


def only_a_head(good: bytes) -> bytes:
    return good[:5]


def a_pickle(_: bytes) -> bytes:
    return pickle.dumps(Bomb())


def foreign(_: bytes) -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0\0\0\0"


def empty(_: bytes) -> bytes:
    return b""


def no_mapping(_: bytes) -> bytes:
    header = json.dumps({"__metadata__": {"papernets": "[1]"}}).encode()
    return struct.pack("<Q", len(header)) + header


def words_for_offsets(_: bytes) -> bytes:
    tensors = {n: {"dtype": "F32", "shape": [1], "data_offsets": ["a", "b"]} for n in "uv"}
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header


DAMAGES = [truncated, only_a_head, a_pickle, foreign, empty, no_mapping, words_for_offsets]


@pytest.mark.parametrize("damage", DAMAGES)
def test_garbage_is_refused_in_one_line(damage, network, tmp_path):
    path = save_model(network, tmp_path / "m").path
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError) as error:
        load_model(path)
    assert ";" in str(error.value)
    assert "\n" not in str(error.value)
    assert path not in [ref.path for ref in list_models(tmp_path)]


def test_a_flipped_bit_in_the_weights_is_found(network, tmp_path):
    path = save_model(network, tmp_path / "m").path
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.safetensors, whose weights are damaged"):
        load_weights(load_model(path))


def test_a_file_without_a_checksum_is_read_as_before(network, tmp_path):
    ref = save_model(network, tmp_path / "m")
    save_file(network.state_dict(), ref.path, {HEADER_KEY: json.dumps(ref.spec.to_dict())})
    assert HASH_KEY not in read_header(ref.path)["__metadata__"]
    assert torch.equal(load_weights(ref).head.weight, network.head.weight)


def test_a_file_that_is_too_long_is_not_called_cut_off(network, tmp_path):
    path = save_model(network, tmp_path / "m").path
    path.write_bytes(path.read_bytes() + b"xx")
    with pytest.raises(ModelError, match="something was added"):
        load_model(path)


def test_weights_that_are_not_finite_are_refused(network, tmp_path):
    with torch.no_grad():
        network.head.weight[0] = float("nan")
    with pytest.raises(ModelError, match=r"head\.weight holds numbers that are not finite"):
        save_model(network, tmp_path / "m")
    assert not list(tmp_path.iterdir())
    ref = save_weights(describe_network(network), network.state_dict(), tmp_path / "m")
    with pytest.raises(ModelError, match=r"head\.weight holds numbers that are not finite"):
        load_weights(ref)
    with pytest.raises(ModelError, match=r"head\.weight holds numbers that are not finite"):
        load_network(network)


def test_tensors_must_be_those_of_the_description(network, tmp_path):
    wider = describe_network(UNet(1, 3, width=4, depth=2, padding="same", norm="batch"))
    ref = save_weights(wider, network.state_dict(), tmp_path / "m")
    with pytest.raises(ModelError, match=r"head\.weight"):
        load_weights(ref)
