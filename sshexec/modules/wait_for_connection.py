"""The ``wait_for_connection`` module: until the host can be worked with."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from sshexec.connectors.base import Connector
from sshexec.connectors.deadline import Deadline
from sshexec.errors import ArgumentError, AuthenticationError, CancelledError, CommandTimeoutError, HostError
from sshexec.modules.arguments import Parameter, readable, split
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.ping import Ping

_LEAST_PAUSE = 0.1
"""Seconds between two attempts at least: a host that refuses does so in no time."""


class WaitForConnection(Module):
    """Log in and ask the host's shell for an answer, again until it gives one."""

    name = "wait_for_connection"
    parameters = (
        Parameter("connect_timeout", "int", default=5, help="seconds that one attempt to connect may take"),
        Parameter("delay", "int", default=0, help="seconds before the first attempt"),
        Parameter("sleep", "int", default=1, help="seconds between attempts"),
        Parameter("timeout", "int", default=600, help="seconds after which it has failed"),
    )
    opens = False
    ping: ClassVar[type[Module]] = Ping
    """Who asks for an answer."""

    @classmethod
    def from_args(cls, args: str | Mapping[str, Any] | None) -> Module:
        """Parse and check arguments; what is unknown is told in Ansible's words."""
        given = args if isinstance(args, Mapping) else split(cls.name, args or "")
        known = {parameter.name for parameter in cls.parameters}
        unknown = [readable(name) for name in given if name not in known]
        if unknown:
            raise ArgumentError(f"{cls.name}: Invalid options for {cls.name}: {','.join(sorted(unknown))}")
        return super().from_args(given)

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Try until it works or the time is over; check mode skips it."""
        if invocation.check:
            return {"changed": False, "skipped": True}
        delay, pause = self.arguments["delay"], max(_LEAST_PAUSE, self.arguments["sleep"])
        until = Deadline(invocation.begun + max(0, delay) + self.arguments["timeout"])
        if delay > _elapsed(invocation):
            invocation.sleep(delay - _elapsed(invocation))
        attempt = connector
        while True:
            error = self._attempt(attempt, invocation, until)
            if attempt is not connector:
                attempt.close()
                # What each attempt has to say is said once.
                connector.notices += [notice for notice in attempt.notices if notice not in connector.notices]
            if error is None:
                return {"changed": False, "elapsed": int(_elapsed(invocation))}
            if until.expired:
                msg = f"timed out waiting for ping module test: {error}"
                return {"failed": True, "changed": False, "elapsed": int(_elapsed(invocation)), "msg": msg}
            invocation.sleep(until.remaining(pause) or 0)
            attempt = invocation.fresh()

    def _attempt(self, connector: Connector[Any, Any], invocation: Invocation, until: Deadline) -> str | None:
        """Return why the host can't be worked with; None where it can."""
        seconds = max(1, self.arguments["connect_timeout"])
        connector.timeouts = dataclasses.replace(connector.timeouts, connect=seconds)
        # An attempt has its time, however little of the whole is left.
        deadline = invocation.deadline.sooner(max(seconds, until.remaining() or 0))
        try:
            connector.open(deadline)
            answer = self.ping({"data": "pong"}).run(connector, dataclasses.replace(invocation, deadline=deadline))
            if not answer.get("failed"):
                return None
            error = str(answer["msg"])
        except BaseException as raised:
            connector.close()
            if isinstance(raised, CancelledError) or not isinstance(raised, HostError):
                raise
            if isinstance(raised, AuthenticationError) and raised.counted:
                words = f"{raised.message}; not tried again: that might lock the account"
                raise AuthenticationError(words, host=raised.host, phase=raised.phase) from None
            error = raised.message
        connector.close()
        if invocation.deadline.expired:
            raise CommandTimeoutError(f"the host was not reached {invocation.deadline.within}: {error}")
        return error


def _elapsed(invocation: Invocation) -> float:
    return time.monotonic() - invocation.begun
