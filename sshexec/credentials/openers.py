"""What opens the secrets of one inventory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sshexec.credentials.keyring import Keyring
from sshexec.credentials.passwords import vault_passwords
from sshexec.credentials.providers import Provider, Providers
from sshexec.credentials.vault import VaultPassword, VaultPasswords
from sshexec.errors import CredentialError
from sshexec.secret import Secret


@dataclass(frozen=True, slots=True)
class Openers:
    """Keys, vault passwords and providers; none is asked for before there is something to open.

    Args:
        keyring: opens what is sealed in a database.
        vault: opens what ansible-vault has encrypted.
        providers: fetch what somebody else keeps.
    """

    keyring: Keyring = field(default_factory=Keyring.load)
    vault: VaultPasswords = field(default_factory=vault_passwords)
    providers: Providers = field(default_factory=Providers)

    @classmethod
    def of(
        cls,
        keyring: Keyring | str | None = None,
        vault: VaultPasswords | VaultPassword | Secret | str | None = None,
        providers: Providers | Mapping[str, Provider] | None = None,
    ) -> Openers:
        """Return what a caller gives, and for the rest what the environment says.

        Args:
            keyring: keys, or the place of them as `Keyring.load` takes it.
            vault: passwords, or the only one.
            providers: callables by their names.

        Raises:
            CredentialError: one is of another type, or a provider's name is wrong.
        """
        if keyring is not None and not isinstance(keyring, (Keyring, str)):
            raise CredentialError(f"keyring: expected a Keyring or its place, got {type(keyring).__name__}")
        if vault is not None and not isinstance(vault, (VaultPasswords, VaultPassword, Secret, str)):
            raise CredentialError(f"vault: expected VaultPasswords or a password, got {type(vault).__name__}")
        if providers is not None and not isinstance(providers, (Providers, Mapping)):
            raise CredentialError(f"providers: expected a mapping of names, got {type(providers).__name__}")
        if vault is None:
            vault = vault_passwords()
        elif not isinstance(vault, VaultPasswords):
            vault = VaultPasswords([vault])
        return cls(
            keyring if isinstance(keyring, Keyring) else Keyring.load(keyring),
            vault,
            providers if isinstance(providers, Providers) else Providers(providers),
        )
