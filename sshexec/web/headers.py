"""What every answer tells the browser to refuse."""

from __future__ import annotations

from collections.abc import Sequence

from werkzeug.datastructures import Headers

_BARE = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"
"""For whatever is no page of ours: if a browser showed it, nothing in it would come alive."""


def page_policy(origins: Sequence[str] = (), embedded_in: Sequence[str] = ()) -> str:
    """Return the Content-Security-Policy of the page.

    xterm.js sets styles of its own (``'unsafe-inline'``), and the player of recordings is WebAssembly.

    Args:
        origins: where the page is opened; some browsers do not take a WebSocket for one of ``'self'``.
        embedded_in: origins whose pages may show it in a frame.
    """
    sockets = "".join(f" ws{each.removeprefix('http')}" for each in origins)
    rules = {
        "default-src": "'none'",
        "script-src": "'self' 'wasm-unsafe-eval'",
        "style-src": "'self' 'unsafe-inline'",
        "connect-src": f"'self'{sockets}",
        "font-src": "'self' data:",
        "img-src": "'self' data:",
        "manifest-src": "'self'",
        "frame-ancestors": " ".join(embedded_in) or "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def armour(headers: Headers, mimetype: str | None, policy: str, *, secure: bool) -> None:
    """Add the headers that every answer has.

    Args:
        headers: of the answer; those that it has stay.
        mimetype: what it is.
        policy: the page's Content-Security-Policy; what is no HTML, style or script of ours gets a stricter one.
        secure: whether the page is under TLS.
    """
    ours = mimetype in ("text/html", "text/css", "text/javascript")
    headers.setdefault("Content-Security-Policy", policy if ours else _BARE)
    if not ours or "frame-ancestors 'none'" in policy:
        headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
    headers.setdefault("Cache-Control", "no-store")
    if secure:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
