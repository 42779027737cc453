"""What the recipes share: frames of a film, training by the verb, and the scores against time."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.io import imread

import napari_papernets as pn
from napari_papernets.core.events import Checkpoint, Event, Notice, Started, Step
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import ModelRef, ModelSpec
from napari_papernets.core.results import Prediction
from napari_papernets.engine.checkpoints import read_state
from napari_papernets.engine.weights import save_weights
from napari_papernets.engine.zoom import resize

from ..report import machine, markdown_table, put_section

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
Scores = dict[str, float]


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a film or a slice of a stack, with its truth."""

    name: str
    pixels: NDArray[Any]
    truth: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Recipe:
    """How one set of the paper's table is learnt and judged.

    Attributes
    ----------
    key, title : str
        Of the section on the page, and of the files.
    data : str
        Folder in the shared data, with `images` and `labels` of the same names.
    last_learnt : str
        Frames up to this name are learnt from, later ones judged: neighbours in time are alike.
    settings : TuneSettings
        Of the verb `finetune`.
    score : callable
        Predictions and truths of the judged frames -> scores by name.
    targets : mapping of str to (str, float)
        For some scores "≤" or "≥", and what is to be reached.
    model : str
        Where training starts.
    zoom : float
        Factor by which the frames are resized for training and prediction.
    min_size : int
        Pixels (of the frames as they are) of the smallest object that an answer may hold.
    annotate : callable
        Truth -> what `settings.kind` asks for.
    left_out : tuple of str
        Frames that are annotated in part: not learnt from.
    note : str
        A sentence or two for the page.
    """

    key: str
    title: str
    data: str
    last_learnt: str
    settings: pn.TuneSettings
    score: Callable[[Sequence[Prediction], Sequence[Frame]], Scores]
    targets: Mapping[str, tuple[str, float]]
    model: str = "scratch"
    zoom: float = 1.0
    min_size: int = pn.PredictSettings().min_size
    annotate: Callable[[NDArray[Any]], NDArray[Any]] = lambda truth: truth
    left_out: tuple[str, ...] = ()
    note: str = ""

    def split(self, frames: Sequence[Frame]) -> tuple[list[Frame], list[Frame]]:
        """Frames to learn from, and frames to judge on."""
        learnt = [f for f in frames if f.name <= self.last_learnt and f.name not in self.left_out]
        return learnt, [f for f in frames if f.name > self.last_learnt]


def read_frames(folder: Path) -> list[Frame]:
    """All frames with a truth, in the order of their names."""
    names = sorted(p.name for p in (folder / "labels").iterdir())
    return [Frame(n, imread(folder / "images" / n), imread(folder / "labels" / n)) for n in names]


def zoomed_image(frame: Frame, zoom: float) -> ImageBlock:
    """The frame as prediction at that zoom shows it to the network."""
    pixels = frame.pixels if zoom == 1.0 else resize(frame.pixels[None], zoom)[0]
    return ImageBlock(pixels, "YX", name=frame.name)


def zoomed_labels(labels: NDArray[Any], zoom: float) -> NDArray[Any]:
    """Labels on the pixels of `zoomed_image`: of the masks, resized like the image, the largest."""
    if zoom == 1.0:
        return labels
    numbers = np.unique(labels)
    masks = np.stack([resize((labels == n)[None], zoom)[0] for n in numbers])
    return numbers[masks.argmax(axis=0)]


def predict_frames(
    recipe: Recipe, model: ModelRef, frames: Sequence[Frame], turns: int, device: str
) -> list[Prediction]:
    """Labels and probabilities of every frame, averaged over its turned versions."""
    settings = pn.PredictSettings(zoom=recipe.zoom, turns=turns, min_size=recipe.min_size)
    return [pn.predict(f.pixels, model, settings=settings, device=device, axes="YX") for f in frames]


class Watcher:
    """Follows a training: prints, and judges every checkpoint on the frames that it does not see."""

    def __init__(self, recipe: Recipe, judged: Sequence[Frame], folder: Path, device: str) -> None:
        self.recipe, self.judged, self.folder, self.device = recipe, judged, folder, device
        self.path = folder / f"{recipe.key}-curve.json"
        self.curve: list[dict[str, float]] = []
        self.losses: list[float] = []
        self.judging = self.judging_cpu = 0.0  # seconds that are not training
        self.began_cpu = time.process_time()
        self.before = 0.0  # core seconds of a run that this one goes on from

    def resume(self) -> None:
        """Take up the curve of an interrupted run."""
        if self.path.is_file():
            self.curve = json.loads(self.path.read_text())
            self.before = self.curve[-1]["core_seconds"] if self.curve else 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Step):
            self.losses.append(event.loss)
            self.seconds = event.seconds
        elif isinstance(event, Checkpoint):
            self._judge(event)
        elif isinstance(event, Started | Notice):
            print(event, flush=True)

    def _judge(self, event: Checkpoint) -> None:
        if self.curve and self.curve[-1]["step"] >= event.step:
            return  # the last checkpoint of a run may be written twice
        began, began_cpu = time.monotonic(), time.process_time()
        model = model_of_checkpoint(Path(event.path), self.folder / f"{self.recipe.key}-now.safetensors")
        found = predict_frames(self.recipe, model, self.judged, 1, self.device)
        row = dict(
            step=event.step,
            core_seconds=self.before + began_cpu - self.began_cpu - self.judging_cpu,
            seconds=self.seconds - self.judging,
            loss=float(np.mean(self.losses[-100:])),
            **self.recipe.score(found, self.judged),
        )
        self.judging += time.monotonic() - began
        self.judging_cpu += time.process_time() - began_cpu
        self.curve.append(row)
        self.path.write_text(json.dumps(self.curve))
        print({k: round(v, 4) for k, v in row.items()}, flush=True)


def model_of_checkpoint(checkpoint: Path, path: Path) -> ModelRef:
    """The network of a training state as a model file: mean weights where they are kept."""
    state = read_state(checkpoint)
    weights = state.part("average") or state.part("network")
    return save_weights(ModelSpec.from_dict(state.facts["spec"]), weights, path)


def run(recipe: Recipe, arguments: Sequence[str] | None = None) -> Scores:
    """Train, judge and report; the command line of a recipe."""
    given = parse(recipe, arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    learnt, judged = recipe.split(read_frames(given.data))
    if given.judged is not None:
        learnt = [f for f in learnt + judged if f.name not in recipe.left_out]
        judged = read_frames(given.judged)
    watcher = Watcher(recipe, judged, given.folder, given.device)
    if given.resume or given.model:
        watcher.resume()
    model = pn.load_model(given.model) if given.model else train(recipe, given, learnt, watcher)
    found = predict_frames(recipe, model, judged, given.turns, given.device)
    scores = recipe.score(found, judged)
    print(scores)
    if given.write:
        text = section(recipe, model, given.turns, watcher.curve, scores, (len(learnt), len(judged)))
        put_section(given.write, f"papers-{recipe.key}", text)
    return scores


def train(
    recipe: Recipe, given: argparse.Namespace, learnt: Sequence[Frame], watcher: Watcher
) -> ModelRef:
    """The model that the verb makes of these frames."""
    return pn.finetune(
        [zoomed_image(f, recipe.zoom) for f in learnt],
        [zoomed_labels(recipe.annotate(f.truth), recipe.zoom) for f in learnt],
        recipe.model,
        recipe.settings.replace(steps=given.steps, checkpoint_every=given.every),
        device=given.device,
        on_event=watcher,
        name=recipe.key,
        folder=given.folder,
        resume=given.resume,
    ).model


def parse(recipe: Recipe, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options that every recipe has."""
    parser = argparse.ArgumentParser(description=recipe.title)
    parser.add_argument("--data", type=Path, default=DATA / recipe.data)
    parser.add_argument("--judged", type=Path, help="judge on this folder, learn from all of --data")
    parser.add_argument("--folder", type=Path, default=Path("build/papers"))
    parser.add_argument("--steps", type=int, default=recipe.settings.steps)
    parser.add_argument("--every", type=int, default=500, help="steps between points of the curve")
    parser.add_argument("--turns", type=int, default=8, help="turned versions that are averaged")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--model", type=Path, help="judge this model instead of training one")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--write", type=Path, help="put the scores into this Markdown page")
    return parser.parse_args(arguments)


def section(
    recipe: Recipe,
    model: ModelRef,
    turns: int,
    curve: Sequence[Mapping[str, float]],
    scores: Scores,
    counts: tuple[int, int],
) -> str:
    """What the page says of a run."""
    rows = [(n, f"{v:.4f}", *verdict(recipe.targets.get(n), v)) for n, v in scores.items()]
    names = list(scores)
    points = [
        (f"{p['step']:.0f}", f"{p['core_seconds'] / 60:.1f}", *(f"{p[n]:.4f}" for n in names))
        for p in curve
    ]
    made = model.spec.provenance
    changed = ", ".join(
        f"{k} {v}" for k, v in pn.TuneSettings.from_dict(made["settings"]).changed().items()
    )
    return (
        f"## {recipe.title}\n\n"
        f"Learnt from {counts[0]} frames, judged on {counts[1]} others; start `{made['base']}`, zoom "
        f"{recipe.zoom:g}, {changed}. Threshold, from the frames that are learnt from: "
        f"{model.spec.threshold:g}. {recipe.note}\n\n"
        f"{markdown_table(('score', f'mean of {turns} turns', 'target', 'reached'), rows)}\n\n"
        "Against time on the processor (all cores together), without turns, in a run of that length, "
        "labels at a threshold of 0.5:\n\n"
        f"{markdown_table(('step', 'core minutes', *names), points)}\n\n"
        f"{machine('napari-papernets')}. Made by `python -m napari_papernets.benchmarks.papers."
        f"{recipe.key} --steps {made['steps_done']}`{how_exactly(made)}."
    )


def how_exactly(made: Mapping[str, Any]) -> str:
    """What kept a run from being repeated exactly by its command, if anything."""
    if len(made["plans"]) > 1:
        plans = ", ".join(f"{total} steps from step {begun} on" for begun, total in made["plans"])
        return f", but its length was changed on the way ({plans}), and the learning rate with it"
    if made["settings"]["seconds"] is not None:
        return f", but its learning rate followed a clock of {made['settings']['seconds']:g} s"
    return ""


def verdict(target: tuple[str, float] | None, value: float) -> tuple[str, str]:
    """What was to be reached, and whether it was."""
    if target is None:
        return "", ""
    sign, limit = target
    reached = value <= limit if sign == "≤" else value >= limit
    return f"{sign} {limit:g}", "yes" if reached else "no"
