"""A bar in napari's activity dock (lower right of the window), with the time left and Cancel."""

from __future__ import annotations

from collections.abc import Callable

from ..core.events import Event, Started, TileDone


class _Nowhere:
    """napari's bars are tqdm bars, which also write to the terminal; ours do not."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        return None


class ActivityBar:
    """Follows the events of one run.

    Parameters
    ----------
    title : str
        What is running.
    cancel : callable
        Called by `poll` when Cancel was pressed in the activity dock.
    """

    def __init__(self, title: str, cancel: Callable[[], None]) -> None:
        from napari.utils.progress import cancelable_progress

        self._cancel, self._done = cancel, 0
        self._bar = cancelable_progress(desc=title, total=0, file=_Nowhere(), unit="tile")
        self._open = True

    def show_event(self, event: Event) -> None:
        """Move the bar. napari handles waiting events meanwhile, so call this last in a slot."""
        if not self._open:
            return
        if isinstance(event, Started):
            self._bar.total = event.total
            self._bar.reset(event.total)
        elif isinstance(event, TileDone) and event.done > self._done:
            step, self._done = event.done - self._done, event.done
            self._bar.update(step)

    def poll(self) -> None:
        """See whether Cancel was pressed: napari only sets a flag."""
        if self._open and self._bar.is_canceled:
            self._cancel()

    def close(self) -> None:
        """Take the bar away; a second call does nothing."""
        if self._open:
            self._open = False
            self._bar.close()
