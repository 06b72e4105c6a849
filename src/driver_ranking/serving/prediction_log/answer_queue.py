"""The queue between the event loop, which puts answers in and never waits, and the thread that writes them."""

import threading
from collections import deque
from typing import Final

from driver_ranking.serving.prediction_log.entries import Answer

_MANY: Final = 20_000  # rows: with so many, those that have waited shorter are written as well


class AnswerQueue:
    """Holds answers until they are taken. One thread puts in, one takes out."""

    def __init__(self, most_rows: int) -> None:
        """Hold nothing.

        Args:
            most_rows: How many rows may wait; a single answer may be larger.
        """
        self._most = most_rows
        self._answers: deque[Answer] = deque()
        self._put = self._taken = 0  # rows; each is changed by one thread alone
        self._arrived, self._urgent = threading.Event(), threading.Event()
        self._closed = False

    @property
    def rows(self) -> int:
        """Return how many rows wait."""
        return self._put - self._taken

    @property
    def closed(self) -> bool:
        """Return whether no more will come."""
        return self._closed

    def put(self, answer: Answer) -> int:
        """Take an answer, at once.

        Returns:
            How many rows had no room.
        """
        rows, waiting = answer.rows, self.rows
        if self._closed or (waiting and waiting + rows > self._most):
            return rows
        self._put += rows
        self._answers.append(answer)
        if not self._arrived.is_set():
            self._arrived.set()
        if waiting > _MANY:
            self._urgent.set()
        return 0

    def take(self, most: int) -> list[Answer]:
        """Return the answers that came first, up to so many of them."""
        taken = [self._answers.popleft() for _ in range(min(most, len(self._answers)))]
        self._taken += sum(one.rows for one in taken)
        return taken

    def wait(self, gathering: float, idle: float) -> None:
        """Wait until something has been gathered for a while, or much of it, or the end comes.

        Args:
            gathering: For how many seconds.
            idle: How many seconds to wait at most while there is nothing.
        """
        if self._arrived.wait(idle):
            self._urgent.wait(gathering)
            self._urgent.clear()
            if not self._closed:
                self._arrived.clear()

    def close(self) -> None:
        """Take nothing more, and let whoever waits go on."""
        self._closed = True
        self._urgent.set()
        self._arrived.set()
