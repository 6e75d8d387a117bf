"""Which host keys are trusted: pinned ones, those of known_hosts, and those that a known authority certifies.

What is known under ``[host]:port`` comes first; where that is nothing, what is known under the bare name counts too,
as in OpenSSH, and so does an authority of the bare name.
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sshexec.connectors.ssh.hostcertificates import CertificateError, HostCertificate
from sshexec.connectors.ssh.keytypes import CERTIFICATE_ALGORITHMS, KINDS, SUFFIX, fingerprint
from sshexec.connectors.ssh.knownhosts import KnownHostsFile, KnownKey, Mark, bare_name
from sshexec.errors import ChangedHostKeyError, UnknownHostKeyError

Policy = Literal["strict", "accept-new", "off"]

Checking = Policy | Literal["ask"]
"""What StrictHostKeyChecking may say: to ask is to be strict, where there is nobody to be asked."""

PIN_VARIABLE = "sshexec_host_key"
"""The host variable that pins keys."""


class OtherKindsError(Exception):
    """The host is known by keys of other types than it was asked for first (never leaves this room)."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A host key that was trusted on first sight.

    Args:
        name: the host's name in known_hosts.
        kind: type of the key.
        fingerprint: SHA256 fingerprint.
        path: the file it was added to; None where it could not be saved and holds for this run only.
        problem: why it could not be saved; "" where it was.
        flaw: why the certificate that came with it did not count; "" where none came.
    """

    name: str
    kind: str
    fingerprint: str
    path: str | None
    problem: str = ""
    flaw: str = ""

    def notice(self) -> dict[str, Any]:
        """Return it as one of `Connector.notices`."""
        where = (
            f"saved in {self.path}" if self.path is not None else f"not saved, holds for this run only: {self.problem}"
        )
        flaw = f"; {self.flaw}" if self.flaw else ""
        return {
            "notice": "host_key_learned",
            "message": f"new host key of {self.name} accepted: {self.kind} {self.fingerprint} ({where}{flaw})",
            "name": self.name,
            "kind": self.kind,
            "fingerprint": self.fingerprint,
            "path": self.path,
            "problem": self.problem,
        }


def pin(text: str) -> str:
    """Return a pinned key as ``KIND KEY``, ``KIND SHA256:...`` or ``SHA256:...``, without its comment.

    Raises:
        ValueError: it is none of these.
    """
    kind, _, rest = text.strip().partition(" ")
    if kind.startswith("SHA256:"):
        kind, rest = "", text.strip()
    value = (rest.split() or [""])[0]
    if kind and kind not in KINDS:
        raise ValueError
    try:
        if value.startswith("SHA256:"):
            # Base64 without its padding, as OpenSSH shows it.
            if len(base64.b64decode(value[7:] + "=", validate=True)) != 32:
                raise ValueError
        elif not kind or not _is_key(base64.b64decode(value, validate=True), kind):
            raise ValueError
    except binascii.Error:
        raise ValueError from None
    return f"{kind} {value}".strip()


def _is_key(blob: bytes, kind: str) -> bool:
    return blob.startswith(len(kind).to_bytes(4, "big") + kind.encode()) and len(blob) > len(kind) + 8


class HostKeys:
    """The host keys that a context trusts, over all files that its hosts name."""

    def __init__(self) -> None:
        self._files: dict[str, KnownHostsFile] = {}
        self._lock = threading.Lock()
        self._session: dict[str, list[KnownKey]] = {}

    def _open(self, paths: Sequence[str], now: bool = False) -> list[KnownHostsFile]:
        files = []
        with self._lock:
            for path in paths:
                if path not in self._files:
                    self._files[path] = KnownHostsFile(path)
                files.append(self._files[path])
        for file in files:
            file.refresh(now)
        return files

    def _plain(self, name: str, files: list[KnownHostsFile]) -> list[KnownKey]:
        return [*(key for file in files for key in file.plain(name)), *self._session.get(name, ())]

    def kinds(self, name: str, paths: Sequence[str], pins: Sequence[str] = ()) -> list[str]:
        """Return the types of keys that a host is to be asked for first, so that it shows one that is known.

        Certificates come before them where an authority of the host is known, and only there.

        Args:
            name: the host's name in known_hosts (`knownhosts.known_name`).
            paths: files to look into.
            pins: the keys that alone count (`pin`).
        """
        if pins:
            return list(dict.fromkeys(text.partition(" ")[0] for text in pins if " " in text))
        files = self._open(paths)
        known: list[str] = []
        for each in _names(name):
            known = [key.kind for key in self._plain(each, files)]
            known = known or [kind for file in files for kind in file.hashed_kinds(each)]
            if known:
                break
        if any(True for _ in _marked("@cert-authority", name, files)):
            known = [*CERTIFICATE_ALGORITHMS, *known]
        return list(dict.fromkeys(known))

    def known(self, name: str, paths: Sequence[str]) -> list[KnownKey]:
        """Return every key that the files hold for exactly this name, as they are now."""
        files = self._open(paths, now=True)
        return [*self._plain(name, files), *(key for file in files for key in file.hashed(name))]

    def revoked(self, name: str, blob: bytes, paths: Sequence[str]) -> KnownKey | None:
        """Return the line that revokes a key for a name, if there is one."""
        return next((key for key in _marked("@revoked", name, self._open(paths)) if key.holds(blob)), None)

    def add(self, name: str, keys: Sequence[tuple[str, bytes]], path: str, seen: Sequence[KnownKey]) -> bool:
        """Add keys of a name to a file; return False where somebody else has added some meanwhile.

        Args:
            name: the host's name in known_hosts.
            keys: type and key of each.
            path: the file.
            seen: what `known` returned for the name.

        Raises:
            OSError: they can't be written.
        """
        return not self._open([path])[0].append(name, keys, seen)

    def check(
        self,
        name: str,
        kind: str,
        blob: bytes,
        paths: Sequence[str],
        policy: Policy,
        *,
        certificate: bytes = b"",
        pins: Sequence[str] = (),
        asked: Sequence[str] | None = None,
    ) -> Learned | None:
        """Check the key that a host has shown; return what was learned where it was trusted on first sight.

        Args:
            name: the host's name in known_hosts (`knownhosts.known_name`).
            kind: type of the key, as known_hosts names it.
            blob: the key.
            paths: files to look into; a new key is added to the first.
            policy: what to do with a host that is not known.
            certificate: the host certificate that held the key, where the host has shown one.
            pins: keys that alone count, whatever the files and the policy say (`pin`).
            asked: what `kinds` said, where the host can be asked again.

        Raises:
            UnknownHostKeyError: nothing is known of the host, and the policy is strict.
            ChangedHostKeyError: another key is known or pinned, or this one, or its authority, is revoked.
            OtherKindsError: keys of other types than those asked for are known; `kinds` names them now.
        """
        if pins:
            _check_pins(name, kind, blob, pins)
            return None
        if policy == "off":
            return None
        files = self._open(paths)
        read = _read(certificate)
        if self._trusts(name, kind, blob, read, files):
            return None
        self._open(paths, now=True)  # before anybody is turned away
        _refuse_revoked(name, kind, blob, read, files)
        flaw = _flaw(name, read, files)
        if (read is not None and not flaw) or self._knows(name, kind, blob, files):
            return None
        known = [*self._plain(name, files), *(key for file in files for key in file.hashed(name))]
        if known:
            others = {key.kind for key in known}
            if asked is not None and kind not in others and others != {kind for kind in asked if SUFFIX not in kind}:
                raise OtherKindsError
            _compare(name, kind, blob, known, flaw)
            return None
        if bare_name(name) != name and self._knows(bare_name(name), kind, blob, files):
            return None
        if policy == "strict":
            raise UnknownHostKeyError(
                f"the host key of {name} is not known ({kind} {fingerprint(blob)}{_but(flaw)}): compare the "
                f"fingerprint and add the key to {paths[0] if paths else 'a known_hosts file'} "
                "(sshexec hosts scan --append adds those of many hosts), or allow "
                "StrictHostKeyChecking=accept-new (on the command line: --host-key-checking accept-new)"
            )
        return self._learn(name, kind, blob, files, flaw)

    def _trusts(
        self,
        name: str,
        kind: str,
        blob: bytes,
        certificate: HostCertificate | CertificateError | None,
        files: list[KnownHostsFile],
    ) -> bool:
        """Return whether a key is trusted by what is cheap to look up."""
        for key in _marked("@revoked", name, files):
            if key.holds(blob) or (isinstance(certificate, HostCertificate) and key.holds(certificate.authority)):
                return False
        if certificate is not None and not _flaw(name, certificate, files):
            return True
        return self._knows(name, kind, blob, files)

    def _knows(self, name: str, kind: str, blob: bytes, files: list[KnownHostsFile]) -> bool:
        """Return whether the files hold a key for exactly this name."""
        if any(key.kind == kind and key.holds(blob) for key in self._plain(name, files)):
            return True
        return any(file.hashed_holds(name, kind, blob) for file in files)

    def _learn(self, name: str, kind: str, blob: bytes, files: list[KnownHostsFile], flaw: str) -> Learned | None:
        problem = "no known_hosts file is named"
        if files:
            try:
                known = files[0].append(name, [(kind, blob)])
            except OSError as error:
                problem = f"{files[0].path}: {error.strerror or error}"
            else:
                if known:
                    _compare(name, kind, blob, known, flaw)
                    return None
                return Learned(name, kind, fingerprint(blob), files[0].path, flaw=flaw)
        with self._lock:
            known = self._session.get(name, [])
            if not known:
                self._session[name] = [KnownKey(kind, base64.b64encode(blob), "this run", 0)]
        if known:
            _compare(name, kind, blob, known, flaw)
            return None
        return Learned(name, kind, fingerprint(blob), None, problem, flaw)


def _names(name: str) -> tuple[str, ...]:
    """Return the names to look up, the one that counts most first."""
    bare = bare_name(name)
    return (name,) if bare == name else (name, bare)


def _marked(mark: Mark, name: str, files: list[KnownHostsFile]) -> Iterator[KnownKey]:
    """Yield the keys that are revoked for a host, or that certify it."""
    for file in files:
        if file.marks:
            for each in _names(name):
                yield from file.marked(mark, each)


def _read(certificate: bytes) -> HostCertificate | CertificateError | None:
    """Return what a certificate says, or why it can't be read; None where there is none."""
    if not certificate:
        return None
    try:
        return HostCertificate.read(certificate)
    except CertificateError as error:
        return error


def _flaw(name: str, certificate: HostCertificate | CertificateError | None, files: list[KnownHostsFile]) -> str:
    """Return why a certificate does not count; "" where it does, or where there is none.

    The plain key within is then looked up instead, as OpenSSH does: it is proven, only not certified.
    """
    if certificate is None:
        return ""
    if isinstance(certificate, CertificateError):
        return f"its certificate does not count: {certificate}"
    key = next((key for key in _marked("@cert-authority", name, files) if key.holds(certificate.authority)), None)
    if key is None:
        return (
            f"its certificate does not count: no @cert-authority line for {name} holds the authority "
            f"{fingerprint(certificate.authority)}"
        )
    flaw = certificate.flaw(bare_name(name))
    return f"its certificate {certificate.key_id!r} does not count: {flaw} (authority: {key})" if flaw else ""


def _but(flaw: str) -> str:
    return f"; {flaw}" if flaw else ""


def _refuse_revoked(
    name: str,
    kind: str,
    blob: bytes,
    certificate: HostCertificate | CertificateError | None,
    files: list[KnownHostsFile],
) -> None:
    """Refuse a key that is revoked, or that a revoked authority certifies.

    Raises:
        ChangedHostKeyError: it is.
    """
    for key in _marked("@revoked", name, files):
        if key.holds(blob):
            raise ChangedHostKeyError(
                f"the host key of {name} is revoked ({kind} {fingerprint(blob)}; {key}): "
                "do not connect before you know why"
            )
        if isinstance(certificate, HostCertificate) and key.holds(certificate.authority):
            raise ChangedHostKeyError(
                f"the authority that certifies the host key of {name} is revoked "
                f"({key.kind} {fingerprint(certificate.authority)}; {key}): do not connect before you know why"
            )


def _check_pins(name: str, kind: str, blob: bytes, pins: Sequence[str]) -> None:
    """Check a key against those that are pinned.

    Raises:
        ChangedHostKeyError: it is none of them.
    """
    if is_pinned(kind, blob, pins):
        return
    raise ChangedHostKeyError(
        f"the host key of {name} is not the pinned one: the host shows {kind} {fingerprint(blob)}, "
        f"{PIN_VARIABLE} holds {', '.join(map(_shown_pin, pins))}; if the host was set up anew, change that variable"
    )


def is_pinned(kind: str, blob: bytes, pins: Sequence[str]) -> bool:
    """Return whether a key is one of those that are pinned."""
    shown = fingerprint(blob)
    encoded = base64.b64encode(blob).decode()
    return any(text in (shown, f"{kind} {shown}", f"{kind} {encoded}") for text in pins)


def _shown_pin(text: str) -> str:
    kind, _, value = text.rpartition(" ")
    value = value if value.startswith("SHA256:") else fingerprint(base64.b64decode(value))
    return f"{kind} {value}".strip()


def _compare(name: str, kind: str, blob: bytes, known: list[KnownKey], flaw: str) -> None:
    """Check a key against those that are known for its name, of which there are some.

    Raises:
        ChangedHostKeyError: it is none of them.
    """
    if any(key.kind == kind and key.holds(blob) for key in known):
        return
    old = next((key for key in known if key.kind == kind), known[0])
    raise ChangedHostKeyError(
        f"the host key of {name} has changed: the host shows {kind} {fingerprint(blob)}, {old} "
        f"holds {old.kind} {fingerprint(old.blob)}{_but(flaw)}; if the host was set up anew, remove that line"
    )
