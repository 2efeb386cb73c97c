import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from convlstm.errors import Terminated
from convlstm.interrupts import SignalGuard, signals_waiting

pytestmark = [pytest.mark.pure, pytest.mark.skipif(os.name == "nt", reason="sends signals as POSIX does")]

both = pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Known ones before each test, even where the tests run in the background; the right ones after it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_terminated_is_caught_as_rarely_as_keyboard_interrupt() -> None:
    assert not issubclass(Terminated, Exception)


@both
def test_outside_of_a_hold_a_signal_raises_at_once(number: int, expected: type[BaseException]) -> None:
    done = []
    with pytest.raises(expected), SignalGuard() as guard:
        done.append("before")
        signal.raise_signal(number)
        done.append("after")
    assert done == ["before"]
    assert guard.pending is None


@both
def test_inside_a_hold_it_waits_for_the_end(number: int, expected: type[BaseException]) -> None:
    done: list[object] = []
    with pytest.raises(expected), SignalGuard() as guard:
        with guard.hold():
            signal.raise_signal(number)
            done.append(guard.pending)
        done.append("after")
    assert done == [number]
    assert guard.pending is None


@both
def test_a_signal_from_elsewhere_does_not_tear_a_step(number: int, expected: type[BaseException]) -> None:
    parts: list[int] = []
    sent = threading.Event()

    def send() -> None:
        while len(parts) % 100 != 50:
            time.sleep(0)
        os.kill(os.getpid(), number)
        sent.set()

    def step(guard: SignalGuard) -> None:
        with guard.hold():
            for part in range(100):
                parts.append(part)
                if part >= 49 and not sent.is_set():
                    sent.wait(10)

    sender = threading.Thread(target=send)
    with pytest.raises(expected), SignalGuard() as guard:
        sender.start()
        for _ in range(20):
            step(guard)
    sender.join()
    assert parts == [*range(100)]


@both
def test_only_the_outermost_hold_raises(number: int, expected: type[BaseException]) -> None:
    done = []
    with SignalGuard() as guard:
        with pytest.raises(expected), guard.hold():
            with guard.hold():
                with guard.hold():
                    signal.raise_signal(number)
                done.append("middle")
            done.append("outer")
        with guard.hold():
            done.append("next")
    assert done == ["middle", "outer", "next"]


def test_after_a_hold_signals_raise_at_once_again() -> None:
    with SignalGuard() as guard:
        with guard.hold():
            pass
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(Terminated), guard.hold():
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGTERM)


def test_the_first_of_several_signals_counts() -> None:
    with SignalGuard() as guard:
        with pytest.raises(Terminated), guard.hold():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT, signal.SIGTERM):
                signal.raise_signal(number)
                assert guard.pending == signal.SIGTERM
        with guard.hold():
            assert guard.pending is None


def fail_in_hold(guard: SignalGuard) -> None:
    with pytest.raises(ZeroDivisionError), guard.hold(), guard.hold():
        signal.raise_signal(signal.SIGTERM)
        raise ZeroDivisionError


def noted(guard: SignalGuard) -> int | None:
    """`pending`, read anew: mypy takes it that it stays what it was asserted to be."""
    return guard.pending


def test_an_error_in_the_hold_wins_and_the_signal_stays_noted() -> None:
    with SignalGuard() as guard:
        fail_in_hold(guard)
        assert noted(guard) == signal.SIGTERM
        signal.raise_signal(signal.SIGINT)  # one that waits is enough
        with pytest.raises(Terminated):
            guard.raise_pending()
        assert noted(guard) is None
        guard.raise_pending()


def test_what_stays_noted_is_raised_by_the_next_hold() -> None:
    with SignalGuard() as guard:
        fail_in_hold(guard)
        with pytest.raises(Terminated), guard.hold():
            pass


def test_what_stays_noted_is_raised_by_the_guard_at_the_latest() -> None:
    with pytest.raises(Terminated), SignalGuard() as guard:
        fail_in_hold(guard)
    assert guard.pending is None
    with pytest.raises(KeyError), SignalGuard() as guard:
        fail_in_hold(guard)
        raise KeyError
    assert guard.pending == signal.SIGTERM


def test_pending_can_be_raised_inside_a_hold() -> None:
    done = []
    with SignalGuard() as guard:
        with pytest.raises(KeyboardInterrupt), guard.hold():
            signal.raise_signal(signal.SIGINT)
            guard.raise_pending()
            done.append("after")
        guard.raise_pending()
    assert done == []


def mine(number: int, frame: FrameType | None) -> None:
    """Stands for another library's handler."""


@pytest.mark.parametrize("failure", [None, ValueError, KeyboardInterrupt])
def test_the_handlers_before_come_back(failure: type[BaseException] | None) -> None:
    signal.signal(signal.SIGTERM, mine)
    try:
        with SignalGuard():
            assert signal.getsignal(signal.SIGTERM) != mine
            assert signal.getsignal(signal.SIGINT) != signal.default_int_handler
            if failure is not None:
                raise failure
    except BaseException as error:
        assert type(error) is failure
    assert signal.getsignal(signal.SIGTERM) is mine
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_guards_nest() -> None:
    with SignalGuard() as outer:
        handler = signal.getsignal(signal.SIGTERM)
        with pytest.raises(Terminated), SignalGuard() as inner, inner.hold():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == handler
        with pytest.raises(Terminated), outer.hold():
            signal.raise_signal(signal.SIGTERM)


def test_a_guard_can_be_used_again() -> None:
    guard = SignalGuard()
    for _ in range(2):
        with pytest.raises(Terminated), guard, guard.hold():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_from_outside_of_python_becomes_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(signal, "getsignal", lambda number: None)
        with SignalGuard():
            pass
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with pytest.raises(Terminated), SignalGuard():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def sending(number: int, at_call: int) -> Callable[..., Any]:
    """`signal.signal`, after whose given call the signal comes."""
    calls, real = [], signal.signal

    def call(changed: int, handler: Any) -> Any:
        previous = real(changed, handler)
        calls.append(changed)
        if len(calls) == at_call:
            signal.raise_signal(number)
        return previous

    return call


@pytest.mark.parametrize("at_call", [1, 2])
def test_a_signal_while_the_guard_begins_leaves_no_handler(monkeypatch: pytest.MonkeyPatch, at_call: int) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(signal, "signal", sending(signal.SIGINT, at_call))
        with SignalGuard():
            raise AssertionError("it begins all the same")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_while_the_guard_ends_leaves_no_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), SignalGuard():
        patch.setattr(signal, "signal", sending(signal.SIGINT, 1))  # SIGTERM's handler is back, SIGINT's not yet
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_in_another_thread_it_does_nothing() -> None:
    seen: list[object] = []

    def work() -> None:
        with SignalGuard() as guard:
            seen.append(signal.getsignal(signal.SIGTERM))
            with guard.hold():
                seen.append(guard.pending)
            guard.raise_pending()
        with pytest.raises(ValueError, match="own"), guard, guard.hold():
            raise ValueError("own")
        seen.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL, None, "done"]


def test_a_process_ends_after_its_step() -> None:
    code = """if True:
        import os, signal
        from convlstm.errors import Terminated
        from convlstm.interrupts import SignalGuard
        try:
            with SignalGuard() as guard:
                with guard.hold():
                    os.kill(os.getpid(), signal.SIGTERM)
                    os.write(1, b"whole step")
                os.write(1, b", and one more")
        except Terminated:
            raise SystemExit(143)
    """
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (143, b"whole step", b"")


@both
def test_a_signal_that_comes_while_workers_start_is_not_lost(number: int, expected: type[BaseException]) -> None:
    waiting = [number]

    def send() -> None:
        if waiting:  # hooks stay registered: this one works once
            signal.raise_signal(waiting.pop())

    os.register_at_fork(after_in_parent=send)
    started = []
    with pytest.raises(expected), SignalGuard():
        with signals_waiting():
            child = os.fork()
            if not child:
                os._exit(0)
            started.append(child)
        started.append(0)  # not reached
    assert len(started) == 1 and os.waitpid(started[0], 0)[1] == 0


@both
def test_a_signal_that_another_thread_hears_while_workers_start_waits_too(
    number: int, expected: type[BaseException]
) -> None:
    def send() -> None:
        go.wait(10)
        os.kill(os.getpid(), number)  # the kernel gives it to a thread that does not mask it: this one
        sent.set()

    go, sent = threading.Event(), threading.Event()
    sender = threading.Thread(target=send)
    sender.start()
    done = []
    with pytest.raises(expected):
        with signals_waiting():
            go.set()
            sent.wait(10)
            done.append("all of it")
        done.append("more")
    sender.join()
    assert done == ["all of it"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of the death of their parent")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_worker_leaves_signals_to_its_parent_and_does_not_outlive_it(number: int) -> None:
    code = """if True:
        import os, subprocess, sys
        worker = "import time; from convlstm.interrupts import leave_signals_to_parent; leave_signals_to_parent(); "
        worker += "print('ready', flush=True); time.sleep(60)"
        child = subprocess.Popen([sys.executable, "-c", worker], stdout=subprocess.PIPE)
        child.stdout.readline()
        print(child.pid, flush=True)
        sys.stdin.read()
    """
    arguments = [sys.executable, "-c", code]
    parent = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    if number != signal.SIGKILL:
        os.kill(worker, number)
        time.sleep(0.2)
        assert state_of(worker) in "SRD"
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 10
    while state_of(worker) in "SRD" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert state_of(worker) not in "SRD"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of the death of their parent")
def test_a_worker_whose_parent_died_at_once_ends_too() -> None:
    code = """if True:
        import multiprocessing, os, time
        from convlstm.interrupts import leave_signals_to_parent

        def work(parent):
            while os.getppid() == parent:
                time.sleep(0.01)
            leave_signals_to_parent()
            os.write(1, b"works on for nobody")

        worker = multiprocessing.get_context("fork").Process(target=work, args=(os.getpid(),))
        worker.start()
        os.write(1, b"%d " % worker.pid)
        os._exit(0)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)  # until both have ended
    worker, said = done.stdout.split(b" ", 1)
    assert said == b"" and state_of(int(worker)) not in "SRD"


def state_of(process: int) -> str:
    """One letter, as `ps` tells it; Z where there is none any more."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] or "Z"
