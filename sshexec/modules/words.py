"""How a text becomes one word of a POSIX shell script, so that only what shall be the host's is expanded there."""

from __future__ import annotations

import re

from sshexec.connectors.posix import quote

_TILDE = re.compile(r"~(?:[A-Za-z_][A-Za-z0-9_.-]*)?(?:/|\Z)")
"""A user's home, with the slash behind it: a quoted slash would end the shell's own view of it elsewhere."""
_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_GLOB = re.compile(r"([*?]|\[!?[A-Za-z0-9_.,-]+\])")
_SHELL_OWN = re.compile(
    r"_|BASH\w*|COLUMNS|DIRSTACK|EUID|FUNCNAME|GROUPS|HOSTNAME|HOSTTYPE|IFS|LINENO|LINES|MACHTYPE|MAILCHECK|OPTARG"
    r"|OPTERR|OPTIND|OSTYPE|PIPESTATUS|PPID|PS[124]|RANDOM|SECONDS|SHELLOPTS|SHLVL|UID"
)
"""Variables that a shell sets for itself without exporting them: a program does not see them."""


def expanding(text: str, *, glob: bool = False) -> str:
    """Return a word in which the host expands a leading ``~`` or ``~user``, ``$NAME`` and ``${NAME}``.

    As in Python's `os.path.expanduser` and `os.path.expandvars`, what is not set stays as it is written, and nothing
    else is special.

    Args:
        text: the text.
        glob: leave ``*``, ``?`` and simple ``[...]`` to the host too.
    """
    literal = _globbing if glob else quote
    parts: list[str] = []
    at = 0
    tilde = _TILDE.match(text)
    if tilde:
        parts.append(tilde[0])
        at = tilde.end()
    for found in _VARIABLE.finditer(text, at):
        name = found[1] or found[2]
        if not _IDENTIFIER.match(name) or _SHELL_OWN.fullmatch(name):
            continue
        if found.start() > at:
            parts.append(literal(text[at : found.start()]))
        shown = f"{{{name}\\}}" if found[2] else name
        parts.append(f'"${{{name}-\\${shown}}}"')
        at = found.end()
    if at < len(text) or not parts:
        parts.append(literal(text[at:]))
    return "".join(parts)


def _globbing(text: str) -> str:
    pieces = _GLOB.split(text)
    return "".join(piece if index % 2 else quote(piece) for index, piece in enumerate(pieces) if piece) or "''"
