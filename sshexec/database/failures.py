"""What went wrong with a database, as one line of ours that holds no statement and no value of a row."""

from __future__ import annotations

import re

from sqlalchemy import exc

from sshexec.errors import DatabaseError, DatabaseUnavailableError, ValueRefusedError
from sshexec.secret import HIDDEN

_STATES = ("08", "40", "53", "55", "57", "58", "25006")
"""SQLSTATE of what may go better later: no connection, a deadlock, no room, a lock, a server that stops, a reader."""

_NUMBERS = {
    *(1020, 1021, 1037, 1038, 1040, 1041, 1053, 1114, 1129, 1135, 1158, 1159, 1160, 1161, 1180, 1203, 1205, 1206),
    *(1213, 1226, 1290, 1317, 1836, 1927, 1969, 2002, 2003, 2006, 2013, 2014, 2055, 3024, 4031),
}
"""Such numbers of MariaDB and MySQL."""

_WORDS = re.compile(
    r"is locked|is busy|disk I/O error|is full|unable to open|readonly database|starting up|shutting down"
    r"|connection|closed|timeout|timed out|too many clients|did not answer|no route|resolve|not known|unreachable",
    re.IGNORECASE,
)
_WRONG = re.compile(
    r"authentication failed|no password supplied|pg_hba|(?:database|role) .* does not exist", re.IGNORECASE
)
"""Of a login, which psycopg gives no SQLSTATE."""

_RIGHTS = re.compile(
    r"permission denied for schema|must be owner|(?:CREATE|ALTER|DROP|INDEX|REFERENCES) command denied"
)
"""Of somebody who may not make tables, or change them."""

_VALUE = re.compile(
    r"(?P<what>Duplicate entry|value:?|near) '.*'(?P<where> for (?:column|key) .*| at (?:row|line) \d+)?$"
    r'|: ".*$',
    re.DOTALL,
)
"""A value as MariaDB quotes it in messages, and PostgreSQL."""

_VALUES = (exc.DataError, exc.IntegrityError, exc.CompileError)
"""Of a row, and not of its table."""
_NO_DEFAULT = 1364
"""Likewise, in MariaDB: a value is missing."""


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
        reason = reason.replace(secret, HIDDEN)
    kind: type[DatabaseError] = DatabaseError
    if _may_pass(error, cause, reason):
        kind = DatabaseUnavailableError
    elif (
        _number(cause) == _NO_DEFAULT
        or isinstance(error, _VALUES)
        or (isinstance(error, exc.StatementError) and not isinstance(error, exc.DBAPIError))
    ):
        kind = ValueRefusedError
    return kind(f"{url}: {reason}{_advice(reason)}")


def _may_pass(error: BaseException, cause: BaseException, reason: str) -> bool:
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    state = getattr(cause, "sqlstate", None)
    if state:
        return str(state).startswith(_STATES)
    number = _number(cause)
    if number:
        return number in _NUMBERS
    if isinstance(error, exc.TimeoutError):
        return True
    if not isinstance(error, (exc.OperationalError, exc.InterfaceError)) and isinstance(error, exc.SQLAlchemyError):
        return False
    return bool(_WORDS.search(reason)) and not _WRONG.search(reason)


def _number(cause: BaseException) -> int | None:
    """Return PyMySQL's number of an error."""
    first = cause.args[0] if len(cause.args) > 1 else None
    return first if isinstance(first, int) else None


def _reason(cause: BaseException) -> str:
    if isinstance(cause, exc.TimeoutError):
        return "all its connections were busy for 30 s"
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    said = str(primary or (cause.args[1] if _number(cause) else cause)).strip()
    text = _VALUE.sub(lambda found: f"{found['what'] or ''}{found['where'] or ''}", said)
    line = text.partition("\n")[0].strip()
    # PyMySQL's words for a connection that was there before.
    return "the connection broke" if line in ("(0, '')", "") else line


def _advice(reason: str) -> str:
    if "readonly database" in reason or "unable to open" in reason:
        return ": its file and the folder around it must be writable for this user"
    if _RIGHTS.search(reason):
        return ": it is for its owner, or who else may, to make and change tables: `sshexec database upgrade`"
    if "no schema has been selected" in reason:
        return ": the one that its search_path names is not there, or not for this user"
    if "is not a database" in reason or "malformed" in reason:
        return ": name another file, or restore this one from a backup"
    return ""
