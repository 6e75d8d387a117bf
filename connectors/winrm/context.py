"""What all WinRM connections of one engine share: TLS contexts, resolved names, Kerberos tickets, refused passwords."""

from __future__ import annotations

from sshexec.connectors.base import Context
from sshexec.connectors.options import ConnectorOptions
from sshexec.connectors.resolver import Resolver
from sshexec.connectors.winrm.accounts import Accounts
from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.connectors.winrm.tickets import Tickets
from sshexec.connectors.winrm.tls import Contexts
from sshexec.errors import OptionError


class WinrmContext(Context):
    """What all WinRM connections of one engine share."""

    def __init__(self) -> None:
        self.resolver = Resolver()
        self.tls = Contexts()
        self.tickets = Tickets()
        self.accounts = Accounts()

    def check(self, options: ConnectorOptions) -> None:
        """Check the certificates, and that there is a password or somebody who can be asked for it.

        Raises:
            OptionError: a file is unreadable or none, or there is no password.
        """
        if not isinstance(options, WinrmOptions):
            return
        if options.scheme == "https":
            self.tls.get(options)
        if options.needs_password and options.password is None and not self.asks(options):
            raise OptionError(
                f"ansible_password is not set, and {options.transport} needs one;"
                " set it, or have it asked for (-k, Engine(ask=...))"
            )

    def asks(self, options: WinrmOptions) -> bool:
        """Return whether somebody may be asked for a host's password."""
        return self.prompts.available and options.ask_password is not False

    def close(self) -> None:
        """Forget what is shared."""
        self.tls.clear()
        self.tickets.close()
