"""``/api/openapi.json``: the description of the interface."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Response

from sshexec.web.routes import Call, Endpoint

FILE = Path(__file__).parent / "openapi.json"


def description() -> dict[str, Any]:
    """Return the interface's description, by OpenAPI 3.1."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


class Description:
    """Serves it to anybody: it is the same for all, and part of the package."""

    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        """Return what is answered here."""
        return {("GET", "/api/openapi.json"): self._get}

    def _get(self, call: Call) -> Response:
        return Response(FILE.read_bytes(), mimetype="application/json")
