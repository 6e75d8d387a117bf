"""What a viewer of a session is told beside the terminal's bytes; `Viewer.read` returns these among them, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sshexec.connectors.terminal import Size

Role = Literal["owner", "watcher"]
Level = Literal["info", "warning", "error"]
State = Literal["opening", "open", "ended"]


@dataclass(frozen=True, slots=True)
class Opened:
    """The program has its terminal."""


@dataclass(frozen=True, slots=True)
class Phased:
    """What the host is busy with while it is opened (`sshexec.connectors.base.Phase`)."""

    phase: str


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a question.

    Args:
        text: what is asked, one line of 4 KiB at most without control characters.
        echo: whether the answer may be shown while it is typed.
    """

    text: str
    echo: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """The login has a question for the owner; `TerminalSession.answer` takes what is answered.

    Args:
        id: the question's.
        kind: as `sshexec.connectors.prompts.Question` has it; of ``host_key``, the answer "yes" trusts.
        title: one line.
        fields: what is asked.
        attempt: 1 at first; more where that many answers less one were wrong.
    """

    id: str
    kind: str
    title: str
    fields: tuple[Field, ...]
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Answered:
    """A question does not stand any more: it was answered, elsewhere perhaps, or its time is over."""

    id: str


@dataclass(frozen=True, slots=True)
class Reset:
    """What follows is not what follows on what came before: clear the screen, and count bytes from here.

    Args:
        seq: number of the next byte, counted from the session's first one.
    """

    seq: int


@dataclass(frozen=True, slots=True)
class Resized:
    """The terminal has another size."""

    size: Size


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something worth saying: a host key that was learned, an end that comes near.

    Args:
        level: how much it matters.
        code: a stable word.
        text: one line.
    """

    level: Level
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Paused:
    """Nothing goes to the program or comes from it until it is resumed.

    Args:
        by: who did it; None: it goes on.
    """

    by: str | None


@dataclass(frozen=True, slots=True)
class Watching:
    """Who is there.

    Args:
        viewers: identifier, user and role of each.
        mine: the identifier of the viewer that is told.
        role: its role, which may have changed.
    """

    viewers: tuple[tuple[str, str, Role], ...]
    mine: str
    role: Role


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over; nothing follows.

    Args:
        reason: a stable word: ``exited``, ``terminated``, ``idle``, ``max_time``, ``detached``, ``failed`` (it could
            not be opened), ``lost`` (the connection broke), ``recording`` (it could not be recorded any more).
        text: one line for people, without secrets.
        cause: of ``failed``, the word of `sshexec.errors.HostError`.
        exit_status: of ``exited``; None where the program did not say.
        exit_signal: of ``exited``, without ``SIG``, or its number where it has no name; None where there was none.
    """

    reason: str
    text: str = ""
    cause: str | None = None
    exit_status: int | None = None
    exit_signal: str | None = None


@dataclass(frozen=True, slots=True)
class Detached:
    """This viewer is out: another took its place as the owner, it took nothing for too long, or it was sent away.

    Args:
        reason: ``stolen``, ``stalled``, ``kicked`` or ``closed``.
    """

    reason: str = field(default="closed")


ViewerEvent = Opened | Phased | Asked | Answered | Reset | Resized | Noticed | Paused | Watching | Ended | Detached
