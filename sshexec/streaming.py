"""A run's events for those who take them one by one, and for an event loop that waits for them."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sshexec.events import Event
from sshexec.run import Run

if TYPE_CHECKING:
    import asyncio


class Stream(Iterator[Event]):
    """The events of a run that ends with its reader; unlike a generator also where nothing was read yet.

    Args:
        run: started just now.
    """

    def __init__(self, run: Run) -> None:
        self._events = run.events()
        self._cancel = weakref.finalize(self, run.cancel)
        self._run = run

    def __next__(self) -> Event:
        return next(self._events)

    def close(self) -> None:
        """Cancel the run, if it still goes on."""
        self._run.drop_events()
        self._cancel()


def cancel_started(starting: asyncio.Future[Run]) -> None:
    """Cancel a run that was still starting when its coroutine was cancelled."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result().drop_events()
        starting.result().cancel()


def wake(run: Run) -> asyncio.Event:
    """Return an asyncio event that is set, on its own loop, whenever the run has something new."""
    import asyncio

    loop = asyncio.get_running_loop()
    woken = asyncio.Event()

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(woken.set)

    run.listen(tell)
    return woken
