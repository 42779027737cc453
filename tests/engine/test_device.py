"""Devices by name, and a heap that is kept."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from napari_papernets.core.errors import InputError
from napari_papernets.engine.device import cpu_flags, fast_bf16, has_mps, keep_heap, pick_device

CPU = torch.device("cpu")


def test_auto_is_cuda_else_mps_else_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == ("mps" if has_mps() else "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="this machine has"):
        pick_device("cuda")
    with pytest.raises(InputError, match="choose auto"):
        pick_device("abacus")
    with pytest.raises(InputError, match="this machine has"):
        pick_device("xla")


def test_a_gpu_number_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(InputError, match="1 GPUs"):
        pick_device("cuda:3")


@pytest.mark.parametrize(("flags", "fast"), [({"avx512_bf16"}, True), ({"avx2", "avx512_f"}, False)])
def test_bf16_is_fast_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], fast: bool
) -> None:
    monkeypatch.setattr("napari_papernets.engine.device.cpu_flags", lambda: flags)
    fast_bf16.cache_clear()
    try:
        assert fast_bf16(CPU) is fast
    finally:
        fast_bf16.cache_clear()


def test_the_processor_names_its_instructions() -> None:
    assert all(isinstance(flag, str) for flag in cpu_flags())


needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc")


@needs_glibc
def test_large_tensors_go_back_and_small_ones_stay() -> None:
    """In a process of its own, where nothing has taken memory before."""
    script = """
import os
from napari_papernets.engine.device import LARGE, keep_heap
assert keep_heap()
import torch
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
def kept(size):
    before = resident()
    tensor = torch.ones(size, dtype=torch.uint8)
    assert resident() - before > 0.9 * size
    del tensor
    return resident() - before > 0.5 * size
small = kept(LARGE // 2)
print(small, kept(8 * LARGE), os.environ["THP_MEM_ALLOC_ENABLE"])
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["True", "False", "1"]


def test_keeping_the_heap_twice_is_keeping_it_once() -> None:
    assert keep_heap() is keep_heap()
    assert torch.ones(1 << 20).sum().item() == 1 << 20
