"""Which call of the web interface goes to whom: the table of endpoints, what each gets, and how errors are said."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from sshexec.errors import (
    HostError,
    InputError,
    LimitError,
    NoSuchSessionError,
    NotAllowedError,
    SessionOverError,
    TerminalError,
    TokenError,
    TransferError,
)

log = logging.getLogger(__name__)

LARGEST_BODY = 1024 * 1024
"""Bytes of JSON that a call may bring; files are sent as they are (`sshexec.web.files`)."""

DEEPEST = 20
"""How deep lists and objects in a call's JSON may be nested."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was let in.

    Args:
        request: as it came.
        user: who calls; "" at the endpoints that anybody may call.
        arguments: what the rule's variable parts matched.
        address: from where, as far as it can be trusted.
    """

    request: Request
    user: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    address: str = ""

    def body(self) -> dict[str, Any]:
        """Return the JSON object that the call brought.

        Raises:
            Refusal: there is none, it is larger than `LARGEST_BODY`, or not called JSON, or did not come whole.
        """
        if self.request.mimetype != "application/json":
            # A form of another site could send any other kind without asking first.
            raise Refusal(415, "media_type", "expected a body of the type application/json")
        self.request.max_content_length = LARGEST_BODY
        try:
            data = json.loads(self.request.get_data(cache=False), parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise Refusal(400, "json", "the body is not valid JSON") from None
        except OSError:
            raise _cut_off() from None
        if not isinstance(data, dict) or _is_deep(data):
            raise Refusal(400, "json", "expected a JSON object that is not deeply nested")
        return data

    def read(self, size: int) -> bytes:
        """Return what comes next of the body.

        Args:
            size: bytes at most, from 1.

        Raises:
            Refusal: nothing does, although more is wanted.
        """
        try:
            data = self.request.stream.read(size)
        except OSError:
            data = b""
        if not data:
            raise _cut_off()
        return data

    def text(self, name: str, *, longest: int = 4096, optional: bool = False) -> str:
        """Return a parameter of the query; "" where it is left out and may be.

        Args:
            name: of the parameter.
            longest: characters that it may have.
            optional: whether it may be missing.

        Raises:
            Refusal: it is missing, given twice, too long, or has a NUL in it.
        """
        values = self.request.args.getlist(name)
        if not values and optional:
            return ""
        if len(values) != 1:
            raise Refusal(400, "input", f"{name}: expected once in the query")
        return checked(name, values[0], longest=longest)


def checked(name: str, value: object, *, longest: int = 4096) -> str:
    """Return a text of a call, if it is one.

    Args:
        name: what to call it.
        value: what came.
        longest: characters that it may have.

    Raises:
        Refusal: it is none, empty, too long, or has a NUL in it.
    """
    if not isinstance(value, str) or not value:
        raise Refusal(400, "input", f"{name}: expected a text")
    if len(value) > longest or "\0" in value:
        raise Refusal(400, "input", f"{name}: expected at most {longest} characters, none of them NUL")
    return value


class Refusal(Exception):
    """A call is not answered as it was meant.

    Args:
        status: of HTTP.
        code: a stable word.
        text: one line for people.
        headers: more of them.
        facts: what the page has to know beside that.
    """

    def __init__(
        self,
        status: int,
        code: str,
        text: str,
        headers: Mapping[str, str] | None = None,
        facts: Mapping[str, bool] | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.headers = dict(headers or {})
        self.facts = dict(facts or {})


Endpoint = Callable[[Call], Response]


class Api(Protocol):
    """A part of the interface."""

    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        """Return who answers what, by method and werkzeug's rule, such as ``("GET", "/api/hosts")``."""


class Routes:
    """The table of endpoints."""

    def __init__(self) -> None:
        self._map = Map(merge_slashes=False, redirect_defaults=False)
        self._anonymous: set[Endpoint] = set()
        self._known: set[tuple[str, str]] = set()

    def add(self, api: Api, *, anonymous: bool = False) -> None:
        """Take in the endpoints of a part.

        Args:
            api: the part.
            anonymous: whether anybody may call them; else only who is signed in.
        """
        for (method, rule), endpoint in api.endpoints().items():
            entry = Rule(rule, methods=[method], endpoint=endpoint, strict_slashes=True)
            # Werkzeug adds it to GET. Nobody takes the body of its answer, and what that holds would never be let go.
            (entry.methods or set()).discard("HEAD")
            self._map.add(entry)
            self._known.add((method, rule))
            if anonymous:
                self._anonymous.add(endpoint)

    @property
    def known(self) -> frozenset[tuple[str, str]]:
        """Every method with its rule."""
        return frozenset(self._known)

    def find(self, request: Request) -> tuple[Endpoint, dict[str, str], bool]:
        """Return who answers a request, the rule's variable parts, and whether anybody may call it.

        Raises:
            Refusal: nobody does.
        """
        try:
            endpoint, arguments = self._map.bind("localhost").match(request.path, request.method)
        except MethodNotAllowed as error:
            allowed = ", ".join(sorted(error.valid_methods or ()))
            raise Refusal(405, "method", f"expected one of {allowed}", {"Allow": allowed}) from None
        except HTTPException:
            raise Refusal(404, "not_found", "there is nothing at this address") from None
        return endpoint, dict(arguments), endpoint in self._anonymous


def answer(data: Any, status: int = 200) -> Response:
    """Return plain data as JSON.

    Args:
        data: what `json` takes.
        status: of HTTP.
    """
    return Response(json.dumps(data) + "\n", status, mimetype="application/json")


def nothing() -> Response:
    """Return the answer that has nothing more to say."""
    return Response(status=204)


def _cut_off() -> Refusal:
    return Refusal(400, "cut_off", "the body did not come whole")


def refused(refusal: Refusal) -> Response:
    """Return the answer that says why a call is refused."""
    response = answer({"error": {"code": refusal.code, "text": refusal.text, **refusal.facts}}, refusal.status)
    response.headers.update(refusal.headers)
    return response


_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (NoSuchSessionError, 404),
    (NotAllowedError, 403),
    (LimitError, 429),
    (SessionOverError, 410),
    (TokenError, 401),
    (TerminalError, 409),
)
_TRANSFERS = {"missing": 404, "permission": 403, "no_space": 507, "is_directory": 409}


def refusal_of(error: Exception) -> Refusal:
    """Return how to say an error of an endpoint.

    What nobody has thought of is logged under a number, which is all that the caller gets to see of it.

    Args:
        error: what it raised.
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, HTTPException):
        return Refusal(error.code or 400, "http", error.description or error.name)
    if isinstance(error, TerminalError):
        status = next(status for kind, status in _STATUSES if isinstance(error, kind))
        return Refusal(status, error.code, _line(str(error)))
    if isinstance(error, InputError):
        # Where a source of the inventory is wrong is not for whoever uses it from afar.
        return Refusal(400, "input", _line(error.message))
    if isinstance(error, TransferError):
        return Refusal(_TRANSFERS.get(error.reason, 502), f"transfer_{error.reason}", _line(error.message))
    if isinstance(error, HostError):
        return Refusal(502, error.cause, _line(error.message))
    number = secrets.token_hex(4)
    log.error("internal error %s: %s", number, type(error).__name__, exc_info=log.isEnabledFor(logging.DEBUG))
    return Refusal(500, "internal", f"internal error; the server's log has it as {number}")


def _line(text: str) -> str:
    return " ".join(text.split())[:1000]


def _no_constant(word: str) -> NoReturn:
    raise ValueError(word)


def _is_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
        ]
        if not level:
            return False
    return True
