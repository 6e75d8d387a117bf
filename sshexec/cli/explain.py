"""``sshexec hosts --explain``: every effective connection setting of a host, and where it came from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sshexec.errors import InputError, OptionError
from sshexec.secret import HIDDEN, Secret, closed, mask

if TYPE_CHECKING:
    from sshexec.connectors.become import BecomeKeywords
    from sshexec.inventory.members import Host
    from sshexec.inventory.model import Inventory

_WIDEST = 48


def explain(
    inventory: Inventory,
    hosts: Iterable[Host],
    given: tuple[Mapping[str, Any], Mapping[str, str]],
    become: tuple[Mapping[str, Any], Mapping[str, str]],
    *,
    as_json: bool = False,
) -> str:
    """Return the settings of hosts as text for people, or as JSON.

    Args:
        inventory: has their variables.
        hosts: whom to explain.
        given: variables that the command line sets, and the option that set each.
        become: options about privilege escalation (`become_options`), and what is to be said of where each comes from.
        as_json: whether to return a JSON object, host by host.

    Raises:
        InputError: a setting is wrong; a run would refuse it too (what is about privilege escalation: one with -b).
    """
    # Only here, since it loads a good deal more.
    from sshexec.connectors.become import BecomeKeywords

    options, places = become
    keywords = BecomeKeywords(options["become"], options["become_user"], options["become_method"])
    named = {name.removeprefix("become_"): place for name, place in places.items()}
    explained = {host.name: _host(inventory, host, given, (keywords, named)) for host in hosts}
    if as_json:
        return json.dumps(explained, indent=4, ensure_ascii=True) + "\n"
    return "".join(_text(name, rows) for name, rows in explained.items())


def _host(
    inventory: Inventory,
    host: Host,
    given: tuple[Mapping[str, Any], Mapping[str, str]],
    become: tuple[BecomeKeywords, Mapping[str, str]],
) -> list[dict[str, Any]]:
    """Return a host's settings, each with name, value, source, note and the jump host it is of."""
    # Only here, since it loads gevent's pool and every connector.
    from sshexec.connectors.base import Capability
    from sshexec.connectors.become import Become
    from sshexec.runtime.plan import reached_by

    # What is hidden anyway need not be opened.
    variables: Mapping[str, Any] = closed({**inventory.variables(host), **given[0]})
    origins = {**inventory.origins(host), **given[1]}
    connector, variables = reached_by(host.name, variables)
    try:
        settings = Become.explain(variables, *become, host.name)
        if settings and settings[0].value and Capability.BECOME not in connector.capabilities:
            raise OptionError(f"host {host.name}: a {connector.name} connection can't become another user")
        # Before the jump hosts, which are groups of their own.
        rest = connector.Options.explain(variables, host.name)
        at = next((number for number, setting in enumerate(rest) if setting.group), len(rest))
        settings = [*rest[:at], *settings, *rest[at:]]
    except InputError as error:
        raise type(error)(mask(error.message, variables), path=error.path, line=error.line) from None
    chosen = "ansible_connection" if variables.get("ansible_connection") is not None else ""
    rows = [{"name": "connection", "value": connector.name, "source": _source(chosen, "", origins), "note": ""}]
    for setting in settings:
        row = {
            "name": setting.name,
            "value": _plain(setting.value, variables),
            "source": _source(setting.variable, setting.place, origins),
            "note": setting.note,
        }
        rows.append(row | ({"jump": setting.group} if setting.group else {}))
    return rows


def _source(variable: str, place: str, origins: Mapping[str, str]) -> str:
    if not variable:
        return place or "default"
    origin = origins.get(variable, "")
    return f"{variable} ({origin})" if origin else variable


def _plain(value: Any, variables: Mapping[str, Any]) -> Any:
    """Return a value as JSON has it, secrets hidden."""
    if isinstance(value, Secret):
        return HIDDEN
    if isinstance(value, (tuple, list)):
        return [_plain(item, variables) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return mask(str(value), variables)


def _text(name: str, rows: list[dict[str, Any]]) -> str:
    lines = [name]
    group = ""
    shown = [(row, f"{row['name']:<22} {_shown(row['value'])}") for row in rows]
    width = max(len(text) for _, text in shown if len(text) <= _WIDEST + 23)
    for row, text in shown:
        if row.get("jump", "") != group:
            group = row["jump"]
            lines.append(f"    {group}")
        note = f"; {row['note']}" if row["note"] else ""
        lines.append(f"    {'    ' if group else ''}{text:<{width}}  # {row['source']}{note}")
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(_shown, value)) or "default"
    if isinstance(value, float):
        return f"{value:g}"
    return "not set" if value is None else str(value)
