"""Column types that mean the same on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from sqlalchemy import Double, String, Text
from sqlalchemy.dialects.mysql import LONGTEXT, VARCHAR

_COLLATION = "utf8mb4_nopad_bin"
"""MariaDB's that tells capital letters, accents and trailing blanks apart, as the others do."""

NAME_LENGTH = 255
"""Characters of the longest name of a host, group or credential."""

Name = String(NAME_LENGTH).with_variant(
    VARCHAR(NAME_LENGTH, charset="utf8mb4", collation=_COLLATION), "mysql", "mariadb"
)
"""A name that is looked up, byte by byte."""

Json = Text().with_variant(LONGTEXT(charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
"""A JSON text of ASCII characters only: it escapes NUL and lone surrogates, which PostgreSQL's own type refuses."""

Time: Double[float] = Double()
"""Seconds since the epoch."""
