"""The modules that a page may run, with their arguments; and what of them may be asked over the web."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Collection, Mapping
from typing import Any

from sshexec.connectors.base import Capability
from sshexec.errors import ArgumentError, InputError
from sshexec.modules.arguments import Parameter, parse
from sshexec.modules.registry import module_class, module_names, module_on, short_name

_HERE = frozenset({"fetch", "script"})
"""Modules that read or write files of the machine on which they are started, whatever their arguments."""

_SOURCE = frozenset({"copy", "win_copy"})
"""Modules that read a file of it unless a content is given, or the file is on the host."""

_FIRST = ("shell", "command", "ping", "copy", "file", "setup", "stat")
"""What people look for, before the rest."""


class Catalogue:
    """What may be run over the web.

    A page's user may act on the hosts, and not on the machine that serves the page. So modules that read or write its
    files are left out, and so is what other distributions bring, of which nobody knows.

    Args:
        modules: names of further modules.
        local_files: whether files of the serving machine may be read and written (``fetch``, ``script``, ``copy`` with
            ``src``).
        templates: whether arguments may hold Jinja2 expressions: they can show any variable of a host, its passwords
            among them.
    """

    def __init__(self, modules: Collection[str] = (), *, local_files: bool = False, templates: bool = False) -> None:
        self._further = frozenset(modules)
        self._local_files = local_files
        self._templates = templates

    def names(self) -> list[str]:
        """Return the modules' names, those first that are used most."""
        there = {name for name in module_names() if self._offers(name)} | self._further
        return [name for name in _FIRST if name in there] + sorted(there.difference(_FIRST))

    def described(self) -> list[dict[str, Any]]:
        """Return each module with its arguments, as plain data."""
        return [self._without_source(_described(name)) for name in self.names()]

    def _without_source(self, described: dict[str, Any]) -> dict[str, Any]:
        """Say what ``src`` means where files of this machine are not offered."""
        if described["name"] in _SOURCE and not self._local_files:
            for parameter in described["parameters"]:
                if parameter["name"] == "src":
                    parameter["help"] = "file or directory of the host; only with `remote_src`"
        return described

    def check(self, module: str, args: str | Mapping[str, Any] | None, **texts: object) -> None:
        """Refuse what may not be asked.

        Args:
            module: its name.
            args: its arguments.
            **texts: what else is filled in for each host.

        Raises:
            ArgumentError: the module is not offered, or an argument is not.
            UnknownModuleError: there is no such module.
        """
        if not self._offers(module):
            raise ArgumentError(f"module {module!r:.80} is not offered here (there are: {', '.join(self.names())})")
        templated = _has_template([args, texts])
        if templated and not self._templates:
            raise ArgumentError("Jinja2 expressions ({{ ... }}, {% ... %}) are not taken here: they show variables")
        if short_name(module) in _SOURCE and not self._local_files:
            self._check_source(module, args, templated=templated)

    def _offers(self, name: str) -> bool:
        if name in self._further:
            return True
        short = short_name(name)
        return short in _built_in() and (self._local_files or short not in _HERE)

    def _check_source(self, module: str, args: str | Mapping[str, Any] | None, *, templated: bool) -> None:
        # Read without looking at any file: whether one is there is nobody's business either.
        kind = module_class(module)
        if templated and not isinstance(args, Mapping):
            raise ArgumentError(f"{module}: with expressions, give the arguments one by one")
        given = parse(kind.name, kind.parameters, args, free_form=kind.free_form, rules=kind.rules, called=kind.called)
        if given["src"] and not given["remote_src"]:
            raise ArgumentError(
                f"{module}: src would be a file of the server, which is not offered here; upload a file in a terminal,"
                " give its content, or set remote_src"
            )


@functools.cache
def _built_in() -> frozenset[str]:
    """Return the names of modules that this project has itself."""
    ours = []
    for name in module_names():
        try:
            home = module_class(name).__module__
        except InputError:
            continue  # of another distribution, and broken
        if home.startswith("sshexec.modules."):
            ours.append(name)
    return frozenset(ours)


def _described(name: str) -> dict[str, Any]:
    try:
        kind = module_class(name)
    except InputError as error:
        return {"name": name, "summary": str(error), "free_form": False, "hosts": "any", "parameters": []}
    return {
        "name": name,
        "summary": (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ").replace("`", ""),
        "free_form": kind.free_form,
        "hosts": _hosts(name, kind.needs),
        "parameters": [_parameter(each) for each in kind.parameters if each.name != "_uses_shell"],
    }


def _hosts(name: str, needs: Capability) -> str:
    if Capability.WINDOWS in needs:
        return "windows"
    if Capability.POSIX not in needs:
        return "any"
    try:
        there = module_on(name, Capability.WINDOWS | Capability.FILES)
    except InputError:
        return "posix"
    return "posix" if there.__module__ == "sshexec.modules.windows.instead" else "any"


def _parameter(each: Parameter) -> dict[str, Any]:
    return {
        "name": each.name,
        "type": each.type,
        "default": each.default,
        "required": each.required,
        "choices": list(each.choices),
        "elements": each.elements,
        "aliases": list(each.aliases),
        "secret": each.no_log,
        "help": each.help,
    }


def _has_template(value: Any) -> bool:
    if isinstance(value, str):
        return "{{" in value or "{%" in value or "{#" in value
    if isinstance(value, Mapping):
        return any(_has_template(item) for item in value.items())
    return isinstance(value, (list, tuple)) and any(_has_template(item) for item in value)
