"""The report of a problem with the engine."""

from napari_papernets.engine.diagnostics import report


def test_every_version_has_a_line_of_its_own():
    lines = report(
        {"engine": "ready", "versions": {"torch": "2.0", "scipy": "1.9"}}, ["last words"]
    ).split("\n")
    assert {"engine: ready", "torch: 2.0", "scipy: 1.9"} <= set(lines)
    assert max(map(len, lines)) < 80  # no need to scroll sideways
    assert lines[-1] == "last words"
