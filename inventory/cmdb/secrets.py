"""Secrets on their way into the database and out of it."""

from __future__ import annotations

import contextlib
import re

from sshexec import secret as _secret
from sshexec.credentials.keyring import Keyring, SealedSecret
from sshexec.credentials.vault import VaultPasswords, VaultSecret
from sshexec.errors import CredentialError
from sshexec.inventory.cmdb.values import decode
from sshexec.secret import Secret

_LONE = re.compile(r"\s*\{\{((?!\}\}).)*\}\}\s*", re.DOTALL)


def context_of(variable: str) -> str:
    """Return what a variable's secrets are bound to; not the host, which may be renamed."""
    return f"variable {variable}"


class _StoredSecret(SealedSecret):
    """A sealed secret that knows its keyring: written back where it was read, it needs no key."""

    __slots__ = ("keyring",)

    def __init__(self, token: str, keyring: Keyring, *, context: str, what: str) -> None:
        super().__init__(token, keyring, context=context, what=what)
        self.keyring = keyring


class KeyringSecrets:
    """Seals with a keyring, which is asked for its key once there is something to seal or to open.

    Args:
        keyring: the keys.
        vault: what opens the values that ansible-vault encrypted.
    """

    def __init__(self, keyring: Keyring, vault: VaultPasswords | None = None) -> None:
        self.keyring = keyring
        self._vault = vault

    def seal(self, secret: Secret | str, variable: str, owner: str) -> str:
        """Return the token of a secret; that of one that the keyring has sealed for such a variable is kept."""
        context = context_of(variable)
        if isinstance(secret, _StoredSecret) and secret.keyring is self.keyring and secret.context == context:
            return secret.token
        text = secret.reveal() if isinstance(secret, Secret) else secret
        return self.keyring.seal(text, context=context, what=f"{variable} of {owner}")

    def ciphertext(self, secret: Secret) -> str | None:
        """Return what ansible-vault made of a secret."""
        return secret.ciphertext if isinstance(secret, VaultSecret) else None

    def expression(self, secret: Secret) -> str | None:
        """Return the text of a secret that is but an expression: it says where the secret is."""
        if not isinstance(secret, getattr(_secret, "SecretExpression", ())):
            return None
        text = secret.reveal()
        return text if _LONE.fullmatch(text) else None

    def sealed(self, token: str, variable: str, owner: str) -> Secret:
        """Return the secret of a token."""
        return _StoredSecret(token, self.keyring, context=context_of(variable), what=f"{variable} of {owner}")

    def vaulted(self, ciphertext: str, variable: str, owner: str) -> Secret:
        """Return what ansible-vault encrypted."""
        return VaultSecret(ciphertext, self._vault, what=f"{variable} of {owner}")


class KnownSecrets(KeyringSecrets):
    """Seals what differs from what is sealed already, so that what is unchanged stays the same.

    Args:
        secrets: seals the rest.
        variables: as the database has them.
        owner: whose they are.
    """

    def __init__(self, secrets: KeyringSecrets, variables: str, owner: str) -> None:
        super().__init__(secrets.keyring)
        self._tokens: dict[tuple[str, str], str] = {}
        if '"$sealed"' in variables:
            decode(variables, _Collector(self._tokens, secrets.keyring), owner)

    def seal(self, secret: Secret | str, variable: str, owner: str) -> str:
        """Return the token that a variable of this text has already, or a new one."""
        if not isinstance(secret, _StoredSecret):
            text = secret.reveal() if isinstance(secret, Secret) else secret
            known = self._tokens.get((variable, text))
            if known is not None:
                return known
        return super().seal(secret, variable, owner)


class _Collector(KeyringSecrets):
    """Collects the tokens of what can be opened."""

    def __init__(self, found: dict[tuple[str, str], str], keyring: Keyring) -> None:
        super().__init__(keyring)
        self._found = found

    def sealed(self, token: str, variable: str, owner: str) -> Secret:
        secret = super().sealed(token, variable, owner)
        # What can't be opened is set anew, with whatever key there is now.
        with contextlib.suppress(CredentialError):
            self._found[variable, secret.reveal()] = token
        return secret
