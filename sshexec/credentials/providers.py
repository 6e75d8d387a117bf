"""Who else keeps secrets: a reference ``NAME:REST`` stands in a secret's place, and the provider NAME is asked for it.

``env:NAME``, ``file:PATH`` and ``command:PROGRAM ARGUMENTS`` are built in. Any other is a callable: it gets REST, such
as ``path#field``, and returns the text (or a `Secret`), or a mapping of which the field behind ``#`` is taken. Other
distributions bring theirs as entry points of the group ``sshexec.credentials``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from sshexec.credentials.places import TIMEOUT, read_command, read_environment, read_file
from sshexec.errors import CredentialError
from sshexec.plugins import plugins
from sshexec.secret import LazySecret, Secret

GROUP = "sshexec.credentials"

Provider = Callable[[str], Any]

_BUILT_IN: dict[str, Callable[[str], str]] = {"env": read_environment, "file": read_file, "command": read_command}
_REFERENCE = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*):(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reference:
    """Stands for a secret that somebody else keeps.

    Args:
        text: ``NAME:REST``, such as ``env:DEPLOY_PASSWORD`` or ``vault:path#field``.
    """

    text: str


class Providers:
    """The providers that are known by name.

    Args:
        given: those of the caller. They are asked on a thread of their own, and have `TIMEOUT` seconds for an answer.

    Raises:
        CredentialError: one has the name of a built-in, or can't be called.
    """

    def __init__(self, given: Mapping[str, Provider] | None = None) -> None:
        self._given = dict(given or {})
        for name, provider in self._given.items():
            if name in _BUILT_IN or not _REFERENCE.fullmatch(f"{name}:x"):
                raise CredentialError(f"a provider can't be named {name!r}")
            if not callable(provider):
                raise CredentialError(f"the provider {name!r} can't be called: it is a {type(provider).__name__}")

    def check(self, reference: str) -> None:
        """Refuse what is no reference to a known provider; nobody is asked.

        Raises:
            CredentialError: it has another form, or there is no such provider.
        """
        self._find(reference)

    def fetch(self, reference: str) -> str:
        """Return the secret that a reference means.

        Raises:
            CredentialError: there is no such provider, it fails, has no such secret, or does not answer in time.
        """
        name, rest, provider = self._find(reference)
        if name in _BUILT_IN:
            return str(provider(rest))
        return _text(name, rest, _answer(name, provider, rest))

    def _find(self, reference: str) -> tuple[str, str, Provider]:
        found = _REFERENCE.fullmatch(reference)
        if found is None:
            # Without the text: it may be the secret itself.
            raise CredentialError("is no reference: expected NAME:..., such as env:VARIABLE or file:PATH")
        name, rest = found[1], found[2]
        provider = _BUILT_IN.get(name) or self._given.get(name)
        if provider is not None:
            return name, rest, provider
        installed = plugins(GROUP)
        if name not in installed:
            known = ", ".join(sorted({*_BUILT_IN, *self._given, *installed}))
            raise CredentialError(f"there is no provider {name!r} of secrets (there are: {known})")
        try:
            loaded: Provider = installed[name].load()
        except Exception as error:
            raise CredentialError(
                f"the provider {name!r} of {installed[name].owner} can't be loaded: {type(error).__name__}"
            ) from error
        return name, rest, loaded


class ReferencedSecret(LazySecret):
    """A secret that a provider keeps; it is fetched whenever it is asked for, by a run once.

    Args:
        reference: ``NAME:REST``.
        providers: fetch it.
        what: whose secret it is, for messages.
    """

    __slots__ = ("_providers", "_what", "reference")
    kept = False

    def __init__(self, reference: str, providers: Providers | None = None, *, what: str) -> None:
        super().__init__()
        self.reference = reference
        self._providers = providers or Providers()
        self._what = what

    @property
    def shown(self) -> str:
        """The reference for people: of a command only its name, since its arguments may say more."""
        kind, _, rest = self.reference.partition(":")
        return f"{kind}:{rest.split()[0]}" if kind == "command" and rest.split() else self.reference

    def _open(self) -> str:
        try:
            return self._providers.fetch(self.reference)
        except CredentialError as error:
            raise CredentialError(f"{self._what}: {error}") from error.__cause__

    def sealed(self) -> Hashable:
        """Return the reference, and who is asked."""
        return self.reference, id(self._providers)


def _answer(name: str, provider: Provider, rest: str) -> Any:
    """Return what a provider of somebody else's answers."""
    answers: list[Any] = []
    errors: list[Exception] = []

    def ask() -> None:
        try:
            answers.append(provider(rest))
        except Exception as error:  # noqa: BLE001 - whatever it raises
            errors.append(error)

    thread = threading.Thread(target=ask, name=f"sshexec-provider-{name}", daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    if errors:
        error = errors[0]
        # Of another error only the kind: its text may hold what it was about.
        said = str(error) if isinstance(error, CredentialError) else type(error).__name__
        raise CredentialError(f"the provider {name!r} failed: {said}") from error
    if not answers:
        raise CredentialError(f"the provider {name!r} gave no answer within {TIMEOUT:g} s")
    return answers[0]


def _text(name: str, rest: str, answer: Any) -> str:
    if isinstance(answer, Mapping):
        _, mark, field = rest.rpartition("#")
        if not mark:
            raise CredentialError(f"the provider {name!r} answers with fields; say which: {name}:PATH#FIELD")
        answer = answer.get(field)
    if isinstance(answer, Secret):
        return answer.reveal()
    if isinstance(answer, bytes):
        answer = answer.decode("utf-8", "surrogateescape")
    if answer is None:
        raise CredentialError(f"the provider {name!r} has no such secret")
    if not isinstance(answer, str):
        raise CredentialError(f"the provider {name!r} answered with a {type(answer).__name__}, not with a text")
    return answer
