"""The line between the viewer's process and the engine's: its messages, and what may be in them.

Messages are pickled, but only by a list: classes of `napari_papernets.core`, the messages, paths, numpy
arrays and plain values. Everything else is refused on both ends, so that neither a foreign object
nor code can cross. The bytes of arrays are not pickled: they lie in shared memory (`segments`), and
arrays that are not in memory stay where they are (`remote`).
"""

from __future__ import annotations

import importlib
import io
import itertools
import pickle
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from . import messages
from .lane import Lane
from .messages import Message
from .remote import Index, Key, RemoteArray, open_stored, stays_behind, where_stored
from .segments import Channel, Segment, Span, lay_out

SHARE_FROM = 8192  # bytes: smaller buffers travel with the message


_ARRAYS = frozenset({"_reconstruct", "scalar"})
_PATHS = frozenset({"Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"})
# What the pickles of the allowed values are built from. Nothing here runs code that it is given.
NAMED: Mapping[str, frozenset[str]] = {
    "builtins": frozenset({"set", "frozenset", "slice", "range", "complex", "bytearray"}),
    "pathlib": _PATHS,
    "pathlib._local": _PATHS,  # Python 3.13
    "numpy": frozenset({"ndarray", "dtype"}),
    "numpy._core.multiarray": _ARRAYS,
    "numpy._core.numeric": frozenset({"_frombuffer"}),
    "numpy.core.multiarray": _ARRAYS,  # numpy 1
    "numpy.core.numeric": frozenset({"_frombuffer"}),
}
CORE = __name__.rpartition(".engine.")[0] + ".core."


@cache
def may_cross(module: str, name: str) -> bool:
    """Whether a class (or one of numpy's constructors) is on the list."""
    if name in NAMED.get(module, ()):
        return True
    if "." in name or not (module == messages.__name__ or module.startswith(CORE)):
        return False
    found = getattr(importlib.import_module(module), name, None)
    return isinstance(found, type) and found.__module__ == module


class _Buffers:
    """Takes the bytes of arrays that go to shared memory."""

    def __init__(self) -> None:
        self.taken: list[memoryview] = []

    def take(self, buffer: pickle.PickleBuffer) -> bool:
        """Whether the bytes shall stay in the message, being few."""
        raw = buffer.raw()
        if raw.nbytes < SHARE_FROM:
            return True
        self.taken.append(raw)
        return False


class _Pickler(pickle.Pickler):
    """Takes what is on the list only; arrays that stay behind become the keys that `keep` gives."""

    def __init__(self, body: io.BytesIO, buffers: _Buffers, keep: Callable[[Any], Key] | None) -> None:
        # The callback is no method of this object: in such a circle the arrays would outlive their use.
        super().__init__(body, protocol=5, buffer_callback=buffers.take)
        self._keep = keep

    def persistent_id(self, obj: Any) -> Any:
        if self._keep is None or not stays_behind(obj):
            return None
        if (stored := where_stored(obj)) is not None:
            return stored
        return self._keep(obj), tuple(int(n) for n in obj.shape), np.dtype(obj.dtype).str

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, np.ndarray):
            return _plain_array(obj).__reduce_ex__(5)
        if isinstance(obj, np.dtype | np.generic):
            return NotImplemented
        named = obj if isinstance(obj, type | FunctionType | BuiltinFunctionType) else type(obj)
        if not may_cross(named.__module__, named.__qualname__):
            mend = "only arrays, paths, plain values and the classes of napari_papernets.core can cross"
            raise InputError("engine", f"a {named.__module__}.{named.__qualname__}", mend)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    """Opens what is on the list only."""

    def __init__(
        self, body: Any, buffers: list[Any], fetch: Callable[[Key, Index], NDArray[Any]] | None
    ) -> None:
        super().__init__(io.BytesIO(body), buffers=buffers)
        self._fetch = fetch

    def find_class(self, module: str, name: str) -> Any:
        if not may_cross(module, name):
            raise pickle.UnpicklingError(f"{module}.{name} may not cross to another process")
        return super().find_class(module, name)

    def persistent_load(self, kept: Any) -> Any:
        fetch = self._fetch
        if fetch is None:
            raise pickle.UnpicklingError("this side reads no arrays of the other one")
        if len(kept) == 2:
            return open_stored(*kept)
        key, shape, dtype = kept
        return RemoteArray(shape, dtype, lambda index: fetch(key, index))


def _plain_array(array: NDArray[Any]) -> NDArray[Any]:
    """The array as a contiguous one of numpy's own class, whose bytes can lie in shared memory."""
    if array.dtype.hasobject:
        raise InputError("array", "Python objects", "give an array of numbers")
    if isinstance(array, np.ma.MaskedArray):
        raise InputError("array", "a masked array", "fill it: array.filled(0)")
    array = np.asarray(array)
    return array if array.flags.forc else np.ascontiguousarray(array)


@dataclass(frozen=True, eq=False)
class Parcel:
    """A message ready to be posted: small bytes, and the rest in shared memory."""

    body: bytes
    spans: tuple[Span, ...]
    segment: Segment | None

    def close(self) -> None:
        """Throw it away unposted."""
        if self.segment is not None:
            self.segment.close()


def pack(message: Message, keep: Callable[[Any], Key] | None = None) -> Parcel:
    """Turn a message into bytes and copy its arrays to shared memory: the slow half of sending.

    Parameters
    ----------
    message : Message
        What to send.
    keep : callable, optional
        Takes an array that stays behind and returns the key that blocks are asked by.

    Raises
    ------
    InputError
        If something in it may not cross.
    OSError, MemoryError
        If there is no memory for the copy.
    """
    stream, collected = io.BytesIO(), _Buffers()
    _Pickler(stream, collected, keep).dump(message)
    body, buffers = stream.getvalue(), collected.taken
    if len(body) >= SHARE_FROM:  # so that a frame always fits the socket's own memory
        body, buffers = b"", [*buffers, memoryview(body)]
    if not buffers:
        return Parcel(body, (), None)
    spans, size = lay_out([len(b) for b in buffers])
    segment = Segment(size)
    try:
        for buffer, (start, _) in zip(buffers, spans, strict=True):
            segment.write(buffer, start)
    except BaseException:
        segment.close()
        raise
    return Parcel(body, spans, segment)


class Line:
    """One end of the line. Any thread may send; one thread receives, and never waits to send: where both
    sides were sending more than the line holds, they would wait for each other for ever.

    Parameters
    ----------
    connection : Connection
        A socket or pipe that only the two processes hold.
    fetch : callable, optional
        Reads a block, by key and index, of an array that stayed on the other side.
    """

    def __init__(
        self,
        connection: Connection,
        fetch: Callable[[Key, Index], NDArray[Any]] | None = None,
    ) -> None:
        self._connection = connection
        self._channel = Channel(connection)
        self._fetch = fetch
        self._sending = threading.Lock()
        self._numbers = itertools.count(1)
        self._unread: dict[int, Segment] = {}  # the other side has not opened them yet
        self._receipts = Lane("papernets-receipts")

    def send(self, message: Message) -> None:
        """Pack a message and post it."""
        self.post(pack(message))

    def post(self, parcel: Parcel) -> None:
        """Send a packed message.

        Raises
        ------
        OSError
            If the other side has ended.
        """
        with self._sending:
            segment, number = parcel.segment, next(self._numbers)
            if segment is None:
                return self._frame(0, "", 0, (), parcel.body)
            self._unread[number] = segment
            self._frame(number, segment.name, segment.size, parcel.spans, parcel.body)
            return self._channel.give(segment)

    def poll(self, seconds: float) -> bool:
        """Whether something can be received, waiting for it up to that long."""
        return self._connection.poll(seconds)

    def receive(self) -> Message:
        """The next message.

        Raises
        ------
        EOFError, OSError
            If the other side has ended.
        pickle.UnpicklingError
            If something in it may not cross.
        """
        while True:
            number, name, size, spans, body = _Unpickler(self._connection.recv_bytes(), [], None).load()
            if size:
                return self._open(number, name, size, spans, body)
            if not number:
                return _Unpickler(body, [], self._fetch).load()
            self._unread.pop(number).close()  # a receipt

    def close(self) -> None:
        """Hang up."""
        self._receipts.stop()
        self._connection.close()
        self._channel.close()
        while self._unread:
            self._unread.popitem()[1].close()

    def _open(self, number: int, name: str, size: int, spans: tuple[Span, ...], body: bytes) -> Message:
        segment = self._channel.take(name, size)
        try:
            buffers = segment.read(spans)
        finally:
            segment.close()
        self._receipts.put(self._confirm, number)
        return _Unpickler(body or buffers.pop(), buffers, self._fetch).load()

    def _confirm(self, number: int) -> None:
        """Tell the other side that it may let go of a segment; where it has ended, it has."""
        with suppress(OSError), self._sending:
            self._frame(number, "", 0, (), b"")

    def _frame(self, *parts: Any) -> None:
        self._connection.send_bytes(pickle.dumps(parts, protocol=5))
