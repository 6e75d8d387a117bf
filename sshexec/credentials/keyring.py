"""The keys that secrets are sealed with, and the seal: AES-256-GCM under a key that the token names.

A token is bound to its ``context``: what kind of secret it is, such as ``variable db_password``. Moved to a place of
another kind it does not open. It is not bound to the host or credential that it belongs to: whoever may write to the
database can send a host's logins elsewhere by its address anyway, and so hosts and credentials can be renamed and
copied where no key is.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, NoReturn

from sshexec.credentials.places import read_command, read_environment, read_file
from sshexec.errors import CredentialError
from sshexec.secret import LazySecret, Secret, opening

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VARIABLE = "SSHEXEC_KEY_FILE"
"""The environment variable that says where the keys are."""

_VERSION = "v1"
_TOKEN = re.compile(r"v1\.([0-9a-f]{8})\.([A-Za-z0-9_-]{38,})", re.ASCII)
_NONCE = 12
_TAG = 16
_SIZE = 32


def default_key_file() -> str:
    """Return the file that holds the user's keys where nothing else is said."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.join("~", ".config")
    return os.path.join(home, "sshexec", "key")


class Keyring:
    """One or several keys: the first seals, all open. It is read when it is first needed, once.

    Args:
        keys: each 32 bytes as base64, as `new_key` makes them, or a `Secret` of that.

    Raises:
        CredentialError: one of them is no key.
    """

    def __init__(self, keys: Iterable[str | Secret]) -> None:
        self._source: str | None = None
        self._keys: dict[str, AESGCM] | None = _keys(
            (each.reveal() if isinstance(each, Secret) else each for each in keys), "the keyring"
        )

    @classmethod
    def load(cls, source: str | None = None) -> Keyring:
        """Return the keys at a place, which is looked at once they are needed.

        Args:
            source: ``file:PATH`` or a mere path (mode 0600), ``env:NAME``, or ``command:PROGRAM ARGUMENTS``; several
                keys stand on a line each. None is what `VARIABLE` says, else `default_key_file`.
        """
        keyring = cls.__new__(cls)
        keyring._source = source or os.environ.get(VARIABLE) or None
        keyring._keys = None
        return keyring

    def seal(self, text: str, *, context: str, what: str | None = None) -> str:
        """Return a text encrypted with the first key, as ASCII.

        Args:
            text: the secret.
            context: what kind of secret it is; it has to be said again to open it.
            what: whose secret it is, for messages; None is the context.

        Raises:
            CredentialError: there is no key.
        """
        name, cipher = next(iter(self._ready(what or context).items()))
        nonce = os.urandom(_NONCE)
        body = nonce + cipher.encrypt(nonce, text.encode("utf-8", "surrogatepass"), _bound(context))
        return f"{_VERSION}.{name}.{base64.urlsafe_b64encode(body).decode().rstrip('=')}"

    def open(self, token: str, *, context: str, what: str | None = None) -> str:
        """Return the text of a token.

        Args:
            token: what `seal` returned.
            context: what was said there.
            what: whose secret it is, for messages; None is the context.

        Raises:
            CredentialError: its key is not there, or it was altered, or sealed as another kind of secret.
        """
        what = what or context
        found = _TOKEN.fullmatch(token)
        if found is None:
            raise CredentialError(f"{what}: is no sealed secret, or one of a newer sshexec")
        keys = self._ready(what)
        cipher = keys.get(found[1])
        if cipher is None:
            raise CredentialError(
                f"{what}: is sealed with the key {found[1]}, and {self._place()} holds {', '.join(keys)} only; "
                f"name the file with that key by --key-file or {VARIABLE}"
            )
        from cryptography.exceptions import InvalidTag

        try:
            body = base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4))
            plain = cipher.decrypt(body[:_NONCE], body[_NONCE:], _bound(context))
        except (InvalidTag, binascii.Error):
            raise CredentialError(
                f"{what}: the sealed text was altered, or moved here from elsewhere; set it again"
            ) from None
        return plain.decode("utf-8", "surrogatepass")

    def reseal(self, token: str, *, context: str, what: str | None = None) -> str:
        """Return the token sealed with the first key; the same one where it is already.

        Raises:
            CredentialError: as `open`.
        """
        keys = self._ready(what or context)
        text = self.open(token, context=context, what=what)
        return token if key_of(token) == next(iter(keys)) else self.seal(text, context=context, what=what)

    @property
    def names(self) -> tuple[str, ...]:
        """The short fingerprint of each key, the one that seals first.

        Raises:
            CredentialError: there is no key.
        """
        return tuple(self._ready("the keyring"))

    def _ready(self, what: str) -> dict[str, AESGCM]:
        if self._keys is None:
            with opening():
                if self._keys is None:
                    self._keys = self._read(what)
        return self._keys

    def _read(self, what: str) -> dict[str, AESGCM]:
        if self._source is not None and _holds_key(self._source):
            # Any other message would show it.
            raise CredentialError(
                f"{what}: a key itself stands where the place of the key should: name a file, env:NAME or "
                "command:PROGRAM"
            )
        try:
            text = _read(self._source or f"file:{default_key_file()}")
        except CredentialError as error:
            if self._source is None and not os.path.lexists(os.path.expanduser(default_key_file())):
                raise CredentialError(
                    f"{what}: there is no key for secrets: make one with `sshexec credentials keygen`, or say where it "
                    f"is by --key-file or {VARIABLE}"
                ) from None
            raise CredentialError(f"{what}: the key for secrets: {error}") from None
        return _keys(text.splitlines(), self._place())

    def _place(self) -> str:
        if self._keys is not None and self._source is None:
            return "the keyring"
        source = self._source or default_key_file()
        # Of a command only its name.
        return source.split()[0] if source.startswith("command:") else source

    def __repr__(self) -> str:
        return f"<Keyring of {self._place()}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Keyring is not pickled")


class SealedSecret(LazySecret):
    """A secret in its seal, opened when it is asked for.

    Args:
        token: what `Keyring.seal` returned.
        keyring: opens it.
        context: what was said when it was sealed.
        what: whose secret it is, for messages; None is the context.
    """

    __slots__ = ("_what", "context", "keyring", "token")

    def __init__(self, token: str, keyring: Keyring, *, context: str, what: str | None = None) -> None:
        super().__init__()
        self.token = token
        self.context = context
        self.keyring = keyring
        self._what = what

    def _open(self) -> str:
        return self.keyring.open(self.token, context=self.context, what=self._what)

    def sealed(self) -> Hashable:
        """Return the token, which no other secret has, and its context."""
        return self.token, self.context

    def __bool__(self) -> bool:
        """Tell whether there is a text; the length says so without a key."""
        found = _TOKEN.fullmatch(self.token)
        return found is None or len(found[2]) * 3 // 4 > _NONCE + _TAG


def key_of(token: str) -> str:
    """Return the fingerprint of the key that a token is sealed with; empty where it is no token."""
    found = _TOKEN.fullmatch(token)
    return found[1] if found else ""


def new_key() -> Secret:
    """Return a new random key, as one line of a key file."""
    return Secret(base64.urlsafe_b64encode(os.urandom(_SIZE)).decode())


def fingerprint(key: Secret) -> str:
    """Return what a key is called in tokens and messages; it says nothing about the key.

    Raises:
        CredentialError: it is no key.
    """
    return _name(_decoded(key.reveal(), "the key"))


def write_key(path: str, *, add: bool = False) -> str:
    """Write a new key into a key file (mode 0600) and return its fingerprint.

    Args:
        path: the file; its folder is made where there is none.
        add: whether the file is there already: the new key goes on top and seals from now on, the others still open.

    Raises:
        CredentialError: the file is there (without ``add``), is no key file, or can't be written.
    """
    path = os.path.expanduser(path)
    if add:
        # Who adds a key through a link adds it to the file that all others read.
        path = os.path.realpath(path)
    key = new_key()
    name = fingerprint(key)
    text = f"# sshexec key {name}\n{key.reveal()}\n"
    try:
        if add:
            _add(path, text)
        else:
            os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
            _write(path, text, new=True)
    except FileExistsError:
        raise CredentialError("there is such a file already; --add puts a new key on top of it", path=path) from None
    except OSError as error:
        raise CredentialError(f"can't be written: {error.strerror or error}", path=path) from None
    return name


def _add(path: str, text: str) -> None:
    """Put a text on top of a key file; who else adds a key at this moment waits, so that none is lost."""
    while True:
        old = read_file(path, private=True)
        _keys(old.splitlines(), path)
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(lock), os.stat(path)) and read_file(path, private=True) == old:
                _write(path, f"{text}{old}\n", new=False)
                return
        finally:
            os.close(lock)


def _write(path: str, text: str, *, new: bool) -> None:
    """Write a key file as a whole, or not at all."""
    beside = f"{path}.{os.getpid()}.new"
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(handle, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        # A link refuses to replace what is there; a key that is overwritten is lost.
        os.link(beside, path) if new else os.replace(beside, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)


def _read(source: str) -> str:
    kind, _, rest = source.partition(":")
    if kind == "env":
        return read_environment(rest)
    if kind == "command":
        return read_command(rest)
    return read_file(rest if kind == "file" else source, private=True)


def _keys(lines: Iterable[str], place: str) -> dict[str, AESGCM]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    found: dict[str, AESGCM] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if line and not line.startswith("#"):
            key = _decoded(line, f"{place}: line {number}")
            found[_name(key)] = AESGCM(key)
    if not found:
        raise CredentialError(f"{place}: holds no key")
    return found


def _holds_key(source: str) -> bool:
    """Return whether somebody gave the text of a key file where its name is wanted."""
    if source.startswith("command:"):
        return False
    for word in re.split(r"[\s:]+", source):
        with contextlib.suppress(CredentialError):
            _decoded(word, "")
            return True
    return False


def _decoded(text: str, what: str) -> bytes:
    try:
        key = base64.b64decode(text.translate(_STANDARD).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        key = b""
    if len(key) != _SIZE:
        # Without the text: it may be a key that lost a letter.
        raise CredentialError(f"{what} is no key: expected {_SIZE} bytes in base64 (sshexec credentials keygen)")
    return key


_STANDARD = str.maketrans("-_", "+/")


def _name(key: bytes) -> str:
    return hashlib.sha256(b"sshexec key\0" + key).hexdigest()[:8]


def _bound(context: str) -> bytes:
    return f"{_VERSION}\0{context}".encode("utf-8", "surrogatepass")
