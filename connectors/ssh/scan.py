"""Host keys for review: each key that a host offers, looked at without logging in, as ssh-keyscan does it."""

from __future__ import annotations

import base64
import errno
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sshexec.connectors.base import Deadline, Timeouts
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.ssh.hostkeys import PIN_VARIABLE, is_pinned
from sshexec.connectors.ssh.keytypes import HOST_KEY_ALGORITHMS, fingerprint
from sshexec.connectors.ssh.knownhosts import KnownKey, bare_name
from sshexec.connectors.ssh.options import SshOptions
from sshexec.connectors.ssh.transport import Link

Standing = Literal["new", "known", "CHANGED", "REVOKED"]

_ATTEMPTS = 3
"""How often keys are compared anew because somebody else has added some of the same host meanwhile."""


@dataclass(frozen=True, slots=True)
class ScannedKey:
    """A host key as it was shown, and what is known of it.

    Args:
        kind: type of the key.
        blob: the key.
        standing: ``known``; ``new`` where nothing contradicts it; ``CHANGED`` where another key is known in its place;
            ``REVOKED``.
        where: the file and line, or the variable, that says so; "" for a new one.
    """

    kind: str
    blob: bytes
    standing: Standing
    where: str = ""

    @property
    def fingerprint(self) -> str:
        """Its fingerprint as OpenSSH shows it."""
        return fingerprint(self.blob)

    @property
    def encoded(self) -> str:
        """The key in base64, as known_hosts has it."""
        return base64.b64encode(self.blob).decode()


class _Viewer(SshConnector):
    """Connects, looks at the host key, and goes no further.

    Args:
        kind: type of the key to ask for; "" for any.
    """

    def __init__(self, host: str, options: SshOptions, context: SshContext, timeouts: Timeouts, kind: str) -> None:
        super().__init__(host, options, context, timeouts)
        self._kind = kind
        self.kind = ""
        self.blob = b""
        self.offered: tuple[str, ...] = ()

    def _kinds(self) -> list[str]:
        return [self._kind] if self._kind else []

    def _check_host_key(self, link: Link, *, again: bool = False) -> bool:
        self.kind, self.blob, self.offered = link.host_key.get_name(), link.host_key.asbytes(), link.offered
        return True

    def _open(self, *, optimistic: bool, refused: bool = False) -> None:
        # Nobody is asked for anything, and no key is read.
        self._open_with((), None, None, optimistic=False)

    def _log_in(self, link: Link, *credentials: object) -> None:
        """Send no credential."""


class HostScan:
    """The host keys of one host.

    Args:
        host: inventory name.
        options: how to reach it, and which known_hosts files and pins count.
        context: shared by the scans of one command.
        timeouts: as for a connector; ``connect`` bounds each look at a key.
    """

    def __init__(self, host: str, options: SshOptions, context: SshContext, timeouts: Timeouts) -> None:
        self.host = host
        # Every type is looked for, whatever HostKeyAlgorithms allows for a login.
        options = replace(options, host_key_algorithms=())
        self._options = options
        self._context = context
        self._timeouts = timeouts
        self._cancelled = False
        self._viewer = _Viewer(host, options, context, timeouts, "")
        self.name = self._viewer.known_as
        """The host's name in known_hosts."""
        self._shown: list[tuple[str, bytes]] = []

    @property
    def file(self) -> str:
        """The known_hosts file that new keys are added to; "" where none is named."""
        return self._options.known_hosts[0] if self._options.known_hosts else ""

    def collect(self) -> None:
        """Look at every key that the host offers, one key exchange each.

        Raises:
            HostError: the host can't be reached, or the scan was cancelled.
        """
        shown = self._look("")
        for kind, algorithms in HOST_KEY_ALGORITHMS.items():
            if kind not in shown and any(name in self._viewer.offered for name in algorithms):
                shown |= self._look(kind)
        self._shown = [(kind, shown[kind]) for kind in HOST_KEY_ALGORITHMS if kind in shown]

    def _look(self, kind: str) -> dict[str, bytes]:
        viewer = self._viewer = _Viewer(self.host, self._options, self._context, self._timeouts, kind)
        if self._cancelled:
            viewer.cancel()
        try:
            viewer.open(Deadline())
        finally:
            viewer.close()
        return {viewer.kind: viewer.blob}

    def cancel(self) -> None:
        """Make `collect` end with CancelledError soon; from any thread."""
        self._cancelled = True
        self._viewer.cancel()

    def keys(self) -> list[ScannedKey]:
        """Compare what was collected with what is known now."""
        return self._compare(self._known())

    def _known(self) -> list[KnownKey]:
        return self._context.host_keys.known(self.name, self._options.known_hosts)

    def _compare(self, known: Sequence[KnownKey]) -> list[ScannedKey]:
        host_keys, paths = self._context.host_keys, self._options.known_hosts
        if not known and bare_name(self.name) != self.name:
            bare = host_keys.known(bare_name(self.name), paths)
            known = [key for key in bare if any(key.kind == kind and key.holds(blob) for kind, blob in self._shown)]
        keys = []
        for kind, blob in self._shown:
            revoked = host_keys.revoked(self.name, blob, paths)
            same = next((key for key in known if key.kind == kind and key.holds(blob)), None)
            other = next((key for key in known if key.kind == kind), None)
            if self._options.pinned:
                pinned = is_pinned(kind, blob, self._options.pinned)
                keys.append(ScannedKey(kind, blob, "known" if pinned else "new", PIN_VARIABLE if pinned else ""))
            elif revoked is not None:
                keys.append(ScannedKey(kind, blob, "REVOKED", str(revoked)))
            elif same is not None:
                keys.append(ScannedKey(kind, blob, "known", str(same)))
            elif other is not None:
                keys.append(ScannedKey(kind, blob, "CHANGED", f"{other} holds {fingerprint(other.blob)}"))
            else:
                keys.append(ScannedKey(kind, blob, "new"))
        if any(key.standing == "known" for key in keys):
            return keys
        # A host that shows none of the keys it is known by is not that host, whatever types it shows instead.
        if self._options.pinned:
            where = f"{PIN_VARIABLE} holds another"
        elif known:
            where = f"{known[0]} holds {known[0].kind} {fingerprint(known[0].blob)}"
        else:
            return keys
        return [replace(key, standing="CHANGED", where=where) if key.standing == "new" else key for key in keys]

    def add(self) -> tuple[list[ScannedKey], int]:
        """Add the new keys to the first known_hosts file; nothing of a host that shows a changed or revoked key.

        Returns:
            The keys as they were before, and how many were added.

        Raises:
            OSError: they can't be written.
        """
        for _ in range(_ATTEMPTS):
            known = self._known()
            keys = self._compare(known)
            new = [(key.kind, key.blob) for key in keys if key.standing == "new"]
            if not new or self._options.pinned or any(key.standing in ("CHANGED", "REVOKED") for key in keys):
                return keys, 0
            if self._context.host_keys.add(self.name, new, self.file, known):
                return keys, len(new)
        raise OSError(errno.EAGAIN, "others keep adding keys of this host")
