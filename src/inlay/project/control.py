"""A run in a thread of its own, stopped from outside: how notebooks and async programs run Inlay.

Where this thread runs an event loop, the engine cannot run in it: it gets a thread and a loop of its own, and this
thread waits. What stays true: Ctrl-C, or the cancelling of the task that waits, stops the run cleanly (calls in flight
are finished and saved), and nobody goes on before it has ended; twice stops it at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from inlay.errors import Interrupted, RunStopped

BEAT_S = 0.25

T = TypeVar("T")


class Control:
    """Stops a run from any thread: the first `stop()` cleanly, the next one at once. Also before the run has begun."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[RunStopped], None] | None = None
        self._task: asyncio.Task[Any] | None = None

    @property
    def asked(self) -> bool:
        """Whether somebody wants the run to stop."""
        return self._asked > 0

    def stop(self) -> None:
        """Stop the run."""
        with self._lock:
            self._asked += 1
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._carry_out)

    def bind(self, stop: Callable[[RunStopped], None]) -> None:
        """The run begins, in the task that calls this; `stop` ends it cleanly."""
        with self._lock:
            self._loop, self._stop, self._task = asyncio.get_running_loop(), stop, asyncio.current_task()
            if self._asked:
                self._loop.call_soon(self._carry_out)

    def release(self) -> None:
        """The run has ended: from here on there is nothing to stop."""
        with self._lock:
            self._loop = self._stop = self._task = None

    def _carry_out(self) -> None:
        if self._stop is not None:
            self._stop(Interrupted("interrupted", remedy="everything answered is saved; the same call goes on"))
        if self._asked > 1 and self._task is not None:
            self._task.cancel()


def loop_runs_here() -> bool:
    """Whether an event loop runs in this thread, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def in_thread(work: Callable[[Control], T], beat: Callable[[], None] = lambda: None) -> T:
    """Do the work in another thread and wait for it; `beat` is called here, a few times a second and at the end."""
    control = Control()
    done = _start(work, control)
    while not done.done():
        try:
            _wait(done)
            beat()
        except KeyboardInterrupt:
            control.stop()
        except BaseException:
            control.stop()
            raise
    beat()
    return done.result()


async def in_thread_async(work: Callable[[Control], T], beat: Callable[[], None] = lambda: None) -> T:
    """The same for a task: the loop goes on meanwhile. Cancelling the task stops the run, and waits until it has."""
    control = Control()
    done = _start(work, control)
    waiting = asyncio.wrap_future(done)
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.wait({waiting}, timeout=BEAT_S)
            beat()
        except asyncio.CancelledError as error:
            cancelled = error
            control.stop()
        except BaseException:
            control.stop()
            raise
    beat()
    if cancelled is not None:
        waiting.add_done_callback(lambda future: future.cancelled() or future.exception())
        raise cancelled
    return done.result()


def _start(work: Callable[[Control], T], control: Control) -> Future[T]:
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work(control))
        except BaseException as error:  # noqa: BLE001 (handed over whole to the thread that waits)
            done.set_exception(error)

    threading.Thread(target=run, name="inlay-run").start()
    return done


def _wait(done: Future[Any]) -> None:
    try:
        done.exception(timeout=BEAT_S)
    except TimeoutError:
        pass
