"""Addresses of databases: what is one, and how it may be shown. Nothing here loads SQLAlchemy."""

from __future__ import annotations

import os
import re

from sshexec.secret import HIDDEN, is_secret_name

_ADDRESS = re.compile(r"(?:sqlite|postgres|postgresql|mysql|mariadb)(?:\+\w+)?://")
_LOGIN = re.compile(r"(://(?!/)[^:?]*):[^@]*@(?:[^?]*(?:\?[^=]*)?@)?")
"""A login; a password that holds an ``@``, a ``/`` or a ``?`` that should have been written as ``%40`` is one, too."""

_UNFINISHED = re.compile(r"^(\w+(?:\+\w+)?:?/{0,2}[^:/@]*):.*@")
"""A login where an address was meant, and ``://`` is not right."""


def is_address(text: str) -> bool:
    """Return whether a text is the URL of a database: ``sqlite:///x.db``, ``postgresql+psycopg://host/name``."""
    return bool(_ADDRESS.match(text))


def redacted(url: str) -> str:
    """Return an address for messages, logs and records: without its password, and secret settings of its query."""
    login = _LOGIN if "://" in url else _UNFINISHED
    start, question, query = login.sub(rf"\1:{HIDDEN}@", url).partition("?")
    settings = [_setting(setting) for setting in query.split("&")]
    return f"{start}{question}{'&'.join(settings)}"


def _setting(text: str) -> str:
    name, equals, _ = text.partition("=")
    plain = name
    if "%" in name or "+" in name:
        from urllib.parse import unquote_plus

        plain = unquote_plus(name)
    return f"{name}={HIDDEN}" if equals and is_secret_name(plain) else text


def state_directory() -> str:
    """Return the folder of this user's own records, which need not be there yet."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(state, "sshexec")
