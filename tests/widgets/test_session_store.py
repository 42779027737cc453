"""The session beside the window, to its end."""

from __future__ import annotations

import pytest

from napari_papernets.widgets.session_store import SessionStore

pytestmark = pytest.mark.gui


class OpenSession:
    closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("python_ends", [False, True])
def test_the_session_is_closed_once_also_when_python_has_ended_its_threads(qapp, python_ends) -> None:
    store = SessionStore()
    session = store._session = OpenSession()
    if python_ends:
        store._lane.shutdown()
    store.close()
    assert session.closed == 1
    assert store.session is None
    assert not store.work.exists()
