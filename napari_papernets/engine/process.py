"""The engine process from without: started, listened to and ended by threads of the viewer's."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Pipe
from typing import Any

from .failures import BROKEN_LINE
from .lane import Lane, start_thread
from .messages import Message, Quit, Ready
from .wire import Line, Parcel

NICE = 10  # how much the engine steps back for the window; at 19 a busy machine starves it
QUIT_SECONDS = 1.5  # to end by itself before it is killed
LAST_WORDS = 1.0  # seconds for the last lines of its output to arrive


class EngineProcess:
    """One child process.

    Parameters
    ----------
    verbs : str
        Module with the verbs.
    threads : int or None
        Threads that it computes with; its libraries' own choice where None.
    log : deque of str
        Takes its output, line by line.
    on_message : callable
        Called with every message but Ready, on the thread that reads.
    on_ready, on_end : callable
        Called once each, on the same thread; `on_end` comes last, and always comes.

    Attributes
    ----------
    info : mapping or None
        What the child told of itself when it was ready.
    reason : str
        Why it was killed by us; empty where it was not.
    last_line : str
        The last of its output.
    used : float
        When it last had work, by the monotonic clock.
    ended : Event
        Set after everything else.
    blocks : Lane
        Where this process reads blocks for it.
    """

    def __init__(
        self,
        verbs: str,
        threads: int | None,
        log: deque[str],
        on_message: Callable[[EngineProcess, Message], None],
        on_ready: Callable[[EngineProcess], None],
        on_end: Callable[[EngineProcess], None],
    ) -> None:
        self.info: Mapping[str, Any] | None = None
        self.reason = ""
        self.last_line = ""
        self.used = time.monotonic()
        self.ended = threading.Event()
        self.blocks = Lane("papernets-blocks")
        self._kill_at: float | None = None
        self._verbs, self._threads, self._log = verbs, threads, log
        self._on_message, self._on_ready, self._on_end = on_message, on_ready, on_end
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Line | None = None
        self._lock = threading.Lock()
        start_thread("papernets-reader", self._live)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def returncode(self) -> int | None:
        return self._process.returncode if self._process else None

    def post(self, parcel: Parcel) -> None:
        """Send a packed message; where the child has ended, its end is what will be told."""
        with suppress(OSError):
            if self._line is not None:
                self._line.post(parcel)
                return
        parcel.close()

    def give_way(self) -> None:
        """Compute only while nobody else wants the processor, until `take_turns`; nothing happens where
        that could not be taken back."""
        if can_give_way():
            self._schedule(os.SCHED_IDLE)

    def take_turns(self) -> None:
        """Have the usual share of the processor again."""
        if can_give_way():
            self._schedule(os.SCHED_OTHER)

    def _schedule(self, policy: int) -> None:
        with suppress(OSError):  # it has ended, or is just ending a thread
            for thread in os.listdir(f"/proc/{self.pid}/task"):
                os.sched_setscheduler(int(thread), policy, os.sched_param(0))

    def quit(self) -> None:
        """Ask it to end; it is killed if it has not after `QUIT_SECONDS`."""
        self._kill_at = time.monotonic() + QUIT_SECONDS
        if self.info is None or self._line is None:
            self.kill("quit")
            return
        with suppress(OSError):
            self._line.send(Quit())

    def kill(self, reason: str) -> None:
        """End it at once."""
        with self._lock:
            self.reason = self.reason or reason
            if self._process is not None:
                self._process.kill()

    def kill_when_due(self) -> None:
        """Kill it where it was asked to end some time ago."""
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            self.kill("quit")

    def resident_gb(self) -> float:
        """Main memory that it occupies; 0 where that cannot be told."""
        import psutil

        try:
            return psutil.Process(self.pid).memory_info().rss / 1e9 if self.pid else 0.0
        except psutil.Error:
            return 0.0

    def _live(self) -> None:
        """The child's whole life."""
        try:
            with self._lock:
                if not self.reason:
                    self._spawn()
            if self._process is not None:
                self._listen()
        except OSError as error:
            self._log.append(f"the engine process could not be started: {error}")
        try:
            self._bury()
        finally:
            self._on_end(self)
            self.ended.set()

    def _spawn(self) -> None:
        ours, theirs = Pipe(duplex=True)
        try:
            self._process = start_python(theirs.fileno(), self._verbs, self._threads)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._line = Line(ours)
        self._log_keeper = start_thread("papernets-log", self._keep_log)

    def _listen(self) -> None:
        assert self._line is not None
        try:
            while True:
                message = self._line.receive()
                if isinstance(message, Ready):
                    self.info = message.info
                    self._on_ready(self)
                else:
                    self._on_message(self, message)
                del message
        except (EOFError, OSError):
            return
        except Exception as error:  # noqa: BLE001 - nothing that follows on this line can be trusted
            self._log.append(f"the engine sent what may not cross: {error!r}")
            self.kill(BROKEN_LINE)

    def _bury(self) -> None:
        self.blocks.stop()
        process = self._process
        if process is None:
            return
        try:
            process.wait(QUIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill("hung up")
            process.wait()
        assert self._line is not None
        self._line.close()
        self._log_keeper.join(LAST_WORDS)
        if process.stdin is not None:
            process.stdin.close()

    def _keep_log(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                self.last_line = line.decode("utf-8", "replace").rstrip()
                self._log.append(self.last_line)


@cache
def can_give_way() -> bool:
    """Whether a thread may leave the processor to all others and take its turns again: on Linux, where
    the system's limits allow this user the latter (RLIMIT_NICE, CAP_SYS_NICE). A thread that ends at
    once tries it."""
    if not hasattr(os, "SCHED_IDLE"):
        return False
    done = []

    def try_it() -> None:
        with suppress(OSError):
            for policy in (os.SCHED_IDLE, os.SCHED_OTHER):
                os.sched_setscheduler(0, policy, os.sched_param(0))
            done.append(True)

    trial = threading.Thread(target=try_it)
    trial.start()
    trial.join()
    return bool(done)


def start_python(handle: int, verbs: str, threads: int | None) -> subprocess.Popen[bytes]:
    """Start the child with its end of the line; its standard input is what ends it with this process."""
    command = [
        sys.executable,
        "-P",
        "-X",
        "faulthandler",
        "-m",
        __package__ or "napari_papernets.engine",
    ]
    command += [f"--line={handle}", f"--verbs={verbs}", f"--nice={NICE}"]
    streams: dict[str, Any] = dict(
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    # Threads of OpenMP that wait must not spin: they would take the window's turn on the processor, and
    # where they lose theirs in the middle of a layer, all others would spin until it comes back.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    environment |= {"PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}
    if threads is not None:
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    if sys.platform == "win32":
        os.set_handle_inheritable(handle, True)
        startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})
        flags = subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        return subprocess.Popen(
            command, env=environment, startupinfo=startup, creationflags=flags, **streams
        )
    return subprocess.Popen(command, env=environment, pass_fds=(handle,), **streams)
