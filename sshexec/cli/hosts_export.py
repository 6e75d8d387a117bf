"""``sshexec hosts export``: an inventory, from wherever it comes, as a file of Ansible's or a spreadsheet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.private_file import write_private
from sshexec.cli.sources import inventory_option, load_inventory, openers, secret_options
from sshexec.cli.stderr import tell
from sshexec.cli.stdout import Stdout
from sshexec.cli.untrusted import harmless

if TYPE_CHECKING:
    from sshexec.inventory.model import Inventory
    from sshexec.inventory.writing.content import Content

_FORMATS = {".yml": "yaml", ".yaml": "yaml", ".ini": "ini", ".csv": "csv"}

_EPILOG = """\b
Examples:
  sshexec hosts export sqlite:///cmdb.db --output hosts.yml                 a database as Ansible's YAML
  sshexec hosts export -i hosts.yml -i more/ --format ini --without-secrets  several sources as one INI
  sshexec hosts export sqlite:///cmdb.db --vault-password-file pass.txt     secrets encrypted, for Ansible to read
  sshexec hosts export -i hosts.yml --output hosts.csv                      hosts for a spreadsheet

A group or host called export is shown by 'sshexec hosts export,'."""


@click.command("export", epilog=_EPILOG, short_help="write an inventory as YAML, INI or CSV")
@click.argument("source", required=False)
@inventory_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["yaml", "ini", "csv"]),
    help="Default: what the name of the output says, else yaml.",
)
@click.option("-o", "--output", metavar="FILE", help="Write to a file that only you may read, whole or not at all.")
@click.option("--without-secrets", is_flag=True, help="Leave out passwords and other secrets.")
@secret_options
def command(source: str | None, sources: tuple[str, ...], form: str | None, **options: Any) -> int:
    """Write the inventory SOURCE (a URL, a file; or -i) so that Ansible and sshexec read the same from it.

    Hosts and groups keep their order, every variable its type and its place; group_vars and host_vars are merged in.
    Secrets are never written as plain text: values that ansible-vault has encrypted stay as they are, others are
    encrypted with the first vault password that is given (-J asks for one), or left out.
    """
    if source is not None and sources:
        raise click.UsageError("name the inventory once: as SOURCE, or with -i", click.get_current_context())
    inventory = load_inventory([source] if source is not None else sources, options=options)
    output = options["output"]
    form = form or _FORMATS.get(os.path.splitext(output or "")[1].lower(), "yaml")
    from sshexec.inventory.files import MAX_BYTES
    from sshexec.inventory.writing.content import content

    vault = openers(options).vault
    held = content(inventory, encrypt=vault.encrypt if vault else None, without_secrets=options["without_secrets"])
    text, warnings = _written(inventory, held, form)
    if held.left_out:
        count = len(held.left_out)
        warnings.append(f"{count} secret{'s'[count == 1 :]} left out, the first of them {held.left_out[0]}")
    if len(text.encode()) > MAX_BYTES:
        warnings.append(f"the file is larger than the {MAX_BYTES // 2**20} MiB that sshexec reads")
    for warning in warnings:
        tell(f"sshexec: warning: {harmless(warning)}")
    if output not in (None, "-"):
        write_private(output, text)
        tell(f"sshexec: {len(inventory.hosts)} hosts and {_groups(inventory)} groups written to {harmless(output)}")
        return 0
    stdout = Stdout()
    stdout.write(harmless(text) if stdout.terminal else text)
    stdout.flush()
    return 0


def _groups(inventory: Inventory) -> int:
    return len(inventory.groups.keys() - {"all", "ungrouped"})


def _written(inventory: Inventory, held: Content, form: str) -> tuple[str, list[str]]:
    """Return the text of the file, and warnings."""
    if form == "yaml":
        from sshexec.inventory.writing.yaml import to_yaml

        return to_yaml(inventory, held)
    if form == "ini":
        from sshexec.inventory.writing.ini import to_ini

        return to_ini(inventory, held)
    from sshexec.inventory.writing.csv import to_csv

    return to_csv(inventory, held)
