"""All terminal sessions of one process: who may open, see and end them, by tokens that are good once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from sshexec import expect
from sshexec.audit import sinks
from sshexec.connectors.base import Source, Timeouts
from sshexec.connectors.terminal import Size, check_term
from sshexec.errors import (
    ArgumentError,
    NotAllowedError,
    TerminalError,
    TokenError,
)
from sshexec.inventory.model import Inventory
from sshexec.runtime.plan import Contexts
from sshexec.terminal.access import Access
from sshexec.terminal.auditing import TerminalKind, TerminalSink, Watch, about, ending
from sshexec.terminal.events import Role
from sshexec.terminal.gate import Gate
from sshexec.terminal.observer import Observer, SessionInfo
from sshexec.terminal.opening import connecting, host_named
from sshexec.terminal.permission import Action, Permit
from sshexec.terminal.policy import TerminalPolicy
from sshexec.terminal.register import Register
from sshexec.terminal.session import TerminalSession
from sshexec.terminal.tokens import Grant, Tokens
from sshexec.terminal.viewer import Viewer

if TYPE_CHECKING:
    from sshexec.terminal.commands import CommandFilter
    from sshexec.terminal.recordings import Recorded, Recordings

_TERM = "xterm-256color"


class TerminalManager:
    """Opens terminal sessions for users, and lets nobody do what ``permit`` does not allow.

    It may be used from any number of threads. A session lives in the process that opened it, and so do tokens: what
    serves one manager's users is one process.

    Args:
        inventory: the hosts, or a function that returns them: it is called for each session anew.
        permit: is asked at each step, ``permit(user, action, host)``: True alone allows. None refuses everything.
        policy: the limits of each session. ``accept_host_keys`` of it needs the permission ``accept_host_key`` too.
        recordings: where every session is recorded; None records nothing. A session that can't be recorded ends.
        observers: returns who else sees a session.
        filters: may refuse what is typed as a command, on best effort (`sshexec.terminal.commands`).
        audit: functions that get a `sshexec.terminal.auditing.TerminalEvent` for whatever is decided and done.
        limit: sessions at once.
        limit_each: of one user.
        variables: variables that win over every host's own, as Ansible's extra vars.
        timeouts: limits for each step of a login.

    Raises:
        ArgumentError: an argument is wrong.
    """

    def __init__(
        self,
        inventory: Inventory | Callable[[], Inventory],
        *,
        permit: Permit | None = None,
        policy: TerminalPolicy | None = None,
        recordings: Recordings | None = None,
        observers: Callable[[SessionInfo], Sequence[Observer]] | None = None,
        filters: Sequence[CommandFilter] = (),
        audit: TerminalSink | Sequence[TerminalSink] | None = None,
        limit: int = 200,
        limit_each: int = 20,
        variables: Mapping[str, Any] | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        if not isinstance(inventory, Inventory) and not callable(inventory):
            raise ArgumentError(
                f"inventory: expected an Inventory, or a function that returns it, got {type(inventory).__name__}"
            )
        if policy is not None and not isinstance(policy, TerminalPolicy):
            raise ArgumentError(f"policy: expected a TerminalPolicy(...), got {type(policy).__name__}")
        if timeouts is not None and not isinstance(timeouts, Timeouts):
            raise ArgumentError(f"timeouts: expected Timeouts(connect=..., ...), got {type(timeouts).__name__}")
        expect.mapping("variables", variables)
        self.policy = policy or TerminalPolicy()
        self.recordings = recordings
        self._inventory = inventory
        self._access = Access(permit)
        self._observers = observers
        self._filters = tuple(filters)
        self._watch = Watch(sinks(audit))
        self._variables = dict(variables or {})
        self._timeouts = timeouts or Timeouts()
        self._tokens = Tokens()
        self._register = Register(limit, limit_each, self._ended)
        self._gate = Gate(self._access, self._watch, self._register)

    def __repr__(self) -> str:
        return f"<TerminalManager {len(self._register)} sessions>"

    def __enter__(self) -> TerminalManager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------ who may

    @property
    def inventory(self) -> Inventory:
        """The hosts as they are now."""
        return self._inventory if isinstance(self._inventory, Inventory) else self._inventory()

    def allowed(self, user: str, action: Action, host: str) -> bool:
        """Return whether a user may do something on a host; whatever ``permit`` does but return True refuses.

        Args:
            user: who.
            action: what.
            host: inventory name.
        """
        return self._access.allowed(user, action, host)

    def hosts(self, user: str) -> list[str]:
        """Return the names of the hosts that a user may see, in the inventory's order."""
        return [name for name in self.inventory.hosts if self.allowed(user, "hosts", name)]

    def tell(self, event: TerminalKind, **more: Any) -> None:
        """Tell whoever keeps watch of something that was done or refused around terminals.

        Args:
            event: its kind.
            **more: the other fields of `TerminalEvent`.
        """
        self._watch.tell(event, **more)

    def _refused(self, user: str | None, action: str, **more: Any) -> None:
        self._watch.tell("terminal_refused", user=user, action=action, **more)

    # ------------------------------------------------------------------ tokens

    def issue(self, user: str, host: str, *, ttl: float = 30.0, address: str | None = None) -> str:
        """Return a token that opens one session on a host.

        Args:
            user: who will have it.
            host: inventory name.
            ttl: seconds until it is good for nothing.
            address: the network address that may redeem it; None for any.

        Raises:
            NotAllowedError: the user may not open one there.
            PatternError: there is no such host.
            LimitError: too many tokens are out.
        """
        self._register.check()
        self._gate.check(user, "open", host)
        grant = Grant(user, host=host_named(self.inventory, host), address=address)
        token = self._tokens.issue(grant, ttl)
        self._watch.tell("terminal_token", user=user, host=host, role="owner", address=address)
        return token

    def issue_for(
        self, user: str, session_id: str, role: Role = "owner", *, ttl: float = 30.0, address: str | None = None
    ) -> str:
        """Return a token for a place in a session: one's own after a reload, or that of somebody else.

        Args:
            user: who will have it.
            session_id: the session's.
            role: what the viewer will be; ``owner`` of somebody else's session needs the permission ``control``.
            ttl: seconds until it is good for nothing.
            address: the network address that may redeem it; None for any.

        Raises:
            NoSuchSessionError: there is none, or the user may not know of it.
            NotAllowedError: the user may not have this role there.
            LimitError: too many tokens are out.
        """
        session = self._gate.join(user, session_id, role)
        token = self._tokens.issue(Grant(user, session=session.id, role=role, address=address), ttl)
        self._watch.tell("terminal_token", user=user, **about(session), role=role, address=address)
        return token

    def redeem(
        self,
        token: object,
        *,
        size: Size,
        term: str = _TERM,
        since: int | None = None,
        user: str | None = None,
        address: str | None = None,
    ) -> Viewer:
        """Open or join what a token stands for; what was allowed when it was issued is asked anew.

        Args:
            token: as it came from the network.
            size: of the terminal.
            term: its type; of a session that is opened.
            since: number of the next byte that the viewer wants, of a session that is there; None: what is kept.
            user: who came with it, where that is known.
            address: from where.

        Raises:
            TokenError: it opens nothing, for whatever reason.
            TerminalError: by its leaf, why it does not any more.
            InputError: something about the host is wrong.
        """
        try:
            grant = self._tokens.redeem(token, user=user, address=address)
        except TokenError:
            self._refused(user, "redeem", address=address)
            raise
        if grant.session is not None:
            return self.attach(grant.user, grant.session, role=grant.role, since=since, size=size, address=address)
        session = self._make(grant.user, grant.host or "", size, term, address)
        try:
            viewer = session.attach(role="owner", user=grant.user)
        except BaseException:
            session.close()
            raise
        session.start()
        return viewer

    # ------------------------------------------------------------------ sessions

    def open(self, user: str, host: str, *, size: Size | None = None, term: str = _TERM) -> TerminalSession:
        """Open a session and return at once; viewers are told how it goes.

        Args:
            user: whose it is.
            host: inventory name.
            size: of the terminal.
            term: its type.

        Raises:
            NotAllowedError: the user may not.
            PatternError: there is no such host.
            InputError: something about the host is wrong.
            LimitError: there are as many sessions as there may be.
        """
        session = self._make(user, host, size or Size(), term, None)
        session.start()
        return session

    def attach(
        self,
        user: str,
        session_id: str,
        *,
        role: Role = "owner",
        since: int | None = None,
        size: Size | None = None,
        address: str | None = None,
    ) -> Viewer:
        """Join a session that is there.

        Args:
            user: who.
            session_id: the session's.
            role: ``owner`` takes the place of the owner that is there.
            since: number of the next byte that the viewer wants; None: what is kept.
            size: of the viewer's terminal; an owner's becomes the session's.
            address: from where, for the audit.

        Raises:
            NoSuchSessionError: there is none, or the user may not know of it.
            NotAllowedError: the user may not have this role there.
            LimitError: it has as many watchers as it may have.
        """
        session = self._gate.join(user, session_id, role)
        viewer = session.attach(role=role, user=user, since=since)
        self._watch.tell("terminal_joined", user=user, **about(session), role=role, address=address)
        if size is not None and role == "owner":
            with contextlib.suppress(TerminalError):
                viewer.resize(size)
        return viewer

    def sessions(self, user: str) -> list[SessionInfo]:
        """Return the sessions that a user may know of, the oldest first."""
        return self._gate.known(user)

    def session(self, user: str, session_id: str) -> TerminalSession:
        """Return a session that a user may know of.

        Raises:
            NoSuchSessionError: there is none, or the user may not know of it.
        """
        return self._gate.session(user, session_id)

    def recheck(self, session_id: str | None = None) -> None:
        """Ask ``permit`` anew: sessions whose user may not ``open`` them any more end, and viewers are sent away.

        A platform calls it when it has withdrawn a permission; WebSockets do, for the session that they show, every
        ``recheck`` seconds of the policy. Where ``permit`` fails nobody loses anything.

        Args:
            session_id: of one session; None for all.
        """
        self._gate.recheck(session_id)

    def terminate(self, user: str, session_id: str, reason: str = "") -> None:
        """End a session.

        Args:
            user: who wants it.
            session_id: the session's.
            reason: why, one line for those who see it end.

        Raises:
            NoSuchSessionError, NotAllowedError: as `attach`.
        """
        session = self._gate.reach(user, session_id, "terminate")
        self._watch.tell("terminal_terminated", user=user, **about(session), reason=reason or None)
        session.terminate(user, reason)

    def pause(self, user: str, session_id: str, paused: bool) -> None:
        """Stop a session for a while, or let it go on; an owner can't undo what somebody else did.

        Raises:
            NoSuchSessionError, NotAllowedError: as `attach`.
        """
        session = self._gate.reach(user, session_id, "control")
        info = session.info()
        if info.paused not in (None, user) and not self.allowed(user, "control", info.host):
            self._refused(user, "control", **about(session))
            raise NotAllowedError("somebody else has paused this session")
        self._watch.tell("terminal_paused" if paused else "terminal_resumed", user=user, **about(session))
        if paused:
            session.pause(user)
        else:
            session.resume()

    def hand_over(self, user: str, session_id: str, viewer_id: str) -> None:
        """Make another viewer the owner; it has to be somebody who may be: whose session it is, or by ``control``.

        Raises:
            NoSuchSessionError, NotAllowedError: as `attach`; of the other user too.
        """
        session = self._gate.reach(user, session_id, "control")
        info = session.info()
        other = next((who for known, who, _ in info.viewers if known == viewer_id), None)
        if other is None:
            raise NotAllowedError("there is no such viewer (any more)")
        if not self._access.masters(other, info, "control"):
            # A watcher would get a login that it may not have, by its owner's leave alone.
            self._refused(user, "control", **about(session), viewer=other)
            raise NotAllowedError(f"{other} may watch this session, and not control it")
        self._watch.tell("terminal_handed_over", user=user, **about(session), viewer=other)
        session.hand_over(viewer_id, user)

    def signal(self, user: str, session_id: str, name: str) -> None:
        """Send a signal to what runs in the foreground of a session.

        Raises:
            NoSuchSessionError, NotAllowedError: as `attach`.
            ArgumentError: there is no such signal.
        """
        session = self._gate.reach(user, session_id, "control")
        session.signal(name)
        self._watch.tell("terminal_signalled", user=user, **about(session), signal=name)

    # ------------------------------------------------------------------ files

    def upload(
        self,
        user: str,
        session_id: str,
        source: Source,
        path: str,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Write a file on a session's host, over its connection.

        Args:
            user: who.
            session_id: the session's.
            source: what to send.
            path: where to.
            progress: called with the number of bytes that have arrived so far.

        Raises:
            NoSuchSessionError, NotAllowedError: as `attach`; one's own sessions need the permission ``upload`` too.
            HostError: as `sshexec.connectors.base.Connector.put`.
        """
        session = self._gate.reach(user, session_id, "control")
        self._gate.check(user, "upload", session.host, session=session.id)
        with self._watch.transfer("terminal_uploaded", progress, user=user, path=path, **about(session)) as count:
            session.put(source, path, progress=count)

    def download(
        self,
        user: str,
        session_id: str,
        path: str,
        target: BinaryIO,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Read a file of a session's host, over its connection.

        Args:
            user: who.
            session_id: the session's.
            path: where it is.
            target: gets the bytes.
            progress: called with the number of bytes so far.

        Raises:
            NoSuchSessionError, NotAllowedError: as `attach`; one's own sessions need the permission ``download`` too.
            HostError: as `sshexec.connectors.base.Connector.get`.
        """
        session = self._gate.reach(user, session_id, "control")
        self._gate.check(user, "download", session.host, session=session.id)
        with self._watch.transfer("terminal_downloaded", progress, user=user, path=path, **about(session)) as count:
            session.get(path, target, progress=count)

    # ------------------------------------------------------------------ recordings

    def replay(self, user: str, name: str, *, address: str | None = None) -> Recorded:
        """Return what is known of a recording that a user may see; the audit is told that it is looked at.

        Args:
            user: who.
            name: the recording's.
            address: from where, for the audit.

        Raises:
            NoSuchSessionError: there is none, or the user may not see it.
        """
        return self._gate.replay(self.recordings, user, name, address)

    # ------------------------------------------------------------------ their lives

    def _make(self, user: str, host: str, size: Size, term: str, address: str | None) -> TerminalSession:
        """Return a session that has not begun."""
        self._gate.check(user, "open", host)
        check_term(term)
        policy = self.policy
        if policy.accept_host_keys and not self.allowed(user, "accept_host_key", host):
            policy = replace(policy, accept_host_keys=False)

        def make(contexts: Contexts) -> TerminalSession:
            connect = connecting(
                self.inventory, host, variables=self._variables, timeouts=self._timeouts, contexts=contexts
            )
            session = TerminalSession(
                host, connect, owner=user, size=size, term=term, policy=policy, on_end=self._register.forget
            )
            try:
                self._observe(session)
            except BaseException:
                session.close()
                raise
            return session

        session = self._register.add(user, make)
        self._watch.tell("terminal_started", user=user, **about(session), address=address)
        return session

    def _observe(self, session: TerminalSession) -> None:
        """Have whoever shall see a session see it."""
        info = session.info()
        if self.recordings is not None:
            recording = self.recordings.begin(info)
            session.observe(recording)
            session.recording = recording.name
        if self._filters:
            from sshexec.terminal.commands import CommandLog

            session.observe(CommandLog(filters=self._filters))
        for observer in self._observers(info) if self._observers is not None else ():
            session.observe(observer)

    def _ended(self, session: TerminalSession) -> None:
        self._tokens.revoke(session.id)
        self._watch.tell("terminal_ended", **ending(session))

    def close(self) -> None:
        """End all sessions and let go of their hosts; safe to call twice."""
        self._tokens.clear()
        self._register.close()
