"""What it means that a WinRM service, or what stands in its place, does not answer as one: words and causes."""

from __future__ import annotations

from sshexec.connectors.winrm.http import NOT_KEPT, Broken, NotHttp
from sshexec.connectors.winrm.logins import Denied, NotAsked, NotOffered
from sshexec.connectors.winrm.options import SEALING, WinrmOptions
from sshexec.errors import AuthenticationError, BannerError, ProtocolError, UnreachableError

_CERTIFICATE_ALERTS = ("certificate", "unknown ca", "access denied")
_QUOTE = 60
_TRANSPORTS = {"negotiate": "ntlm, kerberos", "basic": "basic", "credssp": "credssp"}
"""What logs in by a scheme that a host offers; over HTTP Windows names Kerberos only together with Negotiate."""


def about_certificate(reason: str) -> bool:
    """Return whether TLS was ended since the client's certificate is not taken (RFC 8446, section 6.2)."""
    words = reason.lower().replace("_", " ")
    return "alert" in words and any(word in words for word in _CERTIFICATE_ALERTS)


def closed(where: str, options: WinrmOptions, error: Broken) -> UnreachableError:
    """Return what it means that a new connection broke off before its first answer."""
    if about_certificate(error.reason):
        return AuthenticationError(
            f"{where} does not take the client's certificate ({options.cert_pem or 'none was sent'})"
        )
    if error.reason == NOT_KEPT:
        return ProtocolError(
            f"{where} does not keep its connection open, as a login by {options.transport} needs it (is it a proxy?)"
        )
    hint = "; if it speaks TLS, set ansible_winrm_scheme=https" if options.scheme == "http" else ""
    return BannerError(f"{where} closed the connection without an answer{hint}")


def not_http(where: str, options: WinrmOptions, error: NotHttp) -> UnreachableError:
    """Return what it means that the answer is not HTTP."""
    if error.is_tls and options.scheme == "http":
        return BannerError(f"{where} speaks TLS, not plain HTTP; set ansible_winrm_scheme=https")
    said = f", it says {error.quote}" if error.begin else ""
    return BannerError(f"{where} does not speak WinRM: {error.reason}{said}")


def not_soap(where: str, options: WinrmOptions, status: int, body: bytes) -> UnreachableError:
    """Return what it means that the answer is not an envelope."""
    begin = body.lstrip()[:_QUOTE].decode("ascii", "replace")
    kind = "a web page" if begin.lower().startswith(("<!doctype html", "<html")) else ascii(begin)
    return BannerError(
        f"{where} does not speak WinRM at {options.path}: it answers with {kind} (HTTP {status});"
        " are ansible_port and ansible_winrm_path right?"
    )


def login(where: str, options: WinrmOptions, error: Exception) -> UnreachableError:
    """Return what it means that a login ended without the host's verdict."""
    if isinstance(error, Broken):
        return closed(where, options, error)
    if isinstance(error, NotHttp):
        return not_http(where, options, error)
    if isinstance(error, NotOffered):
        return not_offered(where, options, error.offered)
    if isinstance(error, NotAsked):
        return not_asked(where, options)
    if isinstance(error, Denied):
        return AuthenticationError(f"{where} refused user {options.user} by {options.transport}: {error}")
    if isinstance(error, ImportError):
        return ProtocolError(f"{options.transport} can't be used here, its library does not load: {error}")
    return ProtocolError(f"the login at {where} by {options.transport} failed: {type(error).__name__}")


def not_offered(where: str, options: WinrmOptions, offered: str) -> UnreachableError:
    """Return what it means that the host knows no such login."""
    schemes = dict.fromkeys(part.split()[0] for part in offered.split(",") if part.split())
    transports = ", ".join(_TRANSPORTS[scheme.lower()] for scheme in schemes if scheme.lower() in _TRANSPORTS)
    return AuthenticationError(
        f"{where} does not log in by {options.transport}; it offers {', '.join(schemes) or 'nothing'}"
        f" (ansible_winrm_transport{transports and f': {transports}'})"
    )


def not_asked(where: str, options: WinrmOptions) -> UnreachableError:
    """Return what it means that the login ended well before it was over."""
    return BannerError(
        f"{where} does not speak WinRM at {options.path}: it let us in without a login;"
        " are ansible_port and ansible_winrm_path right?"
    )


def wrong_login(where: str, options: WinrmOptions) -> UnreachableError:
    """Return what it means that the login was refused."""
    if options.with_certificate:
        return AuthenticationError(
            f"{where} maps the client's certificate to no user (HTTP 401; is Certificate enabled in its WinRM service?)"
        )
    if options.transport == "kerberos":
        return AuthenticationError(
            f"{where} does not take the Kerberos ticket of {options.user or 'this user'}: it may not log in there,"
            f" or its service goes by another name{_unbound(options)}"
        )
    hint = _unbound(options)
    if options.transport in ("basic", "plaintext", "ssl"):
        hint = " (or Basic is not enabled in its WinRM service; ansible_winrm_transport=ntlm works without)"
    error = AuthenticationError(
        f"{where} refused user {options.user} by {options.transport}: wrong user or password{hint}"
    )
    error.counted = True
    return error


def _unbound(options: WinrmOptions) -> str:
    if options.scheme == "https" and options.transport in ("ntlm", "kerberos") and not options.send_cbt:
        return ", or it wants the login bound to TLS (ansible_winrm_send_cbt)"
    return ""


def unsealed(where: str) -> UnreachableError:
    """Return what it means that an answer is not encrypted though the session is."""
    return ProtocolError(f"{where} answered without encryption in an encrypted session; the answer is not used")


def unreadable(where: str, kind: str) -> UnreachableError:
    """Return what it means that an answer can't be decrypted."""
    return ProtocolError(f"an encrypted answer of {where} can't be decrypted ({kind}): it was changed on its way")


def unsealable(where: str, kind: str) -> UnreachableError:
    """Return what it means that a message can't be encrypted."""
    return ProtocolError(f"a message to {where} can't be encrypted ({kind})")


def status(where: str, options: WinrmOptions, code: int, body: bytes) -> UnreachableError:
    """Return what it means that there is an HTTP status and no envelope."""
    if code == 403:
        return AuthenticationError(f"{where} does not let user {options.user} in (HTTP 403)")
    if code in (404, 405):
        return BannerError(f"{where} has no WinRM service at {options.path} (HTTP {code}); see ansible_winrm_path")
    if code == 407:
        return ProtocolError("the proxy asks for a user and password, or for others (ansible_winrm_proxy; HTTP 407)")
    if code in (502, 504):
        return UnreachableError(f"a proxy before {where} can't reach it (HTTP {code})")
    if code == 503:
        return UnreachableError(f"{where} has no WinRM service now: stopped, or too busy (HTTP 503)")
    if code == 413:
        return ProtocolError(f"{where} takes no message of this size (HTTP 413; MaxEnvelopeSizekb)")
    if code == 400:
        return ProtocolError(f"{where} could not read the message (HTTP 400)")
    if code == 500 and not body:
        sealing = options.transport in SEALING
        how = "ansible_winrm_message_encryption=auto" if sealing else "ansible_winrm_transport=ntlm"
        hint = f"; it may take encrypted messages only (AllowUnencrypted=false): {how}, or https"
        hint = "" if options.encrypted or options.scheme == "https" else hint
        return ProtocolError(f"{where} failed without saying why (HTTP 500){hint}")
    if code == 200:
        return ProtocolError(f"{where} answered with nothing (HTTP 200)")
    return ProtocolError(f"{where} answered with HTTP {code}")
