"""The keys that hosts are offered: from files, variables and agents, each read once for all hosts."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.prompts import Answer, Prompts, Question
from sshexec.connectors.ssh import keys, usercertificates
from sshexec.connectors.ssh.agent import Agent, user_agent
from sshexec.connectors.ssh.keys import LockedKeyError, SigningKey
from sshexec.connectors.ssh.keytypes import SUFFIX
from sshexec.connectors.ssh.options import SshOptions
from sshexec.errors import OptionError
from sshexec.secret import Secret

_DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
_INLINE = "ansible_private_key"
_MOST_KEYS = 10_000
"""Keys that are remembered before all are forgotten: an engine that lives for long may be given fresh ones each day."""


class Keyring:
    """Every key of one engine, with the certificates that go with it."""

    def __init__(self) -> None:
        self.agent = user_agent()
        """That of SSH_AUTH_SOCK."""
        self._agents: dict[str, Agent] = {}
        self._lock = threading.Lock()
        self._keys: dict[tuple[object, ...], tuple[object, list[SigningKey] | OptionError]] = {}
        self._certificates: dict[str, tuple[tuple[int, int], usercertificates.Certificate]] = {}
        self._phrases: dict[str, str] = {}
        """Passphrases that a person gave, by what the key is known by."""

    def agent_of(self, options: SshOptions) -> Agent:
        """Return the agent that these options name: one connection to each for all hosts."""
        path = options.identity_agent
        if path is None:
            return self.agent
        with self._lock:
            return self._agents.setdefault(path, Agent(path or None))

    def signing_keys(self, options: SshOptions, *, locked: bool = False) -> list[SigningKey]:
        """Return the keys to offer, the best first: each with its certificates before it is offered without.

        Configured keys are the only ones offered; one that ssh_config names may be missing, or encrypted where there is
        another key or a password. Where neither a key nor a password is configured, the agent's keys and the user's
        default keys are (only the latter with IdentitiesOnly; see `SshOptions.default_keys`).

        Args:
            options: the host's.
            locked: complain of a default key that is encrypted, where there is no other key.

        Raises:
            LockedKeyError: a key is encrypted, and its passphrase is not known.
            OptionError: a configured key can't be used.
        """
        if not options.public_keys:
            return []
        agent = self.agent_of(options)
        secret = options.passphrase.reveal() if options.passphrase is not None else None
        if options.private_key is not None:
            found = self._inline(options.private_key.reveal(), secret, agent)
        else:
            found, passed_over = self._configured(options, secret, agent)
            named = found and options.default_keys != "also"
            if not named and options.password is None and not options.ask_password:
                blobs = {key.blob for key in found}
                found += [key for key in self._usual(agent, secret, options, locked) if key.blob not in blobs]
                if not found and passed_over is not None:
                    raise passed_over
        return self._certified(found, options.certificate_files) if options.certificate_files else found

    def _configured(
        self, options: SshOptions, secret: str | None, agent: Agent
    ) -> tuple[list[SigningKey], OptionError | None]:
        """Return the keys of the files that are named, and what was wrong with the first of those that may be missing.

        Raises:
            OptionError: one that must be there can't be used.
        """
        found: list[SigningKey] = []
        passed_over: OptionError | None = None
        for file in options.key_files:
            try:
                found += self._load(file, secret, agent)
            except OptionError as error:
                if file not in options.optional_key_files:
                    raise
                if os.path.exists(file):
                    passed_over = passed_over or error
        return found, passed_over

    def unused(self, options: SshOptions) -> list[str]:
        """Return why there is no key to offer, for the words of a refusal: which were looked at, and what is wrong."""
        if not options.public_keys:
            return ["ssh_config says that no keys are used (PubkeyAuthentication, PreferredAuthentications)"]
        agent = self.agent_of(options)
        reasons = [agent.trouble] if agent.trouble else []
        secret = options.passphrase.reveal() if options.passphrase is not None else None
        for file in options.key_files or map(os.path.expanduser, _DEFAULT_KEYS):
            try:
                self._load(file, secret, agent)
            except OptionError as error:
                if options.key_files or os.path.exists(file):
                    reasons.append(error.message)
        if not reasons and not options.ask_password:
            reasons.append("neither an agent nor ~/.ssh holds a key: give ansible_private_key_file or a password")
        return reasons

    def unlock(
        self, options: SshOptions, prompts: Prompts, host: str, deadline: Deadline, guard: Callable[[], None]
    ) -> list[SigningKey]:
        """Return the keys to offer, asking for the passphrases that are not known.

        Args:
            options: the host's.
            prompts: where to ask.
            host: its inventory name.
            deadline: by when the answer must be there.
            guard: raises where the caller shall wait no longer.

        Raises:
            OptionError: a configured key can't be used, or nobody knows its passphrase.
        """
        answer = Answer(None)
        try:
            while True:
                try:
                    return self.signing_keys(options, locked=True)
                except LockedKeyError as error:
                    known = error
                question = Question("passphrase", known.label, f"Passphrase of {known.label}", host)
                answer = prompts.ask(question, deadline, guard, instead_of=answer)
                if answer.secret is None:
                    guard()  # a run that is cancelled has no answer either
                    if options.key_files or options.private_key is not None:
                        raise OptionError("; ".join(filter(None, (known.message, answer.reason))))
                    return self.signing_keys(options)
                if self._opens(known.label, options, answer.secret):
                    answer.accept()
        finally:
            answer.release()

    def _opens(self, label: str, options: SshOptions, secret: Secret) -> bool:
        """Try a passphrase, and remember it if it is right."""
        phrase = secret.reveal()
        if self._phrases.get(label) == phrase:
            return True  # another host has tried it already, and that takes a while
        try:
            if options.private_key is not None:
                keys.parse(_INLINE, options.private_key.reveal(), phrase)
            else:
                keys.load(label, phrase)
        except OptionError:
            return False
        self._phrases[label] = phrase
        return True

    # ------------------------------------------------------------------ one key

    def _load(self, file: str, passphrase: str | None, agent: Agent) -> list[SigningKey]:
        """Return the key of a file: from the agent where that holds it, so that no passphrase is needed."""
        if passphrase is None:
            passphrase = self._phrases.get(file)

        def load() -> list[SigningKey]:
            try:
                found = [keys.load(file, passphrase)]
            except OptionError:
                found = agent.find(keys.public_part(file))
                if not found and file.endswith(".pub"):
                    raise OptionError(f"{file}: {agent.lacks}") from None
                if not found:
                    raise
            return self._certified(found, (), usercertificates.beside(file.removesuffix(".pub")))

        return self._cached((file, passphrase, agent), keys.state(file), load)

    def _inline(self, text: str, passphrase: str | None, agent: Agent) -> list[SigningKey]:
        if passphrase is None:
            passphrase = self._phrases.get(keys.inline_label(_INLINE, text))

        def load() -> list[SigningKey]:
            try:
                return [keys.parse(_INLINE, text, passphrase)]
            except OptionError:
                found = agent.find(keys.openssh_public(keys.inline(text)))
                if not found:
                    raise
                return found

        return self._cached((_INLINE, text, passphrase, agent), None, load)

    def _cached(
        self, name: tuple[object, ...], state: object, load: Callable[[], list[SigningKey]]
    ) -> list[SigningKey]:
        with self._lock:
            before, known = self._keys.get(name, (None, None))
            if known is None or before != state:
                try:
                    known = load()
                except OptionError as error:
                    known = error
                if len(self._keys) >= _MOST_KEYS:
                    self._keys.clear()
                self._keys[name] = (state, known)
        if isinstance(known, LockedKeyError):
            raise LockedKeyError(known.message, label=known.label)
        if isinstance(known, OptionError):
            raise OptionError(known.message)
        return known

    def _usual(self, agent: Agent, secret: str | None, options: SshOptions, locked: bool) -> list[SigningKey]:
        """Return what is offered where nothing is configured."""
        # An agent lists a key before its certificate; offered the other way round, a login costs one try.
        found = [] if options.identities_only else sorted(agent.keys(), key=lambda key: not key.kind.endswith(SUFFIX))
        blobs = {key.blob for key in found}
        waiting: LockedKeyError | None = None
        if options.default_keys == "never" or (options.key_files and options.default_keys == "alone"):
            return found
        for file in _DEFAULT_KEYS:
            path = os.path.expanduser(file)
            if not os.path.exists(path):
                continue
            try:
                loaded = self._load(path, secret, agent)
            except LockedKeyError as error:
                waiting = waiting or error
                continue
            except OptionError:
                continue  # nobody has asked for this key
            found += [key for key in loaded if key.blob not in blobs]
        if locked and waiting is not None and not found:
            raise waiting
        return found

    def _certified(
        self, found: list[SigningKey], files: Iterable[str], more: Iterable[usercertificates.Certificate] = ()
    ) -> list[SigningKey]:
        """Return the keys, each behind itself with its certificates.

        Raises:
            OptionError: a certificate file is damaged. One that is missing is left out, as OpenSSH has it.
        """
        given = [*more, *filter(None, map(self._certificate, files))]
        offered: dict[bytes, SigningKey] = {}
        for key in found:
            for certificate in usercertificates.matching(key.blob, given):
                offered.setdefault(certificate.blob, key.certified(certificate))
            offered.setdefault(key.blob, key)
        return list(offered.values())

    def _certificate(self, path: str) -> usercertificates.Certificate | None:
        try:
            found = os.stat(path)
        except OSError:
            return None
        state = (found.st_mtime_ns, found.st_size)
        before, known = self._certificates.get(path, (None, None))
        if known is None or before != state:
            known = usercertificates.read(path)
            self._certificates[path] = (state, known)
        return known

    def close(self) -> None:
        """Close the connections to agents and forget the keys."""
        for agent in (self.agent, *self._agents.values()):
            agent.close()
        with self._lock:
            self._keys.clear()
            self._phrases.clear()
