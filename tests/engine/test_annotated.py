"""What may be an annotation of an image."""

from __future__ import annotations

import numpy as np
import pytest

from napari_papernets.core.errors import InputError
from napari_papernets.core.image import ImageBlock
from napari_papernets.engine.annotated import check_annotation
from napari_papernets.files import read_labels

IMAGE = ImageBlock(np.zeros((4, 5), np.uint8), "YX", name="cells")
WHOLE = np.arange(20.0).reshape(4, 5)


def test_whole_numbers_of_a_floating_type_are_an_annotation_as_in_a_file(tmp_path):
    found = check_annotation(IMAGE, WHOLE)
    assert found.dtype.kind == "i"
    np.testing.assert_array_equal(found, WHOLE)
    np.save(tmp_path / "a.npy", WHOLE)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.npy"), found)


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf])
def test_other_floating_numbers_are_none(bad):
    with pytest.raises(InputError, match="annotation of cells: got numbers that are not whole"):
        check_annotation(IMAGE, WHOLE + bad)
