"""``group_vars/`` and ``host_vars/`` next to the sources of an inventory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from sshexec.credentials.vault import VaultPasswords, is_vault
from sshexec.errors import InventoryError
from sshexec.inventory.document import Document, read_json, read_yaml
from sshexec.inventory.files import read_text
from sshexec.inventory.members import MAX_DEPTH, Scope, is_too_deep
from sshexec.secret import as_secrets

_EXTENSIONS = ("", ".yml", ".yaml", ".json")
_MAX_DEPTH = 20


class FileScope(Scope):
    """The variables of one file."""

    __slots__ = ()
    kind = ""


class VariableFiles:
    """The variable files of every group and host, read when they are asked for, once.

    Args:
        directories: where the sources lie: absolute path, and the path to show; later ones win.
        vault: opens what ansible-vault has encrypted: single values once they are asked for, whole files when read.
    """

    def __init__(self, directories: Mapping[str, str], vault: VaultPasswords) -> None:
        self._directories = directories
        self._vault = vault
        self._listings: dict[str, frozenset[str]] = {}
        self._read: dict[tuple[str, str], list[FileScope]] = {}

    def of_group(self, name: str) -> list[FileScope]:
        """Return the variables in ``group_vars/NAME``, the weakest first.

        Raises:
            InventoryError: a file is unreadable or wrong.
            CredentialError: one is encrypted, and no password opens it.
        """
        return self._scopes("group_vars", name)

    def of_host(self, name: str) -> list[FileScope]:
        """Return the variables in ``host_vars/NAME``, the weakest first.

        Raises:
            InventoryError: a file is unreadable or wrong.
            CredentialError: one is encrypted, and no password opens it.
        """
        return self._scopes("host_vars", name)

    def _scopes(self, kind: str, name: str) -> list[FileScope]:
        key = (kind, name)
        if key not in self._read:
            paths = (path for directory in self._directories.items() for path in self._files(directory, kind, name))
            self._read[key] = [_read(path, shown, self._vault) for path, shown in paths]
        return self._read[key]

    def _files(self, directory: tuple[str, str], kind: str, name: str) -> Iterable[tuple[str, str]]:
        """Yield absolute path and path to show of each file; of NAME, NAME.yml ... the first that is there counts."""
        absolute, shown = (os.path.join(path, kind) for path in directory)
        entries = self._listings.get(absolute)
        if entries is None:
            entries = self._listings[absolute] = frozenset(_names(absolute, shown))
        if entries and os.sep not in name:
            for extension in _EXTENSIONS:
                if name + extension in entries:
                    return _below(os.path.join(absolute, name + extension), os.path.join(shown, name + extension), 0)
        return ()


def _names(path: str, shown: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InventoryError(f"can't be read: {error.strerror or error}", path=shown) from error


def _below(path: str, shown: str, depth: int) -> Iterator[tuple[str, str]]:
    """Yield a file, or the variable files below a directory in the order of their names."""
    if not os.path.isdir(path):
        yield path, shown
        return
    if depth > _MAX_DEPTH:
        raise InventoryError(f"is nested deeper than {_MAX_DEPTH} directories", path=shown)
    for name in _names(path, shown):
        if name.startswith(".") or name.endswith("~"):
            continue
        inner = os.path.join(path, name)
        extension = os.path.splitext(name)[1]
        if extension in _EXTENSIONS and not (extension and os.path.isdir(inner)):
            yield from _below(inner, os.path.join(shown, name), depth + 1)


def _read(path: str, shown: str, vault: VaultPasswords) -> FileScope:
    text = read_text(path, shown)
    encrypted = is_vault(text)
    if encrypted:
        text = vault.decrypt(text, shown)
    read = read_json if text.lstrip()[:1] == "{" else read_yaml
    document: Document = read(text, shown, vault)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise InventoryError(f"must hold a mapping of variables, not {type(data).__name__}", path=shown)
    scope = FileScope(shown)
    lines = document.lines_of(data)
    for name, value in data.items():
        if not isinstance(name, str):
            raise InventoryError(
                f"the variable name {name!r} is not text; put it into quotes", path=shown, line=lines[name]
            )
        if is_too_deep(value):
            raise InventoryError(f"{name!r} is nested deeper than {MAX_DEPTH} levels", path=shown, line=lines.get(name))
        scope.vars[name] = as_secrets(value) if encrypted else value
        scope.origins[name] = (shown, lines.get(name))
    return scope
