"""From sources to a draft: which kind of source each is."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sshexec.credentials.openers import Openers
from sshexec.credentials.vault import is_vault
from sshexec.database.address import is_address
from sshexec.errors import InventoryError
from sshexec.inventory.draft import Draft
from sshexec.inventory.files import read_text
from sshexec.inventory.ini import read_ini
from sshexec.inventory.listing import is_listing, read_listing
from sshexec.inventory.plugins import read_plugin
from sshexec.inventory.ranges import expand, split_port
from sshexec.inventory.script import is_script, read_script
from sshexec.inventory.source import Location, Source, read_source

_IGNORED_NAMES = frozenset({"group_vars", "host_vars", "vars_plugins"})
_IGNORED_ENDINGS = (
    *(".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst"),
    *(".orig", ".cfg", ".retry"),
)
_MAX_DEPTH = 20
_KEY = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'\[{#]\S*?)\s*:(?:\s|$)""")
_KINDS = {".yml": "yaml", ".yaml": "yaml", ".json": "json", ".ini": "ini", ".csv": "csv"}


def read_sources(sources: Location | Iterable[Location], openers: Openers | None = None) -> Draft:
    """Read one or several sources, merged in their order.

    Args:
        sources: see `Inventory.load`.
        openers: open the secrets in them.

    Raises:
        InventoryError: one is missing, unreadable or wrong.
        DatabaseError: one is a database that holds no inventory, or does not answer.
    """
    if not isinstance(sources, (str, os.PathLike, Source, Iterable)):
        raise InventoryError(f"{sources!r} is no inventory source; of a Cmdb take its source()")
    listed = [sources] if isinstance(sources, (str, os.PathLike, Source)) else list(sources)
    if not listed:
        raise InventoryError("no inventory source is given")
    draft = Draft(openers)
    with _without_collections():
        for source in listed:
            draft.path = draft.line = draft.source = None
            if isinstance(source, Source):
                read_source(draft, source)
            else:
                _read_source(draft, os.fspath(source))
        draft.finish()
    return draft


@contextmanager
def _without_collections() -> Iterator[None]:
    """Keep Python from looking for garbage meanwhile: in a large inventory there is hardly any, and it takes long."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read_source(draft: Draft, text: str) -> None:
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise InventoryError(f"{text!r} is no inventory source")
    path = os.path.expanduser(text)
    if os.path.isdir(path):
        _add_directory(draft, path)
        _read_directory(draft, path, 0)
    elif os.path.lexists(path):
        _add_directory(draft, os.path.dirname(path))
        _read_file(draft, path)
    elif is_address(text):
        # SQLAlchemy takes 0.2 s to import.
        from sshexec.inventory.cmdb.cmdb import Cmdb

        keys = draft.openers
        with Cmdb(text, keys.keyring, vault=keys.vault, providers=keys.providers, create=False) as cmdb:
            read_source(draft, cmdb.source())
    elif not read_plugin(draft, text):
        if "," not in text:
            raise InventoryError(f"there is no such file; a single host is written {text + ','!r}", path=text)
        _read_list(draft, text)


def _add_directory(draft: Draft, directory: str) -> None:
    absolute = os.path.abspath(directory)
    draft.directories.pop(absolute, None)
    draft.directories[absolute] = directory


def _read_list(draft: Draft, text: str) -> None:
    """Read ``host1,host2:2222,web[1:3]``."""
    for part in filter(None, (part.strip() for part in text.split(","))):
        if any(char.isspace() for char in part):
            raise InventoryError(f"{part!r} in the host list {text!r} is no host name")
        try:
            pattern, port = split_port(part)
            names = expand(pattern)
        except ValueError as error:
            raise InventoryError(str(error)) from None
        for name in names:
            draft.host(name, draft.groups["ungrouped"], port)
    if not draft.hosts:
        raise InventoryError(f"the host list {text!r} names no host")


def _read_directory(draft: Draft, directory: str, depth: int) -> None:
    """Read every source in a directory in the order of their names; Ansible's rules say what is none."""
    if depth > _MAX_DEPTH:
        raise InventoryError(f"is nested deeper than {_MAX_DEPTH} directories", path=directory)
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise InventoryError(f"can't be read: {error.strerror or error}", path=directory) from error
    names = [n for n in names if n[0] != "." and n not in _IGNORED_NAMES and not n.endswith(_IGNORED_ENDINGS)]
    if not names and not depth:
        raise InventoryError("the directory holds no inventory source", path=directory)
    for name in names:
        path = os.path.join(directory, name)
        if os.path.isdir(path):
            _read_directory(draft, path, depth + 1)
        else:
            _read_file(draft, path, alone=False)


def _read_file(draft: Draft, path: str, *, alone: bool = True) -> None:
    draft.path, draft.line, draft.source = path, None, os.path.abspath(path)
    if is_script(path):
        read_script(draft, draft.source)
        return
    text = read_text(path)
    draft.encrypted = is_vault(text)
    try:
        if draft.encrypted:
            text = draft.openers.vault.decrypt(text, path)
        _read_content(draft, text, alone=alone)
    finally:
        draft.encrypted = False


def _read_content(draft: Draft, text: str, *, alone: bool) -> None:
    path = draft.path or ""
    first = next((line for line in map(str.strip, text.splitlines()) if line and line[0] not in "#;"), None)
    if first is None:
        if alone:
            raise draft.error("is empty: it names no host and no group")
        draft.warn("is empty")
        return
    extension = os.path.splitext(path)[1].lower()
    if extension == ".toml":
        raise draft.error("TOML inventories are not supported; write it as YAML or INI")
    kind = _KINDS.get(extension) or _sniff(first)
    try:
        _read_text(draft, text, kind)
    except RecursionError:
        raise InventoryError("is nested too deeply", path=path) from None
    except InventoryError as error:
        if text.startswith("#!"):
            error.message += " (a script? It is not executable)"
        raise


def _read_text(draft: Draft, text: str, kind: str) -> None:
    assert draft.path is not None  # noqa: S101 - _read_file has set it
    if kind == "ini":
        read_ini(draft, text)
        return
    if kind == "csv":
        from sshexec.inventory.spreadsheet import read_spreadsheet

        read_spreadsheet(draft, text)
        return
    # PyYAML takes 10 ms to import, for nothing where the sources are INI.
    from sshexec.inventory.document import read_json, read_yaml
    from sshexec.inventory.tree import read_tree

    document = (read_json if kind == "json" else read_yaml)(text, draft.path, draft.openers.vault)
    if kind == "json" and is_listing(document.data):
        read_listing(draft, document.data)
    else:
        read_tree(draft, document)


def _sniff(first: str) -> str:
    """Return the kind of a file without a telling extension, by its first line that is no comment."""
    if first.startswith("{"):
        return "json"
    return "yaml" if first.startswith(("---", "%YAML")) or _KEY.match(first) else "ini"
