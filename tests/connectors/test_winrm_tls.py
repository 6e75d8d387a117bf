"""TLS to a WinRM service: whom is trusted, what a refused certificate is called, and that contexts are shared."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import certifi
import pytest

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.winrm import tls
from sshexec.connectors.winrm.context import WinrmContext
from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.connectors.winrm.wire import Wire
from sshexec.errors import AuthenticationError, BannerError, OptionError, ProtocolError
from tests.connectors import winrm_envelopes as envelopes
from tests.winrm_server import Tls, WinrmServer
from tests.winrm_server.certificates import Certificate, Certificates

USERS = {"vagrant": "secret"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@contextmanager
def https(
    certificate: Certificate, transports: tuple[str, ...] = ("basic", "ntlm"), **more: Any
) -> Iterator[WinrmServer]:
    with WinrmServer(USERS, transports, Tls(certificate.certificate, certificate.key, **more)) as server:
        yield server


def ask(variables: dict[str, Any], context: WinrmContext | None = None) -> None:
    """Log in, and make a shell."""
    options = WinrmOptions.from_vars(variables, "win1")
    own = context or WinrmContext()
    wire = Wire("win1", options, own)
    try:
        own.check(options)
        wire.open(Deadline.after(20), 5, 5)
        wire.send(envelopes.create(), Deadline.after(20), once=True)
    finally:
        wire.close()
        if context is None:
            own.close()


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("transport", ["basic", "ssl", "plaintext", "ntlm"])
def test_a_trusted_host(certificates: Certificates, address: str, transport: str) -> None:
    with https(certificates.rsa, ca=certificates.authority.certificate) as server:
        ask(server.variables(ansible_host=address, ansible_winrm_transport=transport))
        assert (server.logins, server.failed_logins, server.connections) == (1, 0, 1)
        assert server.unsealed == 1  # TLS encrypts already


def test_a_trusted_host_with_ipv6(certificates: Certificates) -> None:
    right = certificates.right
    with WinrmServer(USERS, ("ntlm",), Tls(right.certificate, right.key), host="::1") as server:
        ask(server.variables(ansible_winrm_ca_trust_path=str(certificates.authority.certificate)))


@pytest.mark.parametrize("encryption", ["always", "never"])
def test_messages_may_be_encrypted_within_tls(certificates: Certificates, encryption: str) -> None:
    with https(certificates.right, ca=certificates.authority.certificate) as server:
        ask(server.variables(ansible_winrm_transport="ntlm", ansible_winrm_message_encryption=encryption))
        assert server.unsealed == (0 if encryption == "always" else 1)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("untrusted", r"an issuer that is not trusted; name the CA's file in ansible_winrm_ca_trust_path"),
        ("self_signed", r"self-signed and not trusted; name its file.*ansible_winrm_ca_trust_path"),
        ("expired", r"has expired"),
        ("too_early", r"not valid yet"),
        ("wrong_name", r"for another name than localhost"),
    ],
)
def test_a_host_that_is_not_trusted(certificates: Certificates, kind: str, words: str) -> None:
    with https(getattr(certificates, kind), ca=certificates.authority.certificate) as server:
        variables = server.variables(ansible_host="localhost")
        with pytest.raises(ProtocolError, match=words) as caught:
            ask(variables)
        assert (caught.value.host, caught.value.phase) == ("win1", "key exchange")
        assert server.requests == 0  # nothing of the login went
        ask({**variables, "ansible_winrm_server_cert_validation": "ignore"})


def test_a_wrong_address_is_named(certificates: Certificates) -> None:
    with (
        https(certificates.wrong_name, ca=certificates.authority.certificate) as server,
        pytest.raises(ProtocolError, match=r"for another name than 127\.0\.0\.1"),
    ):
        ask(server.variables())


def test_a_self_signed_certificate_may_be_named_itself(certificates: Certificates) -> None:
    own = certificates.self_signed
    with https(own) as server:
        ask(server.variables(ansible_host="localhost", ansible_winrm_ca_trust_path=str(own.certificate)))


def test_a_folder_of_authorities(certificates: Certificates, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    shutil.copy(certificates.authority.certificate, tmp_path / "ca.pem")
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, timeout=20)
    with https(certificates.right) as server:
        ask(server.variables(ansible_winrm_ca_trust_path=str(tmp_path)))


def test_the_environment_names_no_authority(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(certificates.authority.certificate))
    with https(certificates.right) as server, pytest.raises(ProtocolError, match="issuer that is not trusted"):
        ask(server.variables(ansible_winrm_ca_trust_path="legacy_requests"))


def test_the_system_is_trusted_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *given, **named: made.append((given, named)))
    options = WinrmOptions.from_vars({"ansible_user": "u", "ansible_password": "p"}, "win1")
    context = tls.Contexts().get(options)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    has_own = bool(context.get_ca_certs()) or tls._folder_of_cas()
    assert (certifi.where() in repr(made)) is not has_own


def test_contexts_are_made_once_for_equal_settings(certificates: Certificates) -> None:
    context = WinrmContext()
    with https(certificates.right, ca=certificates.authority.certificate) as server:
        variables = server.variables()
        options = [WinrmOptions.from_vars({**variables, "ansible_port": port}, "h") for port in (1, 2)]
        assert context.tls.get(options[0]) is context.tls.get(options[1])
        other = WinrmOptions.from_vars({**variables, "ansible_winrm_server_cert_validation": "ignore"}, "h")
        assert context.tls.get(other) is not context.tls.get(options[0])


@pytest.mark.parametrize("cbt", ["right", "missing", "wrong"])
@pytest.mark.parametrize("kind", ["rsa", "right"])
def test_ntlm_is_bound_to_the_channel(
    certificates: Certificates, kind: str, cbt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if cbt == "wrong":
        monkeypatch.setattr(tls, "binding", lambda certificate: b"tls-server-end-point:" + bytes(32))
    with https(getattr(certificates, kind), ("ntlm",), ca=certificates.authority.certificate) as server:
        variables = server.variables(ansible_winrm_send_cbt=cbt != "missing")
        if cbt == "right":
            ask(variables)
        else:
            words = "ansible_winrm_send_cbt" if cbt == "missing" else "wrong user or password"
            with pytest.raises(AuthenticationError, match=words):
                ask(variables)
        assert (server.logins, server.failed_logins) == (1, int(cbt != "right"))


def test_a_client_certificate(certificates: Certificates, tmp_path: Path) -> None:
    more = {
        "ca": certificates.authority.certificate,
        "client_ca": certificates.authority.certificate,
        "client_users": {"vagrant": "vagrant"},
    }
    with https(certificates.right, ("certificate", "basic"), **more) as server:
        variables = {
            **{
                name: value
                for name, value in server.variables().items()
                if "password" not in name and "user" not in name
            },
            "ansible_winrm_cert_pem": str(certificates.client.certificate),
            "ansible_winrm_cert_key_pem": str(certificates.client.key),
        }
        ask(variables)
        ask({**variables, "ansible_winrm_transport": "ssl"})  # as pywinrm has it where a certificate is named
        assert {who for _, _, who in server.login_log} == {"vagrant"}
        foreign, right = certificates.foreign_client, certificates.client
        strange = {"ansible_winrm_cert_pem": str(foreign.certificate), "ansible_winrm_cert_key_pem": str(foreign.key)}
        with pytest.raises(AuthenticationError, match="does not take the client's certificate"):
            ask({**variables, **strange})
        with pytest.raises(OptionError, match="is not the key of the certificate"):
            ask({**variables, "ansible_winrm_cert_key_pem": str(foreign.key)})
        with pytest.raises(OptionError, match=r"ansible_winrm_cert_pem: .* can't be used: no certificate and key"):
            ask({**variables, "ansible_winrm_cert_pem": str(right.key)})
        _encrypted(right.key, tmp_path / "locked.key")
        locked = {**variables, "ansible_winrm_cert_key_pem": str(tmp_path / "locked.key")}
        with pytest.raises(OptionError, match=r"needs a passphrase \(sshexec_winrm_cert_key_passphrase\)"):
            ask(locked)
        with pytest.raises(OptionError, match="has another passphrase") as caught:
            ask({**locked, "sshexec_winrm_cert_key_passphrase": "wrong"})
        assert "wrong" not in str(caught.value)
        ask({**locked, "sshexec_winrm_cert_key_passphrase": "canary"})


def test_a_client_certificate_that_nobody_is_known_by(certificates: Certificates) -> None:
    more = {"ca": certificates.authority.certificate, "client_ca": certificates.authority.certificate}
    client = certificates.client
    with https(certificates.right, ("certificate",), **more) as server:
        variables = server.variables(
            ansible_winrm_cert_pem=str(client.certificate), ansible_winrm_cert_key_pem=str(client.key)
        )
        with pytest.raises(AuthenticationError, match="maps the client's certificate to no user"):
            ask(variables)
        assert server.requests == 1


def test_a_certificate_that_is_asked_for_after_the_handshake(certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificates.right.certificate, certificates.right.key)
    context.load_verify_locations(certificates.authority.certificate)
    context.verify_mode, context.post_handshake_auth = ssl.CERT_REQUIRED, True
    shown: list[object] = []
    body = b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body/></s:Envelope>'

    def serve() -> None:
        sock, _ = listener.accept()
        with context.wrap_socket(sock, server_side=True) as peer:
            for _ in range(2):
                peer.recv(65536)
                shown.append(peer.getpeercert())
                peer.verify_client_post_handshake()
                peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        variables = {
            "ansible_host": "127.0.0.1",
            "ansible_port": listener.getsockname()[1],
            "ansible_winrm_transport": "certificate",
            "ansible_winrm_cert_pem": str(certificates.client.certificate),
            "ansible_winrm_cert_key_pem": str(certificates.client.key),
            "ansible_winrm_ca_trust_path": str(certificates.authority.certificate),
        }
        wire = Wire("win1", WinrmOptions.from_vars(variables, "win1"), WinrmContext())
        for _ in range(2):
            wire.send(b"<a/>", Deadline.after(10))
        wire.close()
        thread.join(10)
    assert shown[0] is None
    assert "vagrant" in repr(shown[1])


def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    with pytest.raises(OptionError, match=r"nonsense\.pem can't be used: it holds no certificate in PEM form"):
        ask({"ansible_user": "u", "ansible_password": "p", "ansible_winrm_ca_trust_path": str(nonsense)})


def test_no_common_version(certificates: Certificates) -> None:
    more = {"ca": certificates.authority.certificate, "minimum": ssl.TLSVersion.TLSv1_3}
    with https(certificates.right, **more) as server:
        context = WinrmContext()
        context.tls.get(WinrmOptions.from_vars(server.variables(), "h")).maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ProtocolError, match="no version of TLS that both know"):
            ask(server.variables(), context)


def test_http_on_an_https_port_and_the_reverse(certificates: Certificates) -> None:
    with https(certificates.right) as server, pytest.raises(BannerError, match="ansible_winrm_scheme=https"):
        ask(server.variables(ansible_winrm_scheme="http"))
    with WinrmServer(USERS, ("ntlm",)) as server, pytest.raises(BannerError, match="ansible_winrm_scheme=http"):
        ask(server.variables(ansible_winrm_scheme="https"))


def test_a_dropped_connection_is_made_anew(certificates: Certificates) -> None:
    with https(certificates.right, ("ntlm",), ca=certificates.authority.certificate) as server:
        context = WinrmContext()
        wire = Wire("win1", WinrmOptions.from_vars(server.variables(), "win1"), context)
        wire.open(Deadline.after(20), 5, 5)
        for _ in range(2):
            wire.send(envelopes.create(), Deadline.after(20), once=True)
            assert wire.alive  # TLS 1.3's tickets are no data
        server.misbehave("drop", "Create")
        wire.send(envelopes.create(), Deadline.after(20), once=True)
        end = time.monotonic() + 5
        while wire.alive and time.monotonic() < end:
            time.sleep(0.01)
        wire.send(envelopes.create(), Deadline.after(20), once=True)
        assert (server.connections, len(server.shells)) == (2, 4)
        wire.close()
        context.close()


def _encrypted(key: Path, target: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    target.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"canary"),
        )
    )
