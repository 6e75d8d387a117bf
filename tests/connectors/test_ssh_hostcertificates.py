"""Host certificates: real ones of ssh-keygen, shown by a real sshd."""

from __future__ import annotations

import base64
import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sshexec.connectors.base import Deadline, Timeouts
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.hostcertificates import CertificateError, HostCertificate
from sshexec.connectors.ssh.hostkeys import HostKeys
from sshexec.connectors.ssh.keytypes import fingerprint
from sshexec.errors import ChangedHostKeyError, UnknownHostKeyError
from tests.testbed import Sshd, keygen

KEYS = {"ed25519": ("-t", "ed25519"), "ecdsa": ("-t", "ecdsa", "-b", "384"), "rsa": ("-t", "rsa", "-b", "2048")}
ADDRESS = "127.0.9.1"


class Authority:
    """A certificate authority of ssh-keygen's."""

    def __init__(self, folder: Path, kind: str = "ed25519", name: str = "ca") -> None:
        self.key = keygen(folder / f"{name}_{kind}", *KEYS[kind], "-N", "")
        self.public = " ".join(Path(f"{self.key}.pub").read_text().split()[:2])
        self.blob = base64.b64decode(self.public.split()[1])

    def sign(self, key: Path, *options: str, host: bool = True) -> Path:
        """Certify a host key and return the certificate's file."""
        kind = ["-h"] if host else []
        command = ["ssh-keygen", "-q", "-s", str(self.key), "-I", "web1's", *kind, *options, f"{key}.pub"]
        subprocess.run(command, check=True, capture_output=True)
        return Path(f"{key}-cert.pub")


Serve = Callable[..., Sshd]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return a function that starts an sshd which shows a certificate for its key."""
    with contextlib.ExitStack() as stack:

        def start(certificate: Path, config: str = "") -> Sshd:
            key = str(certificate).removesuffix("-cert.pub")
            lines = f"HostKey {key}\nHostCertificate {certificate}\n{config}"
            server = Sshd(tmp_path / "sshd", lines).start()
            stack.callback(server.stop)
            return server

        yield start


def connect(sshd: Sshd, known: Path, more: str = "", address: str = ADDRESS) -> SshConnector:
    """Log in, where the host is trusted."""
    args = f"-o UserKnownHostsFile={known} -o GlobalKnownHostsFile=none {more}"
    options = SshConnector.Options.from_vars(sshd.variables(ansible_host=address, ansible_ssh_common_args=args), "web1")
    context = SshConnector.Context()
    connector = SshConnector("web1", options, context, Timeouts())
    try:
        connector.open(Deadline.after(20))
        assert connector.alive
    finally:
        connector.close()
        context.close()
    return connector


@pytest.mark.parametrize("kind", list(KEYS))
@pytest.mark.parametrize("names", ["[127.0.9.*]:{port},!db*", "*", "127.0.9.1", "hashed"])
def test_a_certified_host_is_trusted(tmp_path: Path, serve: Serve, kind: str, names: str) -> None:
    authority = Authority(tmp_path, kind)
    server = serve(authority.sign(keygen(tmp_path / "host", *KEYS[kind], "-N", ""), "-n", f"{ADDRESS},web1"))
    known = tmp_path / "known_hosts"
    if names == "hashed":
        known.write_text(f"[{ADDRESS}]:{server.port} {authority.public}\n")
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)
        known.write_text(f"@cert-authority {known.read_text()}")
    else:
        known.write_text(f"@cert-authority  {names.format(port=server.port)}\t{authority.public} a comment\n")
    before = known.read_text()
    assert connect(server, known, "-o StrictHostKeyChecking=accept-new").notices == []
    assert known.read_text() == before


@pytest.mark.parametrize(
    ("options", "flaw"),
    [
        (("-n", "db1,db2"), f'"web1\'s" does not count: it is for db1, db2, not for {ADDRESS}'),
        (("-n", ADDRESS, "-V", "20200101:20210101"), "does not count: it has expired on 2021-01-01"),
        (("-n", ADDRESS, "-V", "20900101:20910101"), "does not count: it is not valid before 2090-01-01"),
        (("-n", ADDRESS, "-O", "critical:odd@x=1"), "does not count: it demands odd@x"),
    ],
)
def test_a_certificate_that_says_nothing_of_the_host_leaves_its_plain_key(
    tmp_path: Path, serve: Serve, options: tuple[str, ...], flaw: str
) -> None:
    authority = Authority(tmp_path)
    host = keygen(tmp_path / "host", *KEYS["ed25519"], "-N", "")
    server = serve(authority.sign(host, *options))
    known = tmp_path / "known_hosts"
    line = f"@cert-authority * {authority.public}\n"
    known.write_text(line)
    with pytest.raises(UnknownHostKeyError) as unknown:
        connect(server, known)
    assert flaw in unknown.value.message
    assert f"(authority: {known} line 1)" in unknown.value.message
    # As with ssh, the key within may be known, or learned, as a plain one.
    [notice] = connect(server, known, "-o StrictHostKeyChecking=accept-new").notices
    assert flaw in notice["message"]
    assert connect(server, known).notices == []
    other = keygen(tmp_path / "other", *KEYS["ed25519"], "-N", "")
    known.write_text(f"{line}[{ADDRESS}]:{server.port} {Path(f'{other}.pub').read_text()}")
    with pytest.raises(ChangedHostKeyError) as changed:
        connect(server, known)
    assert flaw in changed.value.message
    assert f"{known} line 2" in changed.value.message


def test_an_unknown_authority_is_named_and_the_plain_key_may_be_known(tmp_path: Path, serve: Serve) -> None:
    authority, known_one = Authority(tmp_path), Authority(tmp_path, name="other")
    host = keygen(tmp_path / "host", *KEYS["ed25519"], "-N", "")
    server = serve(authority.sign(host, "-n", ADDRESS))
    known = tmp_path / "known_hosts"
    known.write_text(f"@cert-authority * {known_one.public}\n")
    with pytest.raises(UnknownHostKeyError) as unknown:
        connect(server, known)
    told = f"no @cert-authority line for [{ADDRESS}]:{server.port} holds the authority {fingerprint(authority.blob)}"
    assert told in unknown.value.message
    with known.open("a") as more:
        more.write(f"[{ADDRESS}]:{server.port} {Path(f'{host}.pub').read_text()}")
    connect(server, known)


@pytest.mark.parametrize("revoked", ["authority", "key"])
def test_a_revoked_authority_or_key_is_refused_whatever_else_is_known(
    tmp_path: Path, serve: Serve, revoked: str
) -> None:
    authority = Authority(tmp_path)
    host = keygen(tmp_path / "host", *KEYS["ed25519"], "-N", "")
    server = serve(authority.sign(host, "-n", ADDRESS))
    plain = Path(f"{host}.pub").read_text()
    bad = plain if revoked == "key" else authority.public
    known = tmp_path / "known_hosts"
    known.write_text(f"@cert-authority * {authority.public}\n[{ADDRESS}]:{server.port} {plain}@revoked * {bad}\n")
    with pytest.raises(ChangedHostKeyError) as refused:
        connect(server, known)
    what = "the host key of" if revoked == "key" else "the authority that certifies the host key of"
    assert refused.value.message.startswith(f"{what} [{ADDRESS}]:{server.port} is revoked (ssh-ed25519 SHA256:")
    assert f"{known} line 3" in refused.value.message


def test_the_alias_is_the_name_that_a_certificate_must_hold(tmp_path: Path, serve: Serve) -> None:
    authority = Authority(tmp_path)
    server = serve(authority.sign(keygen(tmp_path / "host", *KEYS["ed25519"], "-N", ""), "-n", "Web1"))
    known = tmp_path / "known_hosts"
    known.write_text(f"@cert-authority web* {authority.public}\n")
    connect(server, known, "-o HostKeyAlias=web1")
    with pytest.raises(UnknownHostKeyError, match="not for web2"):
        connect(server, known, "-o HostKeyAlias=web2")


def test_certificates_are_asked_for_only_where_an_authority_is_known(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    known = tmp_path / "known_hosts"
    known.write_text(f"@cert-authority web*,!web3 {authority.public}\nweb2 ssh-rsa AAAA\n")
    kinds = HostKeys().kinds
    assert kinds("db1", [str(known)]) == []
    assert kinds("web3", [str(known)]) == []
    assert kinds("web1", [str(known)])[0] == "ssh-ed25519-cert-v01@openssh.com"
    assert kinds("[web1]:2222", [str(known)])[0] == "ssh-ed25519-cert-v01@openssh.com"
    assert kinds("web2", [str(known)])[-1] == "ssh-rsa"


def test_a_host_without_a_certificate_is_known_by_its_plain_key(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"@cert-authority * {Authority(tmp_path).public}\n")
    with pytest.raises(UnknownHostKeyError) as unknown:
        connect(sshd, known)
    assert "certificate" not in unknown.value.message
    connect(sshd, known, "-o StrictHostKeyChecking=accept-new")
    connect(sshd, known)


def read(path: Path) -> bytes:
    """Return a certificate's bytes."""
    return base64.b64decode(path.read_text().split()[1])


def test_what_a_certificate_says_is_read(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "rsa")
    host = keygen(tmp_path / "host", *KEYS["ecdsa"], "-N", "")
    certificate = HostCertificate.read(read(authority.sign(host)))
    assert certificate.authority == authority.blob
    assert certificate.flaw("anything") == ""  # no principals mean every host, as in OpenSSH
    user = HostCertificate.read(read(authority.sign(host, "-n", "web1", host=False)))
    assert user.flaw("web1") == "it is a user's certificate"


def test_a_certificate_that_was_changed_is_none(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    host = keygen(tmp_path / "host", *KEYS["ed25519"], "-N", "")
    blob = read(authority.sign(host, "-n", "web1"))
    HostCertificate.read(blob)
    with pytest.raises(CertificateError, match="its signature is wrong"):
        HostCertificate.read(blob.replace(b"\0\0\0\x04web1", b"\0\0\0\x04web2"))
    with pytest.raises(CertificateError, match="it is a plain key"):
        HostCertificate.read(base64.b64decode(Path(f"{host}.pub").read_text().split()[1]))
    for damaged in (b"", b"\0", blob[:-1], blob + b"\0", blob[:200], b"\0\0\0\x05hello", blob.replace(b"web1", b"web")):
        with pytest.raises(CertificateError):
            HostCertificate.read(damaged)


def test_an_authority_that_signs_with_sha1_does_not_count(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "rsa")
    host = keygen(tmp_path / "host", *KEYS["ed25519"], "-N", "")
    made = subprocess.run(
        ["ssh-keygen", "-q", "-s", str(authority.key), "-t", "ssh-rsa", "-I", "x", "-h", f"{host}.pub"],
        capture_output=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip("this ssh-keygen does not sign with SHA-1")
    with pytest.raises(CertificateError, match="it is signed with ssh-rsa"):
        HostCertificate.read(read(Path(f"{host}-cert.pub")))


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sshd, dict[str, str]]]:
    """A server with a certificate and a second key, and what the words of `LINES` stand for."""
    folder = tmp_path_factory.mktemp("certified")
    authority, other = Authority(folder), Authority(folder, name="other")
    host = keygen(folder / "host", *KEYS["ed25519"], "-N", "")
    rsa = keygen(folder / "host_rsa", *KEYS["rsa"], "-N", "")
    certificate = authority.sign(host, "-n", ADDRESS)
    server = Sshd(folder / "sshd", f"HostKey {host}\nHostCertificate {certificate}\nHostKey {rsa}").start()
    words = {
        "CA": authority.public,
        "OTHER": other.public,
        "HOST": " ".join(Path(f"{host}.pub").read_text().split()[:2]),
        "RSA": " ".join(Path(f"{rsa}.pub").read_text().split()[:2]),
        "NAME": f"[{ADDRESS}]:{server.port}",
        "BARE": ADDRESS,
        "PORT": str(server.port),
    }
    yield server, words
    server.stop()


# Left out: OpenSSH asks for certificates even where no authority is known, and then, for the key in one of an unknown
# authority, lets a key of the bare name win over another one of [host]:port. Without a certificate it does not.
LINES = [
    "@cert-authority * CA",
    "@cert-authority *.example CA",
    "@cert-authority BARE CA",
    "@cert-authority NAME CA",
    "@cert-authority NAME,!127.* CA",
    "@cert-authority *,!NAME CA",
    "@cert-authority *,!NAME,!BARE CA",
    "@cert-authority * OTHER",
    "@cert-authority * OTHER\n@cert-authority * CA",
    "@cert-authority NAME HOST",
    "@revoked * CA\n@cert-authority * CA",
    "@cert-authority * CA\n@revoked * CA\nNAME HOST",
    "@cert-authority * CA\n@revoked  NAME\tHOST",
    "@cert-authority * CA\n@revoked * OTHER",
    "@cert-authority * CA\n@revoked * RSA",
    "@cert-authority * CA\nNAME OTHER",
    "@cert-authority * OTHER\nNAME HOST",
    "@unknown * HOST",
    "NAME CA",
    "NAME HOST",
    "NAME RSA",
    "NAME OTHER",
    "NAME OTHER\nNAME RSA",
    "BARE HOST",
    "BARE OTHER",
    "NAME RSA\nBARE HOST",
    "web1,NAME HOST",
    "  NAME \t HOST comment",
    "[127.0.9.?]:PORT HOST",
    "[127.0.9.*]:* HOST",
    "*,!127.0.9.2 HOST",
    "*,!NAME OTHER\n127.* HOST",
    "NAME ssh-ed25519 broken\nnonsense\n\n# NAME OTHER\nNAME HOST",
    "@revoked * HOST\nNAME RSA",
    "@revoked * HOST\nNAME HOST",
    "",
]


@pytest.mark.parametrize("lines", LINES)
def test_what_is_trusted_is_what_openssh_trusts(
    certified: tuple[Sshd, dict[str, str]], tmp_path: Path, lines: str
) -> None:
    server, words = certified
    known = tmp_path / "known_hosts"
    known.write_text(re.sub("|".join(words), lambda word: words[word[0]], lines) + "\n")
    options = ["BatchMode=yes", "StrictHostKeyChecking=yes", f"UserKnownHostsFile={known}", "GlobalKnownHostsFile=none"]
    flags = [flag for option in (*options, "UpdateHostKeys=no", "IdentityAgent=none") for flag in ("-o", option)]
    command = ["ssh", "-F", "none", *flags, "-i", str(server.key), "-p", str(server.port), f"{server.user}@{ADDRESS}"]
    done = subprocess.run([*command, "true"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 or "Host key verification failed" in done.stderr
    refused = ""
    try:
        connect(server, known)
    except (UnknownHostKeyError, ChangedHostKeyError) as error:
        refused = error.message
    assert (done.returncode == 0) == (refused == ""), f"{refused}\n{done.stderr}"
