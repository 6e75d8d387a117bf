"""Private keys: read once, shared by all connections that sign with them."""

from __future__ import annotations

import base64
import contextlib
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.ssh import keyfiles
from sshexec.connectors.ssh.keytypes import SUFFIX, fingerprint
from sshexec.connectors.ssh.usercertificates import Certificate
from sshexec.errors import OptionError

Sign = Callable[[bytes, str, Deadline, Callable[[], None]], bytes]
"""Returns the signature of some data with an algorithm, as RFC 4253 §6.6 encodes it.

What signs elsewhere, such as an agent, waits until the deadline at most and calls the guard meanwhile, which raises
where the caller shall wait no longer; it raises OSError where there is no answer.
"""

_MAGIC = b"openssh-key-v1\0"
_LONGEST = 1_000_000


class LockedKeyError(OptionError):
    """A private key is encrypted, and no passphrase is known.

    Args:
        message: one line for people.
        label: what people know the key by: its path, or the variable that holds it.
        path: as in `InputError`.
        line: as in `InputError`.
    """

    def __init__(self, message: str, *, label: str = "", path: str | None = None, line: int | None = None) -> None:
        super().__init__(message, path=path, line=line)
        self.label = label


@dataclass(frozen=True)
class SigningKey:
    """A key that can sign, from a file or held by an agent.

    Args:
        label: what people know it by: a path, or the agent's comment.
        kind: its type, ``ssh-rsa`` for every RSA key.
        blob: the public key (or the certificate) as it is sent to the host.
        sign: makes a signature.
    """

    label: str
    kind: str
    blob: bytes
    sign: Sign = field(repr=False)

    def algorithm(self, server_algorithms: str) -> str:
        """Return the signature algorithm to use, given the host's ``server-sig-algs`` (RFC 8308; may be empty).

        SHA-1 signatures (``ssh-rsa``) are never made.
        """
        base = self.kind.removesuffix(SUFFIX)
        if base != "ssh-rsa":
            return self.kind
        taken = server_algorithms.split(",")
        best = "rsa-sha2-256" if "rsa-sha2-256" in taken and "rsa-sha2-512" not in taken else "rsa-sha2-512"
        return best + (SUFFIX if self.kind.endswith(SUFFIX) else "")

    def certified(self, certificate: Certificate) -> SigningKey:
        """Return this key with a certificate for it."""
        return SigningKey(self.label, certificate.kind, certificate.blob, self.sign)

    def __str__(self) -> str:
        return f"{self.label} ({self.kind} {fingerprint(self.blob)})"


def strings(*parts: bytes) -> bytes:
    """Return the parts as SSH strings, one after the other."""
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def state(path: str) -> tuple[object, ...]:
    """Return what changes when the key file, or the certificate that lies beside it, is replaced.

    Raises:
        OptionError: there is no such key file, nor its public half, whose private one an agent may hold.
    """
    try:
        found = [os.stat(path)]
    except OSError as error:
        try:
            found = [os.stat(f"{path}.pub")]
        except OSError:
            raise OptionError(f"private key file {path}: {error.strerror}") from None
    with contextlib.suppress(OSError):
        found.append(os.stat(f"{path}-cert.pub"))
    return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)


def load(path: str, passphrase: str | None = None) -> SigningKey:
    """Read a private key file (OpenSSH, PEM or PKCS#8).

    Args:
        path: the file.
        passphrase: for an encrypted key.

    Raises:
        OptionError: the file is missing, unreadable, no private key, or needs another passphrase.
    """
    try:
        data, mode = keyfiles.read(path, _LONGEST), keyfiles.open_to_others(path)
    except OSError as error:
        raise OptionError(f"private key file {path}: {error.strerror or error}") from None
    if mode is not None and b"PRIVATE KEY" in data:
        # As OpenSSH (sshkey_perm_ok): who can read it has it.
        raise OptionError(f"private key file {path}: others may read it (mode {mode:04o}): chmod 600 it")
    return _key(path, f"private key file {path}", data, passphrase)


def parse(variable: str, text: str, passphrase: str | None = None) -> SigningKey:
    """Read a private key that is the value of a variable.

    Args:
        variable: its name.
        text: the key, as a file holds it; its lines may have blanks around them, or stand on one line with ``\\n``.
        passphrase: for an encrypted key.

    Raises:
        OptionError: it is no private key, or needs another passphrase.
    """
    return _key(inline_label(variable, text), variable, inline(text), passphrase)


def inline(text: str) -> bytes:
    """Return a key that stood in a variable as a file holds it."""
    lines = text.replace("\\n", "\n").strip().splitlines()
    return "".join(f"{line.strip()}\n" for line in lines).encode()


def inline_label(variable: str, text: str) -> str:
    """Return what people know the key of a variable by: hosts may hold different ones."""
    public = openssh_public(inline(text))
    return f"{variable} ({fingerprint(public)})" if public else variable


def _key(label: str, where: str, data: bytes, passphrase: str | None) -> SigningKey:
    try:
        key = _parse(where, data, passphrase)
    except LockedKeyError as error:
        raise LockedKeyError(error.message, label=label) from None
    kind, blob = _public(key)
    return SigningKey(label, kind, blob, _signer(key))


def public_part(path: str) -> bytes | None:
    """Return the public key of a private key file without its passphrase.

    It is read from the file itself, which may hold a public key only, or from ``path.pub``.
    """
    for name in (path, f"{path}.pub"):
        try:
            data = keyfiles.read(name, _LONGEST)
        except OSError:
            continue
        blob = openssh_public(data) if b"PRIVATE KEY" in data else _public_line(data)
        if blob:
            return blob
    return None


def _public_line(data: bytes) -> bytes | None:
    try:
        kind, encoded = data.split(None, 2)[:2]
        blob = base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
    return blob if blob[4:].startswith(kind) else None


def openssh_public(data: bytes) -> bytes | None:
    """Return the public key that stands in clear in an OpenSSH private key file (PROTOCOL.key)."""
    try:
        raw = base64.b64decode(data.split(b"KEY-----", 1)[1].split(b"-----END", 1)[0])
        if not raw.startswith(_MAGIC):
            return None
        at = len(_MAGIC)
        for _ in range(3):  # cipher, key derivation, its options
            at += 4 + int(struct.unpack_from(">I", raw, at)[0])
        at += 4  # number of keys
        size = int(struct.unpack_from(">I", raw, at)[0])
        return raw[at + 4 : at + 4 + size]
    except (IndexError, ValueError, struct.error):
        return None


_Private = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def _parse(where: str, data: bytes, passphrase: str | None) -> _Private:
    secret = None if passphrase is None else passphrase.encode()
    loader = serialization.load_ssh_private_key if b"OPENSSH PRIVATE" in data else serialization.load_pem_private_key
    try:
        key = loader(data, secret)
    except TypeError:
        if secret is not None:  # a passphrase was given, and the key has none
            return _parse(where, data, None)
        raise LockedKeyError(
            f"{where} is encrypted: give ansible_private_key_passphrase, or add it to an ssh-agent"
        ) from None
    except ValueError:
        if secret is not None:
            raise OptionError(f"{where}: the passphrase is wrong, or the key is damaged") from None
        raise OptionError(f"{where} holds no private key") from None
    except UnsupportedAlgorithm as error:
        raise OptionError(f"{where}: {error}") from None
    if isinstance(key, (ed25519.Ed25519PrivateKey, ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        return key
    raise OptionError(f"{where} is of a type that is not supported (ed25519, ecdsa and rsa are)")


def _public(key: _Private) -> tuple[str, bytes]:
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    kind, encoded = line.split()[:2]
    return kind.decode(), base64.b64decode(encoded)


def _signer(key: _Private) -> Sign:
    """Return what signs with a key (RFC 8709, RFC 5656 §3.1.2, RFC 8332)."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return lambda data, algorithm, deadline, guard: strings(b"ssh-ed25519", key.sign(data))
    if isinstance(key, rsa.RSAPrivateKey):

        def sign_rsa(data: bytes, algorithm: str, deadline: Deadline, guard: Callable[[], None]) -> bytes:
            name = algorithm.removesuffix(SUFFIX)
            digest = hashes.SHA256() if name == "rsa-sha2-256" else hashes.SHA512()
            return strings(name.encode(), key.sign(data, padding.PKCS1v15(), digest))

        return sign_rsa
    size = key.curve.key_size
    digest = hashes.SHA256() if size <= 256 else hashes.SHA384() if size <= 384 else hashes.SHA512()

    def sign_ecdsa(data: bytes, algorithm: str, deadline: Deadline, guard: Callable[[], None]) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        return strings(f"ecdsa-sha2-nistp{size}".encode(), strings(_mpint(r), _mpint(s)))

    return sign_ecdsa


def _mpint(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")
