"""A home of its own for every test, an engine without a process, and a panel in a viewer."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
from fakes import FakeEngine, ref

from napari_papernets.widgets import model_picker, remembered


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """Nothing is remembered from, or for, the developer's own panels."""
    monkeypatch.setattr(remembered, "memory_file", lambda panel: tmp_path / "config" / f"{panel}.json")
    return tmp_path


@pytest.fixture(autouse=True)
def viewers_as_plugins_get_them(monkeypatch) -> None:
    """napari hands a plugin its viewer behind a proxy, which warns of private names (an error here) and
    gives another object each time it is asked for the same layer."""
    from napari.utils._proxies import PublicOnlyProxy

    for name, panel in {"unet_panel": "UNetPanel", "annotate_panel": "AnnotatePanel",
                        "crf_panel": "CRFPanel", "vit_panel": "ViTPanel",
                        "moco_panel": "MoCoPanel"}.items():  # fmt: skip
        made = getattr(importlib.import_module(f"napari_papernets.widgets.{name}"), panel)

        def begin(
            self: Any, viewer: Any, *given: Any, _begin: Any = made.__init__, **options: Any
        ) -> None:
            behind = viewer if isinstance(viewer, PublicOnlyProxy) else PublicOnlyProxy(viewer)
            _begin(self, behind, *given, **options)

        monkeypatch.setattr(made, "__init__", begin)


@pytest.fixture
def models(monkeypatch) -> list[Any]:
    """The models that a picker lists."""
    refs = [ref("instances"), ref("semantic", name="classy")]
    monkeypatch.setattr(model_picker, "list_models", lambda: tuple(refs))

    def find(name_or_path):
        from napari_papernets.core.errors import ModelError

        for one in refs:
            if str(name_or_path) in (one.name, str(one.path)):
                return one
        raise ModelError("model", repr(str(name_or_path)), "give a file")

    monkeypatch.setattr(model_picker, "find_model", find)
    return refs


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def make_panel(qtbot, models, engine) -> Callable[..., Any]:
    """Makes panels, docked where the viewer has a window."""

    def make(viewer, **options):
        from napari_papernets.widgets.unet_panel import UNetPanel

        panel = UNetPanel(viewer, **{"engine": engine, **options})
        if hasattr(viewer, "window"):
            viewer.window.add_dock_widget(panel, name="U-Net", area="right")
        else:
            qtbot.addWidget(panel)
        return panel

    return make
