"""Module arguments: what a module takes, and what Ansible's argument specs say about arguments that do not fit.

What is accepted, the order of the checks, and the messages follow ansible-core 2.19.14; a message has the module's name
in front and, where an argument's name is close to a known one, a suggestion behind.

A module says declaratively what it takes, and `Module.from_args` holds arguments to it::

    class File(Module):
        parameters = (
            Parameter("path", "path", required=True, aliases=("dest", "name")),
            Parameter("state", choices=("absent", "directory", "touch")),
            Parameter("names", "list", elements="str"),
            Parameter("password", no_log=True),
        )
        rules = Rules(
            exclusive=(("src", "content"),),
            one_of=(("src", "content"),),
            together=(("owner", "group"),),
            required_if=(("state", "link", ("src",)),),
            required_by={"backup": ("dest",)},
        )

`self.arguments` then has every parameter by its name, aliases resolved and types converted (null is not given), and
`invocation.module_args` shows aliases that were given beside it, as Ansible's does.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sshexec.errors import ArgumentError
from sshexec.modules.conversion import Type, convert
from sshexec.modules.grammar import FREE_FORM as FREE_FORM
from sshexec.modules.grammar import first_word as first_word
from sshexec.modules.grammar import split as split
from sshexec.modules.wording import quoted as quoted
from sshexec.modules.wording import readable as readable

HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
"""What results show in place of the value of a `Parameter.no_log`."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a module.

    Args:
        name: its name.
        type: what its value is converted to; a path stays as it is, since ``~`` and ``$VAR`` are the host's to expand.
        default: its value where it is not given.
        required: whether it must be given.
        aliases: other names for it.
        choices: the values allowed; of a list, for each of its elements.
        elements: what each element of a list is converted to.
        no_log: whether its value is a secret: results and messages do not show it.
        help: what it is for, in one line of Markdown; docs/modules.md shows it.
    """

    name: str
    type: Type = "str"
    default: Any = None
    required: bool = False
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    elements: Type | None = None
    no_log: bool = False
    help: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What arguments mean to each other; a default counts as given, but not for ``exclusive``.

    Args:
        exclusive: groups of which at most one is given.
        together: groups of which all are given, or none.
        one_of: groups of which at least one is given.
        required_if: an argument, a value of it, and what must then be given; with True behind, any one of these.
        required_by: an argument, and what must be given with it.
    """

    exclusive: tuple[tuple[str, ...], ...] = ()
    together: tuple[tuple[str, ...], ...] = ()
    one_of: tuple[tuple[str, ...], ...] = ()
    required_if: tuple[tuple[str, Any, tuple[str, ...]] | tuple[str, Any, tuple[str, ...], bool], ...] = ()
    required_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Arguments(dict[str, Any]):
    """Every parameter of a module with its value.

    Args:
        values: by name of the parameter.
        given: what was given, by the name that it was given under, not converted; without what is null.
        warnings: what the user should know about it.
    """

    def __init__(
        self, values: Mapping[str, Any], given: Mapping[str, Any] | None = None, warnings: Iterable[str] = ()
    ) -> None:
        super().__init__(values)
        self.given = dict(given or {})
        self.warnings = list(warnings)


def parse(
    module: str,
    parameters: Sequence[Parameter],
    args: str | Mapping[str, Any] | None,
    *,
    free_form: bool = False,
    rules: Rules = Rules(),
    called: str = "",
) -> Arguments:
    """Return every parameter of a module with its value.

    Args:
        module: the module's name, for messages.
        parameters: what it takes.
        args: a text (free form, ``key=value``) or a mapping; None is the same as no arguments.
        free_form: whether a text that is not ``key=value`` is the command itself.
        rules: what arguments mean to each other.
        called: what Ansible calls the module where it lists the parameters; empty is its name.

    Raises:
        ArgumentError: an argument is unknown, missing or wrong.
    """
    given = args if isinstance(args, Mapping) else split(module, args or "", free_form=free_form)
    known = {name for parameter in parameters for name in (parameter.name, *parameter.aliases)}
    given = {name: value for name, value in given.items() if value is not None or name not in known}
    values, warnings = _named(parameters, given)
    _exclude(module, rules, values)
    for parameter in parameters:
        if parameter.default is not None:
            values.setdefault(parameter.name, parameter.default)
    missing = sorted(each.name for each in parameters if each.required and each.name not in values)
    if missing:
        raise ArgumentError(f"{module}: missing required arguments: {', '.join(missing)}")
    for parameter in parameters:
        if parameter.name in values:
            values[parameter.name] = _convert(module, parameter, values[parameter.name])
    for parameter in parameters:
        if parameter.choices and parameter.name in values:
            _choose(module, parameter, values[parameter.name])
    _relate(module, rules, values)
    unknown = [readable(name) for name in given if name not in known]
    if unknown:
        raise ArgumentError(f"{module}: {_unsupported(called or module, parameters, unknown)}")
    return Arguments({each.name: values.get(each.name) for each in parameters}, given, warnings)


def _named(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return what is given by the parameters' names: of several names the last alias counts."""
    values: dict[str, Any] = {}
    warnings = []
    for parameter in parameters:
        if parameter.name in given:
            values[parameter.name] = given[parameter.name]
        for alias in parameter.aliases:
            if alias in given:
                if parameter.name in values:
                    warnings.append(f"Both option {parameter.name} and its alias {alias} are set.")
                values[parameter.name] = given[alias]
    return values, warnings


def _exclude(module: str, rules: Rules, values: Mapping[str, Any]) -> None:
    broken = ["|".join(group) for group in rules.exclusive if sum(name in values for name in group) > 1]
    if broken:
        raise ArgumentError(f"{module}: parameters are mutually exclusive: {', '.join(broken)}")


def _relate(module: str, rules: Rules, values: Mapping[str, Any]) -> None:
    for group in rules.together:
        if any(name in values for name in group) and not all(name in values for name in group):
            raise ArgumentError(f"{module}: parameters are required together: {', '.join(group)}")
    for group in rules.one_of:
        if not any(name in values for name in group):
            raise ArgumentError(f"{module}: one of the following is required: {', '.join(group)}")
    for name, value, needed, *one in rules.required_if:
        missing = [each for each in needed if each not in values]
        if name in values and values[name] == value and missing and (not any(one) or len(missing) == len(needed)):
            which = "any" if any(one) else "all"
            raise ArgumentError(
                f"{module}: {name} is {value} but {which} of the following are missing: {', '.join(missing)}"
            )
    for name, needed in rules.required_by.items():
        missing = [each for each in needed if each not in values]
        if name in values and missing:
            raise ArgumentError(f"{module}: missing parameter(s) required by '{name}': {', '.join(missing)}")


def _convert(module: str, parameter: Parameter, value: Any) -> Any:
    def refused(what: str, kind: Type, value: Any, error: Exception) -> ArgumentError:
        why = "its value is not shown" if parameter.no_log else error
        return ArgumentError(
            f"{module}: {what} is of type {type(value).__name__} and we were unable to convert to {kind}: {why}"
        )

    try:
        converted = convert(parameter.type, value)
    except (TypeError, ValueError) as error:
        raise refused(f"argument '{parameter.name}'", parameter.type, value, error) from None
    if parameter.elements is None:
        return converted
    elements = []
    for element in converted:
        try:
            elements.append(convert(parameter.elements, element))
        except (TypeError, ValueError) as error:
            what = f"Elements value for option '{parameter.name}'"
            raise refused(what, parameter.elements, element, error) from None
    return elements


def _choose(module: str, parameter: Parameter, value: Any) -> None:
    choices = ", ".join(parameter.choices)
    if isinstance(value, list):
        strangers = [each for each in value if each not in parameter.choices]
        if strangers:
            shown = HIDDEN if parameter.no_log else ", ".join(readable(each) for each in strangers)
            raise ArgumentError(
                f"{module}: value of {parameter.name} must be one or more of: {choices}. Got no match for: {shown}"
            )
    elif value not in parameter.choices:
        shown = HIDDEN if parameter.no_log else readable(value)
        raise ArgumentError(f"{module}: value of {parameter.name} must be one of: {choices}, got: {shown}")


def _unsupported(module: str, parameters: Sequence[Parameter], unknown: list[str]) -> str:
    names = sorted(each.name for each in parameters)
    aliases = sorted(alias for each in parameters for alias in each.aliases)
    supported = ", ".join(names) + (f" ({', '.join(aliases)})" if aliases else "")
    message = (
        f"Unsupported parameters for ({module}) module: {', '.join(sorted(unknown))}. "
        f"Supported parameters include: {supported}."
    )
    close = [match for name in unknown for match in difflib.get_close_matches(name, [*names, *aliases], 1)]
    return f"{message} Did you mean {' or '.join(close)}?" if close else message
