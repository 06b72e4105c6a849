"""Threads for what may never come back: a model's code, and stores.

Nothing can end a thread in Python. What does not answer in time is left alone instead: another thread takes its place,
a bounded number of times. All are daemons, so that none of them keeps the process from ending, as the threads of
``ThreadPoolExecutor`` do.
"""

import asyncio
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from typing import Any, ParamSpec, TypeVar

from driver_ranking.errors import DriverRankingError

P = ParamSpec("P")
T = TypeVar("T")


class OverTimeError(DriverRankingError):
    """What was called has not come back in time."""


class AllStuckError(DriverRankingError):
    """As many calls as are put up with have not come back: no other is begun."""


class DaemonThread(Executor):
    """One thread that is started with the first call and takes one call after the other.

    It keeps no process alive, and ends when this object has gone and it has nothing to do.
    """

    def __init__(self, name: str) -> None:
        """Start nothing yet.

        Args:
            name: The thread's name.
        """
        self._name = name
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread: _Worker | None = None
        weakref.finalize(self, self._calls.put, None)

    @property
    def is_busy(self) -> bool:
        """Return whether a call is on its way."""
        return self._thread is not None and self._thread.is_busy

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Call a function in the thread. Whatever it raises, ``SystemExit`` too, is its answer and nothing more."""
        future: Future[T] = Future()
        self._calls.put(_Call(future, lambda: fn(*args, **kwargs)))
        if self._thread is None:
            self._thread = _Worker(self._calls, self._name)
            self._thread.start()
        return future


class _Call:
    """A call and where its answer goes."""

    def __init__(self, future: "Future[Any]", function: Callable[[], Any]) -> None:
        self._future = future
        self._function = function

    def answer(self) -> None:
        if not self._future.set_running_or_notify_cancel():
            return
        try:
            answer = self._function()
        except BaseException as error:  # noqa: BLE001 - a user's code may raise anything, and none of it is for this thread
            self._future.set_exception(_harmless(error))
        else:
            self._future.set_result(answer)


class _Worker(threading.Thread):
    """The thread itself."""

    def __init__(self, calls: "queue.SimpleQueue[_Call | None]", name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._calls = calls
        self.is_busy = False

    def run(self) -> None:
        while (call := self._calls.get()) is not None:
            self.is_busy = True
            call.answer()
            del call  # or its answer would be kept until the next one
            self.is_busy = False


def _harmless(error: BaseException) -> Exception:
    """Return an error that ends nothing where it is raised again: no task, no event loop, no process."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration | CancelledError):
        return error
    stand_in = RuntimeError(f"it ended with {type(error).__name__}")
    stand_in.__cause__ = error
    return stand_in


class BoundedCalls:
    """Calls functions in a thread, one at a time, none longer than it may take. Used from one event loop."""

    def __init__(self, name: str, *, most_stuck: int) -> None:
        """Start nothing yet.

        Args:
            name: The thread's name.
            most_stuck: How many calls may be left alone that have not come back; with more than that, all are refused.
        """
        self._name = name
        self._most_stuck = most_stuck
        self._thread = DaemonThread(name)
        self._left: list[DaemonThread] = []

    @property
    def stuck(self) -> int:
        """Return how many calls were given up and have not come back."""
        self._left = [thread for thread in self._left if thread.is_busy]
        return len(self._left)

    @property
    def all_stuck(self) -> bool:
        """Return whether calls are refused."""
        return bool(self._left) and self.stuck >= self._most_stuck

    async def run(self, seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in the thread and return its answer.

        Args:
            seconds: How long it may take, with the calls that are before it.
            function: The function.
            *args: Its arguments.
            **kwargs: Likewise.

        Raises:
            OverTimeError: It has not come back in time; it goes on by itself, and its answer is lost.
            AllStuckError: Too many have not come back already.
        """
        if self.all_stuck:
            message = f"{self.stuck} calls have not come back."
            raise AllStuckError(message)
        thread = self._thread
        answer = asyncio.wrap_future(thread.submit(function, *args, **kwargs))
        done, _ = await asyncio.wait([answer], timeout=seconds)
        if done:
            return answer.result()
        answer.add_done_callback(_forget)
        answer.cancel()  # if it has not begun
        self._leave(thread)
        message = f"no answer within {seconds:g} s"
        raise OverTimeError(message)

    def _leave(self, thread: DaemonThread) -> None:
        """Let another thread take the place of one, unless one has already."""
        if thread is self._thread:
            self._left.append(thread)
            self._thread = DaemonThread(self._name)


def _forget(answer: "asyncio.Future[Any]") -> None:
    """Look at an answer that nobody waits for, or the event loop would complain."""
    if not answer.cancelled():
        answer.exception()


def hang() -> bool:
    """Return whether a thread of this process is still at a call."""
    return any(isinstance(thread, _Worker) and thread.is_busy for thread in threading.enumerate())
