"""Values in JSON that ansible-vault has encrypted, as ``ansible-inventory --list`` writes them."""

from __future__ import annotations

from typing import Any

from sshexec.credentials.vault import VaultPasswords, VaultSecret, is_vault
from sshexec.errors import InventoryError

_KEY = "__ansible_vault"


def revived(mapping: dict[str, Any], vault: VaultPasswords | None, path: str) -> Any:
    """Return a JSON object as it stands; one with the only key ``__ansible_vault`` as the secret that it means.

    Args:
        mapping: the object.
        vault: opens the secret, once it is asked for.
        path: where it stands, for messages.

    Raises:
        InventoryError: it is said to be encrypted, and is not.
    """
    if len(mapping) != 1 or _KEY not in mapping:
        return mapping
    cipher = mapping[_KEY]
    if not isinstance(cipher, str) or not is_vault(cipher):
        raise InventoryError(f"the value of {_KEY!r} is no ansible-vault text", path=path)
    return VaultSecret(cipher, vault, what=path)
