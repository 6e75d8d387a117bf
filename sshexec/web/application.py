"""The web terminal as one WSGI application: its page, its interface under ``/api/``, its WebSocket at ``/terminal``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request, Response

from sshexec.errors import ArgumentError
from sshexec.web.description import Description
from sshexec.web.endpoint import TerminalSocket
from sshexec.web.files import LARGEST_FILE, Files
from sshexec.web.headers import armour, page_policy
from sshexec.web.hosts import Hosts
from sshexec.web.origin import Origins
from sshexec.web.pages import Pages
from sshexec.web.proxies import Proxies
from sshexec.web.routes import Api, Call, Endpoint, Refusal, Routes, answer, refusal_of, refused
from sshexec.web.sessions import Sessions
from sshexec.web.signin import SignIn

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from sshexec.engine import Engine
    from sshexec.history.history import History
    from sshexec.terminal.sessions import TerminalManager
    from sshexec.web.runs import Runs

log = logging.getLogger(__name__)

Authenticate = Callable[[Mapping[str, Any]], "str | None"]
"""Gets a request's WSGI environment and returns who sent it; None for nobody."""

SOCKET = "/terminal"
"""Where the WebSocket is."""


class WebTerminal:
    """A WSGI application; below a prefix, too, where its server says so (``SCRIPT_NAME``).

    Args:
        manager: whose sessions they are.
        authenticate: says who sent a request, ``authenticate(environ)``: a name, or None for nobody. Whatever else it
            returns or raises is nobody. None is a `SignIn` of its own, ``sign_in``, whose tokens somebody must issue.
        origins: where the page is opened, such as ``https://ops.example.org``. Requests from pages of any other origin,
            and to any other host name, are refused; where none is said, no browser can open a terminal.
        engine: runs tasks for the runs view; None for none.
        history: where it records them.
        secure: whether the page is under TLS, so that cookies are for TLS only; None: where all origins are https.
        trusted_proxies: addresses or networks whose ``X-Forwarded-For`` is believed.
        embedded_in: origins whose pages may show this one in a frame.
        largest_file: bytes of an upload.
        parts: more of the interface.

    Raises:
        ArgumentError: an argument is wrong.
    """

    def __init__(
        self,
        manager: TerminalManager,
        *,
        authenticate: SignIn | Authenticate | None = None,
        origins: Iterable[str] = (),
        engine: Engine | None = None,
        history: History | None = None,
        secure: bool | None = None,
        trusted_proxies: Iterable[str] = (),
        embedded_in: Iterable[str] = (),
        largest_file: int = LARGEST_FILE,
        parts: Sequence[Api] = (),
    ) -> None:
        if authenticate is not None and not isinstance(authenticate, SignIn) and not callable(authenticate):
            raise ArgumentError(f"authenticate: expected a function, got {type(authenticate).__name__}")
        self.manager = manager
        self.origins = Origins(origins)
        said = sorted(str(each) for each in self.origins)
        self._hosts = frozenset(urlsplit(each).netloc for each in said)
        self._secure = bool(said) and all(each.startswith("https:") for each in said) if secure is None else secure
        self.sign_in: SignIn | None = None
        if authenticate is None or isinstance(authenticate, SignIn):
            self.sign_in = authenticate or SignIn()
            self.sign_in.secure = self._secure
            self.sign_in.tell = manager.tell
        self._authenticate: Authenticate = self.sign_in.authenticate if self.sign_in else authenticate  # type: ignore[assignment]
        self._proxies = Proxies(trusted_proxies)
        self._policy = page_policy(said, sorted(str(each) for each in Origins(embedded_in)))
        self._pages = Pages()
        self._socket = TerminalSocket(
            manager, self.origins, authenticate=self._authenticate, address=lambda environ: environ["sshexec.address"]
        )
        if self.sign_in is not None:
            self.sign_in.left = self._socket.recheck
        self._description = Description()
        self._runs: Runs | None = None
        self.routes = Routes()
        self._fill(engine, history, largest_file, parts)

    def _fill(self, engine: Engine | None, history: History | None, largest_file: int, parts: Sequence[Api]) -> None:
        if self.sign_in is not None:
            self.routes.add(self.sign_in, anonymous=True)
        self.routes.add(self._description, anonymous=True)
        own: list[Api] = [self, Hosts(self.manager), Sessions(self.manager), Files(self.manager, largest_file)]
        for part in (*own, *parts):
            self.routes.add(part)
        if self.manager.recordings is not None:
            from sshexec.web.recordings import RecordingsApi

            self.routes.add(RecordingsApi(self.manager))
        if engine is not None:
            from sshexec.web.runs import Runs

            self._runs = Runs(engine, self.manager.allowed, history, tell=self.manager.tell)
            self.routes.add(self._runs)

    def recheck(self) -> None:
        """Close the WebSockets of those who are not signed in any more, and end what is not permitted any more.

        It is for a platform's sign-out, or a permission that it has withdrawn, to count at once; without it they do
        after ``recheck`` seconds of the manager's policy.
        """
        self._socket.recheck()
        self.manager.recheck()

    def close(self) -> None:
        """Cancel the runs that were started here; the sessions are their manager's."""
        if self._runs is not None:
            self._runs.close()

    def __repr__(self) -> str:
        return f"<WebTerminal {', '.join(sorted(self._hosts)) or 'for no browser'}>"

    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        """Return the endpoints of its own."""
        return {("GET", "/api/me"): self._me}

    def _me(self, call: Call) -> Response:
        return answer(
            {
                "user": call.user,
                "sign_out": self.sign_in is not None,
                "recordings": self.manager.recordings is not None,
                "runs": self._runs is not None,
                "read_only": self.manager.policy.read_only,
            }
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, as WSGI has it (PEP 3333)."""
        request = Request(environ)
        environ["sshexec.address"] = address = self._proxies.client(environ)
        try:
            self._check_host(request)
            if request.path == SOCKET:
                return self._socket(environ, self._armoured(start_response))
            response = self._respond(request, address)
        except Exception as error:  # noqa: BLE001 - `refusal_of` logs what nobody has thought of
            response = refused(refusal_of(error))
        armour(response.headers, response.mimetype, self._policy, secure=self._secure)
        return response(environ, start_response)

    def _armoured(self, start_response: StartResponse) -> StartResponse:
        """Return what gives the refusal of a WebSocket the headers of every other answer."""

        def start(status: str, given: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            headers = Headers(given)
            if not status.startswith("101 "):
                armour(headers, "text/plain", self._policy, secure=self._secure)
            return start_response(status, headers.to_wsgi_list(), *error)

        return start

    def _check_host(self, request: Request) -> None:
        """Refuse a name that is not ours: a page of another site may have been told that it is (DNS rebinding)."""
        if self._hosts and not self._is_ours(str(request.environ.get("HTTP_HOST", "")).lower()):
            raise Refusal(421, "host", "this server does not go by the name and port in Host; --origin adds one")

    def _is_ours(self, host: str) -> bool:
        return any(f"{scheme}://{host}" in self.origins for scheme in ("https", "http"))

    def _respond(self, request: Request, address: str) -> Response:
        if not request.path.startswith("/api/"):
            return self._pages.respond(request)
        endpoint, arguments, anonymous = self.routes.find(request)
        self._check_origin(request)
        user = "" if anonymous else self._user(request)
        request.environ["sshexec.user"] = user
        return endpoint(Call(request, user, arguments, address))

    def _check_origin(self, request: Request) -> None:
        """Refuse what a page of another site would change here in its visitor's name."""
        if request.method in ("GET", "HEAD"):
            return
        if not self.origins.allows(request.headers.get("Origin"), cookies="Cookie" in request.headers):
            raise Refusal(403, "origin", "this call does not come from the page of this server")

    def _user(self, request: Request) -> str:
        user = self._known(request.environ)
        if user is None:
            raise Refusal(401, "signed_out", "sign in first", facts={"sign_in": self.sign_in is not None})
        return user

    def _known(self, environ: Mapping[str, Any]) -> str | None:
        try:
            user: object = self._authenticate(environ)
        except Exception:
            log.exception("authenticate failed, and nobody is let in by it")
            return None
        return user if isinstance(user, str) and user else None
