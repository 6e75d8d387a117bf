"""The terminals' WebSocket as an ASGI application, for Starlette, FastAPI and Django's ASGI."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from sshexec.web.attendance import Attendance, Presence
from sshexec.web.connection import LARGEST_MESSAGE, SUBPROTOCOL, ConnectionClosed, sendable
from sshexec.web.conversation import converse
from sshexec.web.origin import Origins
from sshexec.web.pace import Pace

if TYPE_CHECKING:
    from sshexec.terminal.sessions import TerminalManager

__all__ = ["TerminalASGI"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Authenticate = Callable[[Scope], "str | Awaitable[str | None] | None"]

SEND_TIME = 30.0
"""Seconds that one message may take to be sent."""

ASK_TIME = 10.0
"""Seconds that ``authenticate`` may take to say whether somebody is still signed in."""


class TerminalASGI:
    """Speaks `sshexec.term.v1` on an event loop's server; each WebSocket has two threads of its own beside it.

    The server sends the pings, and buffers messages: it should be told to take small ones only (of uvicorn,
    ``ws_max_size=65536``).

    Args:
        manager: whose tokens and sessions they are.
        origins: of the pages that may use it.
        authenticate: returns who signed in, from the ASGI scope; None refuses. It may be a coroutine function; another
            one is called on a thread. It is asked again as `recheck` says. Without it, the token in the first message
            alone says who it is.
        address: returns where the client is; the socket's other end where it is left out.
    """

    def __init__(
        self,
        manager: TerminalManager,
        origins: Origins | Iterable[str] = (),
        *,
        authenticate: Authenticate | None = None,
        address: Callable[[Scope], str | None] | None = None,
    ) -> None:
        self._manager = manager
        self._origins = origins if isinstance(origins, Origins) else Origins(origins)
        self._authenticate = authenticate
        self._address = address or _client
        self._attendance = Attendance()

    async def recheck(self) -> None:
        """Close the WebSockets of those who are not signed in any more, as `TerminalSocket.recheck`."""
        await asyncio.to_thread(self._attendance.recheck)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket; returns when it is over."""
        if scope["type"] == "http":
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"upgrade", b"websocket")]
            await send({"type": "http.response.start", "status": 426, "headers": headers})
            await send({"type": "http.response.body", "body": b"this is for WebSockets\n"})
        if scope["type"] != "websocket":
            return
        await receive()  # websocket.connect
        welcome = self._welcome(scope)
        user = await self._user(scope) if welcome else None
        if not welcome or (user is None and self._authenticate is not None):
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: 403
            return
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        loop = asyncio.get_running_loop()
        connection = _Bridge(loop, receive, send)
        known = None if self._authenticate is None else functools.partial(self._known, scope, loop)
        presence = Presence(connection, user, known)
        over: concurrent.futures.Future[None] = concurrent.futures.Future()

        def serve() -> None:
            try:
                with self._attendance.attending(presence):
                    converse(connection, self._manager, presence=presence, address=self._address(scope))
            finally:
                if not over.cancelled():
                    over.set_result(None)

        threading.Thread(target=serve, name="sshexec-websocket", daemon=True).start()
        try:
            await asyncio.wrap_future(over)
        finally:
            connection.abandon()

    def _welcome(self, scope: Scope) -> bool:
        origins = _values(scope, b"origin")
        offered = [each.strip() for value in _values(scope, b"sec-websocket-protocol") for each in value.split(",")]
        cookies = self._authenticate is not None
        known = self._origins.allows(origins[0] if origins else None, cookies=cookies) and len(origins) < 2
        return known and SUBPROTOCOL in (*scope.get("subprotocols", ()), *offered)

    async def _user(self, scope: Scope) -> str | None:
        if self._authenticate is None:
            return None
        found = await asyncio.to_thread(self._authenticate, scope)
        user: object = await found if inspect.isawaitable(found) else found
        return user if isinstance(user, str) and user else None

    def _known(self, scope: Scope, loop: asyncio.AbstractEventLoop) -> str | None:
        """Ask again, on a thread that is not the loop's."""
        return asyncio.run_coroutine_threadsafe(self._user(scope), loop).result(ASK_TIME)


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope.get("headers", ()) if key.lower() == name]


def _client(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


class _Bridge:
    """A `Connection` of threads whose WebSocket is an event loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive, send: Send) -> None:
        self._loop = loop
        self._receive = receive
        self._send = send
        self._sending = threading.Lock()
        self._ending = threading.Lock()
        self._pace = Pace()
        self._waiting: concurrent.futures.Future[MutableMapping[str, Any]] | None = None
        self._closed: ConnectionClosed | None = None

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Return the next message, as `Connection.receive`."""
        with self._ending:
            self._fail_if_closed()
            waiting = self._waiting = self._waiting or self._submit(_awaited(self._receive()))
        # Only one that is asked for is taken from the server, which holds back the client meanwhile.
        concurrent.futures.wait([waiting], timeout)
        if not waiting.done():
            return None
        self._waiting = None
        if waiting.cancelled() or waiting.exception() is not None:
            raise self._end(ConnectionClosed(1006, "the connection broke"))
        event = waiting.result()
        if event["type"] != "websocket.receive":
            raise self._end(ConnectionClosed(event.get("code", 1005), event.get("reason") or ""))
        self._pace.step()
        message: str | bytes = event["bytes"] if event.get("bytes") is not None else event["text"]
        if len(message) > LARGEST_MESSAGE or (isinstance(message, str) and len(message.encode()) > LARGEST_MESSAGE):
            raise ConnectionClosed(1009, f"a message may have {LARGEST_MESSAGE} bytes")
        return message

    def send(self, message: str | bytes) -> None:
        """Send a message, as `Connection.send`."""
        kind = "bytes" if isinstance(message, bytes) else "text"
        self._tell({"type": "websocket.send", kind: message})

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End it, as `Connection.close`; the server waits for the answer."""
        with contextlib.suppress(ConnectionClosed):
            self._tell({"type": "websocket.close", "code": sendable(code), "reason": _short(reason)})
        self._end(ConnectionClosed(code, reason))
        self.abandon()

    def abandon(self) -> None:
        """Have whoever waits for it go on."""
        with self._ending:
            self._end(ConnectionClosed(1001, "the server ends it"))
            waiting = self._waiting
        if waiting is not None:
            waiting.cancel()

    def _tell(self, event: MutableMapping[str, Any]) -> None:
        with self._sending:
            self._fail_if_closed()
            sent = self._submit(_awaited(self._send(event)))
            done, _ = concurrent.futures.wait([sent], SEND_TIME)
            if not done:
                sent.cancel()
                raise self._end(ConnectionClosed(1006, "the other side takes nothing"))
            if sent.cancelled() or sent.exception() is not None:
                raise self._end(ConnectionClosed(1006, "the connection broke"))

    def _submit(self, work: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # the loop is closed
            work.close()
            raise self._end(ConnectionClosed(1001, "the server ends it")) from None

    def _end(self, closed: ConnectionClosed) -> ConnectionClosed:
        if self._closed is None:
            self._closed = closed
        return self._closed

    def _fail_if_closed(self) -> None:
        if self._closed is not None:
            raise ConnectionClosed(self._closed.code, self._closed.reason)


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


def _short(reason: str) -> str:
    """Cut a reason to what a closing frame holds."""
    return reason.encode()[:123].decode(errors="ignore")
