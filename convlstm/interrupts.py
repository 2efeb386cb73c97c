"""SIGINT and SIGTERM as exceptions that come at once, or after the step that must not be torn."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

from convlstm.errors import Terminated

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1


class SignalGuard:
    """While active, SIGINT raises KeyboardInterrupt and SIGTERM raises Terminated: at once, or when `hold()` ends.

    In the main thread only, where Python handles signals; elsewhere it does nothing. The handlers that stood before
    come back at the end, and a signal that was ignored before is ignored on.

        with SignalGuard() as guard:
            for batch in batches:  # here a signal raises at once
                with guard.hold():
                    step(batch)  # here it waits for the end of the step
    """

    def __init__(self) -> None:
        self.pending: int | None = None
        """Number of the signal that waits to be raised; further ones do nothing."""
        self._num_holds = 0
        self._previous: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            try:
                for number in _SIGNALS:
                    previous = signal.getsignal(number)
                    if previous != signal.SIG_IGN:  # so shells start background jobs, which Ctrl-C is not meant for
                        self._previous[number] = previous
                        signal.signal(number, self._receive)
            except BaseException:
                self._restore()
                raise
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if error is None:
            self.raise_pending()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Let signals wait until the block, and every one around it, has ended; raises what waited.

        An exception of the block's own goes first: the signal then stays in `pending`, to be raised at the end of the
        next block, of the guard, or by `raise_pending`.
        """
        self._num_holds += 1
        try:
            yield
        finally:
            self._num_holds -= 1
        if not self._num_holds:
            self.raise_pending()

    def raise_pending(self) -> None:
        """Raise the signal that waits, if one does, as KeyboardInterrupt or Terminated; it waits no longer."""
        number, self.pending = self.pending, None
        if number is not None:
            raise _exception(number)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.pending is not None:
            return
        if not self._num_holds:
            raise _exception(number)
        self.pending = number

    def _restore(self) -> None:
        self._num_holds += 1  # a signal between the two must not leave a handler behind
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: set from outside of Python
        self._num_holds -= 1


@contextmanager
def signals_waiting() -> Iterator[None]:
    """Around the start of worker processes: signals wait for the end, and workers never hear them.

    A worker that is interrupted while it still loads its modules would print where. And what a handler raises while
    Python runs the hooks around a fork is printed and forgotten: the signal would be lost.
    """
    with SignalGuard() as guard, guard.hold(), _signals_masked():  # other threads hear what this one masks
        yield


@contextmanager
def _signals_masked() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_signals_to_parent() -> None:
    """For the start of a worker process: the process that started it ends it in order, and never leaves it behind."""
    for number in _SIGNALS:  # both often reach the whole process group
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":  # of a killed parent no worker is left, with its memory and its open files
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        parent = multiprocessing.parent_process()
        if parent is not None and os.getppid() != parent.pid:  # it was killed before this was asked for
            os._exit(1)


def _exception(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated()
