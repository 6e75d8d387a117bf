"""What every setting of an SSH connection is, and where it came from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from sshexec.connectors.base import Timeouts
from sshexec.connectors.options import Explained, settable, setting_variable
from sshexec.connectors.ssh.algorithms import LISTS, default
from sshexec.connectors.ssh.keywords import Setting
from sshexec.connectors.ssh.options import SshOptions
from sshexec.connectors.ssh.resolve import Resolved
from sshexec.scalars import boolean

_SHOWN = (
    ("HostName", "address", "hostname"),
    ("Port", "port", "port"),
    ("User", "user", "user"),
    ("ConnectTimeout", "connect_timeout", "connecttimeout"),
    ("AddressFamily", "address_family", "addressfamily"),
    ("password", "password", ""),
    ("passphrase", "passphrase", ""),
    ("IdentitiesOnly", "identities_only", "identitiesonly"),
    ("IdentityAgent", "identity_agent", "identityagent"),
    ("StrictHostKeyChecking", "policy", "stricthostkeychecking"),
    ("HostKeyAlias", "host_key_alias", "hostkeyalias"),
    ("ServerAliveInterval", "alive_interval", "serveraliveinterval"),
    ("ServerAliveCountMax", "alive_count", "serveralivecountmax"),
    ("Ciphers", "ciphers", "ciphers"),
    ("KexAlgorithms", "kex_algorithms", "kexalgorithms"),
    ("MACs", "macs", "macs"),
    ("HostKeyAlgorithms", "host_key_algorithms", "hostkeyalgorithms"),
    ("BatchMode", "batch_mode", "batchmode"),
)
"""Setting, field of `SshOptions`, key of ssh_config."""

_POLICIES = {"off": "no"}
_DEFAULTS = {"connect_timeout": Timeouts().connect, "identity_agent": "SSH_AUTH_SOCK"}
"""What holds where a field says nothing."""

_ELSEWHERE = frozenset({*(field for _, field, _ in _SHOWN), "key_file", "private_key", "host_key_checking"})
"""Fields that stand in a row of their own making."""

_INHERITED = "as for the destination"


def explain(resolved: Resolved, variables: Mapping[str, Any]) -> list[Explained]:
    """Return the settings of a connection, then those of its jump hosts.

    Args:
        resolved: what the connection was resolved to.
        variables: the host's variables.
    """
    rows = list(_settings(resolved, variables, ""))
    for number, hop in enumerate(resolved.hops, 1):
        rows += _settings(hop, variables, f"jump host {number} of {len(resolved.hops)}: {hop.name}")
    return rows


def _settings(resolved: Resolved, variables: Mapping[str, Any], group: str) -> Iterator[Explained]:
    options = SshOptions(**resolved.values)
    found = resolved.query.found
    # A jump host has nothing from the variables but what it takes over.
    own = {} if group else variables
    for name, field, key in _SHOWN:
        value = getattr(options, field)
        variable, place = _source(field, found.get(key), own)
        if value is None and not (variable or place or field in _DEFAULTS):
            continue
        if group and not variable and not place:
            variable, place = _of_jump(field, value, resolved, variables)
        if field == "address" and not variable and not place:
            place = "ProxyJump" if group else "inventory name"
        yield Explained(name, _shown(field, key, value, options), variable, place, group=group)
    yield from _proxy(options, resolved, group)
    yield from _files(options, resolved, own, group)
    yield from _known_hosts(options, found, group)
    for name in settable(SshOptions) if not group else ():
        variable = setting_variable(SshOptions, name, variables)
        if variable and name not in _ELSEWHERE:
            yield Explained(name, getattr(options, name), variable)
    for setting in found.values():
        if setting.reason and setting.line:
            yield Explained(setting.name, setting.value, "", setting.where, f"not used: {setting.reason}", group)


def _shown(field: str, key: str, value: Any, options: SshOptions) -> Any:
    if field == "policy" and value == "strict":
        # As `ssh -G` has it: what is said nowhere is ask, and where nobody can be asked that is yes.
        return "ask" if options.confirms else "yes"
    if field == "policy":
        return _POLICIES.get(value, value)
    if field == "identity_agent" and value == "":
        return "none"
    if key in LISTS and not value:
        return default(key)
    return _DEFAULTS.get(field) if value is None else value


def _proxy(options: SshOptions, resolved: Resolved, group: str) -> Iterator[Explained]:
    """Say which way leads to a host; that of a jump host other than the first is the one before it."""
    setting = resolved.query.found.get("proxy") or resolved.query.found.get("proxyjump")
    if setting is None or (group and not options.proxy_command):
        return
    value = options.proxy_command or ",".join(hop.name for hop in resolved.hops) or "none"
    yield Explained("ProxyCommand" if options.proxy_command else "ProxyJump", value, *_split(setting), group=group)


def _source(field: str, setting: Setting | None, variables: Mapping[str, Any]) -> tuple[str, str]:
    """Return the variable or the place that a field comes from."""
    checks = field == "policy" and setting_variable(SshOptions, "host_key_checking", variables)
    variable = checks or setting_variable(SshOptions, field, variables)
    if setting is None or (variable and field != "policy"):
        return variable, ""
    if checks and _overrides(setting, variables[checks]):
        return checks, ""
    return _split(setting)


def _overrides(setting: Setting, checking: Any) -> bool:
    """Return whether the variable about host key checking, and not the setting, decides."""
    return not boolean(checking) or (setting.value == "off" and bool(setting.line))


def _split(setting: Setting) -> tuple[str, str]:
    return ("", setting.where) if setting.line else (setting.path, "")


def _of_jump(field: str, value: Any, resolved: Resolved, variables: Mapping[str, Any]) -> tuple[str, str]:
    """Return where a jump host has from what ssh_config does not say for it."""
    if field == "password":
        return setting_variable(SshOptions, "jump_password", variables), ""
    if (field == "port" and resolved.query.port) or (field == "user" and resolved.query.user):
        return "", "ProxyJump"
    default = SshOptions.__dataclass_fields__[field].default
    differs = value != default or (field == "policy" and not resolved.values.get("confirms", True))
    return "", _INHERITED if differs and field not in ("address", "port", "user") else ""


def _files(options: SshOptions, resolved: Resolved, variables: Mapping[str, Any], group: str) -> Iterator[Explained]:
    variable = setting_variable(SshOptions, "key_file", variables)
    settings = iter([each for each in resolved.query.files if each.value.lower() != "none"])
    for file in options.key_files:
        source = (variable, "")
        if not variable:
            setting = next(settings, None)
            source = ("", _INHERITED) if setting is None else _split(setting)
        if group and source[1] == _INHERITED and options.key_file:
            source = ("sshexec_jump_private_key_file", "")
        yield Explained("IdentityFile", file, *source, note=_presence(file), group=group)
    if options.private_key is not None:
        variable = setting_variable(SshOptions, "private_key", variables)
        yield Explained("private key", options.private_key, variable, "" if variable else _INHERITED, group=group)
    elif not options.key_files:
        text = {"never": "the agent's keys"}.get(options.default_keys, "the agent's keys and the default ones")
        given = next(iter(resolved.query.files), None)
        if not options.public_keys or options.password is not None:
            text = "none"
        yield Explained("IdentityFile", text, *(("", "") if given is None else _split(given)), group=group)
    elif options.default_keys == "also":
        yield Explained("IdentityFile", "then the agent's keys and the default ones", group=group)
    for file, setting in zip(options.certificate_files, resolved.query.certificates, strict=True):
        yield Explained("CertificateFile", file, *_split(setting), note=_presence(file), group=group)


def _known_hosts(options: SshOptions, found: Mapping[str, Setting], group: str) -> Iterator[Explained]:
    user = found.get("userknownhostsfile")
    count = 2 if user is None else len(user.value)
    for name, setting, files in (
        ("UserKnownHostsFile", user, options.known_hosts[:count]),
        ("GlobalKnownHostsFile", found.get("globalknownhostsfile"), options.known_hosts[count:]),
    ):
        source = ("", "") if setting is None else _split(setting)
        if not files:
            yield Explained(name, "none", *source, group=group)
        for file in files:
            yield Explained(name, file, *source, note=_presence(file), group=group)


def _presence(file: str) -> str:
    if not os.path.exists(file):
        return "missing"
    return "" if os.access(file, os.R_OK) else "can't be read"
