"""``sshexec hosts import``: inventories of files, and spreadsheets, into a database."""

from __future__ import annotations

from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.sources import load_inventory, openers, secret_options
from sshexec.cli.stderr import tell
from sshexec.cli.untrusted import harmless
from sshexec.errors import InputError

if TYPE_CHECKING:
    from sshexec.inventory.cmdb.cmdb import Added
    from sshexec.inventory.model import Inventory
    from sshexec.inventory.spreadsheet import RejectedLinesError

_EPILOG = """\b
Examples:
  sshexec hosts import hosts.yml --into sqlite:///cmdb.db              with the group_vars and host_vars beside it
  sshexec hosts import hosts.csv --into sqlite:///cmdb.db --dry-run    check a spreadsheet, change nothing
  sshexec hosts import hosts.ini --into postgresql+psycopg://cmdb@db/cmdb --replace

\b
A spreadsheet is CSV with a header: name, address, port, user, groups, site, region, tags, and any variables. Wrong
lines are all named, and nothing is imported then. A group or host called import is shown by 'sshexec hosts import,'."""


@click.command("import", epilog=_EPILOG, short_help="take inventories into a database")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--into", "url", metavar="URL", required=True, help="The database; it is made where there is none.")
@click.option("--replace", is_flag=True, help="Remove hosts and groups that the files do not have.")
@click.option("--csv", "as_csv", is_flag=True, help="The files are CSV, whatever their names.")
@click.option("-n", "--dry-run", is_flag=True, help="Change nothing, say what would change.")
@secret_options
def command(files: tuple[str, ...], url: str, **options: Any) -> int:
    """Take inventories into the database at URL: all of them, or nothing where anything is wrong.

    FILE is whatever -i takes: YAML, INI, a directory, a script, another database; or CSV. What the database has stays,
    as if it were read before the files; with --replace it becomes what they say. Passwords and other secrets are sealed
    with the key of --key-file; what ansible-vault has encrypted stays as it is.
    """
    from sshexec.database.address import is_address, redacted

    if not is_address(url):
        raise InputError(f"--into: {url!r} is no URL of a database; a file is written sqlite:///{url.split('/')[-1]}")
    from sshexec.inventory.spreadsheet import RejectedLinesError

    try:
        inventory = _load(files, options)
    except RejectedLinesError as error:
        raise _rejected(error, files, options) from None
    from sshexec.inventory.cmdb.cmdb import Cmdb

    opener = openers(options)
    with ExitStack() as stack:
        cmdb = stack.enter_context(Cmdb(url, opener.keyring, vault=opener.vault))
        if options["dry_run"] and cmdb.database.version() is None:
            # Not even the tables are made.
            empty = f"sqlite:///{stack.enter_context(TemporaryDirectory())}/empty.db"
            cmdb = stack.enter_context(Cmdb(empty, opener.keyring, vault=opener.vault))
        added = cmdb.add(inventory, replace=options["replace"], dry_run=options["dry_run"])
    would = "would be imported into" if options["dry_run"] else "imported into"
    tell(f"sshexec: {would} {harmless(redacted(url))}: {_summary(added)}")
    return 0


def _load(files: tuple[str, ...], options: dict[str, Any]) -> Inventory:
    """Return the inventory of the files, as CSV or as their names say."""
    if not options["as_csv"]:
        return load_inventory(files, options=options)
    from sshexec.credentials.vault import is_vault
    from sshexec.inventory.draft import Draft
    from sshexec.inventory.files import read_text
    from sshexec.inventory.model import Inventory
    from sshexec.inventory.spreadsheet import read_spreadsheet

    draft = Draft(openers(options))
    for path in files:
        draft.path, text = path, read_text(path)
        draft.encrypted = is_vault(text)
        read_spreadsheet(draft, draft.openers.vault.decrypt(text, path) if draft.encrypted else text)
    draft.finish()
    return Inventory(draft)


def _rejected(first: RejectedLinesError, files: tuple[str, ...], options: dict[str, Any]) -> InputError:
    """Tell every wrong line of every spreadsheet, and return the error that says how many there are."""
    from sshexec.inventory.spreadsheet import RejectedLinesError

    rejected = {first.path: first.rejected}
    for path in files:
        try:
            if options["as_csv"] or path.lower().endswith(".csv"):
                _load((path,), options)
        except RejectedLinesError as error:
            rejected[error.path] = error.rejected
    for shown, lines in rejected.items():
        for line, reason in lines:
            tell(f"{harmless(shown or '')}:{line}: {harmless(reason)}")
    count = sum(map(len, rejected.values()))
    return InputError(f"{count} line{'s are' if count > 1 else ' is'} rejected, nothing is imported")


def _summary(added: Added) -> str:
    """Return what came of it: ``20 new hosts, 1 changed group``."""
    parts = [
        f"{count} {word} {noun}{'s'[count == 1 :]}"
        for noun in ("host", "group")
        for word in ("new", "changed", "removed")
        if (count := getattr(added, f"{word}_{noun}s"))
    ]
    return ", ".join(parts) or "nothing new"
