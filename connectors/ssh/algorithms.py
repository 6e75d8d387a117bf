"""Lists of algorithms as OpenSSH writes them: ``+`` adds to the default, ``-`` takes away, ``^`` puts first."""

from __future__ import annotations

import functools

from sshexec.connectors.ssh.keytypes import CERTIFICATE_ALGORITHMS, HOST_KEY_ALGORITHMS
from sshexec.connectors.ssh.keywords import Setting
from sshexec.connectors.ssh.matching import pattern_list

LISTS = ("ciphers", "kexalgorithms", "macs", "hostkeyalgorithms")


def choose(setting: Setting) -> tuple[str, ...]:
    """Return the algorithms that one of the four options names, the best first.

    Names that the library does not know are left out, as are those that only the other side would use.

    Raises:
        OptionError: nothing is left.
    """
    chosen = _choose(setting.key, setting.value)
    if not chosen:
        known = ", ".join(_tables()[setting.key][1])
        raise setting.wrong(f"none of {setting.value!r} is supported (there are: {known})")
    return chosen


def default(key: str) -> tuple[str, ...]:
    """Return what is proposed where one of the four options says nothing, the best first."""
    return _tables()[key][0]


@functools.lru_cache(maxsize=256)
def _choose(key: str, text: str) -> tuple[str, ...]:
    default, known = _tables()[key]
    sign, names = (text[0], text[1:]) if text[:1] in ("+", "-", "^") else ("", text)
    if sign == "-":
        matches = pattern_list(names)
        return tuple(name for name in default if not matches(name))
    # One pattern after the other, since their order is that of preference.
    named = [name for part in names.split(",") for name in known if part and pattern_list(part)(name)]
    if sign == "+":
        named = [*default, *named]
    elif sign == "^":
        named = [*named, *default]
    return tuple(dict.fromkeys(named))


@functools.cache
def _tables() -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return for each option our own default and everything that can be used."""
    # Not at the top: without such an option, whoever only plans need not wait for Paramiko.
    from sshexec.connectors.ssh.transport import Link

    # Those of certificates are proposed only where an authority of the host is known (see `Link`).
    tables = (CERTIFICATE_ALGORITHMS, HOST_KEY_ALGORITHMS)
    host_keys = tuple(name for table in tables for names in table.values() for name in names)
    defaults = (Link._preferred_ciphers, Link._preferred_kex, Link._preferred_macs, host_keys)
    known = (*(getattr(Link, f"_{kind}_info") for kind in ("cipher", "kex", "mac")), host_keys)
    return {
        key: (tuple(default), tuple(dict.fromkeys((*default, *table))))
        for key, default, table in zip(LISTS, defaults, known, strict=True)
    }
