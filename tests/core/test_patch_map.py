"""What is told of a dictionary of patches."""

from __future__ import annotations

import numpy as np

from napari_papernets.core.patches import PatchMap


def row_of_patches(count: int) -> PatchMap:
    """Patches of 8 pixels side by side in one plane, whose keys turn away from the first one's."""
    angles = np.linspace(0, 1, count)
    keys = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    places = np.array([(0, 0, 4, 4 + 4 * n) for n in range(count)])
    blank = np.zeros((count, 4, 4, 3), np.uint8)
    return PatchMap(keys, keys, places, blank, blank, keys, (0.9, 0.1), 8, {})


def test_a_patch_is_never_its_own_neighbour() -> None:
    patches = row_of_patches(4)
    assert patches.nearest(0, 2).tolist() == [1, 2]
    assert patches.nearest(1, 9).tolist() in ([0, 2, 3], [2, 0, 3])


def test_the_hardest_negatives_do_not_overlap_the_query() -> None:
    patches = row_of_patches(5)
    assert patches.hardest(0, 9).tolist() == [2, 3, 4]


def test_a_place_belongs_to_the_nearest_patch_of_its_plane() -> None:
    patches = row_of_patches(3)
    assert patches.at(0, 0, 4.0, 9.5) == 1
    assert patches.at(0, 1, 4.0, 9.5) is None
