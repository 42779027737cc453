"""Tokens of whole images: where they lie, what is told from them, and what is remembered."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import napari_papernets as pn
from napari_papernets.core.errors import InputError, ModelError
from napari_papernets.core.events import Notice, Progress, Started
from napari_papernets.core.image import ImageBlock
from napari_papernets.engine import features as module
from napari_papernets.engine.token_cache import TokenCache, size_of
from napari_papernets.engine.token_reader import level_shifts, shifts
from napari_papernets.engine.vit_models import import_checkpoint, load_vit
from napari_papernets.networks import VisionTransformer


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenCache:
    cache = TokenCache(tmp_path / "tokens")
    monkeypatch.setattr(module, "CACHE", cache)
    return cache


@pytest.fixture(scope="module")
def network() -> VisionTransformer:
    torch.manual_seed(0)
    made = VisionTransformer(32, 8, 48, 3, 3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return made.eval()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(np.float32)


def test_tokens_are_those_of_the_network(network: VisionTransformer) -> None:
    image = noise(40, 56, 3)
    image[0, 0], image[1, 1] = 0, 1
    found = pn.features(image, network, "YXC")
    low, high = np.percentile(image.astype(float), [1, 99.8])
    x = torch.from_numpy(((image - low) / (high - low)).clip(0, 1).transpose(2, 0, 1)[None].copy())
    with torch.inference_mode():
        expected = network.tokens(network.normalise(x))[0].numpy()
    assert found.grid == (5, 7)
    assert found.tokens.shape == (35, 48)
    np.testing.assert_allclose(found.tokens, expected[1:], atol=2e-4)
    np.testing.assert_allclose(found.class_token, expected[0], atol=2e-4)


def test_positions_can_be_left_out() -> None:
    """An image of one grey value, whose tokens differ by their place alone, becomes much alike."""
    torch.manual_seed(0)
    network = VisionTransformer(32, 8, 64, 3, 2).eval()
    places = torch.cartesian_prod(torch.linspace(-1, 1, 4), torch.linspace(-1, 1, 4))
    network.pos_embed.data[0, 1:] = places @ torch.randn(2, 64)
    blank, seen = np.full((64, 64, 3), 0.5, np.float32), noise(64, 64, 3)
    blank[0, 0], blank[-1, -1] = 0, 1  # so that the rest is in the middle of the range

    def spread(image: np.ndarray, positions: bool) -> float:
        settings = pn.FeatureSettings(positions=positions)
        return float(pn.features(image, network, "YXC", settings).tokens.var(axis=0).sum())

    left = spread(blank, False) / spread(blank, True)
    kept = spread(seen, False) / spread(seen, True)
    assert left < 0.5 * kept < 0.5


def landmark(row: int, column: int, patch: int = 8, shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    image = np.zeros(shape, np.float32)
    image[row * patch : (row + 1) * patch, column * patch : (column + 1) * patch] = 1
    return image


@pytest.mark.parametrize("density", [1, 2, 4])
def test_a_patch_lies_on_its_pixels(density: int) -> None:
    """Without position and attention a token depends on its own patch only."""
    torch.manual_seed(0)
    alone = VisionTransformer(32, 8, 48, 1, 3)
    with torch.no_grad():
        alone.pos_embed.zero_()
        alone.blocks[0].attn.proj.weight.zero_()
    found = pn.features(landmark(2, 5), alone, settings=pn.FeatureSettings(density=density))
    assert found.grid == (6 * density, 8 * density)
    assert found.cell == 8 / density
    away = 1 - found.similarity(0, 0)
    rows, columns = np.nonzero(away > 1e-3)
    middle = (np.array([rows, columns]).T + 0.5).mean(0) * found.cell
    np.testing.assert_allclose(middle, [(2 + 0.5) * 8, (5 + 0.5) * 8], atol=1e-6)
    assert found.patch_at(2 * 8, 5 * 8) == (2 * density, 5 * density)
    assert found.patch_at(2 * 8 + 7.9, 5 * 8 + 7.9) == (3 * density - 1, 6 * density - 1)


def test_shifts_alone_leave_no_grid(network: VisionTransformer) -> None:
    tokens = pn.features(noise(96, 96), network, settings=pn.FeatureSettings(density=2)).tokens
    by_shift = tokens.reshape(12, 2, 12, 2, -1).mean((0, 2)).reshape(4, -1)
    np.testing.assert_allclose(by_shift, np.broadcast_to(tokens.mean(0), by_shift.shape), atol=1e-5)


@pytest.mark.parametrize("density", [2, 4])
def test_levelled_shifts_keep_the_mean_and_what_differs_within_each(density: int) -> None:
    before = np.random.default_rng(0).random((3 * density, 5 * density, 7)).astype(np.float32)
    tokens = before.copy()
    level_shifts(tokens, density)
    np.testing.assert_allclose(tokens.mean((0, 1)), before.mean((0, 1)), atol=1e-6)
    change = (tokens - before).reshape(3, density, 5, density, 7)
    assert np.ptp(change, axis=(0, 2)).max() < 1e-6
    assert np.ptp(change, axis=(1, 3)).max() > 1e-3


def test_shifts_are_symmetric() -> None:
    for patch in (8, 14, 16):
        for density in (1, 2, 4):
            found = shifts(patch, density)
            assert sum(found) == 0
            ideal = (np.arange(density) + 0.5) * patch / density - patch / 2
            assert np.abs(np.array(found) - ideal).max() <= 0.5


def test_stacks_go_plane_by_plane(network: VisionTransformer) -> None:
    stack = noise(3, 32, 40)
    whole = pn.features(stack, network, "ZYX")
    one = pn.features(stack[1], network)
    chosen = pn.features(stack, network, "ZYX", planes=[(1,)])
    assert whole.tokens.shape == (3, 20, 48)
    np.testing.assert_array_equal(whole.of_plane((1,)), one.tokens)
    np.testing.assert_array_equal(chosen.of_plane((0,)), one.tokens)
    assert whole.pca_rgb().shape == (3, 4, 5, 3)
    assert whole.clusters(4).shape == (3, 4, 5)


def test_regions_keep_to_the_grid_of_the_plane(network: VisionTransformer) -> None:
    found = pn.features(noise(200, 160), network, region=(83, 130, 45, 99))
    assert found.origin == (80, 40)
    assert found.grid == (7, 8)
    assert found.patch_at(83, 45) == (0, 0)
    with pytest.raises(InputError, match="grid of 7×8"):
        found.patch_at(79, 45)


def test_windows_cover_a_large_image(network: VisionTransformer) -> None:
    image = noise(200, 264)
    settings = pn.FeatureSettings(tile=120, attention=True, summaries=True)
    seen: list[Any] = []
    found = pn.features(image, network, settings=settings, on_event=seen.append)
    assert found.grid == (25, 33)
    assert len(found.windows[0]) == next(e for e in seen if isinstance(e, Started)).total > 1
    assert any(isinstance(e, Notice) and "windows" in e.message for e in seen)
    assert [e.done for e in seen if isinstance(e, Progress)][-1] == len(found.windows[0])
    assert np.abs(found.tokens).sum(-1).min() > 0  # none was left out
    answered = np.zeros(found.patch_grid, int)
    for window in found.windows[0]:
        rows, columns = (slice(*span) for span in window.answers)
        answered[rows, columns] += 1
    assert (answered == 1).all()
    assert found.attention(24, 32).shape == (3, 25, 33)
    assert found.rollout is not None
    assert found.rollout.min() > 0


def test_attention_sums_to_one(network: VisionTransformer) -> None:
    settings = pn.FeatureSettings(attention=True, block=2, summaries=True)
    found = pn.features(noise(40, 56), network, settings=settings)
    (window,) = found.windows[0]
    rows = np.stack([window.row(t) for t in range(36)])
    np.testing.assert_allclose(rows.sum(-1), 1, atol=1e-5)
    patch = found.attention(1, 2)
    np.testing.assert_allclose(patch, rows[1 + 1 * 7 + 2][:, 1:].reshape(3, 5, 7), atol=1e-6)
    np.testing.assert_allclose(found.attention(head=1), rows[0, 1, 1:].reshape(5, 7), atol=1e-6)
    assert found.distances is not None
    assert found.distances.shape == (3, 3)
    assert 0 < found.distances.min() <= found.distances.max() < 8 * np.hypot(5, 7)


def test_what_was_not_kept_is_not_told(network: VisionTransformer) -> None:
    found = pn.features(noise(32, 32), network)
    with pytest.raises(InputError, match="attention=True"):
        found.attention(0, 0)
    with pytest.raises(InputError, match="grid of 4×4"):
        found.similarity(4, 0)
    with pytest.raises(InputError, match=r"patch: got \(1.5, 2\).*whole numbers"):
        found.similarity(1.5, 2)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="plane"):
        found.of_plane((0,))
    with pytest.raises(InputError, match="blocks 1 to 3"):
        pn.features(noise(32, 32), network, settings=pn.FeatureSettings(block=4))


def test_similarity_of_clicks(network: VisionTransformer) -> None:
    found = pn.features(noise(40, 56), network)
    one = found.similarity(2, 3)
    assert one[2, 3] == pytest.approx(1, abs=1e-5) == one.max()
    both = found.similarity_to([(2, 3), (0, 0)])
    assert both[0, 0] == pytest.approx(1, abs=1e-5)
    against = found.similarity_to([(2, 3)], [(0, 0)])
    assert against[0, 0] == against.min() < 0 < against[2, 3]


def test_random_weights_are_a_control(network: VisionTransformer) -> None:
    image = noise(32, 40)
    learnt = pn.features(image, network)
    first, second = (pn.features(image, network, random_weights=True) for _ in range(2))
    np.testing.assert_array_equal(first.tokens, second.tokens)
    assert np.abs(first.tokens - learnt.tokens).max() > 0.1
    assert first.provenance["random_weights"]
    assert learnt.provenance["command"] == ""  # the network is in no file


# What is remembered.


def count_passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    passes: list[int] = []
    read = module.TokenReader.read

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        passes.append(1)
        return read(self, *args, **kwargs)

    monkeypatch.setattr(module.TokenReader, "read", counted)
    return passes


def test_revisits_need_no_pass(
    network: VisionTransformer, own_cache: TokenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes, image = count_passes(monkeypatch), noise(40, 48)
    first = pn.features(image, network)
    again = pn.features(image, network)
    pn.features(image, network, settings=pn.FeatureSettings(block=2))  # read along with the last one
    assert len(passes) == 1
    np.testing.assert_array_equal(first.tokens, again.tokens)
    monkeypatch.setattr(module, "CACHE", TokenCache(own_cache.folder))  # another session
    np.testing.assert_array_equal(pn.features(image, network).tokens, first.tokens)
    assert len(passes) == 1
    pn.features(image + np.eye(40, 48, dtype=np.float32), network)
    pn.features(image, network, random_weights=True)
    assert len(passes) == 3


def test_what_a_caller_does_with_an_answer_is_not_in_the_next(network: VisionTransformer) -> None:
    image, how = noise(40, 48), pn.FeatureSettings(attention=True, summaries=True)
    first = pn.features(image, network, settings=how)
    assert first.distances is not None
    kept = first.distances.copy()
    first.tokens[...] = first.distances[...] = -1
    with pytest.raises(ValueError, match="read-only"):
        first.windows[0][0].queries[...] = 0
    again = pn.features(image, network, settings=how)
    np.testing.assert_array_equal(again.distances, kept)
    assert (again.tokens != -1).all()


def test_the_cache_is_bounded(tmp_path: Path) -> None:
    arrays = dict(tokens=np.zeros(1000, np.float32))
    cache = TokenCache(tmp_path, memory=2 * size_of(arrays), disk=10_000)
    for number in range(5):
        cache.put(f"{number:040x}", arrays)
    assert cache.bytes_in_memory == 2 * size_of(arrays)
    assert cache.bytes_on_disk <= 10_000
    assert cache.get(f"{4:040x}") is not None
    assert cache.get(f"{0:040x}") is None
    cache.put(f"{9:040x}", dict(tokens=np.zeros(10_000, np.float32)))
    assert cache.get(f"{9:040x}") is None  # too large to keep
    cache.clear()
    assert cache.bytes_on_disk == cache.bytes_in_memory == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_a_full_disk_keeps_nobody_from_the_tokens(tmp_path: Path) -> None:
    import resource
    import signal

    cache, arrays = TokenCache(tmp_path), dict(tokens=np.ones(100_000, np.float32))
    limits, heeded = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        cache.put("ab", arrays)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, heeded)
    assert cache.get("ab") is arrays
    assert not list(tmp_path.iterdir())


def test_two_readings_that_take_turns_give_what_each_gives_alone() -> None:
    images = [np.random.default_rng(n).random((40, 48), np.float32) for n in (1, 2)]
    settings = pn.FeatureSettings(tile=16)
    alone = [pn.features(image, "random-tiny", settings=settings).tokens for image in images]
    module.CACHE.clear()
    jobs = [module.features(ImageBlock(i, "YX"), "random-tiny", settings) for i in images]
    found: dict[int, Any] = {}
    turns = []
    while len(found) < 2:
        for number, job in enumerate(jobs):
            if number not in found:
                try:
                    next(job)
                    turns.append(number)
                except StopIteration as end:
                    found[number] = end.value.tokens
    assert turns[:6] == [0, 1] * 3
    for number, tokens in enumerate(alone):
        np.testing.assert_array_equal(found[number], tokens)


def test_a_network_that_is_given_stays_as_it_is() -> None:
    network = VisionTransformer(image_size=16, patch_size=8, dim=8, depth=1, heads=1).train()
    pn.features(np.random.default_rng(0).random((24, 24), np.float32), network)
    assert network.training


def test_a_damaged_file_of_the_cache_is_no_answer(tmp_path: Path) -> None:
    TokenCache(tmp_path).put("ab", dict(tokens=np.zeros(9, np.float32)))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:20])
    assert TokenCache(tmp_path).get("ab") is None
    assert not path.exists()


def test_out_of_memory_goes_on_with_the_cpu(
    network: VisionTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, read = noise(32, 40), module.TokenReader.read
    expected = pn.features(image, network).tokens

    def small_gpu(self: Any, *args: Any) -> Any:
        if self.device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read(self, *args)

    monkeypatch.setattr(module.TokenReader, "read", small_gpu)
    monkeypatch.setattr(module, "pick_device", lambda _: torch.device("meta"))
    monkeypatch.setattr(module.TokenReader, "__enter__", lambda self: self)
    seen: list[Any] = []
    found = pn.features(image + 1e-6, network, on_event=seen.append)
    np.testing.assert_allclose(found.tokens, expected, atol=1e-3)
    assert any(isinstance(e, Notice) and "CPU" in e.message for e in seen)
    assert found.provenance["device"] == "cpu"

    def no_room(self: Any, *args: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(module.TokenReader, "read", no_room)
    with pytest.raises(InputError, match="smaller window"):
        pn.features(image + 2e-6, network)


# Where networks come from.


def test_checkpoints_open_without_running_code(network: VisionTransformer, tmp_path: Path) -> None:
    image, expected = noise(32, 40), pn.features(noise(32, 40), network).tokens
    plain = tmp_path / "plain.pth"
    torch.save({"model": network.state_dict()}, plain)
    ref = import_checkpoint(plain, tmp_path, "kept", heads=3)
    np.testing.assert_array_equal(pn.features(image, ref).tokens, expected)
    np.testing.assert_array_equal(pn.features(image, str(ref.path)).tokens, expected)
    assert ref.path.suffix == ".safetensors"
    evil = tmp_path / "evil.pth"
    torch.save({"model": network.state_dict(), "x": Path("a")}, evil)
    with pytest.raises(ModelError, match="could run code"):
        load_vit(evil)
    plain.write_bytes(plain.read_bytes()[:1000])
    with pytest.raises(ModelError, match="damaged"):
        load_vit(plain)


def test_a_unet_has_no_tokens() -> None:
    with pytest.raises(ModelError, match="Vision Transformer"):
        pn.features(noise(32, 32), "nuclei")


def test_embedding_is_the_papers_figure(network: VisionTransformer) -> None:
    from napari_papernets.api import drain
    from napari_papernets.engine.embedding import embedding

    found = drain(embedding(network))
    assert found.filters.shape == (28, 8, 8, 3)
    assert np.all(np.diff(found.explained) <= 1e-7)
    assert 0 < found.explained.sum() <= 1
    flat = found.filters.reshape(28, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(28), atol=1e-4)
    assert found.positions.shape == (4, 4, 4, 4)
    np.testing.assert_allclose(found.positions[1, 2, 1, 2], 1, atol=1e-5)


def test_a_checkpoint_is_read_again_when_another_takes_its_place(tmp_path: Path) -> None:
    """Even one of the same size and time of writing."""
    path, found = tmp_path / "vit.safetensors", []
    for seed in (0, 1):
        torch.manual_seed(seed)
        other = VisionTransformer(32, 8, 48, 2, 3)
        path.unlink(missing_ok=True)
        save_file(other.state_dict(), path)
        os.utime(path, ns=(0, 0))
        found.append(load_vit(path).sha256)
    assert found[0] != found[1]
