"""The engine process: ``python -m napari_papernets.engine``, started by the viewer's side (`door`)."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from contextlib import suppress
from multiprocessing import connection
from typing import Any

from .server import Server, leave


def main() -> None:
    """Serve the viewer that started this process, until it ends."""
    options = parse()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the viewer's to handle
    end_with_viewer()
    go_before_viewer()
    if options.nice and hasattr(os, "nice"):
        os.nice(options.nice)
    line = open_line(options.line)
    Server(line, importlib.import_module(options.verbs)).serve()
    leave(0)


def parse() -> argparse.Namespace:
    """What the viewer's side says on the command line."""
    parser = argparse.ArgumentParser(prog="napari_papernets.engine")
    parser.add_argument("--line", type=int, required=True, help="inherited descriptor or handle")
    parser.add_argument("--verbs", required=True, help="module with find_verb and prepare")
    parser.add_argument("--nice", type=int, default=0, help="by how much to lower the priority")
    return parser.parse_args()


def open_line(handle: int) -> Any:
    """The connection that this process inherited."""
    if sys.platform == "win32":
        return connection.PipeConnection(handle)
    os.set_inheritable(handle, False)
    return connection.Connection(handle)


def end_with_viewer() -> None:
    """Linux: let the kernel end this process when the viewer does, even inside code that holds the GIL.

    The viewer holds the other end of standard input and never writes. When it ends, for any reason,
    the pipe breaks, which raises SIGIO; nobody handles that, so the process ends. Elsewhere the
    reader thread sees the line break.
    """
    if not sys.platform.startswith("linux"):
        return
    import fcntl

    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)


def go_before_viewer() -> None:
    """Linux: where memory runs out, let the kernel take this process and not the viewer."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")


if __name__ == "__main__":
    main()
