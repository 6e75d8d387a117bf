"""Where every step of a user's is asked for, refused and told: before a session is found, and while it goes on."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sshexec.errors import NoSuchSessionError, NotAllowedError, TerminalError
from sshexec.terminal.access import Access, missing, needed_for
from sshexec.terminal.auditing import Watch, about, shown
from sshexec.terminal.observer import SessionInfo
from sshexec.terminal.permission import Action
from sshexec.terminal.register import Register

if TYPE_CHECKING:
    from sshexec.terminal.recordings import Recorded, Recordings
    from sshexec.terminal.session import TerminalSession

_WITHDRAWN = "it is not permitted any more"


class Gate:
    """Lets users to the sessions that they may know of and no further, and tells the audit whom it refuses.

    Args:
        access: says who may do what.
        watch: is told of refusals.
        register: has the sessions.
    """

    def __init__(self, access: Access, watch: Watch, register: Register) -> None:
        self._access = access
        self._watch = watch
        self._register = register

    def check(self, user: str, action: Action, host: str, *, session: str | None = None) -> None:
        """Check that a user may do something on a host.

        Args:
            user: who.
            action: what.
            host: inventory name, or what was asked for as one.
            session: the session's identifier, for the audit.

        Raises:
            NotAllowedError: the user may not.
        """
        if not self._access.allowed(user, action, host):
            # Before anybody looks whether there is such a host: who may not open it learns nothing.
            self._watch.tell("terminal_refused", user=user, action=action, host=shown(host), session=session)
            raise NotAllowedError(f"you may not do this on {shown(host)} ({action})")

    def known(self, user: str) -> list[SessionInfo]:
        """Return the sessions that a user may know of, the oldest first."""
        infos = [session.info() for session in self._register.all()]
        others = {info.host: info for info in infos if info.owner != user}
        known = {host for host, info in others.items() if self._access.knows(user, info)}
        return [info for info in infos if info.owner == user or info.host in known]

    def session(self, user: str, session_id: str) -> TerminalSession:
        """Return a session that a user may know of.

        Raises:
            NoSuchSessionError: there is none, or the user may not know of it.
        """
        session = self._register.get(session_id)
        if session is None or not self._access.knows(user, session.info()):
            raise missing()
        return session

    def reach(self, user: str, session_id: str, action: Action) -> TerminalSession:
        """Return a session to which a user may do something: one's own, or somebody else's by permission.

        Raises:
            NoSuchSessionError: there is none, or the user may not know of it.
            NotAllowedError: the user may not do this to it.
        """
        try:
            session = self.session(user, session_id)
        except NoSuchSessionError:
            self._watch.tell("terminal_refused", user=user, action=action, session=shown(session_id))
            raise
        if not self._access.masters(user, session.info(), action):
            self._watch.tell("terminal_refused", user=user, action=action, **about(session))
            raise NotAllowedError(f"you may not do this to somebody else's session ({action})")
        return session

    def join(self, user: str, session_id: str, role: object) -> TerminalSession:
        """Return a session in which a user may have a place; to come back to one's own, one must still may open it.

        Args:
            user: who.
            session_id: the session's.
            role: the place: ``owner`` or ``watcher``.

        Raises:
            ArgumentError: there is no such role.
            NoSuchSessionError, NotAllowedError: as `reach`.
        """
        session = self.reach(user, session_id, needed_for(role))
        if session.owner == user:
            self.check(user, "open", session.host, session=session.id)
        return session

    def replay(self, recordings: Recordings | None, user: str, name: object, address: str | None) -> Recorded:
        """Return what is known of a recording that a user may see, and tell that it is looked at.

        Args:
            recordings: one of these; None where there are none.
            user: who.
            name: the recording's, as it came from the network.
            address: from where.

        Raises:
            NoSuchSessionError: there is none, or the user may not see it.
        """
        recorded = None
        if recordings is not None:
            with contextlib.suppress(NoSuchSessionError):
                recorded = recordings.get(name)
        if recorded is None or not self._access.allowed(user, "replay", recorded.host):
            host = None if recorded is None else recorded.host
            self._watch.tell("terminal_refused", user=user, action="replay", host=host, address=address)
            raise NoSuchSessionError("there is no such recording")
        about_it = {"session": recorded.session, "host": recorded.host, "owner": recorded.owner}
        self._watch.tell("terminal_replayed", user=user, **about_it, recording=recorded.name, address=address)
        return recorded

    def recheck(self, session_id: str | None = None) -> None:
        """End the sessions, and send away the viewers, whose permission was withdrawn since.

        Where ``permit`` fails, nobody loses anything: it is not known that somebody may not.

        Args:
            session_id: of one session; None for all.
        """
        sessions = self._register.all() if session_id is None else [self._register.get(session_id)]
        for session in sessions:
            if session is not None:
                self._recheck(session)

    def _recheck(self, session: TerminalSession) -> None:
        if self._access.withdrawn(session.owner, "open", session.host):
            self._watch.tell("terminal_terminated", user=session.owner, **about(session), reason=_WITHDRAWN)
            session.terminate("", _WITHDRAWN)
            return
        for viewer, user, role in session.info().viewers:
            action = needed_for(role)
            if user != session.owner and self._access.withdrawn(user, action, session.host):
                self._watch.tell("terminal_refused", user=user, action=action, **about(session))
                with contextlib.suppress(TerminalError):  # it has left meanwhile
                    session.kick(viewer)
