"""Tokens of one window of an image, at any density, with its attention where that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.errors import InputError
from ..core.events import Notice
from ..core.image import Range
from ..networks import VisionTransformer
from ..networks.attention import mean_distance, rollout
from ..networks.encoder import Inside
from ..networks.positions import direction_count, position_directions, without
from .runner import twin

LEVELLED = 64  # patches of a window from which on its mean tells of shifts, not of what is seen

ReadPixels = Callable[[Range, Range], NDArray[np.float32]]
"""Gives normalised grey values (C, y, x) of a window of the plane, mirrored outside."""


@dataclass(eq=False)
class WindowTokens:
    """What was read of one window.

    Attributes
    ----------
    tokens : dict of int to ndarray, shape (gy, gx, D)
        By block, on the grid of the density.
    class_tokens : dict of int to ndarray, shape (D,)
        By block; the mean over the shifts.
    attention : dict of int to (queries, keys)
        By block, each of shape (heads, prefix + n, D / heads), of the unshifted window.
    rollout : ndarray, shape (n,), or None
        Of the patches of the unshifted window.
    distances : ndarray, shape (L, heads), or None
        In patches.
    """

    tokens: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    class_tokens: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    attention: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = field(default_factory=dict)
    rollout: NDArray[np.float32] | None = None
    distances: NDArray[np.float32] | None = None


class TokenReader:
    """Reads windows with one network on one device.

    Parameters
    ----------
    network : VisionTransformer
        What is read with lies on the device as long as this is entered (``with``); the network itself
        stays where it is.
    device : torch.device
        Where to run.
    bf16 : bool
        Compute in bfloat16 where autocast does.
    positions : bool
        Keep what tells of the place alone; otherwise it is left out (`networks.positions`).
    """

    def __init__(
        self, network: VisionTransformer, device: torch.device, bf16: bool, positions: bool = True
    ) -> None:
        # Other readers of the same network may come between two windows of this one.
        self._network = cast(VisionTransformer, twin(network))
        self.device, self._bf16, self._positions = device, bf16, positions
        self._directions: dict[int, Tensor] = {}  # by block

    def __enter__(self) -> TokenReader:
        self._network.to(self.device)
        return self

    def __exit__(self, *_: object) -> None:
        self._network.to("cpu")

    def step_down(self, error: Exception) -> Notice:
        """Go on with the CPU after `error`, with the same windows: smaller ones would give other tokens.

        Raises
        ------
        InputError
            If that is where the memory did not suffice.
        """
        if self.device.type == "cpu":
            mend = "give a smaller window (tile), or close other programs"
            raise InputError("memory", "no room for a window", mend) from error
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.device = torch.device("cpu")
        self._network.to(self.device)
        return Notice("Out of memory: going on with the CPU", {"out_of_memory": "cpu"})

    @torch.inference_mode()
    def read(
        self,
        pixels: ReadPixels,
        y: Range,
        x: Range,
        blocks: Collection[int],
        density: int = 1,
        attention: Collection[int] = (),
        summaries: bool = False,
    ) -> WindowTokens:
        """Read one window of whole patches.

        Parameters
        ----------
        pixels : callable
            Gives grey values.
        y, x : (start, stop)
            The window, in pixels of the plane.
        blocks : collection of int
            Whose tokens are wanted, from 1.
        density : int
            Tokens for each patch along each axis.
        attention : collection of int
            Blocks whose queries and keys are wanted.
        summaries : bool
            Whether rollout and distances are wanted.
        """
        patch = self._network.patch_size
        grid = (y[1] - y[0]) // patch, (x[1] - x[0]) // patch
        found = WindowTokens()
        every = range(1, self._network.depth + 1)
        looks = every if summaries else attention
        if density == 1 or looks:
            inside = self._pass(pixels(y, x), blocks if density == 1 else (), looks)
            self._take_attention(found, inside, attention, summaries)
            if density == 1:
                self._take_tokens(found, inside, grid, density, (0, 0))
        if density > 1:
            for i, dy in enumerate(shifts(patch, density)):
                for j, dx in enumerate(shifts(patch, density)):
                    window = pixels((y[0] + dy, y[1] + dy), (x[0] + dx, x[1] + dx))
                    inside = self._pass(window, blocks, ())
                    self._take_tokens(found, inside, grid, density, (i, j))
            if grid[0] * grid[1] >= LEVELLED:
                for tokens in found.tokens.values():
                    level_shifts(tokens, density)
        return found

    def _pass(
        self, window: NDArray[np.float32], tokens: Collection[int], attention: Collection[int]
    ) -> Inside:
        x = torch.from_numpy(np.ascontiguousarray(window))[None].to(self.device).clamp(0, 1)
        with (
            torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False),
        ):
            return self._network.read(self._network.normalise(x), tokens, attention)

    def _take_tokens(
        self,
        found: WindowTokens,
        inside: Inside,
        grid: tuple[int, int],
        density: int,
        place: tuple[int, int],
    ) -> None:
        for block, tokens in inside.tokens.items():
            z = self._network.norm(tokens[0].float())  # (prefix + N, D)
            patches = z[inside.prefix :]
            if not self._positions:
                patches = without(patches, self._positions_of(block))
            part = to_numpy(patches).reshape(*grid, -1)
            if block not in found.tokens:
                shape = grid[0] * density, grid[1] * density, part.shape[-1]
                found.tokens[block] = part if density == 1 else np.empty(shape, np.float32)
                found.class_tokens[block] = np.zeros(part.shape[-1], np.float32)
            if density > 1:
                found.tokens[block][place[0] :: density, place[1] :: density] = part
            found.class_tokens[block] += to_numpy(z[0]) / density**2

    def _positions_of(self, block: int) -> Tensor:
        if block not in self._directions:
            count = direction_count(self._network.dim)
            self._directions[block] = position_directions(self._network, block, count)
        return self._directions[block].to(self.device)

    def _take_attention(
        self, found: WindowTokens, inside: Inside, wanted: Collection[int], summaries: bool
    ) -> None:
        for block in wanted:
            q, k = inside.queries[block][0], inside.keys[block][0]
            found.attention[block] = to_numpy(q), to_numpy(k)
        if not summaries:
            return
        blocks = [(inside.queries[b][0], inside.keys[b][0]) for b in sorted(inside.keys)]
        found.rollout = to_numpy(rollout(reversed(blocks))[inside.prefix :])
        distances = [mean_distance(q, k, inside.grid, inside.prefix) for q, k in blocks]
        found.distances = to_numpy(torch.stack(distances))


def to_numpy(x: Tensor) -> NDArray[np.float32]:
    """Contiguous float32 on the CPU."""
    return x.float().cpu().contiguous().numpy()


def level_shifts(tokens: NDArray[np.float32], density: int) -> None:
    """Bring the means of all shifted readings of a window together, in place.

    The same places are read at every shift, so that their means should be alike; what they differ by
    would lie over every picture as a grid with the period of a patch.

    Parameters
    ----------
    tokens : ndarray of float32, shape (gy · density, gx · density, D)
    density : int
        Of every so many tokens along Y and X one comes from each shift.
    """
    height, width, dim = tokens.shape
    by_shift = tokens.reshape(height // density, density, width // density, density, dim)
    means = by_shift.mean((0, 2), keepdims=True)
    by_shift -= means - means.mean((1, 3), keepdims=True)


def shifts(patch: int, density: int) -> list[int]:
    """Pixels by which the windows of a finer grid are shifted: token n of every group of `density` has
    its middle, to half a pixel, in the middle of the n-th part of a patch.

    >>> shifts(16, 2), shifts(14, 4)
    ([-4, 4], [-5, -2, 2, 5])
    """
    return [round((n + 0.5) * patch / density - patch / 2) for n in range(density)]
