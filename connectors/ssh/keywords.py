"""The keywords of ssh_config(5), OpenSSH 9.2 and some newer ones: which are honoured, change nothing, or can't be."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sshexec.connectors.ssh.hostkeys import Checking
from sshexec.errors import OptionError

POLICIES: dict[str, Checking] = {
    "yes": "strict",
    "true": "strict",
    "ask": "ask",
    "accept-new": "accept-new",
    "no": "off",
    "false": "off",
    "off": "off",
}
_LONGEST = 86_400
_MOST_ALIVE = 1000
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BLANK = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Setting:
    """One option that is set.

    Args:
        key: what it sets: its name in lower case; ``proxy`` for ProxyJump and ProxyCommand, of which the first wins,
            save for ``ProxyJump none``, which turns later jump hosts down and no command.
        name: the option's name as it was written.
        value: what its reader made of its text.
        path: the file, or the host variable, that sets it.
        line: its line in the file, counted from 1; 0 in a host variable.
        reason: why it is not honoured; empty where it is.
        loud: whether somebody has to hear that it is not honoured.
    """

    key: str
    name: str
    value: Any
    path: str
    line: int
    reason: str = ""
    loud: bool = False

    @property
    def where(self) -> str:
        """Return the place that sets it."""
        return f"{self.path}:{self.line}" if self.line else self.path

    def wrong(self, problem: str) -> OptionError:
        """Return the error of a value that turned out wrong."""
        if self.line:
            return OptionError(f"{self.name}: {problem}", path=self.path, line=self.line)
        return OptionError(f"{self.path}: {self.name}: {problem}")


def keep_first(found: dict[str, Setting], setting: Setting) -> None:
    """Add a setting where nothing before it sets the same."""
    if setting.key == "proxy" and "proxyjump" in found and setting.value and setting.value[0] == "jump":
        return
    found.setdefault(setting.key, setting)


def keyword(text: str) -> tuple[str, str]:
    """Return the keyword of a line and the rest behind it (``strdelim`` of OpenSSH's misc.c).

    Raises:
        ValueError: a quote is not closed.
    """
    word, rest = delimited(text.strip(_BLANK), equals=True)
    return word, rest.lstrip(_BLANK)


def delimited(text: str, *, equals: bool) -> tuple[str, str]:
    """Return the first word of a text and the rest, with one ``=`` between them left out.

    Raises:
        ValueError: a quote is not closed.
    """
    text = text.lstrip(_BLANK)
    for at, char in enumerate(text):
        if char == '"':
            close = text.find('"', at + 1)
            if close < 0:
                raise ValueError("a quote is not closed")
            return text[:at] + text[at + 1 : close], text[close + 1 :].lstrip(_BLANK)
        if char in _BLANK or (equals and char == "="):
            rest = text[at + 1 :].lstrip(_BLANK)
            if equals and char != "=" and rest.startswith("="):
                rest = rest[1:].lstrip(_BLANK)
            return text[:at], rest
    return text, ""


def words(text: str) -> list[str]:
    """Split a line's arguments as ``argv_split`` of OpenSSH's misc.c does; ``#`` begins a comment.

    Raises:
        ValueError: a quote is not closed.
    """
    found: list[str] = []
    at = 0
    while at < len(text):
        if text[at] in " \t":
            at += 1
            continue
        if text[at] == "#":
            break
        word = ""
        quote = ""
        while at < len(text):
            char = text[at]
            following = text[at + 1 : at + 2]
            if char == "\\" and following and (following in "'\"\\" or (not quote and following == " ")):
                at += 1
                word += following
            elif not quote and char in " \t":
                break
            elif not quote and char in "\"'":
                quote = char
            elif quote and char == quote:
                quote = ""
            else:
                word += char
            at += 1
        if quote:
            raise ValueError("a quote is not closed")
        found.append(word)
    return found


def setting(name: str, rest: str, path: str, line: int = 0, *, system: bool = False) -> Setting | None:
    """Read one option.

    Args:
        name: the keyword as it was written.
        rest: what stands behind it.
        path: where it stands, for people.
        line: its line there; 0 in a host variable.
        system: whether a system-wide file sets it, where distributions set some for everybody.

    Returns:
        The setting; None where there is no such keyword.

    Raises:
        OptionError: its value is wrong.
    """
    key = name.lower()
    key = _ALIASES.get(key, key)
    bare = Setting(key, name, None, path, line)
    try:
        arguments = words(rest)
        if not arguments:
            raise ValueError("a value is missing")
        if key in _COMMANDS:
            value = _COMMANDS[key](rest.lstrip("= \t").rstrip(_BLANK))
            return Setting("proxyjump" if key == "proxyjump" and value is None else "proxy", name, value, path, line)
        if key in HARMLESS:
            return Setting(key, name, " ".join(arguments), path, line, reason=HARMLESS[key])
        if key in _UNABLE:
            return _unable(bare, arguments, system)
        reader = _LISTS.get(key)
        if reader is not None:
            return Setting(key, name, reader(arguments), path, line)
        single = _SINGLE.get(key)
        if single is None:
            return None
        if len(arguments) > 1:
            raise ValueError(f"more than one value: {' '.join(arguments)!r}")
        if not arguments[0]:
            raise ValueError("a value is missing")
        return Setting(key, name, single(arguments[0]), path, line)
    except ValueError as error:
        raise bare.wrong(str(error)) from None


def _unable(bare: Setting, arguments: list[str], system: bool) -> Setting:
    """Return an option that can't be honoured; where its value asks for nothing, nobody needs to hear of it."""
    off, reason = _UNABLE[bare.key]
    value = " ".join(arguments)
    asks = value.lower() not in off.split()
    stock = system and bare.key in _STOCK
    return Setting(
        bare.key, bare.name, value, bare.path, bare.line, reason=reason if asks else _OFF, loud=asks and not stock
    )


def _policy(value: str) -> Checking:
    try:
        return POLICIES[value.lower()]
    except KeyError:
        raise ValueError(f"expected yes, ask, accept-new or no, got {value!r}") from None


def _files(values: Sequence[str]) -> tuple[str, ...]:
    if not all(values):
        raise ValueError("a name is empty")
    return () if len(values) == 1 and values[0].lower() == "none" else tuple(values)


def _number(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        raise ValueError(f"expected a whole number, got {value!r}")
    return min(int(value), _MOST_ALIVE)


def port(value: str) -> int:
    """Return a TCP port, which may be the name of a service.

    Raises:
        ValueError: it is none.
    """
    if re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        number = int(value)
    else:
        try:
            number = socket.getservbyname(value, "tcp")
        except (OSError, UnicodeError):
            number = 0
    if not 1 <= number <= 65535:
        raise ValueError(f"expected a whole number from 1 to 65535, got {value!r}")
    return number


def _seconds(value: str) -> float | None:
    """Return a time (sshd_config(5), TIME FORMATS) in seconds; None for "none"."""
    if value == "none":
        return None
    if not re.fullmatch(r"([0-9]{1,9}[smhdw]?)+", value, re.ASCII | re.IGNORECASE):
        raise ValueError(f"expected a time such as 30 or 1m30s, got {value!r}")
    pairs = re.findall(r"([0-9]+)([smhdw]?)", value.lower())
    return float(min(sum(int(count) * _UNITS[unit] for count, unit in pairs), _LONGEST))


def _yes(value: str) -> bool:
    if value.lower() not in ("yes", "no", "true", "false"):
        raise ValueError(f"expected yes or no, got {value!r}")
    return value.lower() in ("yes", "true")


def _public_key_authentication(value: str) -> bool:
    return True if value.lower() in ("unbound", "host-bound") else _yes(value)


def _family(value: str) -> str:
    if value.lower() not in ("any", "inet", "inet6"):
        raise ValueError(f"expected any, inet or inet6, got {value!r}")
    return value.lower()


def _text(value: str) -> str:
    return value


def _plain(value: str) -> str:
    if value.startswith("-") or any(char.isspace() or not char.isprintable() for char in value):
        raise ValueError(f"expected a name, got {value!r}")
    return value


def _variable(value: str) -> str:
    """Return the socket of an agent, which may be the name of an environment variable."""
    if value.startswith("$") and not re.fullmatch(r"\$(\w+|\{.*)", value):
        raise ValueError(f"expected the name of an environment variable, got {value!r}")
    return value


def _methods(value: str) -> tuple[str, ...]:
    return tuple(value.lower().split(","))


def _jump(value: str) -> tuple[str, str] | None:
    # Imported here: it reads ports as this module does.
    from sshexec.connectors.ssh.proxyjump import check

    value = value.partition("#")[0].rstrip(_BLANK)
    if value.lower() == "none":
        return None
    check(value)
    return "jump", value


def _command(value: str) -> tuple[str, str] | None:
    return None if value.lower() == "none" else ("command", value)


_COMMANDS: dict[str, Callable[[str], tuple[str, str] | None]] = {"proxyjump": _jump, "proxycommand": _command}
"""Options that take the rest of the line as it stands."""

_LISTS: dict[str, Callable[[Sequence[str]], Any]] = {"userknownhostsfile": _files, "globalknownhostsfile": _files}

_SINGLE: dict[str, Callable[[str], Any]] = {
    "addressfamily": _family,
    "batchmode": _yes,
    "certificatefile": _text,
    "ciphers": _text,
    "connecttimeout": _seconds,
    "hostkeyalgorithms": _text,
    "hostkeyalias": _text,
    "hostname": _plain,
    "identitiesonly": _yes,
    "identityagent": _variable,
    "identityfile": _text,
    "ignoreunknown": _text,
    "kexalgorithms": _text,
    "macs": _text,
    "port": port,
    "preferredauthentications": _methods,
    "pubkeyauthentication": _public_key_authentication,
    "refuseconnection": _text,
    "serveralivecountmax": _number,
    "serveraliveinterval": _seconds,
    "stricthostkeychecking": _policy,
    "tag": _text,
    "user": _text,
}

_ALIASES = {
    "dsaauthentication": "pubkeyauthentication",
    "identityfile2": "identityfile",
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "tisauthentication": "kbdinteractiveauthentication",
    "keepalive": "tcpkeepalive",
    "protocolkeepalives": "serveraliveinterval",  # of Debian, as the next one
    "setuptimeout": "serveraliveinterval",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "hostbasedkeytypes": "hostbasedacceptedalgorithms",
    "smartcarddevice": "pkcs11provider",
}


def _each(reason: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


HARMLESS: dict[str, str] = {
    **_each("connections are kept open and shared anyway", "controlmaster controlpath controlpersist"),
    **_each("nothing is compressed", "compression compressionlevel"),
    **_each("the log is Python's", "loglevel logverbose syslogfacility"),
    **_each("no terminal is attached", "escapechar enableescapecommandline obscurekeystroketiming visualhostkey"),
    **_each("nothing is forwarded", "clearallforwardings exitonforwardfailure forwardx11timeout forwardx11trusted"),
    **_each("nothing is forwarded", "gatewayports permitremoteopen streamlocalbindmask streamlocalbindunlink"),
    **_each("nothing is forwarded", "tunneldevice xauthlocation"),
    **_each("a password is sent only where one is given", "passwordauthentication kbdinteractiveauthentication"),
    **_each("a password is asked for once a run", "numberofpasswordprompts kbdinteractivedevices"),
    **_each("only with PermitLocalCommand", "localcommand"),
    **_each("only with CanonicalizeHostname", "canonicaldomains canonicalizefallbacklocal canonicalizemaxdots"),
    **_each("only with CanonicalizeHostname", "canonicalizepermittedcnames"),
    **_each("only with GSSAPIAuthentication", "gssapiclientidentity gssapidelegatecredentials gssapikexalgorithms"),
    **_each("only with GSSAPIAuthentication", "gssapirenewalforcesrekey gssapiserveridentity gssapitrustdns"),
    **_each("only with HostbasedAuthentication", "enablesshkeysign hostbasedacceptedalgorithms"),
    **_each("signs of life are asked for by ServerAliveInterval", "tcpkeepalive"),
    **_each("known_hosts grows only by accept-new", "updatehostkeys"),
    **_each("fingerprints are SHA256", "fingerprinthash"),
    **_each("only the operating system's default is used", "ipqos"),
    **_each("changes nothing here", "stdinnull usekeychain versionaddendum warnweakcrypto"),
    **_each("no longer an option of OpenSSH", "afstokenpassing cipher fallbacktorsh globalknownhostsfile2 protocol"),
    **_each("no longer an option of OpenSSH", "kerberosauthentication kerberostgtpassing rhostsauthentication"),
    **_each("no longer an option of OpenSSH", "rhostsrsaauthentication rsaauthentication useblacklistedkeys"),
    **_each("no longer an option of OpenSSH", "useprivilegedport userknownhostsfile2 useroaming usersh"),
}
"""Options that change nothing here, and why."""

_OFF = "it asks for nothing"

_UNABLE: dict[str, tuple[str, str]] = {
    "addkeystoagent": ("no false", "keys are not added to the agent"),
    "bindaddress": ("", "the operating system chooses the source address"),
    "bindinterface": ("", "the operating system chooses the source address"),
    "canonicalizehostname": ("no false none", "names are not canonicalized"),
    "casignaturealgorithms": ("", "the list is not applied"),
    "channeltimeout": ("none", "channels have the task's own deadlines"),
    "checkhostip": ("no false", "only the name is looked up in known_hosts"),
    "connectionattempts": ("1", "a connection is tried once"),
    "dynamicforward": ("", "nothing is forwarded"),
    "forkafterauthentication": ("no false", "nothing goes to the background"),
    "forwardagent": ("no false", "the agent is not forwarded"),
    "forwardx11": ("no false", "X11 is not forwarded"),
    "gssapiauthentication": ("no false", "Kerberos logins are not supported"),
    "gssapikeyexchange": ("no false", "Kerberos logins are not supported"),
    "hashknownhosts": ("no false", "names are added to known_hosts in clear"),
    "hostbasedauthentication": ("no false", "host-based logins are not supported"),
    "knownhostscommand": ("none", "host keys come from files only"),
    "localforward": ("", "nothing is forwarded"),
    "nohostauthenticationforlocalhost": ("no false", "host keys of this machine are checked too"),
    "permitlocalcommand": ("no false", "no local command is run"),
    "pkcs11provider": ("none", "keys on tokens are used through an agent only"),
    "proxyusefdpass": ("no false", "a proxy command's standard input and output are the connection"),
    "pubkeyacceptedalgorithms": ("", "the list is not applied, and SHA-1 signatures are never made"),
    "rekeylimit": ("default", "keys are exchanged anew at the library's own limits"),
    "remotecommand": ("none", "the task is what runs"),
    "remoteforward": ("", "nothing is forwarded"),
    "requesttty": ("no false auto", "no terminal is requested"),
    "requiredrsasize": ("1024", "the size of RSA keys is not limited"),
    "revokedhostkeys": ("none", "name revoked host keys in known_hosts, as @revoked"),
    "securitykeyprovider": ("internal", "keys on tokens are used through an agent only"),
    "sendenv": ("", "give a task its variables with environment"),
    "sessiontype": ("default", "the task is what runs"),
    "setenv": ("", "give a task its variables with environment"),
    "tunnel": ("no false", "nothing is forwarded"),
    "verifyhostkeydns": ("no false", "DNS is not asked for host keys"),
}
"""Options that can't be honoured: the values that ask for nothing, and why or what there is instead."""

_STOCK = frozenset(
    (
        "casignaturealgorithms",
        "gssapiauthentication",
        "gssapikeyexchange",
        "hashknownhosts",
        "pubkeyacceptedalgorithms",
        "requiredrsasize",
        "sendenv",
    )
)
"""Options that distributions (Debian, Fedora and its crypto policies) set for everybody in /etc/ssh: nobody asked."""

UNSAFE = frozenset({"revokedhostkeys"})
"""Options that protect: where one can't be honoured, the host is not connected to."""
