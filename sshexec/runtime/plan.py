"""Bad input is found here, before anything is contacted: arguments, variables, key files."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sshexec.connectors.base import Capability, Connector, Context
from sshexec.connectors.become import Become, BecomeKeywords
from sshexec.connectors.options import ConnectorOptions
from sshexec.connectors.posix import exports
from sshexec.connectors.prompts import Prompts
from sshexec.connectors.registry import connector_class
from sshexec.errors import ArgumentError, InputError, OptionError
from sshexec.modules.arguments import split
from sshexec.modules.base import Module
from sshexec.modules.registry import module_class, module_on
from sshexec.modules.windows.instead import Instead
from sshexec.runtime.job import Job
from sshexec.secret import Secret, SecretExpression, mask, secrets_of, shows_secret
from sshexec.task import Target
from sshexec.templating import has_template, render

log = logging.getLogger(__name__)

ConnectorClass = type[Connector[Any, Any]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How one host will be reached and what it will be asked, checked.

    Args:
        host: inventory name.
        connector: its connector class.
        options: connection settings.
        module: the module with this host's arguments; hosts with equal arguments share one.
        environment: variables for its commands.
        become: whom the task runs as; None for the login user.
        secrets: what its result's ``diff`` must not show.
        settings: what the module wants to know of the host's variables.
    """

    host: str
    connector: ConnectorClass
    options: ConnectorOptions
    module: Module
    environment: Mapping[str, str]
    become: Become | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Contexts:
    """What the connectors of one kind share, made when the first of them is planned.

    Args:
        prompts: where they put their questions.
    """

    def __init__(self, prompts: Prompts | None = None) -> None:
        self._prompts = prompts or Prompts()
        self._made: dict[ConnectorClass, Context] = {}

    def __getitem__(self, connector: ConnectorClass) -> Context:
        if connector not in self._made:
            context = self._made[connector] = connector.Context()
            context.prompts = self._prompts
        return self._made[connector]

    def close(self) -> None:
        """Close all of them."""
        while self._made:
            self._made.popitem()[1].close()


def plan(job: Job, contexts: Contexts) -> dict[str, Plan]:
    """Make the plan of every host of a job.

    Raises:
        InputError: the first thing found wrong.
    """
    try:
        return _plans(job, contexts)
    except InputError:
        raise
    except Exception as error:
        # A fault of ours or of a plugin, before anything was contacted.
        log.debug("planning a run failed", exc_info=not job.task.no_log)
        if job.task.no_log:
            raise InputError(f"internal error: {type(error).__name__}, not shown, since no_log is set") from None
        raise InputError(f"internal error: {type(error).__name__}: {error}") from error


def _plans(job: Job, contexts: Contexts) -> dict[str, Plan]:
    module_class(job.task.module)  # a name that means nothing anywhere is wrong, whichever hosts there are
    modules: dict[type[Module], _Modules] = {}
    templated = has_template(job.task.args)
    environment_templated = has_template(job.task.environment)
    _check_environment(job.task.environment)
    constant = _texts(job.task.environment)
    plans = {}
    for target in job.targets:
        connector, options = connection(target.host, target.variables, contexts)
        kind = module_on(job.task.module, connector.capabilities)
        if kind not in modules:
            modules[kind] = _Modules(job, kind, templated)
        become = _become(target, job.task.become, connector)
        if kind.needs not in connector.capabilities:
            raise ArgumentError(
                f"host {target.host}: module {kind.name} does not work over a {connector.name} connection"
            )
        environment = constant
        with _discreet(job, kind):
            if environment_templated:
                environment = _texts(render(job.task.environment, target.variables, target.host, "refused"))
            module = modules[kind].of(target)
        secrets = tuple(secrets_of(target.variables)) if job.task.diff and templated else ()
        settings = _settings(kind, target) if kind.reads else {}
        plans[target.host] = Plan(target.host, connector, options, module, environment, become, secrets, settings)
    return plans


def _texts(environment: Mapping[str, object]) -> Mapping[str, str]:
    """Return what commands see: a number or a list, such as an expression gives, is a text there."""
    return {name: str(value) for name, value in environment.items()}


class _Modules:
    """A task's module for hosts of one kind: one for all of them, or with expressions one for each filling.

    Args:
        job: whose task it is.
        kind: the module's class on these hosts.
        templated: whether there are expressions in the arguments.
    """

    def __init__(self, job: Job, kind: type[Module], templated: bool) -> None:
        self._kind = kind
        self._given = job.task.args
        self._made: dict[str, Module] = {}
        # What says only that it is not for a host has no use for arguments.
        self._templated = templated and not issubclass(kind, Instead)
        with _discreet(job, kind):
            self._shared = None if self._templated else kind.from_args(self._given)
            if self._templated and isinstance(self._given, str):
                # Split before the expressions are filled in, as Ansible does: what a variable holds is a value, and
                # can't add arguments of its own.
                self._given = split(kind.name, self._given, free_form=kind.free_form)

    def of(self, target: Target) -> Module:
        """Return the module with one host's arguments."""
        if self._shared is not None:
            return self._shared
        args = render(self._given, target.variables, target.host)
        key = repr(args)
        if key not in self._made:
            self._made[key] = _filled_in(self._kind, args, target)
        return self._made[key]


def _settings(kind: type[Module], target: Target) -> Mapping[str, Any]:
    """Return those of a host's variables that a module reads, with their expressions filled in."""
    settings = {name: target.variables[name] for name in kind.reads if name in target.variables}
    filled: Mapping[str, Any] = render(settings, target.variables, target.host) if has_template(settings) else settings
    return {name: _revealed(value) for name, value in filled.items()}


@contextlib.contextmanager
def _discreet(job: Job, kind: type[Module]) -> Iterator[None]:
    """Say of a wrong argument only that it is wrong, where nobody is to see it."""
    try:
        yield
    except InputError:
        if not job.task.no_log:
            raise
        raise ArgumentError(f"{kind.name}: the arguments are wrong, and not shown, since no_log is set") from None


def _filled_in(kind: type[Module], args: Any, target: Target) -> Module:
    """Return the module with one host's arguments; what is wrong with them is not said where it would show a secret."""
    try:
        return kind.from_args(args)
    except InputError:
        if not shows_secret(args, target.variables):
            raise
    raise ArgumentError(
        f"host {target.host}: {kind.name}: the arguments are wrong, and not shown, since a secret variable is in them"
    )


def _check_environment(environment: Mapping[str, str]) -> None:
    exports(environment)  # refuses names that no shell takes
    values: Mapping[str, object] = environment
    for name, value in values.items():
        if isinstance(value, Secret):
            # It would stand in the arguments of the host's shell, for every user there to see.
            raise ArgumentError(
                f"environment: {name} is a secret, and the environment of a command is no place for one"
            )


def reached_by(host: str, variables: Mapping[str, Any]) -> tuple[ConnectorClass, Mapping[str, Any]]:
    """Return the connector class of a host, and its variables with the expressions of connection variables filled in.

    Raises:
        InputError: there is no such connector, or an expression is wrong.
    """
    variables = _rendered(host, variables)
    try:
        return connector_class(str(_revealed(variables.get("ansible_connection", "ssh")))), variables
    except OptionError as error:
        raise OptionError(mask(f"host {host}: {error.message}", variables)) from None


def _revealed(value: Any) -> Any:
    return value.reveal() if isinstance(value, Secret) else value


def _become(target: Target, keywords: BecomeKeywords, connector: ConnectorClass) -> Become | None:
    """Return whom a host's task runs as; None for the login user."""
    if not keywords.become and target.variables.get("ansible_become") is None:
        return None
    variables = _rendered(target.host, target.variables)
    able = Capability.BECOME in connector.capabilities
    runas = str(_revealed(variables.get("ansible_become_method"))).rpartition(".")[2] == "runas"
    if runas and not able:
        variables = {name: value for name, value in variables.items() if name != "ansible_become_method"}
    try:
        become = Become.from_vars(variables, keywords, target.host)
    except InputError as error:
        raise type(error)(mask(error.message, variables)) from None
    if become is not None and not able:
        # Never as the login user what was meant to run as another one.
        what = "ansible_become_method: runas is not supported" if runas else "ansible_become"
        raise OptionError(f"host {target.host}: {what}: a {connector.name} connection can't become another user")
    return become


def _rendered(host: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the variables with the expressions in connection settings filled in."""
    settings = {
        name: value
        for name, value in variables.items()
        if (isinstance(value, str) and "{" in value) or isinstance(value, SecretExpression)
    }
    settings = {
        name: value
        for name, value in settings.items()
        if name.startswith(("ansible_", "sshexec_")) and has_template(value)
    }
    return {**variables, **render(settings, variables, host, "kept")} if settings else variables


def connection(
    host: str, variables: Mapping[str, Any], contexts: Contexts | None = None
) -> tuple[ConnectorClass, ConnectorOptions]:
    """Return how a host is reached, from its variables; expressions in them are filled in.

    Args:
        host: inventory name.
        variables: the host's variables.
        contexts: where the options are checked further (key files); None leaves that out.

    Raises:
        InputError: a variable is wrong.
    """
    connector, variables = reached_by(host, variables)
    try:
        options = connector.Options.from_vars(variables, host)
        if contexts is not None:
            contexts[connector].check(options)
    except InputError as error:
        # As an error of its own: an exception keeps the text it was made with.
        where = f"host {host}: "
        # A file that is wrong is so for every host that it is for.
        named = error.path is not None or error.message.startswith(where)
        message = error.message if named else where + error.message
        raise type(error)(mask(message, variables), path=error.path, line=error.line) from None
    return connector, options
