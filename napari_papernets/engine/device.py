"""Which device to compute on, what it is good at, and how this process keeps its memory."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from functools import cache
from typing import Any

import torch
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.fields import Precision

# Parameters of glibc's mallopt (malloc.h).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
LARGEST = 2**31 - 8192
LARGE = 8 * 2**20  # bytes
LARGEST_PINNED = 2**28  # bytes, which the system cannot use for anything else meanwhile


def pick_device(device: str = "auto") -> torch.device:
    """The device of that name; ``auto`` is cuda, else mps, else cpu.

    Raises
    ------
    InputError
        If the name is unknown or this machine has no such device.
    """
    if not isinstance(device, str):
        raise InputError("device", repr(device), "give its name, as in 'cpu' or 'cuda:0'")
    available = {"cuda": torch.cuda.is_available(), "mps": has_mps(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, there in available.items() if there))
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError("device", repr(device), "choose auto, cpu, cuda or mps") from error
    if not available.get(wanted.type, False):
        there = ", ".join(name for name, here in available.items() if here)
        raise InputError("device", repr(device), f"this machine has {there}; auto takes the best")
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise InputError("device", repr(device), f"there are {torch.cuda.device_count()} GPUs")
    return wanted


def has_mps() -> bool:
    """Whether this is a Mac whose GPU torch can use."""
    return hasattr(torch.backends, "mps") and torch.backends.mps.is_available()


@cache
def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is computed in hardware on `device`, so that it is worth its rounding."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(cpu_flags() & {"avx512_bf16", "amx_bf16"})


def trains_in_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether a training computes in bfloat16: where that was asked for, or is left open and fast."""
    return precision == "bfloat16" or (precision == "auto" and fast_bf16(device))


def cpu_flags() -> set[str]:
    """Instruction sets of the processor that matter here; empty where they cannot be read."""
    tell = getattr(torch.cpu, "get_capabilities", None)
    if tell is not None:
        return {name for name, there in tell().items() if there is True}
    try:
        with open("/proc/cpuinfo") as file:
            return set(next((line for line in file if line.startswith("flags")), "").split())
    except OSError:
        return set()


def to_host(values: torch.Tensor) -> NDArray[Any]:
    """Values of a tensor, from a GPU through memory that does not move: several times as fast."""
    if values.device.type != "cuda" or values.nbytes > LARGEST_PINNED:
        return values.cpu().numpy()
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    torch.cuda.current_stream(values.device).synchronize()
    return host.numpy()


def settle_kernels() -> None:
    """Let cuDNN choose the same kernels every time, without TF32, in all threads of this process, which
    must be nobody else's."""
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False


@cache
def keep_heap() -> bool:
    """Make memory for tensors cheap on a CPU, for the whole process; True if glibc took the settings.

    glibc gives every large tensor back to the kernel and pays for its pages again a moment later, 4 KiB
    at a time: about half the time of an eager forward pass. Here, small tensors stay in the heap for the
    next one. Large ones (of different sizes, they would leave holes in a heap until it is four times as
    large as what it holds) go back, but come in pages of 2 MiB.

    One arena makes it work in threads too, so call this before any thread is started; torch asks about
    the pages once, so call it before the first tensor. Elsewhere than on glibc nothing is done.
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return False
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch's c10/core/impl/alloc_cpu.cpp
    mallopt = ctypes.CDLL(None).mallopt
    wishes = (
        (M_MMAP_THRESHOLD, LARGE),
        (M_TRIM_THRESHOLD, LARGEST),
        (M_TOP_PAD, LARGE),
        (M_ARENA_MAX, 1),
    )
    answers = [mallopt(name, value) for name, value in wishes]
    return all(answer == 1 for answer in answers)


def release_memory() -> None:
    """Give back what this process keeps for the next job: glibc's heap and torch's cache on the GPU."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
