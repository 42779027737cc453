"""The verb: equals the library peer, carries events, refuses bad input, treats stacks plane by plane."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from discs import random_discs

from napari_papernets.api import drain
from napari_papernets.api import refine as refine_arrays
from napari_papernets.core.crf_settings import CRFSettings
from napari_papernets.core.errors import InputError
from napari_papernets.core.events import Notice, Refined, Started, TileDone
from napari_papernets.core.image import ImageBlock
from napari_papernets.engine import crf_problem, crf_solvers
from napari_papernets.engine.crf_problem import lattice_bytes, open_problem
from napari_papernets.engine.crf_solvers import LatticeStore, solve
from napari_papernets.engine.refine import refine
from napari_papernets.networks.grid_features import GridFeatures

room_of_refine = sys.modules[refine.__module__]  # the package shows the verb under its name
SETTINGS = CRFSettings(sigma_alpha=20.0)


def scene(classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Blurred, noisy probabilities (K, 90, 110), an RGB image of discs, and the true classes 1…K."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    truth = random_discs(seed) % classes
    image = np.stack([truth * 90 + 40 * (c == 0) for c in range(3)], -1) + rng.normal(0, 4, (90, 110, 3))
    hot = np.stack([gaussian_filter((truth == k).astype(float), 4) for k in range(classes)])
    logits = 4 * hot + rng.normal(0, 0.5, hot.shape)
    share = np.exp(logits) / np.exp(logits).sum(0)
    return share.astype(np.float32), np.clip(image, 0, 255).astype(np.uint8), truth + 1


def run(*args: Any, **more: Any) -> tuple[list[Any], Any]:
    events: list[Any] = []
    return events, drain(refine(*args, **more), events.append)


@pytest.mark.parametrize("classes", [2, 3])
def test_labels_get_nearer_to_the_truth(classes: int) -> None:
    share, image, truth = scene(classes)
    _, result = run(share, ImageBlock(image, "YXC"), SETTINGS)
    before, after = ((a == truth).mean() for a in (share.argmax(0) + 1, result.labels))
    assert after > before
    assert after > (0.97 if classes == 2 else 0.95)
    np.testing.assert_allclose(result.probabilities.sum(0), 1, atol=1e-5)
    assert result.labels.dtype == np.uint8


@pytest.mark.parametrize("axes", ["YX", "YXC"])
@pytest.mark.parametrize("classes", [2, 3])
def test_pydensecrf_gives_the_same(axes: str, classes: int) -> None:
    pytest.importorskip("pydensecrf.densecrf")
    share, image, _ = scene(classes)
    pixels = image if axes == "YXC" else image[..., 0]
    ours = refine_arrays(share, pixels, axes, SETTINGS)
    theirs = refine_arrays(share, pixels, axes, SETTINGS, backend="pydensecrf")
    assert np.abs(ours - theirs).max() < 1e-3
    assert (ours.argmax(0) == theirs.argmax(0)).mean() > 0.999


def test_pydensecrf_energies_differ_by_a_constant() -> None:
    pytest.importorskip("pydensecrf.densecrf")
    share, image, _ = scene()
    ours, theirs = (
        run(share, ImageBlock(image, "YXC"), SETTINGS, backend=b)[1].energies[0]
        for b in ("torch", "pydensecrf")
    )
    gap = np.array(ours) - np.array(theirs)
    assert np.ptp(gap) < 1e-3 * abs(np.mean(gap))


def test_a_missing_pydensecrf_is_told_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    share, image, _ = scene()
    with pytest.raises(InputError, match=r"napari-papernets\[crf\]"):
        run(share, ImageBlock(image, "YXC"), backend="pydensecrf")


def test_events_tell_iterations_energy_and_labels() -> None:
    share, image, _ = scene()
    events, result = run(share, ImageBlock(image, "YXC"), SETTINGS, show="belief")
    assert events[0] == Started(10, "iteration", "")
    told = [e for e in events if isinstance(e, Refined)]
    assert [e.iteration for e in told] == list(range(11))
    assert [e.done for e in told] == list(range(11))
    assert tuple(e.energy for e in told) == result.energies[0]
    assert told[0].energy > told[-1].energy
    np.testing.assert_allclose(told[0].belief, share, atol=1e-5)
    np.testing.assert_array_equal(told[-1].belief, result.probabilities)
    np.testing.assert_array_equal(told[-1].labels, result.labels)
    assert [e.rises for e in told[1:]] == [
        b > a + 1e-6 * abs(a) for a, b in zip(result.energies[0], result.energies[0][1:], strict=False)
    ]


def test_show_nothing_gives_the_same_result_without_arrays() -> None:
    share, image, _ = scene()
    events, quiet = run(share, ImageBlock(image, "YXC"), SETTINGS, show="nothing")
    assert all(e.labels is None and e.belief is None for e in events if isinstance(e, Refined))
    _, loud = run(share, ImageBlock(image, "YXC"), SETTINGS)
    np.testing.assert_array_equal(quiet.probabilities, loud.probabilities)


def test_a_stack_is_its_planes_and_a_region_is_a_crop() -> None:
    share, image, _ = scene(3)
    more, other, _ = scene(3, seed=1)
    stack, shares = np.stack([image, other]), np.stack([share, more], 1)
    events, whole = run(shares, ImageBlock(stack, "ZYXC"), SETTINGS)
    _, second = run(more, ImageBlock(other, "YXC"), SETTINGS)
    assert whole.labels.shape == (2, 90, 110)
    np.testing.assert_allclose(whole.probabilities[:, 1], second.probabilities, atol=1e-5)
    assert events[-1].done == events[-1].total == 20
    box = (10, 60, 20, 100)
    _, chosen = run(shares, ImageBlock(stack, "ZYXC"), SETTINGS, planes=[(1,)], region=box)
    crop = slice(10, 60), slice(20, 100)
    _, alone = run(more[:, *crop], ImageBlock(other[crop], "YXC"), SETTINGS)
    assert chosen.labels.shape == (1, 50, 80)
    np.testing.assert_allclose(chosen.probabilities[:, 0], alone.probabilities, atol=1e-5)


def test_pixels_that_are_not_square_count_by_their_size_along_x() -> None:
    share, image, _ = scene()

    def refined(scale: tuple[float, float]) -> np.ndarray:
        return run(share, ImageBlock(image, "YXC", (*scale, 1.0)), SETTINGS)[1].probabilities

    square, tall = refined((1.0, 1.0)), refined((4.0, 1.0))
    assert np.abs(square - tall).max() > 0.01
    np.testing.assert_array_equal(tall, refined((2.0, 0.5)))
    np.testing.assert_array_equal(square, refined((0.5, 0.5)))


def test_a_volume_joins_its_planes_by_their_distance() -> None:
    share, image, _ = scene()
    stack, shares = np.stack([image] * 3), np.stack([share] * 3, 1)
    shares[:, 1] = 0.5  # nothing is known of the middle plane
    volume = SETTINGS.replace(volume=True)

    def middle(z: float, settings: CRFSettings) -> np.ndarray:
        block = ImageBlock(stack, "ZYXC", (z, 1.0, 1.0, 1.0))
        return run(shares, block, settings)[1].probabilities[:, 1]

    assert np.abs(middle(1.0, SETTINGS) - 0.5).max() < 0.01
    near, far = middle(1.0, volume), middle(1000.0, volume)
    assert (near.max(0) > 0.9).mean() > 0.9
    assert np.abs(far - 0.5).max() < 0.01


def test_tiles_tell_how_far_they_are_off() -> None:
    share, image, _ = scene()
    _, whole = run(share, ImageBlock(image, "YXC"), SETTINGS)
    events, tiled = run(share, ImageBlock(image, "YXC"), SETTINGS.replace(tile=64))
    assert [e.done for e in events if isinstance(e, TileDone)] == [1, 2, 3, 4]
    off = np.abs(tiled.probabilities - whole.probabilities)
    assert 0 < tiled.provenance["largest_dq"] < 0.5
    assert (tiled.labels == whole.labels).mean() > 0.98
    assert off.mean() < 0.02
    assert whole.provenance["largest_dq"] is None
    assert any(isinstance(e, Notice) and "seams" in e.message for e in events)


def test_without_iterations_nothing_changes() -> None:
    share, image, _ = scene()
    result = run(share, ImageBlock(image, "YXC"), CRFSettings(iterations=0))[1]
    np.testing.assert_array_equal(result.probabilities, share)


def test_one_class_and_a_constant_image_have_a_meaning() -> None:
    share, image, _ = scene()
    one = run(np.ones((1, 90, 110), np.float32), ImageBlock(image, "YXC"), SETTINGS)[1]
    assert (one.probabilities == 1).all()
    assert (one.labels == 1).all()
    events, flat = run(share, ImageBlock(np.full((90, 110), 7, np.uint8), "YX"), SETTINGS)
    assert any(isinstance(e, Notice) and "constant" in e.message for e in events)
    assert np.isfinite(flat.probabilities).all()


BAD = {
    "sums": (lambda p: p * 2, "sum to 1"),
    "sums close to 1": (lambda p: p * 1.002, r"sums from 1\.002"),
    "negative": (lambda p: np.stack([p[0] - 1, p[1] + 1]), "from 0 to 1"),
    "nan": (lambda p: np.where(p > 0.9, np.nan, p), "not finite"),
    "shape": (lambda p: p[:, :-1], r"shape \(K, 90, 110\)"),
    "order": (lambda p: np.moveaxis(p, 0, -1), "classes first"),
    "plane": (lambda p: p[0], "shape"),
    "none": (lambda p: p[:0], "1 to 255"),
    "complex": (lambda p: p.astype(complex), "real numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_probabilities_are_refused(name: str) -> None:
    spoil, words = BAD[name]
    share, image, _ = scene()
    with pytest.raises(InputError, match=words) as caught:
        run(spoil(share), ImageBlock(image, "YXC"))
    assert caught.value.field == "probabilities"


@pytest.mark.parametrize(
    ("field", "value"),
    [("sigma_alpha", -1.0), ("sigma_beta", 0.0), ("sigma_gamma", float("nan")), ("w1", -2.0),
     ("iterations", -1), ("tile", 3)],
)  # fmt: skip
def test_bad_settings_are_refused(field: str, value: float) -> None:
    with pytest.raises(InputError) as caught:
        CRFSettings(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (dict(backend="caffe"), "torch, pydensecrf"),
        (dict(region=(0, 5, 0, 500)), "region"),
        (dict(settings=CRFSettings(channels=(3,))), "channels 0 to 2"),
        (dict(settings=CRFSettings(volume=True)), "Z axis"),
        (dict(settings=CRFSettings(volume=True, tile=64)), "leave it out"),
    ],
)
def test_what_does_not_fit_is_refused(more: dict, words: str) -> None:
    share, image, _ = scene()
    with pytest.raises(InputError, match=words):
        run(share, ImageBlock(image, "YXC"), **more)


def test_values_that_are_not_finite_are_the_darkest() -> None:
    share, image, _ = scene()
    pixels = image[..., 0].astype(np.float32)
    dark = pixels.copy()
    dark[:5], pixels[:5] = pixels[5:].min(), np.nan
    one, two = (run(share, ImageBlock(p, "YX"), SETTINGS)[1].probabilities for p in (pixels, dark))
    np.testing.assert_array_equal(one, two)
    with pytest.raises(InputError, match="finite"):
        run(share, ImageBlock(np.full((90, 110), np.nan), "YX"))


def test_what_does_not_fit_the_memory_is_refused_but_for_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    share, image, _ = scene()
    # 3 + 6 corners of 8 bytes, and 5 numbers for two classes
    needed = 90 * 110 * (9 * 8 + 5 * 4)
    assert lattice_bytes(open_problem(share, ImageBlock(image, "YXC"), SETTINGS)) == needed
    free = SimpleNamespace(available=needed - 1)
    monkeypatch.setattr(crf_problem.psutil, "virtual_memory", lambda: free)
    with pytest.raises(InputError, match="set tile"):
        run(share, ImageBlock(image, "YXC"), SETTINGS)
    run(share, ImageBlock(image, "YXC"), SETTINGS.replace(tile=64, iterations=1))


def test_alpha_is_no_edge() -> None:
    _, image, _ = scene()
    rgba = np.concatenate([image, image[..., :1]], -1)
    share = np.full((2, 90, 110), 0.5, np.float32)
    told = ImageBlock(rgba, "YXC", alpha=True)
    assert open_problem(share, told, CRFSettings()).greys.channels == (0, 1, 2)
    four = ImageBlock(rgba, "YXC")
    assert open_problem(share, four, CRFSettings()).greys.channels == (0, 1, 2, 3)


def test_kept_lattices_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    original = crf_solvers.build_lattice
    monkeypatch.setattr(
        crf_solvers, "build_lattice", lambda f, t: built.append(f.dimensions) or original(f, t)
    )
    share, image, _ = scene()
    crf_solvers.kept_lattices().clear()
    block = ImageBlock(image, "YXC")
    _, first = run(share, block, SETTINGS, keep=True)
    _, again = run(share, block, SETTINGS.replace(w1=9.0, iterations=3), keep=True)
    assert sorted(built) == [2, 5]
    assert not np.array_equal(first.probabilities, again.probabilities)
    run(share, block, SETTINGS.replace(sigma_beta=5.0), keep=True)
    assert sorted(built) == [2, 5, 5]
    run(share, ImageBlock(255 - image, "YXC"), SETTINGS, keep=True)
    assert sorted(built) == [2, 5, 5, 5]
    crf_solvers.kept_lattices().clear()


def test_a_store_lets_go_of_the_oldest() -> None:
    class Thing:
        nbytes = 100

    store, made = LatticeStore(limit=250), []
    for n in (1, 2, 3, 4, 1):
        features = GridFeatures(np.full((2, 2, 1), n, np.uint8), (1.0, 1.0))
        store.get(features, "cpu", lambda n=n: made.append(n) or Thing())
    assert made == [1, 2, 3, 4, 1]


def test_another_device_takes_torch() -> None:
    """The path of a GPU, on the processor."""
    share, image, _ = scene(3)
    steps = crf_solvers._torch(
        share,
        crf_solvers.densecrf_of(SETTINGS).features(image),
        SETTINGS,
        torch.device("cpu"),
        True,
        None,
    )
    *_, last = steps
    *_, own = solve(share, image, (1.0, 1.0), SETTINGS, "torch", torch.device("cpu"))
    np.testing.assert_allclose(last.q.reshape(share.shape), own.q, atol=1e-5)


def test_between_two_steps_nothing_is_left_in_inference_mode() -> None:
    share, image, _ = scene()
    features = crf_solvers.densecrf_of(SETTINGS).features(image)
    for _ in crf_solvers._torch(share, features, SETTINGS, torch.device("cpu"), True, None):
        assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("tile", [None, 64])
def test_where_a_gpu_has_no_room_the_processor_goes_on(
    monkeypatch: pytest.MonkeyPatch, tile: int | None
) -> None:
    share, image, _ = scene()
    settings = SETTINGS.replace(tile=tile)
    _, expected = run(share, ImageBlock(image, "YXC"), settings, device="cpu")
    asked: list[str] = []

    def full(*args: Any, **more: Any) -> Any:
        device = next(a for a in args if isinstance(a, torch.device))
        asked.append(device.type)
        if device.type == "cpu":
            yield from solve(*args, **more)
        else:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(room_of_refine, "solve", full)
    monkeypatch.setattr(room_of_refine, "crf_device", lambda name: torch.device("cuda"))
    events, result = run(share, ImageBlock(image, "YXC"), settings)
    assert asked[:2] == ["cuda", "cpu"]
    np.testing.assert_array_equal(result.probabilities, expected.probabilities)
    assert result.provenance["device"] == "cpu"
    assert "ran out of memory" in result.provenance["notices"][0]
    assert [e.done for e in events if isinstance(e, Refined | TileDone)][-1] == events[0].total


def test_a_mac_is_answered_by_its_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crf_solvers, "pick_device", torch.device)
    assert crf_solvers.crf_device("mps").type == "cpu"
    assert crf_solvers.crf_device("cuda").type == "cuda"


def test_provenance_tells_how_to_repeat() -> None:
    share, image, _ = scene()
    _, result = run(share, ImageBlock(image, "YXC", name="cells"), CRFSettings(w1=7.0), source="p.tif")
    account = result.provenance
    assert account["command"] == "papernets refine p.tif cells.tif --axes YXC --w1 7"
    assert account["energies"][0] == list(result.energies[0])
    assert account["settings"]["sigma_alpha"] == 60.0
    assert "numba" in account["versions"]


@pytest.mark.parametrize("value", [1e8, 1e12, 1e20, -3.4e38])
def test_a_single_hot_pixel_is_far_from_all_others(value: float) -> None:
    """In the lattice it would lie where float32 has no places left."""
    share, image, _ = scene()
    grey = image.mean(-1).astype(np.float32)
    hot = grey.copy()
    grey[40, 50], hot[40, 50] = grey.max() + 5000, value
    expected, found = (run(share, ImageBlock(a, "YX"), STRETCHED)[1].probabilities for a in (grey, hot))
    assert np.isfinite(found).all()
    assert (np.abs(found - expected) < 0.05).mean() > 0.99


STRETCHED = SETTINGS.replace(grey="stretch")


@pytest.mark.parametrize("factor", [2.0**33, 1e12, 1e300])
def test_raw_values_beyond_the_lattice_are_refused(factor: float) -> None:
    share, image, _ = scene()
    with pytest.raises(InputError, match="grey: got raw values"):
        run(share, ImageBlock(image.mean(-1) * factor, "YX"), SETTINGS.replace(grey="raw"))
