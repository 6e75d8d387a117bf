"""TLS to WinRM hosts: contexts that are made once, and what a failed handshake means."""

from __future__ import annotations

import hashlib
import os
import ssl
import threading
from dataclasses import dataclass

import certifi
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.errors import OptionError
from sshexec.secret import Secret

_EXPIRED, _NOT_YET = 10, 9
_UNTRUSTED = frozenset({2, 20, 21, 27})
_SELF_SIGNED = frozenset({18, 19})
_NAME = frozenset({62, 64})
_REVOKED = 23
"""X509_V_ERR_* of OpenSSL's x509_vfy.h."""

_PLAIN_HTTP = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
_OLD = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION"})
"""Reasons of `ssl.SSLError`."""


@dataclass(frozen=True)
class Settings:
    """What a TLS context is made of.

    Args:
        check: whether the host's certificate is checked.
        trust: file or folder of CA certificates; "" for the system's.
        certificate: file of the client's certificate; "" for none.
        key: file of its private key.
        passphrase: of the key.
    """

    check: bool
    trust: str = ""
    certificate: str = ""
    key: str = ""
    passphrase: Secret | None = None

    @classmethod
    def of(cls, options: WinrmOptions) -> Settings:
        """Return those of a connection."""
        check = options.validation == "validate"
        trust = os.path.expanduser(options.ca_trust_path) if check else ""
        if not options.with_certificate:
            return cls(check, trust)
        files = (os.path.expanduser(options.cert_pem), os.path.expanduser(options.cert_key_pem))
        return cls(check, trust, *files, options.cert_key_passphrase)


class Contexts:
    """TLS contexts, one for all connections with the same settings: to load the CA certificates takes 0.3 s."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[Settings, ssl.SSLContext] = {}

    def get(self, options: WinrmOptions) -> ssl.SSLContext:
        """Return the context of a connection.

        Raises:
            OptionError: a file is no certificate or no key, or the key needs another passphrase.
        """
        settings = Settings.of(options)
        with self._lock:
            context = self._made.get(settings)
            if context is None:
                context = self._made[settings] = _make(settings)
            return context

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._made.clear()


def _make(settings: Settings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    # Windows asks for a client's certificate once it knows what is requested (TLS 1.3; RFC 8446, section 4.6.2).
    context.post_handshake_auth = bool(settings.certificate)
    if not settings.check:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.trust:
        _trust(context, settings.trust)
    else:
        context.set_default_verify_paths()
        if not context.get_ca_certs() and not _folder_of_cas():
            context.load_verify_locations(certifi.where())
    if settings.certificate:
        _present(context, settings)
    return context


def _folder_of_cas() -> bool:
    """Return whether the system has a folder of CA certificates, which OpenSSL looks into only during a handshake."""
    folder = ssl.get_default_verify_paths().capath
    return folder is not None and any(name.endswith(".0") for name in os.listdir(folder))


def _trust(context: ssl.SSLContext, path: str) -> None:
    try:
        if os.path.isdir(path):
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        reason = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        raise OptionError(f"ansible_winrm_ca_trust_path: {path} can't be used: {reason}") from None


def _present(context: ssl.SSLContext, settings: Settings) -> None:
    passphrase = "" if settings.passphrase is None else settings.passphrase.reveal()
    asked = []

    def secret() -> str:
        # Given as a function, since OpenSSL would ask on the terminal where there is none.
        asked.append(True)
        return passphrase

    try:
        context.load_cert_chain(settings.certificate, settings.key, secret)
    except (OSError, ssl.SSLError, ValueError) as error:
        if asked:
            how = "needs a passphrase" if not passphrase else "has another passphrase"
            raise OptionError(
                f"ansible_winrm_cert_key_pem: {settings.key} {how} (sshexec_winrm_cert_key_passphrase)"
            ) from None
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            raise OptionError(
                f"ansible_winrm_cert_key_pem: {settings.key} is not the key of the certificate {settings.certificate}"
            ) from None
        reason = "no certificate and key in PEM form" if isinstance(error, ssl.SSLError) else error
        raise OptionError(
            f"ansible_winrm_cert_pem: {settings.certificate} with {settings.key} can't be used: {reason}"
        ) from None


def speaks_http(error: ssl.SSLError) -> bool:
    """Return whether a handshake failed since the other side does not speak TLS."""
    return error.reason in _PLAIN_HTTP


def reason(error: ssl.SSLError, address: str) -> str:
    """Return what a failed handshake means and what to do.

    Args:
        error: as `ssl` raised it.
        address: what the host was called by.
    """
    if error.reason in _OLD:
        return "no version of TLS that both know; this side knows 1.2 and later (2008 R2 has it, but not enabled)"
    code = getattr(error, "verify_code", None)
    if not isinstance(error, ssl.SSLCertVerificationError) or code is None:
        return (error.reason or str(error)).replace("_", " ").lower()
    if code == _EXPIRED:
        return "its certificate has expired; renew it on the host (or is this machine's clock wrong?)"
    if code == _NOT_YET:
        return "its certificate is not valid yet; is this machine's clock wrong?"
    if code in _SELF_SIGNED:
        return (
            "its certificate is self-signed and not trusted; name its file, or its CA's, in ansible_winrm_ca_trust_path"
            " (or set ansible_winrm_server_cert_validation=ignore, which lets anybody pose as the host)"
        )
    if code in _UNTRUSTED:
        return (
            "its certificate is from an issuer that is not trusted; name the CA's file in ansible_winrm_ca_trust_path"
        )
    if code in _NAME:
        return f"its certificate is for another name than {address}; use the certificate's name as ansible_host"
    if code == _REVOKED:
        return "its certificate is revoked"
    return f"its certificate is not accepted: {error.verify_message}"


def binding(certificate: bytes) -> bytes | None:
    """Return the channel binding of a TLS connection, ``tls-server-end-point`` (RFC 5929, section 4.1).

    Args:
        certificate: the host's, in DER form.
    """
    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        return None
    # MD5 and SHA-1 give way to SHA-256, by the RFC; so does none (Ed25519), as requests_ntlm has it.
    name = "sha256" if algorithm is None or algorithm.name in ("md5", "sha1") else algorithm.name
    return b"tls-server-end-point:" + hashlib.new(name, certificate).digest()
