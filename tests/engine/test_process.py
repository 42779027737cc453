"""How the engine process is started."""

from __future__ import annotations

import subprocess

import pytest

from napari_papernets.engine.process import start_python


@pytest.fixture
def started(monkeypatch):
    """What the child is started with, instead of starting it."""
    kept = {}

    def start(command, env, **_):
        kept.update(env=env, command=command)

    monkeypatch.setattr(subprocess, "Popen", start)
    return kept


def test_threads_that_wait_do_not_spin(started, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    start_python(1, "toy_verbs", None)
    assert started["env"]["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")  # the user knows better
    start_python(1, "toy_verbs", 3)
    assert started["env"]["OMP_WAIT_POLICY"] == "ACTIVE"
    assert started["env"]["OMP_NUM_THREADS"] == "3"
    assert "--verbs=toy_verbs" in started["command"]
