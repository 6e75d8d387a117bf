"""A run as pages see it: where each host stands, and what has changed since they last looked."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sshexec.events import Event, HostFinished, HostPhase, HostStarted, Output, RunFinished, TransferProgress
from sshexec.web.answers import Answers
from sshexec.web.live import Live

LOG = 2**20
"""Characters of changes that are kept for pages that come back; one that was away for longer gets the whole anew."""

_OVERHEAD = 100
_KEPT = 1000
"""Changes that are sent at once."""


class Board:
    """One run: a state and a numbered log of its changes, both bounded.

    The state is what `snapshot` returns; each change to it is a message of Server-Sent Events.

    Args:
        run: the run's identifier.
        about: what is shown of the run beside its course.
        hosts: inventory names, in their order.
        answers: folds the results.
        live: what hosts print while they work.
    """

    def __init__(
        self, run: str, about: Mapping[str, Any], hosts: Sequence[str], answers: Answers, live: Live | None = None
    ) -> None:
        self.run = run
        self.about = dict(about)
        self.hosts = tuple(hosts)
        self._answers = answers
        self._live = live or Live()
        self._changed = threading.Condition()
        self._rows: dict[str, list[Any]] = {host: ["pending", None, None] for host in hosts}
        self._log: deque[tuple[int, str]] = deque()
        self._weight = 0
        self._number = 0
        self._cancelling = False
        self._left = False
        self._end: dict[str, Any] | None = None

    @property
    def done(self) -> bool:
        """Whether every host has its result."""
        return self._end is not None

    @property
    def cancelling(self) -> bool:
        """Whether somebody has stopped it."""
        return self._cancelling

    def take(self, event: Event) -> None:
        """Take what happened, from the one thread that reads the run's events."""
        with self._changed:
            if isinstance(event, HostStarted):
                self._move(event.host, "waiting")
            elif isinstance(event, HostPhase):
                self._move(event.host, event.phase)
            elif isinstance(event, Output):
                self._print(event)
            elif isinstance(event, TransferProgress):
                self._put("progress", {"host": event.host, "done": event.done, "total": event.total})
            elif isinstance(event, HostFinished):
                self._finish_host(event)
            elif isinstance(event, RunFinished):
                self._finish(event.result.state, event.result.finished)

    def cancel(self, by: str) -> None:
        """Say that somebody has stopped the run."""
        with self._changed:
            if self._end is None and not self._cancelling:
                self._cancelling = True
                self._put("cancelling", {"by": by})

    def fail(self) -> None:
        """Say that nothing more will come, where the run's end was not seen."""
        with self._changed:
            if self._end is None:
                self._finish("died", time.time())

    def leave(self) -> None:
        """End what pages follow, since nobody will be there to send it."""
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def summary(self) -> dict[str, Any]:
        """Return what a list of runs shows."""
        with self._changed:
            return self._summary()

    def snapshot(self) -> dict[str, Any]:
        """Return everything."""
        with self._changed:
            return self._snapshot()

    def follow(self, since: int | None, *, beat: float = 15.0, seconds: float = 300.0) -> Iterator[str]:
        """Yield messages of Server-Sent Events until the run is over and told.

        The first one is the whole (``snapshot``), unless all that has changed since is still there. See
        https://html.spec.whatwg.org/multipage/server-sent-events.html.

        Args:
            since: number of the last message that was received; None for none.
            beat: seconds without a change after which a comment is sent, so that a reader that is gone is noticed.
            seconds: after which it ends all the same; the reader comes back and is asked anew who it is.
        """
        end = time.monotonic() + seconds
        place = since
        while True:
            with self._changed:
                while place == self._number and not self._over() and time.monotonic() < end:
                    if not self._changed.wait(min(beat, max(end - time.monotonic(), 0.0))):
                        break
                place, text = self._news(place)
                over = self._left or (self._over() and place == self._number)
            yield text or ": still here\n\n"
            if over or time.monotonic() >= end:
                return

    def _over(self) -> bool:
        return self._left or self._end is not None

    def _news(self, since: int | None) -> tuple[int, str]:
        """Return the number of the last message, and the messages since another one."""
        first = self._log[0][0] if self._log else self._number + 1
        if since is None or not first - 1 <= since <= self._number:
            return self._number, _message(self._number, "snapshot", self._snapshot())
        if since == self._number:
            return since, ""
        # Numbers have no gaps: the place of one is known.
        start = since + 1 - first
        texts = [text for _, text in islice(self._log, start, start + _KEPT)]
        return since + len(texts), "".join(texts)

    def _summary(self) -> dict[str, Any]:
        ended = self._end or {"state": "running", "finished": None}
        counts = Counter(
            row[0] if row[1] is not None or row[0] == "pending" else "running" for row in self._rows.values()
        )
        return {
            "id": self.run,
            **self.about,
            **ended,
            "count": len(self.hosts),
            "counts": dict(counts),
            "cancelling": self._cancelling,
            "live": True,
        }

    def _snapshot(self) -> dict[str, Any]:
        return {
            **self._summary(),
            "hosts": [[host, *row] for host, row in self._rows.items()],
            "answers": list(self._answers.all),
            "tails": self._live.tails(),
        }

    def _move(self, host: str, phase: str) -> None:
        row = self._rows.get(host)
        if row is not None and row[1] is None and row[0] != phase:
            row[0] = phase
            self._put("phase", {"host": host, "phase": phase})

    def _print(self, event: Output) -> None:
        row = self._rows.get(event.host)
        if row is None or row[1] is not None:
            return
        text = self._live.take(event.host, event.stream, event.text)
        if text:
            self._put("output", {"host": event.host, "stream": event.stream, "text": text})

    def _finish_host(self, event: HostFinished) -> None:
        result = event.result
        row = self._rows.get(result.host)
        if row is None:
            return
        number, fresh = self._answers.take(result)
        self._live.forget(result.host)
        seconds = result.seconds
        row[:] = [result.status, number, None if seconds is None else round(seconds, 3)]
        told = {"host": result.host, "status": row[0], "answer": number, "seconds": row[2]}
        self._put("result", {**told, **({"said": self._answers.all[number]} if fresh else {})})

    def _finish(self, state: str, finished: float) -> None:
        self._end = {"state": state, "finished": finished}
        self._put("end", self._summary())

    def _put(self, kind: str, data: Mapping[str, Any]) -> None:
        self._number += 1
        text = _message(self._number, kind, data)
        self._log.append((self._number, text))
        self._weight += len(text) + _OVERHEAD
        while self._weight > LOG and len(self._log) > 1:
            self._weight -= len(self._log.popleft()[1]) + _OVERHEAD
        self._changed.notify_all()


def _message(number: int, kind: str, data: Mapping[str, Any]) -> str:
    """Return one message; JSON in ASCII has no line ends, and no surrogates."""
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(data, default=str)}\n\n"
