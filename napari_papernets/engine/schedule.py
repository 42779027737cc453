"""Which jobs wait, which ones the engine has, and for which of these it may be computing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from .job import Task


class Schedule:
    """The door's books; its lock guards them.

    One job runs at a time and the others wait, but for patient ones (`PATIENT`): these begin at once,
    and let others run between two of their events.

    Attributes
    ----------
    waiting : deque of Task
        In the order in which they came.
    running : list of Task
        Handed to the engine, or about to be; at most one is not patient.
    """

    def __init__(self) -> None:
        self.waiting: deque[Task] = deque()
        self.running: list[Task] = []

    def __bool__(self) -> bool:
        return bool(self.waiting or self.running)

    def begin(self) -> Iterator[Task]:
        """Move those that may begin now from the ones that wait to the ones that run."""
        for task in list(self.waiting):
            if task.patient or all(other.patient for other in self.running):
                self.waiting.remove(task)
                self.running.append(task)
                yield task

    def find(self, number: int | None) -> Task | None:
        """The running job of that number."""
        return next((task for task in self.running if task.id == number), None)

    def remove(self, task: Task) -> bool:
        """A job ended; whether it had been running. Of those that were cancelled and had to wait for it,
        the time to end begins."""
        if task not in self.running:
            return False
        self.running.remove(task)
        for other in self.running:
            other.give_time()
        return True

    def take_back(self, tasks: Sequence[Task]) -> None:
        """These are to begin anew, before those that wait."""
        for task in reversed(tasks):
            self.running.remove(task)
            task.state, task.arrays = "waiting", []
            self.waiting.appendleft(task)

    def is_overdue(self, seconds: float) -> bool:
        """Whether a job was cancelled longer ago than that, times the number of jobs, whose steps it may
        have to wait for. While one runs that is not patient, no other can be."""
        its_turn = [task for task in self.running if not task.patient] or self.running
        return any(task.waits_longer_than(seconds * len(self.running)) for task in its_turn)
