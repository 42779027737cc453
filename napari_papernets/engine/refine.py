"""The fully connected CRF on probabilities: labels that follow the edges of the image."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.crf_settings import Backend, CRFSettings
from ..core.errors import InputError
from ..core.events import Event, Notice, Refined, Started, TileDone, is_rise
from ..core.image import ImageBlock
from ..core.results import Refinement
from ..core.tiles import Region
from .answer import classes_of
from .crf_problem import CRFProblem, Unit, check_memory, open_problem
from .crf_solvers import crf_device, import_pydensecrf, kept_lattices, solve
from .crf_tiles import solve_tiled, tile_count
from .device import release_memory
from .failures import is_out_of_memory
from .provenance import refinement_provenance

Show = Literal["nothing", "labels", "belief"]


def refine(
    probabilities: Any,
    image: ImageBlock,
    settings: CRFSettings | None = None,
    *,
    backend: Backend = "torch",
    device: str = "auto",
    region: Region | None = None,
    planes: Sequence[tuple[int, ...]] | None = None,
    show: Show = "labels",
    keep: bool = False,
    source: str = "",
) -> Generator[Event, None, Refinement]:
    """Refine probabilities with the fully connected CRF, plane by plane.

    One class stays certain. On a constant image the appearance kernel sees no edges and is a second
    smoothness kernel, of width σ_α. Values of the image that are not finite count as the darkest.

    Parameters
    ----------
    probabilities : array, shape (K, *stack, Y, X)
        Summing to 1 over the classes; below 1e-5 they count as 1e-5. Of the image, or of the region.
    image : ImageBlock
        Any axes; T and Z are iterated, or Z joined with `settings.volume`.
    settings : CRFSettings, optional
        The defaults otherwise.
    backend : {"torch", "pydensecrf"}
        "torch": our own, whatever runs it. "pydensecrf": the library of that name.
    device : {"auto", "cpu", "cuda", "mps"}
        "auto" is cuda, else cpu. mps is answered by the processor: it lacks float64.
    region : (y0, y1, x0, x1), optional
        Only these pixels, as if there were no others.
    planes : sequence of tuple of int, optional
        Only these planes (indices along the image's stack axes).
    show : {"nothing", "labels", "belief"}
        What `Refined` events carry.
    keep : bool
        Keep the lattices in memory for a next run with the same image and σ.
    source : str
        File of the probabilities, for the command that repeats this.

    Yields
    ------
    Event
        Started, Refined, Notice.

    Returns
    -------
    Refinement
        Of shape (*stack, Y, X), or (number of planes, Y, X) for chosen planes of a stack; Y and X are
        those of the region where one is given.

    Raises
    ------
    InputError
        For probabilities, image, settings or backend that do not fit.
    """
    started, settings = time.monotonic(), settings or CRFSettings()
    _check_choice("backend", backend, Backend)
    _check_choice("show", show, Show)
    if backend == "pydensecrf":
        import_pydensecrf()
    if settings.volume and settings.tile is not None:
        raise InputError("tile", settings.tile, "leave it out where planes are joined along Z")
    problem = open_problem(probabilities, image, settings, region, planes)
    if settings.tile is None:
        check_memory(problem)
    job = _Job(problem, settings, backend, crf_device(device), show, keep)
    each = settings.iterations if settings.tile is None else tile_count(problem.space, settings.tile)
    job.total = len(problem.units) * each
    unit_name = "iteration" if settings.tile is None else "tile"
    yield Started(job.total, unit_name, f"{len(problem.units)} planes" if problem.units[1:] else "")
    answers = []
    for unit in problem.units:
        answers.append((yield from job.run(unit)))
    found = _assemble(problem, answers, planes is not None)
    facts = dict(
        backend=backend, device=str(job.device), device_asked=device,
        region=list(region) if region else None,
        planes=[list(p) for p in planes] if planes else None,
        grey_scale=problem.greys.scale, grey_offset=problem.greys.offset, largest_dq=job.largest_dq,
        energies=job.energies, notices=[n.message for n in job.notices],
        seconds=round(time.monotonic() - started, 3),
    )  # fmt: skip
    account = refinement_provenance(probabilities, image, settings, source, facts)
    return Refinement(found, classes_of(found), tuple(map(tuple, job.energies)), account)


@dataclass(eq=False)
class _Job:
    """One call: what it was asked, and what it found on the way."""

    problem: CRFProblem
    settings: CRFSettings
    backend: Backend
    device: torch.device
    show: Show
    keep: bool
    total: int = 0
    done: int = 0
    largest_dq: float | None = None
    energies: list[list[float]] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def run(self, unit: Unit) -> Generator[Event, None, NDArray[np.float32]]:
        """Refine one unit; its beliefs (K, *space)."""
        beliefs, grey = self.problem.beliefs(unit), self.problem.grey(unit)
        if self.settings.w1 and grey.min() == grey.max():
            yield self._notice("the image is constant: there are no edges that labels could follow")
        attempt = self._run_whole if self.settings.tile is None else self._run_tiles
        done, told = self.done, len(self.energies)
        try:
            return (yield from attempt(unit, beliefs, grey))
        except (RuntimeError, MemoryError) as error:
            if self.device.type == "cpu" or not is_out_of_memory(error):
                raise
        small, self.device, self.done = self.device, torch.device("cpu"), done
        del self.energies[told:]
        release_memory()
        yield self._notice(f"{small} ran out of memory: refined on the processor")
        return (yield from attempt(unit, beliefs, grey))

    def _run_whole(
        self, unit: Unit, beliefs: NDArray[np.float32], grey: NDArray[Any]
    ) -> Generator[Event, None, NDArray[np.float32]]:
        store = kept_lattices() if self.keep else None
        energies: list[float] = []
        self.energies.append(energies)
        steps = solve(
            beliefs, grey, self.problem.spacing, self.settings, self.backend, self.device,
            every=self.show != "nothing", store=store,
        )  # fmt: skip
        q = beliefs
        for step in steps:
            self.done += step.iteration > 0
            rises = bool(energies) and is_rise(energies[-1], step.energy)
            energies.append(step.energy)
            q = step.q if step.q is not None else q
            yield self._event(unit, step.iteration, step.energy, rises, step.q)
        # without an iteration nothing changes, not even what the softmax of logarithms rounds
        return np.ascontiguousarray(q) if self.settings.iterations else beliefs.copy()

    def _run_tiles(
        self, unit: Unit, beliefs: NDArray[np.float32], grey: NDArray[Any]
    ) -> Generator[Event, None, NDArray[np.float32]]:
        tile = self.settings.tile
        assert tile is not None

        def one(part: NDArray[np.float32], look: NDArray[Any]) -> NDArray[np.float32]:
            *_, last = solve(part, look, self.problem.spacing, self.settings, self.backend, self.device)
            return last.q

        sigma = max(self.settings.sigma_alpha, self.settings.sigma_gamma)
        tiles = solve_tiled(one, beliefs, grey, tile, sigma, unit.plane)
        found, largest = yield from self._counted(tiles)
        self.energies.append([])
        self.largest_dq = max(self.largest_dq or 0.0, largest)
        yield self._notice(f"tiles: beliefs of neighbours differ by up to {largest:.2g} at their seams")
        return found

    def _counted(
        self, tiles: Generator[TileDone, None, tuple[NDArray[np.float32], float]]
    ) -> Generator[Event, None, tuple[NDArray[np.float32], float]]:
        """Pass tiles on, numbered over all planes."""
        while True:
            try:
                tile = next(tiles)
            except StopIteration as end:
                return end.value
            self.done += 1
            yield replace(tile, done=self.done, total=self.total)

    def _event(
        self, unit: Unit, iteration: int, energy: float, rises: bool, q: NDArray[np.float32] | None
    ) -> Refined:
        labels = None if q is None or self.show == "nothing" else classes_of(q)
        belief = q.copy() if q is not None and self.show == "belief" else None
        return Refined(unit.plane, iteration, self.done, self.total, energy, rises, labels, belief)

    def _notice(self, message: str) -> Notice:
        notice = Notice(message)
        self.notices.append(notice)
        return notice


def _assemble(
    problem: CRFProblem, answers: list[NDArray[np.float32]], chosen: bool
) -> NDArray[np.float32]:
    """Beliefs (K, *stack, Y, X) of the units, in the order of the image's axes."""
    image = problem.image
    if not image.stack_axes:
        return answers[0]
    joined = np.stack(answers, 1)  # (K, units, *space)
    if len(problem.spacing) == 3:
        if len(image.stack_axes) == 1:
            return joined[:, 0]
        return joined if image.stack_axes == "TZ" else joined.swapaxes(1, 2)
    if chosen:
        return joined
    return joined.reshape(problem.classes, *image.stack_shape, *problem.space)


def _check_choice(name: str, value: str, kind: Any) -> None:
    if value not in get_args(kind):
        raise InputError(name, repr(value), f"choose one of {', '.join(get_args(kind))}")
