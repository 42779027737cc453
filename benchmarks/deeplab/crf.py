"""DeepLab's maps before and after the fully connected CRF, as in the paper: mean IoU and trimap curves.

    python -m napari_papernets.benchmarks.deeplab.crf --folder build/deeplab --write docs/benchmarks.md

The folder holds what `train.py` wrote; with --rows what is done is kept in a file. The CRF's parameters
are searched as *Tune* does, but on whole images that the network did not learn from, by the IoU within 5
pixels of true borders; the tables are of images that neither has seen. Few images are left for both, so
that each set is also tuned on some of those that are judged, and judged on those that were for tuning.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_papernets.api import predict
from napari_papernets.core.crf_settings import CRFSettings
from napari_papernets.core.model import ModelRef
from napari_papernets.engine.answer import classes_of
from napari_papernets.engine.crf_problem import CRFProblem, open_problem
from napari_papernets.engine.crf_solvers import LatticeStore, solve
from napari_papernets.engine.device import keep_heap
from napari_papernets.engine.tune_crf import search
from napari_papernets.model_files import read_spec

from ..report import machine, markdown_table, publish
from .evaluate import BAND, WIDTHS, Scores, score
from .figure import draw
from .sets import SETS, Example

TUNED_ON = 4  # images of a set
PICTURE = "deeplab_trimap.png"


@dataclass(frozen=True, eq=False)
class Maps:
    """An image with DeepLab's restored probabilities; its last lattices are kept."""

    example: Example
    beliefs: NDArray[np.float32]  # (K, Y, X)
    problem: CRFProblem
    store: LatticeStore = field(default_factory=lambda: LatticeStore(limit=0))

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Before the CRF, 1…K."""
        return classes_of(self.beliefs)

    def refined(self, settings: CRFSettings) -> NDArray[np.uint8]:
        """After the CRF."""
        greys = replace(self.problem.greys, denoise=settings.denoise)
        (grey,) = greys.read([()], self.problem.region)
        *_, last = solve(
            self.beliefs, grey, (1.0, 1.0), settings, "torch", torch.device("cpu"), store=self.store
        )
        return classes_of(last.q)


def read_maps(model: str | Path | ModelRef, examples: Sequence[Example]) -> Iterator[Maps]:
    """DeepLab's answers."""
    for example in examples:
        found = predict(example.image, model, example.image.axes, probabilities=True).probabilities
        problem = open_problem(found, example.image, CRFSettings())
        yield Maps(example, problem.beliefs(problem.units[0]), problem)


def tune(maps: Sequence[Maps]) -> tuple[CRFSettings, float]:
    """The search of `tune_crf` for the best trimap IoU; w2 and σ_γ are 3 and 3."""
    trials = search(CRFSettings(), lambda tried: judged(maps, tried).trimap)
    best, score, _ = max(trials, key=lambda trial: trial[1])
    return best, score


def judged(maps: Sequence[Maps], settings: CRFSettings | None = None) -> Scores:
    """Scores before the CRF, or after one of these settings."""
    labels = [m.labels if settings is None else m.refined(settings) for m in maps]
    return score(labels, [m.example for m in maps])


@dataclass(frozen=True)
class Row:
    """One set: how many images, what was chosen, and scores before and after on unseen ones.

    `swapped` is whether tuned and judged images have changed places.
    """

    name: str
    steps: int
    swapped: bool
    tuned_on: int
    judged: int
    settings: CRFSettings
    tuned: tuple[float, float]  # trimap IoU where tuned, before and after
    before: Scores
    after: Scores


def run_set(name: str, model: Path) -> Iterator[Row]:
    """Tune on images that the network did not learn from, judge on others; then the other way round."""
    steps = read_spec(model).provenance["steps_done"]
    parts = [list(read_maps(model, SETS[name].examples(part))) for part in ("tune", "judge")]
    for swapped, (tuning, maps) in enumerate((parts, parts[::-1])):
        chosen = tuning[:: -(-len(tuning) // TUNED_ON)]
        bare = judged(chosen).trimap
        settings, best = tune(chosen)
        before, after = judged(maps), judged(maps, settings)
        row = Row(
            name, steps, bool(swapped), len(chosen), len(maps), settings, (bare, best), before, after
        )
        print(row, flush=True)
        yield row


def kept_rows(path: Path) -> dict[str, Row]:
    """Rows by set and steps that a file holds."""
    if not path.exists():
        return {}
    return {name: _row(facts) for name, facts in json.loads(path.read_text()).items()}


def keep_rows(rows: Mapping[str, Row], path: Path) -> None:
    """Write them."""
    facts = {n: {**asdict(r), "settings": r.settings.to_dict()} for n, r in rows.items()}
    path.write_text(json.dumps(facts, indent=1))


def _row(facts: dict[str, Any]) -> Row:
    def scores(part: dict[str, Any]) -> Scores:
        return Scores(part["miou"], {float(w): v for w, v in part["curve"].items()})

    settings = CRFSettings(**{k: v for k, v in facts["settings"].items() if v is not None})
    parts = dict(before=scores(facts["before"]), after=scores(facts["after"]), settings=settings)
    return Row(**{**facts, **parts, "tuned": tuple(facts["tuned"])})


def main_table(rows: Sequence[Row]) -> str:
    header = (
        "set", "steps", "images: tuned on, judged", "w₁", "σ_α", "σ_β", "denoise",
        "mean IoU", "after CRF", f"trimap {BAND:g} px", "after CRF", "gain", "where tuned",
    )  # fmt: skip
    return markdown_table(header, [cells(row) for row in rows])


def cells(r: Row) -> tuple[str, ...]:
    """A line of the main table."""
    s, tuned_gain = r.settings, r.tuned[1] - r.tuned[0]
    way = ", other way" if r.swapped else ""
    return (
        r.name, str(r.steps), f"{r.tuned_on}, {r.judged}{way}",
        f"{s.w1:g}", f"{s.sigma_alpha:g}", f"{s.sigma_beta:g}", f"{s.denoise:g}",
        f"{r.before.miou:.3f}", f"{r.after.miou:.3f}", f"{r.before.trimap:.3f}", f"{r.after.trimap:.3f}",
        f"{gain(r):+.1f}", f"{100 * tuned_gain:+.1f}",
    )  # fmt: skip


def curve_table(rows: Sequence[Row]) -> str:
    header = ("set", "", *(f"{w:g} px" for w in WIDTHS))
    return markdown_table(
        header,
        [
            (title(r), when, *(f"{scores.curve[w]:.3f}" for w in WIDTHS))
            for r in rows
            if not r.swapped
            for when, scores in (("before", r.before), ("after", r.after))
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, action="append", help="of models; several for several lengths of training"
    )
    parser.add_argument("--set", choices=SETS, action="append", help="default: all of them")
    parser.add_argument("--rows", type=Path, help="a JSON file where what is done is kept")
    parser.add_argument("--write", type=Path, help="put the tables into this Markdown page")
    given = parser.parse_args()
    keep_heap()
    done = kept_rows(given.rows) if given.rows else {}
    folders = given.folder or [Path("build/deeplab")]
    for name, folder in product(given.set or SETS, folders):
        model = folder / f"deeplab-{name}.safetensors"
        if f"{name}, {read_spec(model).provenance['steps_done']} steps" not in done:
            done |= {title(row): row for row in run_set(name, model)}
        if given.rows:
            keep_rows(done, given.rows)
    rows = sorted(done.values(), key=lambda row: (list(SETS).index(row.name), row.steps, row.swapped))
    picture = given.write.parent / "images" / PICTURE if given.write else None
    if picture:
        curves = [(title(r), {"before": r.before.curve, "after": r.after.curve}) for r in rows]
        draw([curve for curve, row in zip(curves, rows, strict=True) if not row.swapped], picture)
    publish(report(rows, picture), "deeplab-crf", given.write)


def title(row: Row) -> str:
    return f"{row.name}, {row.steps} steps{', other way' if row.swapped else ''}"


def gain(row: Row) -> float:
    """Points of trimap IoU."""
    return 100 * (row.after.trimap - row.before.trimap)


def means(rows: Sequence[Row]) -> str:
    """The gain of each set, both ways together."""
    ways: dict[str, list[float]] = {}
    for row in rows:
        ways.setdefault(title(replace(row, swapped=False)), []).append(gain(row))
    return "; ".join(f"{name} {sum(gains) / len(gains):+.1f}" for name, gains in ways.items())


def report(rows: Sequence[Row], picture: Path | None) -> str:
    """The section of the page."""
    figure = f"\n\n![IoU within bands around borders](images/{picture.name})" if picture else ""
    return (
        "## DeepLab and the fully connected CRF, on images that neither saw\n\n"
        "DeepLab-LargeFOV from VGG-16's convolutions, fine-tuned by `benchmarks/deeplab/train.py` for "
        "the steps that stand in the table, each set for itself; its maps are eight times coarser than "
        "the image. w₁, σ_α, σ_β and how much the image is smoothed before its colours are compared "
        "(denoise) were searched on images that it had not learnt from, by the IoU within 5 pixels of "
        "true borders (trimap); w₂ and σ_γ are 3, iterations 10. Gains are in points of that IoU.\n\n"
        f"{main_table(rows)}\n\n"
        "Few images are left for both, so that each set was also tuned on (at most four of) the images "
        "that are judged, and judged on those that were for tuning: the lines “other way”. Mean gain of "
        f"both ways: {means(rows)}.\n\n"
        "IoU within a band around true borders, by its width to each side, as in the paper's figure:"
        f"\n\n{curve_table(rows)}{figure}\n\n"
        f"{machine('napari-papernets')}. Made by `benchmarks/deeplab/crf.py`."
    )


if __name__ == "__main__":
    main()
