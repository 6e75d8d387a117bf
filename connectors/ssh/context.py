"""What all SSH connections of one engine share: parsed keys, known_hosts, the agent, resolved names, jump hosts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sshexec.connectors.base import Context, Deadline
from sshexec.connectors.options import ConnectorOptions
from sshexec.connectors.resolver import Resolver
from sshexec.connectors.ssh.admission import Admission
from sshexec.connectors.ssh.hostkeys import HostKeys
from sshexec.connectors.ssh.jump import Hops
from sshexec.connectors.ssh.keyring import Keyring
from sshexec.connectors.ssh.keys import LockedKeyError, SigningKey
from sshexec.connectors.ssh.optimistic import Starts
from sshexec.connectors.ssh.options import SshOptions

log = logging.getLogger("sshexec.connectors.ssh")


class SshContext(Context):
    """What all SSH connections of one engine share."""

    def __init__(self) -> None:
        self.host_keys = HostKeys()
        self.resolver = Resolver()
        self.admission = Admission()
        self.hops = Hops()
        self._lock = threading.Lock()
        self._named: set[str] = set()
        self.starts = Starts()
        self.keyring = Keyring()

    def check(self, options: ConnectorOptions) -> None:
        """Check the keys; each is read once. Name what ssh_config asks for in vain.

        Raises:
            OptionError: a key is missing, unreadable, none, or encrypted without the right passphrase and nobody can
                be asked for it.
        """
        if not isinstance(options, SshOptions):
            return
        for one in (options, *options.jump):
            for ignored in one.ignored:
                self._name(ignored)
            self._check_keys(one)

    def _check_keys(self, options: SshOptions) -> None:
        if options.key_files or options.private_key is not None:
            try:
                self.signing_keys(options)
            except LockedKeyError:
                if not self.asks(options):
                    raise

    def _name(self, ignored: str) -> None:
        """Name an option of ssh_config that is not honoured, once."""
        with self._lock:
            if ignored in self._named:
                return
            self._named.add(ignored)
        log.warning("ssh_config: %s", ignored)

    def asks(self, options: SshOptions) -> bool:
        """Return whether somebody may be asked for what a host's login needs."""
        return self.prompts.available and not options.batch_mode

    def signing_keys(self, options: SshOptions) -> list[SigningKey]:
        """Return the keys to offer, the best first; see `Keyring.signing_keys`.

        Raises:
            OptionError: a configured key can't be used.
        """
        return self.keyring.signing_keys(options)

    def unlocked_keys(
        self, options: SshOptions, host: str, deadline: Deadline, guard: Callable[[], None]
    ) -> list[SigningKey]:
        """Return the keys to offer, asking for passphrases where somebody can be asked; see `Keyring.unlock`.

        Raises:
            OptionError: a configured key can't be used.
        """
        if self.asks(options):
            return self.keyring.unlock(options, self.prompts, host, deadline, guard)
        return self.keyring.signing_keys(options)

    def close(self) -> None:
        """Close the connections to jump hosts and to the agents, and forget the keys."""
        self.hops.close()
        self.keyring.close()
        self.starts.clear()
