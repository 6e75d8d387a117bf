"""Connections of psycopg that do not wait for ever; it has no such setting (its statement_timeout is the server's)."""

from __future__ import annotations

import functools
import time
from collections.abc import Generator
from typing import Any


@functools.cache
def patient_connection(seconds: float) -> type[Any]:
    """Return a class of connections that are closed when a statement was not answered for so many seconds."""
    import psycopg

    class Patient(psycopg.Connection[Any]):
        def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
            return super().wait(self._limited(gen), *args, **options)

        def _limited(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            deadline = time.monotonic() + seconds
            try:
                state = next(gen)
                while True:
                    ready = yield state
                    # psycopg asks with 0 every tenth of a second in which nothing came.
                    if not ready and time.monotonic() > deadline:
                        self.pgconn.finish()
                        raise psycopg.OperationalError(f"it did not answer for {seconds:g} s")
                    state = gen.send(ready)
            except StopIteration as done:
                return done.value

    return Patient
