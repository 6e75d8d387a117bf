"""ansible-vault: texts encrypted with a password, formats 1.1 and 1.2, and the passwords that open them.

The format is Ansible's (ansible-core 2.19, ``parsing/vault``): PBKDF2 with SHA-256 makes of password and salt a key for
AES-256 in counter mode, one for HMAC-SHA256, and the first counter.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from sshexec.errors import CredentialError
from sshexec.secret import LazySecret, Secret, opening

MARK = "$ANSIBLE_VAULT;"
"""How every such text begins."""

DEFAULT = "default"
"""The label of a password that has none of its own."""

_HEADER = re.compile(r"\$ANSIBLE_VAULT;(1\.[12]);([A-Z0-9]+)(?:;([^;\n]*))?", re.ASCII)
_ITERATIONS = 10_000
_KEY = 32
_BLOCK = 16
_SALT = 32
_WIDTH = 80


@dataclass(frozen=True)
class VaultPassword:
    """One password.

    Args:
        label: its vault id.
        source: the password itself, or what returns it when it is first needed.
    """

    label: str
    source: Secret | Callable[[], Secret] = field(repr=False)


class VaultPasswords:
    """The passwords that a user knows; each is read when it is first needed, once.

    Args:
        passwords: in the order in which they are tried; one whose label the text names comes first. A mere text or
            `Secret` is one without a label.
    """

    def __init__(self, passwords: Iterable[VaultPassword | Secret | str] | Secret | str = ()) -> None:
        listed = [passwords] if isinstance(passwords, (str, Secret)) else passwords
        self._passwords = [each if isinstance(each, VaultPassword) else _unlabelled(each) for each in listed]
        self._read: dict[int, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._passwords)

    def __repr__(self) -> str:
        return f"<VaultPasswords {', '.join(each.label for each in self._passwords) or 'none'}>"

    def decrypt(self, text: str, what: str) -> str:
        """Return what is encrypted.

        Args:
            text: begins with `MARK`.
            what: whose text it is, for messages.

        Raises:
            CredentialError: no password opens it, or it is damaged.
        """
        label, salt, mac, cipher = _parts(text, what)
        if not self._passwords:
            raise CredentialError(
                f"{what}: is encrypted with ansible-vault (vault id {label}), and there is no password for it: "
                "give one with --vault-password-file, --vault-id or -J"
            )
        numbers = sorted(range(len(self._passwords)), key=lambda number: self._passwords[number].label != label)
        for number in numbers:
            key, authentic, counter = _derived(self._password(number), salt)
            if hmac.compare_digest(hmac.digest(authentic, cipher, "sha256"), mac):
                return _plain(_aes(key, counter, cipher), what)
        tried = ", ".join(self._passwords[number].label for number in numbers)
        raise CredentialError(f"{what}: none of the vault passwords opens it (vault id {label}; tried: {tried})")

    def encrypt(self, text: str, label: str | None = None) -> str:
        """Return a text encrypted with the password of a label, the first one where none is named.

        Raises:
            CredentialError: there is no such password.
        """
        numbers = [n for n, each in enumerate(self._passwords) if label is None or each.label == label]
        if not numbers:
            known = ", ".join(each.label for each in self._passwords) or "none"
            raise CredentialError(f"there is no vault password {label or ''} to encrypt with (there are: {known})")
        salt = os.urandom(_SALT)
        key, authentic, counter = _derived(self._password(numbers[0]), salt)
        plain = text.encode("utf-8", "surrogatepass")
        pad = _BLOCK - len(plain) % _BLOCK
        cipher = _aes(key, counter, plain + bytes([pad]) * pad)
        mac = hmac.digest(authentic, cipher, "sha256")
        body = b"\n".join(binascii.hexlify(part) for part in (salt, mac, cipher)).hex()
        name = self._passwords[numbers[0]].label
        # As Ansible: only a text with a label of its own needs the newer format.
        header = f"{MARK}1.1;AES256" if name == DEFAULT else f"{MARK}1.2;AES256;{name}"
        return "\n".join([header, *(body[at : at + _WIDTH] for at in range(0, len(body), _WIDTH))]) + "\n"

    def _password(self, number: int) -> bytes:
        with opening():  # two runs that begin at the same time ask the user once
            if number not in self._read:
                source = self._passwords[number].source
                secret = source if isinstance(source, Secret) else source()
                password = secret.reveal().encode("utf-8", "surrogatepass")
                if not password:
                    raise CredentialError(f"the vault password {self._passwords[number].label} is empty")
                self._read[number] = password
            return self._read[number]


class VaultSecret(LazySecret):
    """A text encrypted with ansible-vault, decrypted when it is asked for.

    Args:
        ciphertext: as it stands in its file.
        passwords: open it.
        what: whose secret it is, for messages.
    """

    __slots__ = ("_passwords", "_what", "ciphertext")

    def __init__(self, ciphertext: str, passwords: VaultPasswords | None = None, *, what: str = "a variable") -> None:
        super().__init__()
        self.ciphertext = ciphertext
        self._passwords = passwords or VaultPasswords()
        self._what = what

    @property
    def openable(self) -> bool:
        """Whether there is any password to try."""
        return bool(self._passwords)

    def _open(self) -> str:
        return self._passwords.decrypt(self.ciphertext, self._what)

    def sealed(self) -> Hashable:
        """Return the lines of the ciphertext, however they are indented."""
        return tuple(self.ciphertext.split())


def is_vault(text: str) -> bool:
    """Return whether a text is encrypted with ansible-vault."""
    return text.startswith(MARK)


def _unlabelled(password: Secret | str) -> VaultPassword:
    return VaultPassword(DEFAULT, password if isinstance(password, Secret) else Secret(password))


def _parts(text: str, what: str) -> tuple[str, bytes, bytes, bytes]:
    """Return label, salt, MAC and cipher."""
    lines = text.split()
    header = _HEADER.fullmatch(lines[0]) if lines else None
    if header is None or header[2] != "AES256":
        raise CredentialError(f"{what}: is no ansible-vault text of format 1.1 or 1.2 (AES256)")
    try:
        parts = [binascii.unhexlify(part) for part in binascii.unhexlify("".join(lines[1:])).split(b"\n")]
    except (binascii.Error, ValueError):
        parts = []
    if len(parts) != 3 or not parts[2]:
        raise CredentialError(f"{what}: the ansible-vault text is damaged")
    salt, mac, cipher = parts
    return header[3] or DEFAULT, salt, mac, cipher


def _derived(password: bytes, salt: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the key of the cipher, that of the MAC, and the first counter."""
    derived = hashlib.pbkdf2_hmac("sha256", password, salt, _ITERATIONS, 2 * _KEY + _BLOCK)
    return derived[:_KEY], derived[_KEY : 2 * _KEY], derived[2 * _KEY :]


def _aes(key: bytes, counter: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CTR

    cipher = Cipher(AES(key), CTR(counter)).encryptor()
    return cipher.update(data) + cipher.finalize()


def _plain(padded: bytes, what: str) -> str:
    pad = padded[-1]
    if not 1 <= pad <= _BLOCK or padded[-pad:] != bytes([pad]) * pad:
        raise CredentialError(f"{what}: the ansible-vault text is damaged")
    try:
        return padded[:-pad].decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise CredentialError(f"{what}: what is encrypted is no UTF-8 text") from None
