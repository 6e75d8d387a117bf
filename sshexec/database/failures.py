"""What went wrong with a database, as one line of ours that holds no statement and no parameters."""

from __future__ import annotations

import re

from sqlalchemy import exc

from sshexec.errors import DatabaseError, DatabaseUnavailableError

_LATER = re.compile(
    r"is locked|is busy|disk I/O error|is full|No space left|unable to open|readonly database|read-only"
    r"|starting up|shutting down|connection|server closed|timeout|timed out|deadlock|too many|Can't connect"
    r"|Lost connection|gone away|could not serialize|not answer|canceling|terminating",
    re.IGNORECASE,
)
_NEVER = re.compile(
    r"no such (?:table|column)|authentication failed|no password supplied|pg_hba|Access denied|Unknown database"
    r"|does not exist|not a database|malformed|unknown column",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"\(?\d{4}, *['\"](.*?)['\"]\)?$")


def translated(error: BaseException, url: str, secret: str | None = None) -> DatabaseError:
    """Return what a library raised as an error of ours.

    Args:
        error: of SQLAlchemy, or of a driver.
        url: the database's, without secrets.
        secret: its password, which no message shall hold.
    """
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    reason = _reason(cause)
    if secret:
        reason = reason.replace(secret, "********")
    broken = isinstance(error, exc.DBAPIError) and error.connection_invalidated
    later = broken or isinstance(error, exc.TimeoutError) or bool(_LATER.search(reason))
    kind = DatabaseUnavailableError if later and not _NEVER.search(reason) else DatabaseError
    return kind(f"{url}: {reason}{_advice(reason)}")


def _reason(error: BaseException) -> str:
    if isinstance(error, exc.TimeoutError):
        return "all its connections were busy for 30 s"
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    lines = str(primary or error).strip().splitlines()
    text = lines[0].strip() if lines else type(error).__name__
    numbered = _NUMBERED.match(text)
    return numbered[1] if numbered else text


def _advice(reason: str) -> str:
    if "readonly database" in reason or "unable to open" in reason:
        return ": its file and the folder around it must be writable for this user"
    if "is not a database" in reason or "malformed" in reason:
        return ": name another file, or restore this one from a backup"
    return ""
