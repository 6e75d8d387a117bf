"""Where this project answers otherwise than Ansible, on purpose: every case, key by key, with the reason.

What `compare` normalises is not listed here. Each entry counts against the agreement, which is to be 99 % at least.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Accepted:
    """A difference that stays.

    Args:
        case: ``module:name`` of the case.
        keys: keys of the result that differ; ``status`` and ``tree`` are keys too.
        reason: why ours is what its users would want.
        users: as whom it differs; None is everybody who runs the case.
    """

    case: str
    keys: tuple[str, ...]
    reason: str
    users: tuple[str, ...] | None = None


_SIGNAL = (
    "a signal is 128+n as a shell says it, not -n: what runs the command is the host's shell, and not every shell can "
    "tell a signal from a command that ends with that status itself (bash can't); rc must not depend on a host's shell"
)
_BYTES = (
    "bytes that are no UTF-8 are U+FFFD in a text: lone surrogates, as Ansible has them, can be neither printed nor "
    "stored by most who get them, and where a module printed them Ansible fails; the bytes are in "
    "HostResult.stdout_bytes"
)
_RAN = ("status", "changed", "cmd", "rc", "start", "end", "delta", "msg")
_STREAMS = ("stdout", "stdout_lines", "stderr", "stderr_lines")

ACCEPTED: tuple[Accepted, ...] = (
    Accepted(
        "copy:changed-of-another",
        ("mode", "tree"),
        "without the right to give the new file to the old one's owner, Ansible leaves it with the mode of the local "
        "source and x for its owner; ours has the old one's mode",
        ("user",),
    ),
    Accepted("copy:unknown", ("msg",), "decrypt is supported too; Ansible leaves it out of the list"),
    *(Accepted(case, ("rc",), _SIGNAL) for case in ("command:signal", "shell:signal", "shell:signal-term")),
    *(Accepted(case, ("stdout", "stdout_lines"), _BYTES) for case in ("raw:not-utf8", "script:not-utf8")),
    *(Accepted(case, _RAN + _STREAMS, _BYTES) for case in ("command:not-utf8", "shell:not-utf8")),
    Accepted(
        "fetch:unknown argument",
        ("status", "msg", "tree"),
        "Ansible's fetch takes no notice of an argument that it does not know, such as a misspelt `flat`; for us it is"
        " bad input, as with every other module",
    ),
)
