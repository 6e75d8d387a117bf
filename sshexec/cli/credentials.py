"""``sshexec credentials``: keys, and the credentials in an inventory database."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sshexec.cli.sources import key_option, openers
from sshexec.cli.stderr import tell
from sshexec.cli.stdout import Stdout
from sshexec.cli.table import table
from sshexec.cli.untrusted import harmless
from sshexec.cli.variables import ask_password
from sshexec.errors import CredentialError
from sshexec.inventory.cmdb.fields import FIELDS
from sshexec.secret import HIDDEN, Secret

if TYPE_CHECKING:
    from sshexec.credentials.providers import Reference
    from sshexec.inventory.cmdb.cmdb import Cmdb
    from sshexec.inventory.cmdb.credentials import CredentialRecord

_Function = TypeVar("_Function", bound=Callable[..., Any])

_EPILOG = """\b
Examples:
  sshexec credentials keygen                                            make the key that secrets are sealed with
  sshexec credentials set sqlite:///cmdb.db deploy --user deploy --password-from - --group web
  sshexec credentials set sqlite:///cmdb.db deploy --private-key-from file:~/.ssh/deploy
  sshexec credentials set sqlite:///cmdb.db root --become-password-ref env:BECOME_PASSWORD --host db1
  sshexec credentials list sqlite:///cmdb.db
  sshexec credentials check sqlite:///cmdb.db                           does every secret open?
  sshexec credentials keygen --add; sshexec credentials rotate sqlite:///cmdb.db

\b
A secret comes from a place, never from the command line: env:NAME, file:PATH, command:PROGRAM ARGUMENTS, or - for
standard input or a question at the terminal. --...-from reads it now and seals it; --...-ref keeps the place (or a
provider's NAME:...), which each run asks again."""

_MOST = 2**20
"""Bytes that are read of standard input."""


@click.group(
    epilog=_EPILOG, short_help="keep keys, and the passwords and keys of hosts in a database", no_args_is_help=False
)
def command() -> None:
    """Keep keys, and the credentials in an inventory database: passwords and keys for hosts and groups."""


@command.command(short_help="make a key, which secrets are sealed with")
@click.argument("file", required=False)
@click.option("--add", is_flag=True, help="Put a new key on top of those in the file, which still open.")
def keygen(file: str | None, add: bool) -> int:
    """Write a new key into FILE (default: ~/.config/sshexec/key), which is made with mode 0600.

    Without the key nobody opens what is sealed with it: keep a copy elsewhere.
    """
    from sshexec.credentials.keyring import default_key_file, write_key

    path = file or default_key_file()
    name = write_key(path, add=add)
    return _print(f"key {name} is in {path}; keep a copy of it elsewhere, but not beside the database\n")


@command.command("list", short_help="list credentials, and whom they are for")
@click.argument("url")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_all(url: str, as_json: bool) -> int:
    """List the credentials in the database at URL. No secret is shown, and no key needed."""
    with _cmdb(url, {}) as cmdb:
        records = cmdb.credentials.all()
    if as_json:
        return _print(json.dumps([_plain(record) for record in records], indent=2) + "\n")
    stdout = Stdout()
    stdout.write(table(("name", "fields", "for"), [_row(record) for record in records], stdout, ("fields", "for")))
    stdout.flush()
    return 0


def _settings(function: _Function) -> _Function:
    """Give a command the options that set a credential's fields."""
    for name, field in reversed(FIELDS.items()):
        flag = f"--{name.replace('_', '-')}"
        if field.secret:
            again = "The same, asked for each run."
            function = click.option(f"{flag}-ref", f"{name}_ref", metavar="REF", help=again)(function)
            function = click.option(f"{flag}-from", f"{name}_from", metavar="PLACE", help=field.help)(function)
        else:
            either = f"{flag}/--no-become" if name == "become" else flag
            function = click.option(either, name, default=None, help=field.help)(function)
    return function


def _scopes(word: str) -> Callable[[_Function], _Function]:
    def declare(function: _Function) -> _Function:
        for kind in ("group", "host"):
            help_ = f"{word} this {kind}. May be repeated."
            function = click.option(f"--{kind}", f"{kind}s", multiple=True, metavar="NAME", help=help_)(function)
        return function

    return declare


@command.command("set", short_help="make or change a credential, or give it to more hosts and groups")
@click.argument("url")
@click.argument("name")
@_settings
@click.option("--unset", multiple=True, metavar="FIELD", help="Take a field away, such as become_user.")
@click.option("--description", metavar="TEXT", help="One line for people.")
@_scopes("For")
@key_option
def set_one(
    url: str,
    name: str,
    unset: tuple[str, ...],
    description: str | None,
    hosts: tuple[str, ...],
    groups: tuple[str, ...],
    **options: Any,
) -> int:
    """Make the credential NAME in the database at URL, or change what is given of it.

    The hosts and groups that are named come to those that it is for already; `unassign` takes them away.
    """
    fields: dict[str, Any] = {key.replace("-", "_"): None for key in unset}
    for key, field in FIELDS.items():
        if (value := _secret(key, options) if field.secret else options[key]) is not None:
            fields[key] = value
    with _cmdb(url, options) as cmdb:
        cmdb.credentials.put(name, fields, description=description, hosts=hosts, groups=groups)
    return 0


@command.command(short_help="take a credential from hosts and groups")
@click.argument("url")
@click.argument("name")
@_scopes("From")
def unassign(url: str, name: str, hosts: tuple[str, ...], groups: tuple[str, ...]) -> int:
    """Take the credential NAME from hosts and groups."""
    if not hosts and not groups:
        raise click.UsageError("name a --host or a --group", click.get_current_context())
    with _cmdb(url, {}) as cmdb:
        cmdb.credentials.unassign(name, hosts=hosts, groups=groups)
    return 0


@command.command(short_help="remove a credential")
@click.argument("url")
@click.argument("name")
def remove(url: str, name: str) -> int:
    """Remove the credential NAME from the database at URL."""
    with _cmdb(url, {}) as cmdb:
        cmdb.credentials.remove(name)
    return 0


@command.command(short_help="give a credential another name")
@click.argument("url")
@click.argument("name")
@click.argument("new")
def rename(url: str, name: str, new: str) -> int:
    """Give the credential NAME another name; no key is needed."""
    with _cmdb(url, {}) as cmdb:
        cmdb.credentials.rename(name, new)
    return 0


@command.command(short_help="seal every secret with the first key")
@click.argument("url")
@key_option
def rotate(url: str, **options: Any) -> int:
    """Seal every secret in the database at URL with the first key: credentials, and variables of hosts and groups.

    The old key has to be there, too, behind the new one (`sshexec credentials keygen --add`). It is one transaction;
    afterwards the old key may be taken out of the file.
    """
    with _cmdb(url, options) as cmdb:
        done = cmdb.credentials.rotate()
        first = cmdb.secrets.keyring.names[0] if done.sealed else ""
    if not done.sealed:
        return _print("no secret is sealed there\n")
    what = "1 secret is" if done.sealed == 1 else f"{done.sealed} secrets are"
    return _print(f"{what} sealed with the key {first}, {done.changed} of them anew\n")


@command.command(short_help="open every secret, and show none")
@click.argument("url")
@key_option
def check(url: str, **options: Any) -> int:
    """Open every secret in the database at URL, and ask every provider; nothing is shown.

    Exit code 2 where one can't be had.
    """
    with _cmdb(url, options) as cmdb:
        found = cmdb.credentials.check()
    for problem in found.problems:
        tell(f"sshexec: {harmless(problem)}")
    keys = ", ".join(f"{count} with the key {key}" for key, count in found.keys.items())
    good, bad = found.opened, len(found.problems)
    says = f"{good} secret{'s open' if good != 1 else ' opens'}, {bad} do{'es' if bad == 1 else ''} not"
    _print(f"{says}{f'; sealed: {keys}' if keys else ''}\n")
    return 2 if found.problems else 0


def _cmdb(url: str, options: Mapping[str, Any]) -> Cmdb:
    from sshexec.inventory.cmdb.cmdb import Cmdb

    keys = openers(options)
    return Cmdb(url, keys.keyring, vault=keys.vault, providers=keys.providers, create=False)


def _secret(field: str, options: Mapping[str, Any]) -> Secret | Reference | None:
    from sshexec.credentials.providers import Reference

    place, reference = options[f"{field}_from"], options[f"{field}_ref"]
    flag = f"--{field.replace('_', '-')}"
    if place is not None and reference is not None:
        raise click.UsageError(f"{flag}-from and {flag}-ref exclude each other", click.get_current_context())
    if reference is not None:
        return Reference(reference)
    return None if place is None else _read(f"{flag}-from", field, place)


def _read(flag: str, field: str, place: str) -> Secret:
    from sshexec.credentials.providers import Providers

    if place != "-":
        try:
            return Secret(Providers().fetch(place))
        except CredentialError as error:
            raise CredentialError(f"{flag}: {error}") from None
    if sys.stdin.isatty():
        return ask_password(flag, f"{field.replace('_', ' ').capitalize()}: ")
    try:
        text = sys.stdin.buffer.read(_MOST + 1).decode()
    except UnicodeDecodeError:
        raise CredentialError(f"{flag}: standard input is no UTF-8 text") from None
    if len(text) > _MOST:
        raise CredentialError(f"{flag}: standard input is larger than {_MOST // 2**20} MiB")
    return Secret(text.removesuffix("\n").removesuffix("\r"))


def _plain(record: CredentialRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "description": record.description,
        "fields": {name: _shown(value) for name, value in record.fields.items()},
        "hosts": list(record.hosts),
        "groups": list(record.groups),
        "created": record.created,
        "updated": record.updated,
    }


def _shown(value: str | Secret) -> Any:
    """Return a field for JSON: a secret as where it is, or which key opens it."""
    from sshexec.credentials.keyring import SealedSecret, key_of
    from sshexec.credentials.providers import ReferencedSecret

    if isinstance(value, ReferencedSecret):
        return {"reference": value.shown}
    if isinstance(value, SealedSecret):
        return {"sealed": key_of(value.token)}
    return value if isinstance(value, str) else HIDDEN


def _row(record: CredentialRecord) -> list[str]:
    shown = {name: _shown(value) for name, value in record.fields.items()}
    fields = [
        f"{name}={value.get('reference', HIDDEN) if isinstance(value, dict) else value}"
        for name, value in shown.items()
    ]
    scopes = [*(f"@{name}" for name in record.groups), *record.hosts]
    return [record.name, " ".join(fields), " ".join(scopes) or "nobody"]


def _print(text: str) -> int:
    stdout = Stdout()
    stdout.write(harmless(text) if stdout.terminal else text)
    stdout.flush()
    return 0
