"""``sshexec hosts``: which hosts there are, and what is known about them."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.explain import explain
from sshexec.cli.sources import inventory_option, load_inventory, secret_options, select
from sshexec.cli.stdout import Stdout
from sshexec.cli.untrusted import harmless
from sshexec.cli.variables import become_on_command_line, become_options, connection_options, on_command_line
from sshexec.inventory.members import Host
from sshexec.secret import redact

if TYPE_CHECKING:
    from sshexec.inventory.model import Inventory

_VIEWS = {"graph": "--graph", "as_list": "--list", "host": "--host", "origins": "--vars", "explain": "--explain"}

_EPILOG = """\b
Examples:
  sshexec hosts 'web:&prod' -i hosts.yml          the hosts that a pattern selects
  sshexec hosts -i hosts.yml --graph              groups and their members as a tree
  sshexec hosts -i hosts.yml --list               everything, in ansible-inventory's JSON
  sshexec hosts -i hosts.yml --host web1          one host's variables, as JSON
  sshexec hosts web1 -i hosts.yml --vars          its variables, and which file and line set each
  sshexec hosts scan web -i hosts.yml             the keys that hosts show, for review: see sshexec hosts scan --help
  sshexec hosts web1 -i hosts.yml --explain       how it is reached, and what set each setting
  sshexec hosts import hosts.csv --into sqlite:///cmdb.db    files into a database: see sshexec hosts import --help
  sshexec hosts export sqlite:///cmdb.db -o hosts.yml        an inventory as a file: see sshexec hosts export --help

Passwords and the like are shown as ********."""


_BEHIND = {"scan": "scan", "import": "hosts_import", "export": "hosts_export"}
"""Other commands by their word, and the module of each."""


class _Hosts(click.Command):
    """The command, which others stand behind, by their first word."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the words of this command, or hand them to another one."""
        if args and args[0] in _BEHIND:
            other: click.Command = importlib.import_module(f"sshexec.cli.{_BEHIND[args[0]]}").command
            return other.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=_Hosts, epilog=_EPILOG, short_help="show which hosts there are, and their variables")
@click.argument("pattern", required=False)
@inventory_option
@click.option("-l", "--limit", metavar="PATTERN", help="Of the hosts, only those that this pattern selects too.")
@click.option("--graph", is_flag=True, help="Print groups and hosts as a tree.")
@click.option("--list", "as_list", is_flag=True, help="Print the inventory as ansible-inventory's JSON.")
@click.option("--host", metavar="NAME", help="Print one host's variables as JSON.")
@click.option("--vars", "origins", is_flag=True, help="Print each host's variables and where each was set.")
@click.option("--explain", is_flag=True, help="Print how each host is reached and what set each setting.")
@click.option("--json", "as_json", is_flag=True, help="With --explain: as JSON.")
@connection_options
@become_options
@secret_options
def command(pattern: str | None, sources: tuple[str, ...], limit: str | None, host: str | None, **views: Any) -> int:
    """Show the hosts that PATTERN selects (default: all), one a line.

    Options that set a connection variable (-u, -c, --private-key ...), -e, -b and --become-... say how --explain shall
    reach the hosts.
    `sshexec hosts scan` collects their host keys, `import` and `export` move inventories; a group or host of such a
    name is `sshexec hosts scan,`.
    """
    given, flags = on_command_line(views)
    become = become_on_command_line(views)
    if (given or become or views["as_json"]) and not views["explain"]:
        raise click.UsageError("connection options and --json go with --explain", click.get_current_context())
    chosen = [flag for name, flag in _VIEWS.items() if (host if name == "host" else views[name])]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} exclude each other", click.get_current_context())
    if (views["as_list"] or host) and (pattern or limit):
        raise click.UsageError(f"{chosen[0]} takes no pattern", click.get_current_context())
    inventory = load_inventory(sources, options=views)
    stdout = Stdout()
    text = _text(inventory, host, views["as_list"])
    if text is None:
        hosts = select(inventory, pattern or "all", limit)
        if views["graph"]:
            text = "".join(_graph(inventory, hosts, everything=not pattern and not limit))
        elif views["explain"]:
            text = explain(inventory, hosts, (given, flags), (views, become), as_json=views["as_json"])
        elif views["origins"]:
            text = "".join(_with_origins(inventory, host) for host in hosts)
        else:
            text = "".join(f"{host.name}\n" for host in hosts)
    stdout.write(harmless(text) if stdout.terminal else text)
    stdout.flush()
    return 0


def _text(inventory: Inventory, host: str | None, as_list: bool) -> str | None:
    """Return the JSON of the views that take no pattern; None where another one is wanted."""
    if as_list:
        return _json(inventory.to_ansible())
    if host is not None:
        return _json(inventory.variables(host))
    return None


def _graph(inventory: Inventory, hosts: list[Host], everything: bool) -> Iterator[str]:
    """Draw groups and hosts as ansible-inventory does; where a pattern chooses, groups without a host are left out."""
    wanted = {host.name for host in hosts}
    above: set[str] = set()
    # The deepest first: the way up from there names the others, and none is walked twice.
    groups = {group.name: group for host in hosts for group in host.groups.values()}
    for group in sorted(groups.values(), key=lambda group: -group.depth):
        if group.name not in above:
            above.update(one.name for one in group.ancestors())
    for depth, member in inventory.graph():
        if isinstance(member, Host):
            if member.name in wanted:
                yield f"{'  |' * depth}--{member.name}\n"
        elif depth == 0:
            yield f"@{member.name}:\n"
        elif everything or member.name in above:
            yield f"{'  |' * depth}--@{member.name}:\n"


def _with_origins(inventory: Inventory, host: Host) -> str:
    """Return a host's variables, a line each, with the place that set it."""
    variables = redact(inventory.variables(host))
    origins = inventory.origins(host)
    lines = [
        (f"{name} = {json.dumps(value, default=str, ensure_ascii=False)}", origins.get(name, ""))
        for name, value in sorted(variables.items())
    ]
    width = min(60, max(len(text) for text, _ in lines))
    body = [f"    {text:<{width}}  # {origin}\n" for text, origin in lines]
    return f"{host.name}\n{''.join(body)}"


def _json(value: Any) -> str:
    return json.dumps(_finite(redact(value)), indent=4, default=str, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Return the value with YAML's word in the place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return value
