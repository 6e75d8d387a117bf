"""What a credential may say: the database, the command line and the docs have it from here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """What a credential may say.

    Args:
        variable: the host variable that it is.
        help: a sentence for people.
        secret: whether it is kept sealed.
        others: other names of that variable; one of them on the same host or group wins, too.
    """

    variable: str
    help: str
    secret: bool = False
    others: tuple[str, ...] = ()


FIELDS: dict[str, Field] = {
    "user": Field("ansible_user", "Login name.", others=("ansible_ssh_user", "ansible_winrm_user")),
    "password": Field(
        "ansible_password",
        "Login password.",
        secret=True,
        others=("ansible_ssh_pass", "ansible_ssh_password", "ansible_winrm_password", "ansible_winrm_pass"),
    ),
    "private_key": Field(
        "ansible_private_key", "Private key itself.", secret=True, others=("ansible_ssh_private_key",)
    ),
    "private_key_file": Field(
        "ansible_private_key_file", "Private key file.", others=("ansible_ssh_private_key_file",)
    ),
    "passphrase": Field(
        "ansible_private_key_passphrase",
        "Passphrase of the private key.",
        secret=True,
        others=("ansible_ssh_private_key_passphrase",),
    ),
    "become": Field("ansible_become", "Whether tasks become another user."),
    "become_method": Field("ansible_become_method", "By which program tasks become another user: sudo, su, doas."),
    "become_user": Field("ansible_become_user", "Whom tasks become."),
    "become_password": Field(
        "ansible_become_password", "What sudo, su or doas ask for.", secret=True, others=("ansible_become_pass",)
    ),
    "jump_password": Field("sshexec_jump_password", "Login password of jump hosts.", secret=True),
    "certificate_file": Field("ansible_winrm_cert_pem", "File of the client's certificate, for WinRM."),
    "certificate_key_file": Field("ansible_winrm_cert_key_pem", "File of its private key."),
    "certificate_passphrase": Field(
        "sshexec_winrm_cert_key_passphrase", "Passphrase of the certificate's key.", secret=True
    ),
}
