"""The verbs by name, in this process."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from napari_papernets.core.errors import InputError
from napari_papernets.engine import verbs


@pytest.mark.parametrize("name", verbs.VERBS)
def test_every_verb_is_a_generator_function(name: str) -> None:
    assert inspect.isgeneratorfunction(verbs.find_verb(name))


def test_an_unknown_verb_is_refused() -> None:
    with pytest.raises(InputError, match="predict"):
        verbs.find_verb("os")


def test_a_verb_is_imported_when_it_is_asked_for() -> None:
    code = "import sys, napari_papernets.engine.verbs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_prepare_tells_plain_facts() -> None:
    facts = verbs.prepare()
    assert facts["device"].split(":")[0] in ("cpu", "cuda", "mps")
    assert facts["threads"] >= 1
    assert "torch" in facts["versions"]


def test_rest_leaves_the_engine_usable() -> None:
    verbs.rest()
    assert verbs.find_verb("predict")
