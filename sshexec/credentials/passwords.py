"""Vault passwords as Ansible's command line names them: ``--vault-id LABEL@SOURCE``, files, programs, prompts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from sshexec.credentials.places import read_command, read_file
from sshexec.credentials.vault import DEFAULT, VaultPassword, VaultPasswords
from sshexec.secret import Secret

FILE_VARIABLE = "ANSIBLE_VAULT_PASSWORD_FILE"
LIST_VARIABLE = "ANSIBLE_VAULT_IDENTITY_LIST"

_PROMPTS = ("prompt", "prompt_ask_vault_pass")


def vault_passwords(
    ids: Iterable[str] = (),
    files: Iterable[str] = (),
    *,
    ask: Callable[[str], Secret] | None = None,
    asked: bool = False,
) -> VaultPasswords:
    """Return the passwords that options and environment name, in Ansible's order. None is read before it is needed.

    Args:
        ids: each ``LABEL@SOURCE`` or a mere ``SOURCE``: a file, a program (an executable file, which prints the
            password; one whose name ends in ``-client`` is told the label by ``--vault-id``), or ``prompt``.
        files: sources without a label.
        ask: asks the user for the password with this label; None asks nobody.
        asked: whether to ask for one without a label, too.
    """
    listed = [each.strip() for each in os.environ.get(LIST_VARIABLE, "").split(",") if each.strip()]
    listed += ids
    listed += [f"{DEFAULT}@{file}" for file in files]
    if file := os.environ.get(FILE_VARIABLE):
        listed.append(f"{DEFAULT}@{file}")
    if asked:
        listed.append("prompt")
    return VaultPasswords(_password(each, ask) for each in listed)


def _password(text: str, ask: Callable[[str], Secret] | None) -> VaultPassword:
    label, at, source = text.partition("@")
    if not at:
        label, source = DEFAULT, text
    label = label or DEFAULT
    if source in _PROMPTS and ask is not None:
        asking = ask  # narrowed for the closure
        return VaultPassword(label, lambda: asking(label))
    return VaultPassword(label, lambda: _from_file(label, os.path.expanduser(source)))


def _from_file(label: str, path: str) -> Secret:
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):
        return Secret(read_file(path).strip())
    # So that it is not looked for among the programs.
    command = [os.path.abspath(path)]
    if os.path.splitext(os.path.basename(path))[0].endswith("-client"):
        command += ["--vault-id", label]
    return Secret(read_command(command).strip("\r\n"))
