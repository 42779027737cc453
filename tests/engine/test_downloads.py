"""Downloads from a server on this machine: whole, broken off, corrupt, and not there."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_papernets import model_files
from napari_papernets.api import drain, save_model
from napari_papernets.core.checkpoints import PublicCheckpoint, find_checkpoint
from napari_papernets.core.errors import InputError, ModelError
from napari_papernets.core.events import Notice, Progress, Started
from napari_papernets.core.moco_checkpoints import ALL_CHECKPOINTS
from napari_papernets.engine import downloads, transfer
from napari_papernets.engine.downloads import adopt, download
from napari_papernets.engine.transfer import fetch
from napari_papernets.engine.vit_models import load_vit
from napari_papernets.engine.weights import load_weights
from napari_papernets.networks import UNet, VisionTransformer
from napari_papernets.networks.moco import two_layers
from napari_papernets.networks.residual import ResNetEncoder

CONTENT = bytes(range(256)) * 5000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Site:
    """What the server does, and what it was asked."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.tag = '"one"'
        self.extra: dict[str, str] = {}
        self.break_after: list[int] = []  # bytes of the answers to come
        self.corrupt = 0  # answers
        self.refusals: list[int] = []  # codes of the answers to come
        self.asked: list[str | None] = []
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.headers.get("Range"))
        if self.refusals:
            handler.send_error(self.refusals.pop(0))
            return
        if handler.path != "/file.pth":
            handler.send_error(404)
            return
        start = 0
        if self.asked[-1] and handler.headers.get("If-Range") == self.tag:
            start = int(self.asked[-1].removeprefix("bytes=").removesuffix("-"))
        body = self.content[start:]
        if self.corrupt:
            self.corrupt -= 1
            body = b"x" + body[1:]
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header(
                "Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
            )
        headers = {"Content-Length": str(len(body)), "ETag": self.tag, **self.extra}
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body[: self.break_after.pop(0)] if self.break_after else body)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    found = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.answer(self)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/file.pth"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()


def test_a_file_arrives_whole(site: Site, tmp_path: Path) -> None:
    seen: list[Any] = []
    drain(fetch(site.url, tmp_path / "a", DIGEST), seen.append)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert isinstance(seen[0], Started)
    assert (seen[0].total, seen[0].unit) == (len(CONTENT), "byte")
    assert [e.done for e in seen if isinstance(e, Progress)][-1] == len(CONTENT)


def test_a_broken_line_is_taken_up_again(site: Site, tmp_path: Path) -> None:
    site.break_after = [300_000, 300_000]
    seen: list[Any] = []
    drain(fetch(site.url, tmp_path / "a", DIGEST), seen.append)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert site.asked[0] is None
    assert all(a is not None and a.startswith("bytes=") for a in site.asked[1:])
    assert any(isinstance(e, Notice) and "line broke" in e.message for e in seen)


def test_cancel_keeps_what_was_loaded(site: Site, tmp_path: Path) -> None:
    job = fetch(site.url, tmp_path / "a", DIGEST)
    while not isinstance(next(job), Progress):
        pass
    job.close()
    loaded = (tmp_path / "a.part").stat().st_size
    assert 0 < loaded < len(CONTENT)
    assert not (tmp_path / "a").exists()
    drain(fetch(site.url, tmp_path / "a", DIGEST))
    assert site.asked == [None, f"bytes={loaded}-"]
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_another_version_of_the_file_is_loaded_from_the_start(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(b"old" * 100)
    (tmp_path / "a.part.tag").write_text('"zero"')
    drain(fetch(site.url, tmp_path / "a", DIGEST))
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_corrupt_file_is_loaded_again(site: Site, tmp_path: Path) -> None:
    site.corrupt = 1
    seen: list[Any] = []
    drain(fetch(site.url, tmp_path / "a", DIGEST), seen.append)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert any(isinstance(e, Notice) and "corrupt (SHA-256" in e.message for e in seen)


def test_a_file_that_stays_corrupt_is_refused(site: Site, tmp_path: Path) -> None:
    site.corrupt = 99
    with pytest.raises(InputError, match="SHA-256"):
        drain(fetch(site.url, tmp_path / "a", DIGEST[:8]))
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "a.part").exists()


def test_the_hash_that_a_server_tells_is_checked(site: Site, tmp_path: Path) -> None:
    site.extra = {"X-Linked-ETag": f'"{DIGEST}"'}
    site.corrupt = 1
    drain(fetch(site.url, tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert len(site.asked) == 2


def test_no_such_file(site: Site, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="404"):
        drain(fetch(site.url + "x", tmp_path / "a"))
    with pytest.raises(InputError, match="https://"):
        drain(fetch("file:///etc/passwd", tmp_path / "a"))


def test_a_busy_server_is_asked_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "PAUSE", 0.01)
    site.refusals = [503, 429]
    events = list(fetch(site.url, tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert sum("busy" in e.message for e in events if isinstance(e, Notice)) == 2
    site.refusals = [503] * 9
    with pytest.raises(InputError, match=r"503.*try again later"):
        drain(fetch(site.url, tmp_path / "b"))
    site.refusals = [403]
    with pytest.raises(InputError, match=r"403.*in a browser"):
        drain(fetch(site.url, tmp_path / "c"))


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", 2.0)
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(InputError, match=r"HTTPS_PROXY; or load .* in a browser"):
        drain(fetch("http://127.0.0.1:9/file.pth", tmp_path / "a"))


def test_a_proxy_is_used(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = site.url.removesuffix("/file.pth")
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("no_proxy")
    with pytest.raises(InputError, match="404"):  # the stand-in knows its own path only
        drain(fetch("http://weights.invalid/file.pth", tmp_path / "a"))
    assert len(site.asked) == 1


# Weights.


@pytest.fixture
def network() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(32, 8, 64, 2, 1).eval()


def offered(site: Site, network: VisionTransformer, tmp_path: Path) -> PublicCheckpoint:
    path = tmp_path / "source.pth"
    torch.save({"model": network.state_dict()}, path)
    site.content = path.read_bytes()
    digest = hashlib.sha256(site.content).hexdigest()
    return PublicCheckpoint(
        "toy", "a toy", site.url, "CC0", "nobody", 0.1, digest, dict(antialias=False)
    )


def test_weights_become_a_model_file(site: Site, network: VisionTransformer, tmp_path: Path) -> None:
    chosen, folder = offered(site, network, tmp_path), tmp_path / "models"
    ref = drain(download("toy", folder=folder, checkpoint=chosen))
    assert ref.path == folder / "toy.safetensors"
    assert ref.spec.licence == "CC0"
    assert not ref.spec.options["antialias"]
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(load_vit(ref).network.tokens(x), network.tokens(x))
    again = drain(download("toy", folder=folder, checkpoint=chosen))
    assert again == ref
    assert len(site.asked) == 1  # the second time nothing is fetched
    assert list((folder / "loading").iterdir()) == []


def test_what_is_no_transformer_is_not_kept(
    site: Site, network: VisionTransformer, tmp_path: Path
) -> None:
    chosen, folder = offered(site, network, tmp_path), tmp_path / "models"
    wrong = tmp_path / "wrong.pth"
    torch.save({"conv1.weight": torch.zeros(3)}, wrong)
    site.content = wrong.read_bytes()
    other = PublicCheckpoint("toy", "", chosen.url, "", "", 0.1)
    with pytest.raises(ModelError, match=r"patch_embed\.proj\.weight"):
        drain(download("toy", folder=folder, checkpoint=other))
    assert not (folder / "toy.safetensors").exists()
    assert list((folder / "loading").iterdir()) == []


def test_files_that_a_person_has(network: VisionTransformer, tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    torch.save(network.state_dict(), path)
    ref = drain(adopt(path, folder=tmp_path / "models", heads=2))
    assert (ref.name, ref.spec.options["heads"]) == ("mine", 2)
    assert drain(adopt(ref.path)) == ref  # a model already
    with pytest.raises(InputError, match="no such file"):
        drain(adopt(tmp_path / "none.pth"))


def test_a_file_takes_no_name_of_another_model(network: VisionTransformer, tmp_path: Path) -> None:
    path, folder = tmp_path / "vit (1).pth", tmp_path / "models"
    torch.save(network.state_dict(), path)
    folder.mkdir()
    other = save_model(UNet(1, 2, width=2, depth=1, padding="same"), folder / "mine.safetensors")
    before = other.path.read_bytes()
    for name in ("../outside", "/tmp/outside", "a/b", "mine"):
        with pytest.raises(InputError, match="name"):
            drain(adopt(path, name=name, folder=folder, heads=2))
    assert list(folder.iterdir()) == [other.path]
    assert other.path.read_bytes() == before
    first, again = (drain(adopt(path, folder=folder, heads=2)) for _ in range(2))
    assert first.path == again.path == folder / "vit -1-.safetensors"  # the same file, read again
    twin = tmp_path / "mine.pth"
    path.rename(twin)
    assert drain(adopt(twin, folder=folder, heads=2)).name == "mine-2"


def test_a_file_that_is_called_as_a_bundled_model_gets_a_number(
    network: VisionTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (downloads, model_files):
        monkeypatch.setattr(room, "user_folder", lambda: tmp_path / "models")
    path = tmp_path / "nuclei.pth"
    torch.save(network.state_dict(), path)
    assert drain(adopt(path, heads=2)).path == tmp_path / "models" / "nuclei-2.safetensors"
    with pytest.raises(InputError, match="another name"):
        drain(adopt(path, name="nuclei", heads=2))


def test_a_public_moco_checkpoint_becomes_an_encoder(site: Site, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ResNetEncoder(18, 16, 1)
    network.fc = two_layers(network.fc)
    source = tmp_path / "moco.pth.tar"
    state = {f"module.encoder_q.{k}": v for k, v in network.state_dict().items()}
    torch.save({"state_dict": state, "norms": [0.5, 0.2], "epoch": 200}, source)
    site.content = source.read_bytes()
    options = dict(mean=(0.5,), std=(0.2,))
    toy = PublicCheckpoint("toy", "", site.url, "CC0", "nobody", 0.1, "", options, "moco")
    ref = drain(download("toy", folder=tmp_path / "models", checkpoint=toy))
    assert (ref.spec.architecture, ref.spec.in_channels, ref.spec.task) == ("encoder", 1, "features")
    ours, x = load_weights(ref).eval(), torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        wanted = network.eval().bn1(network.conv1((x - 0.5) / 0.2))[..., 2:-2, 2:-2]
        found = ours.encoder.bn1(ours.encoder.conv1(x))[..., 2:-2, 2:-2]
    assert torch.allclose(found, wanted, atol=1e-5)


def test_the_list_is_in_order() -> None:
    names = [c.name for c in ALL_CHECKPOINTS]
    assert len(set(names)) == len(names)
    for checkpoint in ALL_CHECKPOINTS:
        assert checkpoint.url.startswith("https://")
        assert checkpoint.url.endswith((".pth", ".safetensors", ".pth.tar"))
        assert checkpoint.licence
        assert (
            checkpoint.sha256 == ""
            or checkpoint.sha256 in checkpoint.url
            or len(checkpoint.sha256) == 64
        )
    assert find_checkpoint("dinov2-small").megabytes == 88
    with pytest.raises(InputError, match="dino-small-8"):
        find_checkpoint("none")
