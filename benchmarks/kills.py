"""Is a stroke or a version ever lost? A viewer in which strokes are painted and a network learns is
killed at random, and so is its engine; then the session on disk is compared with what was painted.

    python -m napari_papernets.benchmarks.kills --write docs/benchmarks.md   # needs a screen

Every viewer restores what the one before left. A kill is SIGKILL, as by `kill -9` or a lack of memory.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_papernets.model_files import read_spec
from napari_papernets.session import open_session, unfinished_sessions

SIZE, CELL = 512, 16  # of the image; each stroke fills a place of its own, until all are taken
CELLS = (SIZE // CELL) ** 2
PAUSE = 100  # ms between strokes
BURST, LOOK = 20, 3000  # strokes until the person looks at what is learnt, and for how many ms
ALLOWED = 2.0  # seconds of painting that a kill may cost
PATIENCE = 300.0  # seconds after which something is taken to have hung
LATEST = 30.0  # a kill comes within so many seconds after the first answer: time for versions
TINY = dict(width=4, depth=2, crop=32, batch=1, steps=4, held_out=0.0)  # a version in every pause


def class_of(stroke: int) -> int:
    """1 or 2: both are there from the start, and change when a place is painted again."""
    return 1 + (stroke + stroke // CELLS) % 2


def place_of(stroke: int) -> tuple[int, int]:
    """Upper left pixel of the place of a stroke."""
    row, column = divmod(stroke % CELLS, SIZE // CELL)
    return row * CELL, column * CELL


@dataclass
class Tally:
    """What was seen over all rounds."""

    viewers: int = 0
    engines: int = 0
    strokes: int = 0
    versions: int = 0
    lost_strokes: int = 0
    lost_versions: int = 0
    left_engines: int = 0
    lost_seconds: list[float] = field(default_factory=list)


class Life:
    """A viewer in a process of its own, from its start to its end."""

    def __init__(self, home: Path, first: int) -> None:
        environment = {**os.environ, "XDG_DATA_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
        command = [sys.executable, "-m", __spec__.name, "--viewer", str(first)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self.strokes: list[tuple[int, float]] = []  # number and time
        self.versions: set[int] = set()
        self.engine = 0
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def wait_for_answer(self) -> None:
        """Wait for the next prediction.

        Raises
        ------
        RuntimeError
            If none comes.
        """
        while not self._answers.empty():
            self._answers.get()
        for _ in range(int(PATIENCE)):
            with contextlib.suppress(queue.Empty):
                self._answers.get(timeout=1)
                return
            if self.process.poll() is not None:
                raise RuntimeError(f"the viewer ended by itself: {self.process.returncode}")
        raise RuntimeError(f"no prediction within {PATIENCE:g} s")

    def kill(self) -> float:
        """End it; gives when."""
        now = time.monotonic()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        return now

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith("\n"):  # cut off by the kill
                return
            word, _, rest = line.strip().partition(" ")
            if word == "stroke":
                number, when = rest.split()
                self.strokes.append((int(number), float(when)))
            elif word == "version":
                self.versions.add(int(rest))
            elif word == "engine":
                self.engine = int(rest)
            elif word == "answer":
                self._answers.put(rest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100, help="kills, of viewers and engines")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="put the result into this Markdown page")
    parser.add_argument("--viewer", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.viewer is not None:
        live(given.viewer)
        return
    with tempfile.TemporaryDirectory() as home:
        tally = run(Path(home), given.rounds, random.Random(given.seed))
    from .report import publish  # torch comes with it, which the viewers must not load

    publish(report(tally), "kills", given.write)


def run(home: Path, rounds: int, dice: random.Random) -> Tally:
    """Kill until there were so many rounds."""
    tally = Tally()
    painted: dict[int, float] = {}
    versions: set[int] = set()
    while tally.viewers + tally.engines < rounds:
        life = Life(home, len(painted))
        life.wait_for_answer()
        while dice.random() < 0.5:
            time.sleep(dice.uniform(0, LATEST))
            os.kill(life.engine, signal.SIGKILL)
            tally.engines += 1
            life.wait_for_answer()
        time.sleep(dice.uniform(0, LATEST))
        killed = life.kill()
        tally.viewers += 1
        painted.update(life.strokes)
        versions |= life.versions
        check(home, painted, versions, killed, tally)
        tally.left_engines += not gone(life.engine)
        print(tally, flush=True)
    tally.strokes, tally.versions = len(painted), len(versions)
    return tally


def check(
    home: Path, painted: dict[int, float], versions: set[int], killed: float, tally: Tally
) -> None:
    """Compare the session on disk with what the viewer had said of strokes and versions."""
    (folder,) = unfinished_sessions(next(home.glob("**/sessions")))
    copy = home / "copy"
    shutil.copytree(folder, copy)
    session = open_session(copy)
    found = session.annotation()[0, ()]
    kept = {v.number for v in session.versions() if read_spec(v.model)}
    session.close()
    shutil.rmtree(copy)
    tally.lost_versions += len(versions - kept)
    newest = {n % CELLS: n for n in painted}
    following = max(painted) + 1  # may have been painted over an old one, and not been told any more
    if holds(found, following):
        newest.pop(following % CELLS, None)
    lost = [n for n in newest.values() if not holds(found, n)]
    tally.lost_seconds.append(max([0.0, *(killed - painted[n] for n in lost)]))
    tally.lost_strokes += sum(killed - painted[n] > ALLOWED for n in lost)
    for n in lost:  # the next viewer does not know of them
        painted[n] = float("inf")


def holds(found: np.ndarray, stroke: int) -> bool:
    """Whether the stroke is in its place."""
    y, x = place_of(stroke)
    return bool((found[y : y + CELL, x : x + CELL] == class_of(stroke)).any())


def gone(process: int) -> bool:
    """Whether a process ends within 5 s."""
    for _ in range(50):
        try:
            os.kill(process, 0)
            if "Z" in Path(f"/proc/{process}/stat").read_text().split(")")[-1].split()[0]:
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def report(tally: Tally) -> str:
    """What the page says."""
    from .report import machine

    late = np.array(tally.lost_seconds)
    return (
        "## Killed at random\n\n"
        f"A viewer that paints {BURST} strokes, one every {PAUSE} ms, looks at what is learnt for "
        f"{LOOK / 1000:g} s, and paints again was killed "
        f"(`kill -9`) {tally.viewers} times at random, its engine {tally.engines} times. Of "
        f"{tally.strokes} strokes, {tally.lost_strokes} older than {ALLOWED:g} s were lost; what the "
        f"kill of a viewer cost was at most {late.max():.2f} s of painting, "
        f"{np.median(late):.2f} s in the median. "
        f"Of {tally.versions} versions {tally.lost_versions} were lost. {tally.left_engines} engines "
        "outlived their viewer. Made by `python -m napari_papernets.benchmarks.kills "
        f"--rounds {tally.viewers + tally.engines}`.\n\n{machine()}"
    )


def live(first: int) -> None:
    """The viewer: restore what there is, and paint for ever."""
    import napari
    from qtpy.QtCore import QTimer

    from napari_papernets.core.events import Preview
    from napari_papernets.widgets.annotate_panel import AnnotatePanel

    viewer = napari.Viewer()
    if not first:
        image = np.random.default_rng(0).random((SIZE, SIZE)).astype(np.float32)
        viewer.add_image(image, name="image")
    panel = AnnotatePanel(viewer)
    parts = panel.parts
    viewer.window.add_dock_widget(panel, name="Annotate & fine-tune", area="right")
    parts.form.setValue(parts.form.value().replace(**TINY))
    parts.start.choose("scratch")
    number = first

    def say(*words: object) -> None:
        print(*words, flush=True)

    def begin() -> None:
        if first:
            parts.restore.restore.click()
        else:
            parts.image.annotate.click()
        clock.start(PAUSE)

    def paint() -> None:
        nonlocal number
        layers = [layer for layer in viewer.layers if layer.name == "image strokes"]
        if not layers or not parts.painting.images.pairs():
            return  # not restored yet
        say("engine", panel._hold.engine().pid or 0)
        y, x = place_of(number)
        layers[0].selected_label = class_of(number)
        for column in range(x + 4, x + 12, 2):
            layers[0].paint((y + 8, column), class_of(number))
        say("stroke", number, time.monotonic())
        number += 1
        clock.setInterval(PAUSE if number % BURST else LOOK)

    def follow(event: object) -> None:
        if isinstance(event, Preview):
            say("answer", event.patch)

    clock = QTimer()
    clock.timeout.connect(paint)
    parts.control.failed.connect(lambda error: say("failed", error))
    parts.control.happened.connect(follow)
    parts.store.added.connect(lambda record: say("version", record.number))
    QTimer.singleShot(1000, begin)
    napari.run()


if __name__ == "__main__":
    main()
