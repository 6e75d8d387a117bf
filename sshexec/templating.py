"""Jinja2 expressions in arguments and connection variables, filled in from a host's variables.

A text that is one expression alone (``{{ port }}``) keeps its type, as with Ansible's native templates; any other
text stays a text. Expressions run in Jinja2's sandbox, and an undefined variable is an error.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sshexec.errors import InputError
from sshexec.secret import Secret, is_secret_name, mask

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

_DEEPEST = 10
_DEPTH = "\0depth"
"""Under this name, which no template can spell, the variables carry how deep expressions nest."""
_LONE = re.compile(r"\A\{\{((?:(?!\}\}|\{\{).)*)\}\}\Z", re.DOTALL)
"""One expression and nothing else, not even a blank: its value keeps its type. Otherwise the result is a text."""


def has_template(value: Any) -> bool:
    """Return whether a value holds a Jinja2 expression or statement at any depth."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, Mapping):
        return any(has_template(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(has_template(item) for item in value)
    return False


def render(value: Any, variables: Mapping[str, Any], host: str) -> Any:
    """Fill in every expression of a value.

    Args:
        value: a text, or lists and mappings of texts.
        variables: the host's variables; those that hold expressions themselves are filled in when they are used.
        host: inventory name, for messages.

    Raises:
        InputError: an expression is wrong or uses a variable that the host does not have.
    """
    if not has_template(value):
        return value
    try:
        return _render(value, {**variables, _DEPTH: 0})
    except InputError as error:
        # What an expression raises may quote what it was given.
        raise InputError(f"host {host}: {mask(error.message, variables)}") from None


def _render(value: Any, variables: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {key: _render_variable(key, item, variables) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_render(item, variables) for item in value]
    if not isinstance(value, str) or not has_template(value):
        return value
    from jinja2.exceptions import TemplateError

    try:
        return _compiled(value)(variables)
    except InputError:
        raise
    except TemplateError as error:
        raise InputError(f"{_shortened(value)}: {error.message or error}") from None
    except Exception as error:  # noqa: BLE001 - an expression may raise anything
        raise InputError(f"{_shortened(value)}: {type(error).__name__}: {error}") from None


def _render_variable(name: Any, value: Any, variables: Mapping[str, Any]) -> Any:
    """Fill in the expressions of a variable; where it holds a secret, errors show nothing of it."""
    if not (isinstance(name, str) and is_secret_name(name)):
        return _render(value, variables)
    try:
        return _render(value, variables)
    except InputError:
        raise InputError(f"{name}: an expression in it is wrong, or uses an undefined variable") from None


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


@functools.lru_cache(maxsize=1000)
def _compiled(text: str) -> Callable[[Mapping[str, Any]], Any]:
    from jinja2 import Undefined

    lone = _LONE.match(text)
    if not lone:
        return _environment().from_string(text).render
    expression = _environment().compile_expression(lone.group(1).strip(), undefined_to_none=False)

    def evaluate(variables: Mapping[str, Any]) -> Any:
        value = expression(variables)
        if isinstance(value, Undefined):
            str(value)  # a strict undefined raises and names the variable
        return value

    return evaluate


@functools.cache
def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.runtime import Context
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Lazy(Context):
        """Fills in the expressions of a variable when the variable is used."""

        def resolve_or_missing(self, key: str) -> Any:
            value = super().resolve_or_missing(key)
            if isinstance(value, Secret):
                raise InputError(f"{key} is a secret and can't be used in a template")
            if not has_template(value):
                return value
            depth = self.parent[_DEPTH] + 1
            if depth > _DEEPEST:
                raise InputError(f"variable {key!r} refers to itself, or nests over {_DEEPEST} deep")
            return _render_variable(key, value, {**self.parent, _DEPTH: depth})

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.context_class = Lazy
    return environment
