"""From host variables, command-line options and ssh_config to the settings of one connection and its jump hosts."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sshexec.connectors.ssh import algorithms, proxyjump
from sshexec.connectors.ssh.arguments import Arguments, given
from sshexec.connectors.ssh.config import SshConfig, load
from sshexec.connectors.ssh.hostkeys import Checking, Policy
from sshexec.connectors.ssh.keywords import UNSAFE, Setting
from sshexec.connectors.ssh.matching import Query
from sshexec.connectors.ssh.options import SshOptions
from sshexec.connectors.ssh.tokens import PROXY, Names, fill_command, fill_path
from sshexec.errors import OptionError
from sshexec.secret import Secret

USER_FILES = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
GLOBAL_FILES = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")

ALGORITHM_FIELDS = {
    "ciphers": "ciphers",
    "kexalgorithms": "kex_algorithms",
    "macs": "macs",
    "hostkeyalgorithms": "host_key_algorithms",
}
PLAIN_FIELDS = {
    "addressfamily": "address_family",
    "batchmode": "batch_mode",
    "hostkeyalias": "host_key_alias",
    "identitiesonly": "identities_only",
    "serveralivecountmax": "alive_count",
}
"""Options whose value is that of a field as it stands."""

_KEYS_ALLOWED: dict[str, Callable[[Any], bool]] = {
    "pubkeyauthentication": bool,
    "preferredauthentications": lambda methods: "publickey" in methods,
}
"""Options that say whether to log in with keys."""

_MOST_CHAINS = 1000

_MOST_HOPS = 32
"""Jump hosts on the way to one host; each costs a look into ssh_config and a connection through all before it."""


class Inherited(NamedTuple):
    """What a jump host takes over from the variables of its destination, where ssh_config says nothing for it.

    OpenSSH gives a jump host nothing of its destination's command line; a fleet whose known_hosts and keys are named in
    the inventory would then have to name them in ssh_config too. A password is never taken over.
    """

    user_files: Setting | None
    global_files: Setting | None
    policy: Checking | None
    key_files: tuple[str, ...]
    private_key: Secret | None
    passphrase: Secret | None
    connect_timeout: float | None
    agent: str | None
    password: Secret | None
    own_key_file: str | None


class Resolved(NamedTuple):
    """The settings of one connection, with what they were made of.

    Args:
        values: the fields of `SshOptions`.
        query: what ssh_config and the command-line options set.
        hops: the jump hosts, the first one first.
        name: how a jump host was named; empty for the destination.
    """

    values: dict[str, Any]
    query: Query
    hops: tuple[Resolved, ...] = ()
    name: str = ""


def destination(values: dict[str, Any], variables: Mapping[str, Any], host: str | None) -> Resolved:
    """Return the settings of a host.

    Args:
        values: the fields that a host variable sets.
        variables: the host's variables.
        host: its inventory name.

    Raises:
        OptionError: a value is wrong, or asks for something that can't be honoured.
    """
    try:
        arguments = given(variables)
        config = _config(arguments)
        query = Query(
            values.get("address") or host or "",
            values.get("user") or None,
            values.get("port"),
            arguments.found.copy(),
            arguments.files,
            arguments.certificates,
        )
        config.look_up(query)
        timeout = values.get("connect_timeout")
        names = _fill(values, query)
        hops: tuple[Resolved, ...] = ()
        proxy = query.found.get("proxy")
        if proxy is not None and proxy.value is not None:
            hops = _proxy(values, proxy, names, config, arguments, timeout)
        return Resolved(values, query, hops)
    except OptionError as error:
        if error.path or not host:
            raise
        raise OptionError(f"host {host}: {error.message}") from None


def _config(arguments: Arguments) -> SshConfig:
    try:
        return load(arguments.config_file)
    except OptionError as error:
        if error.path:
            raise
        raise OptionError(f"{arguments.config_from}: {error.message}") from None


def _fill(values: dict[str, Any], query: Query) -> Names:
    """Add to the fields that are set already what was found for the others."""
    found = query.found
    address = query.address()
    # As OpenSSH does; an IPv6 address may end in the name of an interface.
    values["address"] = address = address if ":" in address else address.lower()
    names = query.names(address)
    values["port"], values["user"] = names.port, names.user
    if not values.get("connect_timeout"):
        setting = found.get("connecttimeout")
        values["connect_timeout"] = None if setting is None else setting.value or None
    _fill_keys(values, query, names)
    checking = found.get("stricthostkeychecking")
    values["policy"] = _policy(values.get("host_key_checking"), checking)
    if checking is not None and checking.value == "strict":
        values["confirms"] = False
    values["known_hosts"] = _known_hosts(found.get("userknownhostsfile"), found.get("globalknownhostsfile"), names)
    if found:
        _fill_rest(values, found, names)
    return names


def _fill_rest(values: dict[str, Any], found: Mapping[str, Setting], names: Names) -> None:
    for key, setting in found.items():
        if key in PLAIN_FIELDS:
            values[PLAIN_FIELDS[key]] = setting.value
        elif key in ALGORITHM_FIELDS:
            values[ALGORITHM_FIELDS[key]] = algorithms.choose(setting)
        elif key == "identityagent":
            values["identity_agent"] = _agent(setting, names)
        elif key == "serveraliveinterval":
            values["alive_interval"] = setting.value or 0.0
        elif key in _KEYS_ALLOWED:
            values["public_keys"] = values.get("public_keys", True) and _KEYS_ALLOWED[key](setting.value)
        elif key == "refuseconnection":
            raise setting.wrong(setting.value)
        elif setting.loud:
            if key in UNSAFE:
                raise setting.wrong(f"can't be honoured: {setting.reason}")
            values["ignored"] = (*values.get("ignored", ()), f"{setting.name} ({setting.where}): {setting.reason}")


def _fill_keys(values: dict[str, Any], query: Query, names: Names) -> None:
    if values.get("key_file"):
        values["key_files"] = (os.path.expanduser(values["key_file"]),)
    elif query.files:
        wanted = [setting for setting in query.files if setting.value.lower() != "none"]
        files = {setting: _path(setting, setting.value, names) for setting in wanted}
        values["key_files"] = tuple(dict.fromkeys(files.values()))
        values["optional_key_files"] = tuple(dict.fromkeys(file for setting, file in files.items() if setting.line))
        if not files:
            values["default_keys"] = "never"
    if query.certificates:
        values["certificate_files"] = tuple(_path(setting, setting.value, names) for setting in query.certificates)


def _policy(checking: bool | None, setting: Setting | None) -> Policy:
    if checking is False:
        return "off"
    policy = "strict" if setting is None else _strict(setting.value)
    if policy == "off" and checking and setting is not None and setting.line:
        return "strict"  # a variable says so, and wins over ssh_config
    return policy


def _strict(checking: Checking) -> Policy:
    return "strict" if checking == "ask" else checking


def _known_hosts(user: Setting | None, system: Setting | None, names: Names) -> tuple[str, ...]:
    default_user, default_system = _default_known_hosts(os.environ.get("HOME"))
    first = default_user if user is None else tuple([_path(user, file, names) for file in user.value])
    # OpenSSH fills in no tokens in the names of the system's files.
    second = default_system if system is None else tuple([os.path.expanduser(file) for file in system.value])
    return (*first, *second)


@functools.lru_cache(maxsize=8)
def _default_known_hosts(home: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the user's files and the system's; HOME is given so that they are worked out once for each value of it."""
    return tuple(map(os.path.expanduser, USER_FILES)), GLOBAL_FILES


def _agent(setting: Setting, names: Names) -> str | None:
    """Return the agent's socket: "" for none, None for that of SSH_AUTH_SOCK."""
    value: str = setting.value
    if value.lower() == "none":
        return ""
    if value == "SSH_AUTH_SOCK":
        return None
    if value.startswith("$") and not value.startswith("${"):
        return os.environ.get(value[1:], "")
    return _path(setting, value, names)


def _path(setting: Setting, text: str, names: Names) -> str:
    if "%" not in text and "$" not in text and not text.startswith("~"):
        return text
    try:
        return fill_path(text, names)
    except ValueError as error:
        raise setting.wrong(str(error)) from None


def _proxy(
    values: dict[str, Any],
    proxy: Setting,
    names: Names,
    config: SshConfig,
    arguments: Arguments,
    timeout: float | None,
) -> tuple[Resolved, ...]:
    """Fill in the way to a host: its ProxyCommand, or the chain of its jump hosts."""
    kind, text = proxy.value
    try:
        filled = fill_command(text, names, PROXY)
    except ValueError as error:
        raise proxy.wrong(str(error)) from None
    if kind == "command":
        values["proxy_command"] = filled
        return ()
    inherited = _inherited(values, names, arguments, timeout)
    # Most hosts of a fleet go the same way.
    key = (proxy, filled, inherited)
    known = config.chains.get(key)
    if known is None:
        if len(config.chains) >= _MOST_CHAINS:
            config.chains.clear()
        chain = _chain(filled, proxy, config, inherited, ())
        # Options that are one object are found the faster where connections to a jump host are shared.
        known = config.chains[key] = chain, tuple([SshOptions(**hop.values) for hop in chain])
    chain, values["jump"] = known
    ways = {_identity(hop.values) for hop in chain} | {_identity(values)}
    if len(ways) <= len(chain):
        raise proxy.wrong(f"jump host loop: {_way([*chain], values['address'])}")
    return chain


def _inherited(values: Mapping[str, Any], names: Names, arguments: Arguments, timeout: float | None) -> Inherited:
    """Return what the jump hosts take over.

    Args:
        values: the destination's fields.
        names: what tokens in the names of its key files stand for.
        arguments: its command-line options.
        timeout: seconds for connecting that a variable gives it.
    """
    found = arguments.found
    policy, agent = found.get("stricthostkeychecking"), found.get("identityagent")
    files = [setting for setting in arguments.files if setting.value.lower() != "none"]
    return Inherited(
        found.get("userknownhostsfile"),
        found.get("globalknownhostsfile"),
        "off" if values.get("host_key_checking") is False else None if policy is None else policy.value,
        values["key_files"] if values.get("key_file") else tuple(_path(each, each.value, names) for each in files),
        values.get("private_key"),
        values.get("passphrase"),
        timeout or (found["connecttimeout"].value if "connecttimeout" in found else None),
        None if agent is None else _agent(agent, names),
        values.get("jump_password"),
        values.get("jump_key_file"),
    )


def _chain(
    text: str, proxy: Setting, config: SshConfig, inherited: Inherited, behind: tuple[Resolved, ...]
) -> tuple[Resolved, ...]:
    """Return the jump hosts that a ProxyJump names, each behind those that lead to it.

    ``ssh -J a,b`` connects to b with ``-J a``: what ssh_config says of the way to b does not count, of that to a it
    does.

    Args:
        text: the hops, tokens filled in.
        proxy: what names them.
        config: ssh_config, which is asked about each.
        inherited: what they take over from their destination.
        behind: the jump hosts whose own ProxyJump is followed, to notice where they lead in a circle.

    Raises:
        OptionError: a hop is not written as it must be, or the way to it leads through itself.
    """
    try:
        hops = proxyjump.read(text)
    except ValueError as error:
        raise proxy.wrong(str(error)) from None
    chain: tuple[Resolved, ...] = ()
    for number, hop in enumerate(hops):
        query = Query(hop.host, hop.user, hop.port, {})
        config.look_up(query)
        resolved = Resolved(_hop_values(query, inherited), query, name=str(hop))
        if hop.host.lower() != resolved.values["address"].lower():
            resolved.values["named"] = hop.host
        own = query.found.get("proxy")
        if any(_identity(other.values) == _identity(resolved.values) for other in behind):
            raise proxy.wrong(f"jump host loop: {_way([resolved, *reversed(behind)], '')}")
        if len(hops) + len(behind) > _MOST_HOPS:
            raise proxy.wrong(f"the way leads over more than {_MOST_HOPS} jump hosts")
        if number == 0 and own is not None and own.value is not None:
            names = query.names(resolved.values["address"])
            try:
                filled = fill_command(own.value[1], names, PROXY)
            except ValueError as error:
                raise own.wrong(str(error)) from None
            if own.value[0] == "command":
                resolved.values["proxy_command"] = filled
            else:
                chain = _chain(filled, own, config, inherited, (*behind, resolved))
        chain = (*chain, resolved)
    return chain


def _hop_values(query: Query, inherited: Inherited) -> dict[str, Any]:
    values: dict[str, Any] = {"password": inherited.password, "passphrase": inherited.passphrase}
    if inherited.own_key_file:
        values["key_file"] = inherited.own_key_file
    for key, setting in (
        ("userknownhostsfile", inherited.user_files),
        ("globalknownhostsfile", inherited.global_files),
    ):
        if setting is not None:
            query.found.setdefault(key, setting)
    _fill(values, query)
    # A password that is right on a jump host says nothing of the hosts behind it, nor the other way round.
    values["credential_group"] = f"jump host {values['address']}"
    if "key_files" not in values and inherited.private_key is not None:
        values["private_key"] = inherited.private_key
    elif "key_files" not in values and inherited.key_files:
        values["key_files"] = inherited.key_files
        values["default_keys"] = "also"
    if inherited.policy is not None and "stricthostkeychecking" not in query.found:
        values["policy"] = _strict(inherited.policy)
        values["confirms"] = inherited.policy != "strict"
    if inherited.agent is not None and "identityagent" not in query.found:
        values["identity_agent"] = inherited.agent
    if not values["connect_timeout"]:
        values["connect_timeout"] = inherited.connect_timeout
    return values


def _identity(values: Mapping[str, Any]) -> tuple[Any, ...]:
    return values["address"], values["port"], values["user"]


def _way(hops: list[Resolved], end: str) -> str:
    return " -> ".join([*(hop.name or hop.values["address"] for hop in hops), *([end] if end else [])])
