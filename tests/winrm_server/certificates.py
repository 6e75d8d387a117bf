"""A private authority and what it signs: certificates of servers, right and wrong, and of clients."""

from __future__ import annotations

import datetime
import functools
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

UPN = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
"""userPrincipalName: the name that Windows maps a client's certificate to an account by."""
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as files in PEM.

    Args:
        certificate: the certificate's file.
        key: the key's file, not encrypted.
    """

    certificate: Path
    key: Path

    @property
    def der(self) -> bytes:
        """The certificate as it goes over the wire."""
        return x509.load_pem_x509_certificate(self.certificate.read_bytes()).public_bytes(serialization.Encoding.DER)

    @property
    def bindings(self) -> bytes:
        """Application data of this server's channel bindings (RFC 5929, tls-server-end-point; SHA-256)."""
        return b"tls-server-end-point:" + hashlib.sha256(self.der).digest()


class Authority:
    """A certificate authority of its own.

    Args:
        folder: where its files live; made if missing.
        name: its common name, and the stem of its files.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        builder = _builder(self._name, self._key, -DAY, 30 * DAY).issuer_name(self._name)
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(usage, critical=True)
        own = builder.sign(self._key, hashes.SHA256())
        self.certificate = folder / f"{name}.pem"
        self.certificate.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def server(
        self,
        name: str,
        *,
        names: Sequence[str] = ("localhost",),
        addresses: Sequence[str] = ("127.0.0.1", "::1"),
        begins: datetime.timedelta = -DAY,
        ends: datetime.timedelta = 10 * DAY,
        key: Key | None = None,
        own: bool = False,
    ) -> Certificate:
        """Make a server's certificate.

        Args:
            name: common name, and the stem of its files.
            names: DNS names it holds for.
            addresses: IP addresses it holds for.
            begins: from when on it is valid, from now.
            ends: until when it is valid, from now.
            key: its key; a new one on P-256 if None.
            own: whether it signs itself.
        """
        alternatives = [x509.DNSName(each) for each in names]
        numbers = [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
        return self._sign(
            name, [*alternatives, *numbers], ExtendedKeyUsageOID.SERVER_AUTH, begins, ends, key=key, own=own
        )

    def client(self, user: str, *, ends: datetime.timedelta = 10 * DAY) -> Certificate:
        """Make the certificate that a user logs in with, as Windows asks for it: the name is ``user@localhost``.

        Args:
            user: the account's name.
            ends: until when it is valid, from now.
        """
        text = f"{user}@localhost".encode()
        principal = x509.OtherName(UPN, bytes([0x0C, len(text)]) + text)  # DER: UTF8String
        return self._sign(user, [principal], ExtendedKeyUsageOID.CLIENT_AUTH, -2 * DAY, ends)

    def _sign(
        self,
        name: str,
        alternatives: Sequence[x509.GeneralName],
        purpose: ObjectIdentifier,
        begins: datetime.timedelta,
        ends: datetime.timedelta,
        *,
        key: Key | None = None,
        own: bool = False,
    ) -> Certificate:
        key = key or ec.generate_private_key(ec.SECP256R1())
        signer = key if own else self._key
        builder = _builder(_name(name), key, begins, ends)
        builder = builder.issuer_name(_name(name) if own else self._name)
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        # Python 3.13 asks for it (VERIFY_X509_STRICT).
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(identifier, critical=False)
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        signed = builder.sign(signer, hashes.SHA256())
        made.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        made.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        made.key.chmod(0o600)
        return made


class Certificates:
    """What the tests of TLS need, each made when it is first asked for.

    Args:
        folder: where the files live.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @functools.cached_property
    def authority(self) -> Authority:
        """The authority that the clients trust."""
        return Authority(self._folder)

    @functools.cached_property
    def stranger(self) -> Authority:
        """An authority that nobody trusts."""
        return Authority(self._folder / "stranger", "stranger")

    @functools.cached_property
    def right(self) -> Certificate:
        """For localhost, 127.0.0.1 and ::1."""
        return self.authority.server("right")

    @functools.cached_property
    def rsa(self) -> Certificate:
        """As `right`, with RSA's key: what Windows makes itself."""
        return self.authority.server("rsa", key=rsa.generate_private_key(public_exponent=65537, key_size=2048))

    @functools.cached_property
    def wrong_name(self) -> Certificate:
        """For another host."""
        return self.authority.server("wrong_name", names=("elsewhere.example",), addresses=("192.0.2.1",))

    @functools.cached_property
    def expired(self) -> Certificate:
        """Out of date since yesterday."""
        return self.authority.server("expired", begins=-3 * DAY, ends=-DAY)

    @functools.cached_property
    def too_early(self) -> Certificate:
        """Valid from tomorrow on."""
        return self.authority.server("too_early", begins=DAY)

    @functools.cached_property
    def self_signed(self) -> Certificate:
        """Signed by nobody else: what ``winrm quickconfig -transport:https`` uses most often."""
        return self.authority.server("self_signed", own=True)

    @functools.cached_property
    def untrusted(self) -> Certificate:
        """For localhost, but of an authority that nobody trusts."""
        return self.stranger.server("untrusted")

    @functools.cached_property
    def client(self) -> Certificate:
        """The user `vagrant`'s."""
        return self.authority.client("vagrant")

    @functools.cached_property
    def foreign_client(self) -> Certificate:
        """The user `vagrant`'s, of an authority that the server does not trust."""
        return self.stranger.client("vagrant")

    @functools.cached_property
    def expired_client(self) -> Certificate:
        """The user `expired`'s, out of date since yesterday."""
        return self.authority.client("expired", ends=-DAY)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, key: Key, begins: datetime.timedelta, ends: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
