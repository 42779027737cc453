"""Anonymous shared memory: bytes that two processes of this program hand to each other.

A segment never has a name that others could open, or that could be left behind: on POSIX it is a file
without a name (``memfd_create``; elsewhere an unlinked temporary file) whose descriptor travels through
the socket, so the kernel frees it with its last user, however that user ends. ``shared_memory`` of the
standard library was not taken: its names outlive a killed process, its resource tracker removes segments
that others still use, and a container's /dev/shm is often 64 MB, where a larger array ends in SIGBUS.
On Windows a segment is a mapping with a random tag, which lives while a handle is open.
"""

from __future__ import annotations

import array
import mmap
import os
import secrets
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64  # bytes: what vectorised loads like best
MAP_FROM = 16 * 2**20  # bytes: smaller segments are copied, since every mapping keeps a descriptor open
PAGE = 4096
CHUNK = 2**28  # bytes in one system call: macOS refuses 2**31, Linux cuts there

Span: TypeAlias = tuple[int, int]


def lay_out(sizes: Sequence[int]) -> tuple[tuple[Span, ...], int]:
    """Place buffers of these sizes one after the other.

    Returns
    -------
    spans : tuple of (start, stop)
        Bytes of each buffer.
    size : int
        Bytes of all, at least 1.
    """
    spans, end = [], 0
    for size in sizes:
        start = -(-end // ALIGNMENT) * ALIGNMENT
        end = start + size
        spans.append((start, end))
    return tuple(spans), max(end, 1)


class Channel:
    """What a connection needs beside its bytes to hand over segments: on POSIX, its socket."""

    def __init__(self, connection: Connection) -> None:
        self._socket: socket.socket | None = None
        if sys.platform != "win32":
            self._socket = socket.socket(
                socket.AF_UNIX, socket.SOCK_STREAM, fileno=os.dup(connection.fileno())
            )

    def give(self, segment: Segment) -> None:
        """Hand over the descriptor of a segment; the frame before it must have told its size."""
        if self._socket is not None:
            self._socket.sendmsg([b"."], [_rights(segment.descriptor)])

    def take(self, name: str, size: int) -> Segment:
        """The segment that the other side gives.

        Raises
        ------
        EOFError
            If the other side ended in between.
        """
        if self._socket is None:
            return Segment(size, name=name)
        _, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1)
        if not descriptors:
            raise EOFError("the other side ended before it handed over its data")
        os.set_inheritable(descriptors[0], False)
        return Segment(size, descriptor=descriptors[0])

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


class Segment:
    """A block of shared memory.

    Parameters
    ----------
    size : int
        Bytes.
    name : str
        Windows: the tag of a mapping that the other side holds; a new one where empty.
    descriptor : int, optional
        POSIX: of the file without a name, which this segment will close; a new one where None.
    """

    def __init__(self, size: int, *, name: str = "", descriptor: int | None = None) -> None:
        self.size = size
        self.name = ""
        self.descriptor = -1
        self._mapping: mmap.mmap | None = None
        self._closing = threading.Lock()
        if sys.platform == "win32":
            self.name = name or f"papernets-{secrets.token_hex(12)}"
            self._mapping = mmap.mmap(-1, size, tagname=self.name)
        else:
            self.descriptor = _nameless_file() if descriptor is None else descriptor

    def write(self, buffer: memoryview, start: int) -> None:
        """Copy bytes into the segment from `start` on, without holding the GIL.

        Raises
        ------
        OSError
            If there is no memory (or disk) left for them.
        """
        if self._mapping is not None:
            target = np.frombuffer(self._mapping, np.uint8, len(buffer), start)
            np.copyto(target, np.frombuffer(buffer, np.uint8))
            return
        done = 0
        while done < len(buffer):
            done += os.pwrite(self.descriptor, buffer[done : done + CHUNK], start + done)

    def read(self, spans: Sequence[Span]) -> list[NDArray[np.uint8]]:
        """Writable buffers with the bytes of each span: views of a large segment, copies of a small one.

        A view keeps the memory alive for as long as it is used; the segment itself may be closed.
        """
        whole = np.frombuffer(self._mapping or mmap.mmap(self.descriptor, self.size), np.uint8)
        if self.size < MAP_FROM:
            return [whole[start:stop].copy() for start, stop in spans]
        whole[::PAGE].max()  # pages come in here, so that no other thread waits for them
        return [whole[start:stop] for start, stop in spans]

    def close(self) -> None:
        """Let go of the segment (again is harmless, on another thread too)."""
        self._mapping = None
        with self._closing:  # a number that is closed twice may be another file's by then
            descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _rights(descriptor: int) -> tuple[int, int, bytes]:
    return socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]).tobytes()


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("papernets")
    with tempfile.TemporaryFile(prefix="papernets-") as file:
        return os.dup(file.fileno())
