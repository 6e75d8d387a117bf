"""Secrets on their way into the database and out of it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping

from sshexec.credentials.keyring import Keyring, SealedSecret
from sshexec.credentials.providers import Provider, Providers
from sshexec.credentials.vault import VaultPasswords, VaultSecret
from sshexec.errors import CredentialError
from sshexec.inventory.cmdb.values import decode
from sshexec.secret import Secret, SecretExpression

_LONE = re.compile(
    r"""\s*\{\{\s*[^\W\d]\w*"""
    r"""(?:\s*\.\s*\w+|\s*\[\s*(?:'[^'\\]*'|"[^"\\]*"|\w+)\s*\]|\s*\|\s*[^\W\d]\w*)*\s*\}\}\s*"""
)
"""A variable, some part of it, filters without arguments: no text of its own."""


def context_of(variable: str) -> str:
    """Return what a variable's secrets are bound to; not the host, which may be renamed."""
    return f"variable {variable}"


class KeyringSecrets:
    """Seals with a keyring, which is asked for its key once there is something to seal or to open.

    Args:
        keyring: the keys.
        vault: what opens the values that ansible-vault encrypted.
        providers: who fetches the secrets that credentials refer to.
    """

    def __init__(
        self,
        keyring: Keyring,
        vault: VaultPasswords | None = None,
        providers: Providers | Mapping[str, Provider] | None = None,
    ) -> None:
        self.keyring = keyring
        self.providers = providers if isinstance(providers, Providers) else Providers(providers)
        self._vault = vault

    def seal(self, secret: Secret | str, variable: str, owner: str) -> str:
        """Return the token of a secret; that of one that the keyring has sealed for such a variable is kept."""
        context = context_of(variable)
        if isinstance(secret, SealedSecret) and secret.keyring is self.keyring and secret.context == context:
            return secret.token
        text = secret.reveal() if isinstance(secret, Secret) else secret
        return self.keyring.seal(text, context=context, what=f"{variable} of {owner}")

    def ciphertext(self, secret: Secret) -> str | None:
        """Return what ansible-vault made of a secret."""
        return secret.ciphertext if isinstance(secret, VaultSecret) else None

    def expression(self, secret: Secret) -> str | None:
        """Return the text of a secret that is but an expression: it says where the secret is, and is none itself."""
        if not isinstance(secret, SecretExpression):
            return None
        text = secret.reveal()
        return text if _LONE.fullmatch(text) else None

    def sealed(self, token: str, variable: str, owner: str) -> Secret:
        """Return the secret of a token."""
        return SealedSecret(token, self.keyring, context=context_of(variable), what=f"{variable} of {owner}")

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
        self._present: set[tuple[str, str]] = set()
        if '"$sealed"' in variables:
            collector = _Collector(secrets.keyring)
            decode(variables, collector, owner)
            self._tokens, self._present = collector.tokens, collector.present

    def seal(self, secret: Secret | str, variable: str, owner: str) -> str:
        """Return the token that a variable of this text has already, or a new one."""
        if isinstance(secret, SealedSecret) and (variable, secret.token) in self._present:
            return secret.token
        text = secret.reveal() if isinstance(secret, Secret) else secret
        return self._tokens.get((variable, text)) or super().seal(secret, variable, owner)


class _Collector(KeyringSecrets):
    """Collects tokens, and what those are of that can be opened."""

    def __init__(self, keyring: Keyring) -> None:
        super().__init__(keyring)
        self.tokens: dict[tuple[str, str], str] = {}
        self.present: set[tuple[str, str]] = set()

    def sealed(self, token: str, variable: str, owner: str) -> Secret:
        secret = super().sealed(token, variable, owner)
        self.present.add((variable, token))
        # What can't be opened is set anew, with whatever key there is now.
        with contextlib.suppress(CredentialError):
            self.tokens[variable, secret.reveal()] = token
        return secret
