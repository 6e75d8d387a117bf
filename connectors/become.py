"""Privilege escalation: who a task runs as, and the command that sudo, su or doas start for it.

Variables, defaults and their order are those of the become plugins of ansible-core 2.19 (`sudo`, `su`) and of
community.general (`doas`): what is said for one method wins over what is said for all, a host's variable over the
keyword of a task. What differs: a password is never known beforehand to be needed, so nothing is asked with it in mind.
The method prompts with a text that nobody else can know (`sudo -p`), or in a known form before the command has begun.
"""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from sshexec.connectors.options import Explained
from sshexec.connectors.posix import quote
from sshexec.errors import ArgumentError, OptionError
from sshexec.scalars import boolean
from sshexec.secret import Secret

Method = Literal["sudo", "su", "doas"]

_METHODS = get_args(Method)
_FLAGS: dict[Method, str] = {"sudo": "-H -S -n", "su": "", "doas": ""}
_COLLECTIONS = ("ansible.builtin.", "ansible.legacy.", "community.general.")

_ASKED_FOR = (
    "Password|암호|パスワード|Adgangskode|Contraseña|Contrasenya|Hasło|Heslo|Jelszó|Lösenord|Mật khẩu|Mot de passe|"
    "Parola|Parool|Pasahitza|Passord|Passwort|Salasana|Sandi|Senha|Wachtwoord|ססמה|Лозинка|Парола|Пароль|"
    "गुप्तशब्द|शब्दकूट|సంకేతపదము|හස්පදය|密码|密碼|口令"
)
"""What su asks for in other languages: the words of Ansible's su plugin."""

_PASSWORDS = ("pass", "password")
_VARIABLES = frozenset(
    {
        "ansible_become",
        "ansible_become_method",
        *(f"ansible_{kind}_{end}" for kind in ("become", *_METHODS) for end in ("user", "exe", "flags", *_PASSWORDS)),
    }
)
"""Variables that say something about privilege escalation."""

_LOCALE = "sshexec_lc"
_UNHARMED = frozenset(string.ascii_letters + string.digits + " _-./:=,+@")


@dataclass(frozen=True, slots=True)
class BecomeKeywords:
    """What a task says about privilege escalation, for hosts whose variables say nothing (Ansible's task keywords).

    Args:
        become: whether to become another user.
        user: which one; None for root.
        method: ``sudo``, ``su`` or ``doas``; None for sudo.
        flags: options of the method, as a shell takes them; None for its own default.

    Raises:
        ArgumentError: a value is of another type, or no such method is there.
    """

    become: bool = False
    user: str | None = None
    method: str | None = None
    flags: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.become, bool):
            raise ArgumentError(f"become: expected True or False, got {self.become!r}")
        for name in ("user", "method", "flags"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise ArgumentError(f"become_{name}: expected a text, got {value!r}")
            try:
                if value is not None:
                    _one_line(value)
                if name == "user" and value is not None:
                    _user(value)
                if name == "method" and value is not None:
                    _method(value)
                if name == "flags" and value is not None:
                    _words(value)
            except ValueError as error:
                raise ArgumentError(f"become_{name}: {error}") from None


@dataclass(frozen=True, slots=True)
class Become:
    """How to become another user on one host.

    Args:
        method: ``sudo``, ``su`` or ``doas``.
        user: whom to become.
        exe: the program, as the host's shell takes it; it may be several words (``sudo su -``).
        flags: its options, as the host's shell takes them.
        password: what it asks for; None where it is not known.
        chdir: directory to change to before sudo starts; "" for none.
        prompts: what su or doas ask with, where that is none of the usual texts.
    """

    method: Method = "sudo"
    user: str = "root"
    exe: str = ""
    flags: str = ""
    password: Secret | None = field(default=None, repr=False)
    chdir: str = ""
    prompts: tuple[str, ...] = ()

    @classmethod
    def from_vars(
        cls, variables: Mapping[str, Any], defaults: BecomeKeywords | None = None, host: str | None = None
    ) -> Become | None:
        """Read a host's variables; None where the host's tasks run as the login user.

        Args:
            variables: the host's merged variables.
            defaults: what the task says; a variable wins over it.
            host: the inventory name, for messages.

        Raises:
            OptionError: a value is wrong; the message names host and variable.
        """
        given = variables.get("ansible_become")
        defaults = defaults or BecomeKeywords()
        if given is None or given == "":
            if not defaults.become:
                return None
        elif not _Reader(variables, host).read(("ansible_become",), boolean, "yes or no", None):
            return None
        read = _Reader(variables, host).read
        method = cast(Method, _method(defaults.method or "sudo"))
        method = read(("ansible_become_method",), _method, f"one of {', '.join(_METHODS)}", method)

        def names(*ends: str) -> tuple[str, ...]:
            return _names(method, *ends)

        flags = _FLAGS[method] if defaults.flags is None else defaults.flags
        return cls(
            method,
            read(names("user"), _user, "a user's name", defaults.user) or "root",
            read(names("exe"), _one_line, "a text without line breaks", None) or method,
            read(names("flags"), _words, "options as a shell takes them", flags),
            read(names(*_PASSWORDS), _secret, "a text without line breaks", None),
            read(("ansible_sudo_chdir",), _one_line, "a directory", None) or "" if method == "sudo" else "",
            read((f"ansible_{method}_prompt_l10n",), _texts, "a list of texts", ()),
        )

    @classmethod
    def explain(
        cls,
        variables: Mapping[str, Any],
        keywords: BecomeKeywords,
        places: Mapping[str, str],
        host: str | None = None,
    ) -> list[Explained]:
        """Return how a host's tasks become another user, and what set it; nothing where nobody asks for that.

        Args:
            variables: the host's merged variables.
            keywords: what the task says.
            places: what set the keywords, by field.
            host: the inventory name, for messages.

        Raises:
            OptionError: as `from_vars`, for a host that does not become another user too.
        """
        if not keywords.become and not any(places.values()) and not _VARIABLES.intersection(variables):
            return []
        on = cls.from_vars(variables, keywords, host) is not None
        become = cls.from_vars({**variables, "ansible_become": True}, keywords, host) or cls()

        def row(name: str, value: Any, names: tuple[str, ...], keyword: str = "") -> Explained:
            variable = next((each for each in names if variables.get(each) is not None), "")
            return Explained(name, value, variable, "" if variable else places.get(keyword, ""))

        return [
            row("become", on, () if variables.get("ansible_become") == "" else ("ansible_become",), "become"),
            row("become_method", become.method, ("ansible_become_method",), "method"),
            row("become_user", become.user, _names(become.method, "user"), "user"),
            row("become_flags", become.flags, _names(become.method, "flags"), "flags"),
            row("become_exe", become.exe, _names(become.method, "exe")),
            row("become_password", become.password, _names(become.method, *_PASSWORDS)),
        ]

    @property
    def shown(self) -> str:
        """Method and user as people and records read them: ``sudo:root``."""
        return f"{self.method}:{self.user}"

    def line(self, script: str, token: str, *, quiet: bool) -> str:
        """Return the command line that has the method start ``/bin/sh`` with a script.

        Args:
            script: for the shell, as the other user.
            token: what sudo's prompt holds.
            quiet: have the method fail where it would ask for a password.
        """
        shell = f"/bin/sh -c {quote(script)}"
        if self.method == "sudo":
            change = f"cd {quote(self.chdir)} && " if self.chdir else ""
            flags = f"{_sudo_flags(self.flags)}{' -n' if quiet else ''}"
            # sudo-rs puts the text into a prompt of its own: "[sudo: TEXT] Password: ".
            if _by_login_shell(self.flags):
                shell = f"/bin/sh -c {quote(_plain(script))}"
            return f"{change}exec {self.exe} {flags} -p {quote(token)} -u {quote(self.user)} {shell}"
        if self.method == "doas":
            never = " -n" if quiet and not re.search(r"(?:^|\s)-\w*n", self.flags) else ""
            return f"exec {self.exe} {self.flags}{never} -u {quote(self.user)} {shell}"
        # PAM speaks the language of su's environment. What it was is put back before the script runs; su with a login
        # shell has made a new environment by then.
        back = (
            f'if [ "${{{_LOCALE}+x}}" ]; then LC_ALL=${_LOCALE}; [ "$LC_ALL" ] || unset LC_ALL; unset {_LOCALE}; fi\n'
        )
        inner = f"exec /bin/sh -c {quote(back + script)}"
        outer = f"{_LOCALE}=${{LC_ALL-}} LC_ALL=C; export {_LOCALE} LC_ALL\nexec {self.exe} {self.flags} "
        return f"exec /bin/sh -c {quote(f'{outer}{quote(self.user)} -c {quote(inner)}')}"

    def prompt(self, token: str) -> re.Pattern[bytes]:
        """Return what a question for the password looks like at the end of what was said.

        Args:
            token: what sudo's prompt holds.
        """
        if self.method == "sudo":
            return re.compile(re.escape(token.encode()))
        if self.prompts:
            words = "|".join(map(re.escape, self.prompts))
        elif self.method == "doas":
            words = r"doas \([^\n]{1,200}\) password|Password"
        else:
            words = _ASKED_FOR
        text = rf"(?:{words})(?: for [^:\n]{{1,100}})?\s?(?::|：)[ \t]*\Z"
        return re.compile(text.encode(), re.IGNORECASE)


def _by_login_shell(flags: str) -> bool:
    """Return whether sudo hands its arguments to a shell first (``-i``, ``-s``), written in its own way."""
    return re.search(r"(?:^|\s)(?:-[AbBEeHKklnPSVv]*[is]|--login\b|--shell\b)", flags) is not None


def _plain(script: str) -> str:
    """Return a script that stays the same where sudo escapes it for a shell: it leaves ``$`` open and joins lines."""
    data = script.encode("utf-8", "surrogateescape")
    text = "".join(chr(byte) if chr(byte) in _UNHARMED else f"\\0{byte:03o}" for byte in data)
    return f"eval \"`printf %b '{text}'`\""


def _sudo_flags(flags: str) -> str:
    """Return the flags with ``-S`` and without ``-n``: the password comes by standard input, when sudo asks for it."""
    words = []
    for word in shlex.split(flags):
        if word == "--non-interactive":
            continue
        short = re.fullmatch(r"-([A-Za-z]+)", word)
        # Letters behind the first that takes a value are that value.
        if short and (switches := re.match(r"[AbBEeHiKklnPSsVv]*", short[1])) and "n" in switches[0]:
            word = f"-{switches[0].replace('n', '')}{short[1][switches.end() :]}"
            if word == "-":
                continue
        words.append(quote(word))
    if not any(re.fullmatch(r"-[AbBEeHiKklPSsVv]*S.*|--stdin", word) for word in words):
        words.append("-S")
    return " ".join(words)


def _names(method: str, *ends: str) -> tuple[str, ...]:
    """Return the variables that set something of a method, the strongest first."""
    return tuple(f"ansible_{kind}_{end}" for kind in (method, "become") for end in ends)


class _Reader:
    """Reads host variables, and names the one that is wrong.

    Args:
        variables: the host's.
        host: its name; None where there is none.
    """

    def __init__(self, variables: Mapping[str, Any], host: str | None) -> None:
        self._variables = variables
        self._where = f"host {host}: " if host else ""

    def read(self, names: tuple[str, ...], convert: Any, expected: str, default: Any) -> Any:
        """Return the value of the first of these variables that is set."""
        for name in names:
            value = self._variables.get(name)
            if value is None:
                continue
            hidden = convert is _secret or isinstance(value, Secret)
            if isinstance(value, Secret):
                value = value.reveal()
            try:
                return convert(value)
            except (ValueError, TypeError):
                shown = "" if hidden else f", got {value!r}"
                raise OptionError(f"{self._where}{name}: expected {expected}{shown}") from None
        return default


def _one_line(value: object) -> str:
    if isinstance(value, (dict, list, tuple)):
        raise TypeError("is no text")
    text = str(value)
    if any(mark in text for mark in "\0\r\n"):
        raise ValueError("holds a line break or NUL")
    return text


def _user(value: object) -> str:
    text = _one_line(value)
    if text.startswith("-"):
        raise ValueError("looks like an option")
    return text


def _words(value: object) -> str:
    text = _one_line(value)
    shlex.split(text)
    return text


def _method(value: object) -> str:
    name = str(value)
    for prefix in _COLLECTIONS:
        name = name.removeprefix(prefix)
    if name not in _METHODS:
        raise ValueError(f"expected one of {', '.join(_METHODS)}, got {value!r}")
    return name


def _secret(value: object) -> Secret | None:
    text = _one_line(value)
    return Secret(text) if text else None


def _texts(value: object) -> tuple[str, ...]:
    values = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(values, (list, tuple)) or not all(isinstance(each, str) for each in values):
        raise TypeError("are no texts")
    return tuple(each for each in values if each)
