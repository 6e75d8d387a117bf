"""Jinja2 expressions in arguments and connection variables, filled in from a host's variables.

A text that is one expression alone (``{{ port }}``) keeps its type, as with Ansible's native templates; any other
text stays a text. Expressions run in Jinja2's sandbox, and an undefined variable is an error.

Secrets are used as Ansible uses them: what ansible-vault has encrypted is a text like any other here, except that it is
never taken for an expression itself; one in a file that is encrypted as a whole may be.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from sshexec.errors import CredentialError, InputError
from sshexec.secret import Secret, SecretExpression, holds_secret, is_secret_name, mask

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

_DEEPEST = 10
_DEPTH = "\0depth"
"""Under this name, which no template can spell, the variables carry how deep expressions nest."""
_SECRETS = "\0secrets"
"""Likewise the names of the secrets that were used, in a list; nothing where none may be."""
Secrets = Literal["refused", "shown", "kept"]
_LONE = re.compile(r"\A\{\{((?:(?!\}\}|\{\{).)*)\}\}\Z", re.DOTALL)
"""One expression and nothing else, not even a blank: its value keeps its type. Otherwise the result is a text."""


def has_template(value: Any) -> bool:
    """Return whether a value holds a Jinja2 expression or statement at any depth."""
    if isinstance(value, str):
        return ("{{" in value or "{%" in value) and not isinstance(value, _Final)
    if isinstance(value, SecretExpression):
        return True
    if isinstance(value, Mapping):
        return any(has_template(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(has_template(item) for item in value)
    return False


def render(value: Any, variables: Mapping[str, Any], host: str, secrets: Secrets = "shown") -> Any:
    """Fill in every expression of a value.

    Args:
        value: a text, or lists and mappings of texts.
        variables: the host's variables; those that hold expressions themselves are filled in when they are used.
        host: inventory name, for messages.
        secrets: what becomes of a text that a secret is used in: ``kept`` makes a `Secret` of it, ``shown`` leaves it
            as it is, ``refused`` is an error.

    Raises:
        InputError: an expression is wrong or uses a variable that the host does not have.
    """
    if not has_template(value):
        return value
    used: list[str] = []
    try:
        return _render(value, {**variables, _DEPTH: 0, _SECRETS: None if secrets == "refused" else used}, secrets)
    except InputError as error:
        # What an expression raises may quote what it was given.
        raise type(error)(f"host {host}: {mask(error.message, variables)}") from None


def _render(value: Any, variables: Mapping[str, Any], secrets: Secrets = "shown") -> Any:
    if isinstance(value, Mapping):
        return {key: _render_variable(key, item, variables, secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_render(item, variables, secrets) for item in value]
    if isinstance(value, SecretExpression):
        # Errors show nothing of it.
        found = _render_variable("password", value.reveal(), variables)
        return Secret(str(found)) if secrets == "kept" else found
    if not isinstance(value, str) or not has_template(value):
        return value
    from jinja2.exceptions import TemplateError

    used = variables[_SECRETS]
    before = len(used or ())
    try:
        found = _compiled(value)(variables)
    except InputError:
        raise
    except TemplateError as error:
        raise InputError(f"{_shortened(value)}: {error.message or error}") from None
    except Exception as error:  # noqa: BLE001 - an expression may raise anything
        raise InputError(f"{_shortened(value)}: {type(error).__name__}: {error}") from None
    if secrets == "kept" and isinstance(found, (str, int, float)) and not isinstance(found, bool):
        return Secret(str(found)) if len(used or ()) > before else found
    return str(found) if isinstance(found, _Final) else found


def _render_variable(name: Any, value: Any, variables: Mapping[str, Any], secrets: Secrets = "shown") -> Any:
    """Fill in the expressions of a variable; where it holds a secret, errors show nothing of it."""
    if not (isinstance(name, str) and is_secret_name(name)):
        return _render(value, variables, secrets)
    try:
        return _render(value, variables, secrets)
    except CredentialError:
        raise
    except InputError:
        raise InputError(f"{name}: an expression in it is wrong, or uses an undefined variable") from None


def _plain(value: Any) -> Any:
    """Return a value with the secrets in it as texts; those with expressions stay, to be filled in."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if not isinstance(value, Secret) or isinstance(value, SecretExpression):
        return value
    text = value.reveal()
    return _Final(text) if has_template(text) else text


class _Final(str):
    """A text that is not to be filled in, whatever it holds."""

    __slots__ = ()


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
            if holds_secret(value):
                used = self.parent[_SECRETS]
                if used is None:
                    raise InputError(f"{key} is a secret and can't be used here")
                used.append(key)
                value = _plain(value)
            if not has_template(value):
                return value
            depth = self.parent[_DEPTH] + 1
            if depth > _DEEPEST:
                raise InputError(f"variable {key!r} refers to itself, or nests over {_DEEPEST} deep")
            return _render_variable(key, value, {**self.parent, _DEPTH: depth})

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.context_class = Lazy
    return environment
