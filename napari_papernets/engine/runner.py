"""One network on one device: windows in, probabilities out, as fast as the hardware allows."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..networks.fused import lean
from ..networks.hypercolumn import mixed
from .device import fast_bf16, to_host

Windows = NDArray[np.float32]  # (B, C, y, x)

# A probability that moves by more than this under bfloat16 sends "auto" back to float32.
BF16_TOLERANCE = 0.05


class Runner:
    """Runs a network on windows: folded, fused, channels-last, in inference mode.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode; it is read, not changed.
    device : torch.device
        Where to run.
    precision : {"float32", "bfloat16"}
        bfloat16 holds weights and maps in 16 bits; the softmax is always float32.
    turns : int, 1…8
        Average over so many turned and mirrored versions of each window. Windows start and end on
        the pooling grid, so that tiles still equal the whole.

    Attributes
    ----------
    device, precision, turns
        As given.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        precision: str = "float32",
        turns: int = 1,
    ) -> None:
        self.device, self.precision, self.turns = device, precision, turns
        self._dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._source = network
        # Its thresholds stay float32, so it is taken before the network is converted.
        self._forest = copy.deepcopy(getattr(network, "forest", None))
        if self._forest is not None:
            self._forest.to(device)
        network = fold_batch_norm(twin(network).eval())
        self._network = lean(network.to(device, self._dtype, memory_format=torch.channels_last))

    def to(self, device: torch.device) -> Runner:
        """The same network, run in the same way on another device."""
        return Runner(self._source, device, self.precision, self.turns)

    @torch.inference_mode()
    def __call__(self, windows: Windows) -> NDArray[np.float32]:
        """Probabilities of a batch of windows.

        Parameters
        ----------
        windows : ndarray of float32, shape (B, C, y, x)
            Normalised grey values, of a size that the network takes.

        Returns
        -------
        ndarray of float32, shape (B, K, y', x')
            Softmax over the classes.
        """
        return to_host(self._forward(self._upload(torch.from_numpy(windows))))

    @torch.inference_mode()
    def logits(self, windows: Windows) -> NDArray[np.float32]:
        """As a call, before the softmax."""
        return self._logits(self._upload(torch.from_numpy(windows))).cpu().numpy()

    def stream(self, batches: Iterable[Windows]) -> Iterator[NDArray[np.float32]]:
        """Answers to `batches` in their order, reading the next while the last is computed."""
        if self.device.type == "cuda":
            yield from self._stream_cuda(batches)
        else:
            for windows in prefetched(batches):
                yield self(windows)

    def _stream_cuda(self, batches: Iterable[Windows]) -> Iterator[NDArray[np.float32]]:
        """Pinned copies on a stream of their own, one batch in flight behind the one read out."""
        copies = torch.cuda.Stream(self.device)
        in_flight: tuple[Tensor, torch.cuda.Event] | None = None
        for windows in prefetched(batches):
            launched = self._launch(windows, copies)
            if in_flight is not None:
                yield _landed(in_flight)
            in_flight = launched
        if in_flight is not None:
            yield _landed(in_flight)

    @torch.inference_mode()
    def _launch(self, windows: Windows, copies: torch.cuda.Stream) -> tuple[Tensor, torch.cuda.Event]:
        compute = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(copies):
            x = self._upload(torch.from_numpy(windows).pin_memory())
        compute.wait_stream(copies)
        x.record_stream(compute)
        answer = self._forward(x)
        host = torch.empty(answer.shape, dtype=answer.dtype, pin_memory=True)
        copies.wait_stream(compute)
        with torch.cuda.stream(copies):
            host.copy_(answer, non_blocking=True)
            answer.record_stream(copies)
            done = torch.cuda.Event()
            done.record(copies)
        return host, done

    def _upload(self, x: Tensor) -> Tensor:
        x = x.to(self.device, non_blocking=True)
        return x.contiguous(memory_format=torch.channels_last)

    def _forward(self, x: Tensor) -> Tensor:
        total = torch.softmax(self._logits(x), dim=1)  # (B, K, y', x')
        for number in range(1, self.turns):
            answer = torch.softmax(self._logits(turn(x, number)), dim=1)
            total += turn_back(answer, number)
        mean = total.div_(self.turns) if self.turns > 1 else total
        return mixed(self._forest, mean, x)

    def _logits(self, x: Tensor) -> Tensor:
        # float32 means float32: cuDNN would round convolutions to TF32 unasked, and its benchmark
        # mode would choose other kernels for other runs.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False):
            return self._network(x.to(self._dtype)).float()  # (B, K, y', x')


@lru_cache(maxsize=4)
def _kept_runner(network: nn.Module, device: torch.device, precision: str, turns: int) -> Runner:
    return Runner(network, device, precision, turns)


def forget_runners() -> None:
    """Let go of what was kept for the next call, and so of its memory on a GPU."""
    _kept_runner.cache_clear()


@dataclass(frozen=True)
class ChosenPrecision:
    """Which precision was chosen, and the largest change of a probability that bfloat16 made."""

    name: str
    bf16_max_difference: float | None = None


def open_runner(
    network: nn.Module,
    device: torch.device,
    wanted: str,
    probe: Windows,
    turns: int = 1,
    keep: bool = False,
) -> tuple[Runner, ChosenPrecision]:
    """A runner in float32 or bfloat16, after measuring what bfloat16 does to `probe`.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    device : torch.device
        Where it will run.
    wanted : {"auto", "float32", "bfloat16"}
        "auto" takes bfloat16 where the hardware is good at it and no probability of the probe moves
        by more than 0.05.
    probe : ndarray of float32, shape (1, C, y, x)
        A small window of the image.
    turns : int, 1…8
        Of the runner.
    keep : bool
        Keep what is made of the network for the next call; only for one that nobody changes.
    """
    make = _kept_runner if keep else Runner
    exact = make(network, device, "float32", turns)
    if wanted == "float32" or (wanted == "auto" and not fast_bf16(device)):
        return exact, ChosenPrecision("float32")
    rounded = make(network, device, "bfloat16", turns)
    answers = [torch.from_numpy(runner.logits(probe)).softmax(1) for runner in (exact, rounded)]
    difference = float((answers[1] - answers[0]).abs().max())
    if wanted == "auto" and not difference <= BF16_TOLERANCE:
        return exact, ChosenPrecision("float32", difference)
    return rounded, ChosenPrecision("bfloat16", difference)


def turn(x: Tensor, number: int) -> Tensor:
    """One of the eight turned and mirrored versions of maps (B, C, y, x); 0 is as they are."""
    mirrored = x.flip(-1) if number % 2 else x
    turned = torch.rot90(mirrored, number // 2, (-2, -1))
    return turned.contiguous(memory_format=torch.channels_last)


def turn_back(x: Tensor, number: int) -> Tensor:
    """Undo `turn`."""
    straight = torch.rot90(x, -(number // 2), (-2, -1))
    return straight.flip(-1) if number % 2 else straight


def twin(network: nn.Module) -> nn.Module:
    """A network of the same layers on the same memory, whose layers can be exchanged and converted."""
    tensors = [nn.Parameter(p.detach(), requires_grad=False) for p in network.parameters()]
    memo: dict[int, Any] = dict(zip(map(id, network.parameters()), tensors, strict=True))
    memo |= {id(buffer): buffer.detach() for buffer in network.buffers()}
    return copy.deepcopy(network, memo)


def fold(layer: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Make one convolution do both (evaluation)."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    layer.weight, layer.bias = fuse_conv_bn_weights(
        layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Fold each batch norm that follows a convolution in an ``nn.Sequential`` into it, in place
    (evaluation)."""
    for name, child in module.named_children():
        setattr(module, name, fold_batch_norm(child))
    if not isinstance(module, nn.Sequential):
        return module
    folded: list[nn.Module] = []
    for layer in module:
        if isinstance(layer, nn.BatchNorm2d) and folded and isinstance(folded[-1], nn.Conv2d):
            fold(folded[-1], layer)
        elif not isinstance(layer, nn.Dropout):
            folded.append(layer)
    del module[:]
    return module.extend(folded)


def prefetched(items: Iterable[Any]) -> Iterator[Any]:
    """The items, the next one already being made in a thread while one is used."""
    iterator = iter(items)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read") as pool:
        following = pool.submit(next, iterator, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, iterator, None)
            yield item


def _landed(in_flight: tuple[Tensor, torch.cuda.Event]) -> NDArray[np.float32]:
    host, done = in_flight
    done.synchronize()
    return host.numpy()
