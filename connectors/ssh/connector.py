"""The SSH connector."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import BinaryIO, ClassVar

from sshexec.connectors.base import Capability, Command, Completed, Connector, Deadline, Phase, Timeouts, Upload
from sshexec.connectors.catfiles import CatFiles
from sshexec.connectors.escalation import Dialogue, Escalation, escalation
from sshexec.connectors.output import Output
from sshexec.connectors.prompts import PATIENCE, Question
from sshexec.connectors.source import Source
from sshexec.connectors.ssh.approach import Approach
from sshexec.connectors.ssh.auth import Login, StaleLinkError
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.ssh.execution import Execution, SessionRefusedError
from sshexec.connectors.ssh.files import Files
from sshexec.connectors.ssh.hostkeys import Learned, OtherKindsError
from sshexec.connectors.ssh.keys import SigningKey
from sshexec.connectors.ssh.keytypes import fingerprint
from sshexec.connectors.ssh.knownhosts import known_name
from sshexec.connectors.ssh.optimistic import Group, OptimismError, Start, group_of, tolerated
from sshexec.connectors.ssh.options import SshOptions
from sshexec.connectors.ssh.questions import Questions
from sshexec.connectors.ssh.terminal import SshTerminal
from sshexec.connectors.ssh.transport import Link, LinkDownError
from sshexec.connectors.terminal import Size
from sshexec.errors import (
    AuthenticationError,
    CancelledError,
    CommandTimeoutError,
    ConnectionLostError,
    HostError,
    OptionError,
    UnknownHostKeyError,
)
from sshexec.secret import Secret

_CONNECTIONS = 4
"""Connections that one login may take: a person may need longer for an answer than the host waits for one."""


class SshConnector(Connector[SshOptions, SshContext]):
    """One SSH connection to one host (see `Connector`)."""

    name: ClassVar[str] = "ssh"
    capabilities: ClassVar[Capability] = (
        Capability.FILES | Capability.POSIX | Capability.BECOME | Capability.TERMINAL | Capability.SIGNALS
    )
    Options = SshOptions
    Context = SshContext

    def __init__(self, host: str, options: SshOptions, context: SshContext, timeouts: Timeouts) -> None:
        super().__init__(host, options, context, timeouts)
        self._phase = Phase.WAITING
        self._approach = Approach(self, self._guard, self._hurried, self._kinds, self._hop_connector)
        self._start: Start | None = None
        """A login that waits for the first command."""
        self._group: Group | None = None
        self._opened_by = Deadline()
        self._files: Files | None = None
        self._way: Escalation | None = None
        self._cancelled = False
        self._ending = False
        """Whether the call in progress was cancelled, and ends."""
        self._calling = False
        """Whether there is a call in progress; a terminal is used outside of calls, too."""
        self._deadline = Deadline()
        """That of the call in progress."""
        self._asked: list[str] = []
        """Types of host keys that the host was asked for first."""
        self._where = options.address or host
        self._known_as = (options.host_key_alias or known_name(self._where, options.port)).lower()

    def enter(self, phase: Phase) -> None:
        """Tell the listener, and remember for errors, what the host is busy with now."""
        self._phase = phase
        super().enter(phase)

    @property
    def known_as(self) -> str:
        """The host's name in known_hosts."""
        return self._known_as

    @property
    def link(self) -> Link | None:
        """The connection, for those who share that of a jump host."""
        return self._approach.link

    @property
    def _link(self) -> Link | None:
        return self._approach.link

    @property
    def alive(self) -> bool:
        """Whether the connection is open as far as this side knows."""
        link = self._link
        return link is not None and link.active and (link.authenticated or self._start is not None)

    @property
    def worth_keeping(self) -> bool:
        """Whether it is logged in; else the host, and our admission, count it as one that waits for its login."""
        return self.alive and self._start is None

    def open(self, deadline: Deadline) -> None:
        """Connect, check the host key, log in (see `Connector.open`)."""
        self._opened_by = deadline
        # Its limits are looked at between the steps, none of which sends more than a socket has room for.
        with self._errors(Deadline()):
            self._open(optimistic=self.options.optimistic)

    def _open(self, *, optimistic: bool, refused: bool = False) -> None:
        """Open, leaving out the credential where the host has refused it already."""
        self.close()
        deadline = self._opened_by
        with contextlib.ExitStack() as asked:
            # What a person is asked for outlives a connection that the host closes meanwhile.
            questions = None
            if self.context.asks(self.options):
                questions = self._questions(deadline)
                asked.callback(questions.close)
            keys = [] if refused else self._keys(deadline)
            for _ in range(_CONNECTIONS):
                with contextlib.suppress(StaleLinkError):
                    self._open_with(keys, None if refused else self.options.password, questions, optimistic)
                    return
            raise AuthenticationError(f"{self._where} closed every connection while an answer was waited for")

    def _open_with(
        self, keys: Sequence[SigningKey], password: Secret | None, questions: Questions | None, optimistic: bool
    ) -> None:
        deadline = self._opened_by
        try:
            link = self._approach.arrive(deadline, self._patience)
            if not self._check_host_key(link):
                self.close()
                link = self._approach.arrive(deadline, self._patience)
                self._check_host_key(link, again=True)
            self.enter(Phase.AUTHENTICATING)
            if not (optimistic and self._log_in_later(link, keys)):
                self._log_in(link, keys, password, questions, deadline.sooner(self.timeouts.auth))
        except BaseException:
            self.close()
            raise

    def execute(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        """Run a command (see `Connector.execute`)."""
        with self._errors(deadline):
            self._ready()
            if self._start is not None and self.become is None:
                return self._run_early(command, output, deadline)
            self._logged_in()
            self.enter(Phase.RUNNING)
            return self._run(command, output, deadline)

    def _run_early(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        """Send the login together with the command; where that does not work out, go the patient way, once."""
        link = self._ready()
        start, self._start = self._start, None
        run = Execution(link, command, output, deadline, idle=self.timeouts.idle, guard=self._guard, start=start)
        try:
            return run.run()
        except (OptimismError, AuthenticationError) as error:
            refused = isinstance(error, AuthenticationError)
            if refused and not self.context.asks(self.options):
                raise
            if not refused and self._group is not None:
                self.context.starts.failed(self._group, self._known_as)
            self._open(optimistic=False, refused=refused)
            self.enter(Phase.RUNNING)
            return self._run(command, output, deadline)
        finally:
            if not link.authenticated:
                link.close()

    def _run(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        if self.become is None:
            return self._run_once(command, output, deadline)
        way = self._way = escalation(self, self.become, self.options.user, self._way)
        return way.run(lambda dialogue: self._run_once(command, output, deadline, dialogue), self._guard)

    def _run_once(
        self, command: Command, output: Output, deadline: Deadline, dialogue: Dialogue | None = None
    ) -> Completed:
        link = self._ready()
        idle = self.timeouts.idle
        run = Execution(link, command, output, deadline, idle=idle, guard=self._guard, dialogue=dialogue)
        try:
            return run.run()
        except SessionRefusedError:
            # With MaxSessions 1 the file session, which is kept for the next transfer, takes the only place.
            if self._files is None or not self._files.release():
                raise
            return run.run()

    def put(
        self,
        source: Source,
        path: str,
        deadline: Deadline,
        *,
        mode: int | None = None,
        progress: Callable[[int], None] | None = None,
        sha1: str | None = None,
    ) -> None:
        """Write a file atomically (see `Connector.put`)."""
        with self._errors(deadline):
            self._transfer().put(source, path, deadline, mode=mode, progress=progress, sha1=sha1)

    def get(
        self,
        path: str,
        target: BinaryIO,
        deadline: Deadline,
        *,
        progress: Callable[[int], None] | None = None,
        offset: int = 0,
    ) -> None:
        """Read a file (see `Connector.get`)."""
        with self._errors(deadline):
            self._transfer().get(path, target, deadline, progress=progress, offset=offset)

    def put_all(
        self, uploads: Sequence[Upload], deadline: Deadline, *, progress: Callable[[int], None] | None = None
    ) -> None:
        """Write several files, the small ones together (see `Connector.put_all`)."""
        with self._errors(deadline):
            self._transfer().put_all(uploads, deadline, progress=progress)

    def get_all(self, paths: Sequence[str], take: Callable[[int, bytes], None], deadline: Deadline) -> None:
        """Read several small files together (see `Connector.get_all`)."""
        with self._errors(deadline):
            self._transfer().get_all(paths, take, deadline)

    def terminal(
        self,
        size: Size,
        term: str,
        deadline: Deadline,
        *,
        environment: Mapping[str, str] | None = None,
        command: str | None = None,
    ) -> SshTerminal:
        """Start the login shell on a terminal (see `Connector.terminal`)."""
        with self._errors(deadline):
            link = self._logged_in()
            self.enter(Phase.RUNNING)
            start = functools.partial(
                SshTerminal, self.host, link, size, term, environment or {}, command, deadline, self._guard
            )
            try:
                return start()
            except SessionRefusedError:
                if self._files is None or not self._files.release():
                    raise
                return start()

    def cancel(self) -> None:
        """Make the call in progress, or the next one, end with CancelledError soon; from any thread."""
        self._cancelled = True
        self._approach.wake()

    def close(self) -> None:
        """Close the connection; safe to call twice and after a failed `open`."""
        self._files = self._start = None
        self._approach.close()

    def _guard(self) -> None:
        if self._cancelled:
            self._cancelled = False
            self._ending = True
            raise CancelledError("cancelled")

    def _hurried(self) -> bool:
        if self._calling:
            return self._cancelled or self._ending or self._deadline.expired
        # Between calls a terminal is used, and a jump host's connection: of that nobody here knows when to give up.
        return self._cancelled and self._link is not None and self._link.shells > 0

    @property
    def _patience(self) -> float | None:
        """Seconds that the host may take nothing: until it counts as idle, or as one without a sign of life."""
        limits = [self.timeouts.idle, self.options.alive_interval * self.options.alive_count or None]
        return min((limit for limit in limits if limit is not None), default=None)

    def _ready(self) -> Link:
        self._guard()
        link = self._link
        if link is None or not self.alive:
            why = link.why() if link is not None else "it is not open"
            raise ConnectionLostError(f"the connection is gone ({why}); nothing was run", started=False)
        return link

    def _logged_in(self) -> Link:
        link = self._ready()
        return link if self._start is None else self._log_in_now(link)

    def _transfer(self) -> Files | CatFiles:
        """Return what reads and writes files: as another user commands do, since SFTP is the login user's."""
        link = self._logged_in()
        self.enter(Phase.TRANSFERRING)
        if self.become is not None:
            return CatFiles(self._run)
        if self._files is None:
            self._files = Files(link, self._guard, self._run, self.timeouts.idle)
        return self._files

    @contextlib.contextmanager
    def _errors(self, deadline: Deadline) -> Iterator[None]:
        """Give every error of a host its name and phase."""
        self._ending = False
        self._deadline = deadline
        self._calling = True
        try:
            try:
                yield
            except ConnectionLostError as error:
                link = self._link
                if link is None or not link.packetizer.gave_up:
                    raise
                # The end of the connection was our own doing: what matters is why.
                killed = False if error.started and self._phase is Phase.RUNNING else None
                if self._cancelled:
                    self._cancelled = False
                    raise CancelledError("cancelled", killed=killed) from None
                if self._hurried():
                    raise CommandTimeoutError(
                        "the host takes no data any more, and the deadline passed", killed=killed
                    ) from None
                if self._patience is not None and self._patience == self.timeouts.idle:
                    raise CommandTimeoutError(
                        f"the host took no data for {self._patience:g} s", killed=killed, silence=self._patience
                    ) from None
                raise
        except HostError as error:
            error.host = error.host or self.host
            error.phase = error.phase or self._phase.value
            raise
        finally:
            self._calling = False

    # Opening, step by step.

    def _hop_connector(self, name: str, options: SshOptions) -> SshConnector:
        # Those who wait for a hop need it logged in.
        options = dataclasses.replace(options, optimistic=False)
        return SshConnector(name, options, self.context, self.timeouts)

    def _kinds(self) -> list[str]:
        """Return the types of host keys to ask for first."""
        options = self.options
        self._asked = []
        if options.policy != "off" or options.pinned:
            self._asked = self.context.host_keys.kinds(self._known_as, options.known_hosts, options.pinned)
        return self._asked

    def _check_host_key(self, link: Link, *, again: bool = False) -> bool:
        """Check the host key; return False where the host is to be asked for another of its keys, which is known.

        Args:
            link: the connection on which it was shown.
            again: the host was asked so already.
        """
        check = functools.partial(
            self.context.host_keys.check,
            self._known_as,
            link.host_key.get_name(),
            link.host_key.asbytes(),
            self.options.known_hosts,
            certificate=link.certificate,
            pins=self.options.pinned,
            asked=None if again else self._asked,
        )
        try:
            learned = check(policy=self.options.policy)
        except OtherKindsError:
            return False
        except UnknownHostKeyError:
            if not self._confirmed(link):
                raise
            learned = check(policy="accept-new")
            if not link.active:
                # The host has a time of its own for logins (LoginGraceTime), and a person took longer.
                self._keep_notice(learned)
                raise StaleLinkError from None
        self._keep_notice(learned)
        return True

    def _keep_notice(self, learned: Learned | None) -> None:
        if learned is not None:
            self.notices.append(learned.notice())

    def _confirmed(self, link: Link) -> bool:
        """Ask, where somebody may be asked that, whether the key of a host that is not known is the right one."""
        prompts = self.context.prompts
        options = self.options
        if not prompts.confirms or options.batch_mode or not options.confirms or options.pinned:
            return False
        kind, shown = link.host_key.get_name(), fingerprint(link.host_key.asbytes())
        text = f"The host key of {self._known_as} is not known: {kind} {shown}. Trust it?"
        question = Question("host_key", f"{self._known_as} {kind} {shown}", text, self.host, echo=True)
        answer = prompts.ask(question, self._opened_by.sooner(PATIENCE), self._guard)
        with answer:
            return answer.secret is not None and answer.secret.reveal() == "yes"

    def _keys(self, deadline: Deadline) -> list[SigningKey]:
        try:
            return self.context.unlocked_keys(self.options, self.host, deadline, self._guard)
        except OptionError as error:
            raise AuthenticationError(error.message, phase=Phase.AUTHENTICATING.value) from None

    def _questions(self, deadline: Deadline) -> Questions:
        return Questions(
            self.context.prompts,
            self.host,
            self.options.user,
            self.options.credential_group,
            deadline,
            self._guard,
            passwords=self.options.ask_password,
        )

    def _log_in_later(self, link: Link, keys: Sequence[SigningKey]) -> bool:
        """Leave the login for the first command, where that is promising; return whether it is."""
        group = self._group = group_of(self.options.user, keys, self.options.password)
        if group is None or not self.context.starts.allowed(group, self._known_as) or not tolerated(link, keys):
            return False
        credential = keys[0] if keys else self.options.password
        if credential is not None:
            login = Login(link, self.options.user, self._where)
            self._start = Start(link, login, credential, self._where, self.timeouts.auth, self._entered)
        return credential is not None

    def _entered(self) -> None:
        self._approach.logged_in()
        self.enter(Phase.RUNNING)

    def _log_in_now(self, link: Link) -> Link:
        """Make up for a login that was left for a command; return the connection that it is on."""
        self._start = None
        if self.context.asks(self.options):
            self._open(optimistic=False)  # a person may need longer than the host waits
        else:
            keys = self._keys(self._opened_by)
            self._log_in(link, keys, self.options.password, None, Deadline.after(self.timeouts.auth))
        return self._ready()

    def _log_in(
        self,
        link: Link,
        keys: Sequence[SigningKey],
        password: Secret | None,
        questions: Questions | None,
        limit: Deadline,
    ) -> None:
        login = Login(link, self.options.user, self._where)
        try:
            login.run(keys, password, limit, self._guard, questions)
        except LinkDownError as error:
            raise ConnectionLostError(f"the connection broke during the login: {error}", started=False) from None
        except AuthenticationError as error:
            if keys or self.options.password is not None:
                raise
            raise AuthenticationError("; ".join((error.message, *self.context.keyring.unused(self.options)))) from None
        self._approach.logged_in()
        group = group_of(self.options.user, keys, password)
        if group is not None and self.options.optimistic:
            self.context.starts.worked(group)
