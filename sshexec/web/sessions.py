"""``/api/sessions``: tokens for new ones and for places in those that are there, and what is done to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from werkzeug.wrappers import Response

from sshexec.web.routes import Call, Endpoint, Refusal, answer, checked, nothing

if TYPE_CHECKING:
    from sshexec.terminal.events import Role
    from sshexec.terminal.sessions import TerminalManager

_ONE = "/api/sessions/<id>"


class Sessions:
    """The sessions that a user may know of.

    Args:
        manager: has them, and asks whether the user may.
    """

    def __init__(self, manager: TerminalManager) -> None:
        self._manager = manager

    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        """Return what is answered here."""
        return {
            ("GET", "/api/sessions"): self._list,
            ("POST", "/api/sessions"): self._open,
            ("DELETE", _ONE): self._terminate,
            ("POST", f"{_ONE}/token"): self._token,
            ("POST", f"{_ONE}/pause"): self._pause,
            ("POST", f"{_ONE}/signal"): self._signal,
            ("POST", f"{_ONE}/owner"): self._owner,
        }

    def _list(self, call: Call) -> Response:
        sessions = [info.to_dict() for info in self._manager.sessions(call.user)]
        return answer({"sessions": sessions})

    def _open(self, call: Call) -> Response:
        host = checked("host", call.body().get("host"), longest=256)
        return answer({"token": self._manager.issue(call.user, host, address=call.address or None)}, 201)

    def _token(self, call: Call) -> Response:
        role = call.body().get("role", "owner")
        if role not in ("owner", "watcher"):
            raise Refusal(400, "input", "role: expected owner or watcher")
        token = self._manager.issue_for(
            call.user, call.arguments["id"], cast("Role", role), address=call.address or None
        )
        return answer({"token": token}, 201)

    def _terminate(self, call: Call) -> Response:
        reason = call.text("reason", longest=200, optional=True)
        self._manager.terminate(call.user, call.arguments["id"], " ".join(reason.split()))
        return nothing()

    def _pause(self, call: Call) -> Response:
        paused = call.body().get("paused")
        if not isinstance(paused, bool):
            raise Refusal(400, "input", "paused: expected true or false")
        self._manager.pause(call.user, call.arguments["id"], paused)
        return nothing()

    def _signal(self, call: Call) -> Response:
        name = checked("name", call.body().get("name"), longest=20)
        self._manager.signal(call.user, call.arguments["id"], name)
        return nothing()

    def _owner(self, call: Call) -> Response:
        viewer = checked("viewer", call.body().get("viewer"), longest=100)
        self._manager.hand_over(call.user, call.arguments["id"], viewer)
        return nothing()
