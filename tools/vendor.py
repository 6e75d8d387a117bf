"""Fetch what the page is built with from npm into sshexec/web/page/vendor, checked and pinned.

The page is served without a build step and without another server, so what others wrote for it lies in the repository,
file by file as its makers published it. Which versions and which files is written below; `VENDOR.json` says what was
taken, and tests/web/test_vendor.py that nothing was changed since.

    python tools/vendor.py            fetch everything anew
    python tools/vendor.py --check    fetch nothing, compare the files with VENDOR.json
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "sshexec" / "web" / "page" / "vendor"
LARGEST = 8 * 1024 * 1024
"""Bytes that one file of a package may have."""


@dataclass(frozen=True)
class Package:
    """What is taken of one package.

    Args:
        name: on npm.
        version: exact.
        integrity: of its tarball, as npm's registry and lock files have it.
        licence: its SPDX identifier.
        files: path in the package -> name below the folder.
        licence_from: package whose licence text stands for this one, where the tarball has none.
    """

    name: str
    version: str
    integrity: str
    licence: str
    files: dict[str, str]
    licence_from: str | None = None

    @property
    def folder(self) -> str:
        """Name of its folder below vendor/."""
        return self.name.removeprefix("@").replace("/", "-")


def _addon(name: str, version: str, integrity: str, licence_from: str | None = None) -> Package:
    module = f"addon-{name}.mjs"
    return Package(
        f"@xterm/addon-{name}", version, f"sha512-{integrity}", "MIT", {f"lib/{module}": module}, licence_from
    )


PACKAGES = (
    Package(
        "@xterm/xterm",
        "6.0.0",
        "sha512-TQwDdQGtwwDt+2cgKDLn0IRaSxYu1tSUjgKarSDkUM0ZNiSRXFpjxEsvc/Zgc5kq5omJ+V0a8/kIM2WD3sMOYg==",
        "MIT",
        {"lib/xterm.mjs": "xterm.mjs", "css/xterm.css": "xterm.css"},
    ),
    _addon("fit", "0.11.0", "jYcgT6xtVYhnhgxh3QgYDnnNMYTcf8ElbxxFzX0IZo+vabQqSPAjC3c1wJrKB5E19VwQei89QCiZZP86DCPF7g=="),
    _addon(
        "web-links",
        "0.12.0",
        "4Smom3RPyVp7ZMYOYDoC/9eGJJJqYhnPLGGqJ6wOBfB8VxPViJNSKdgRYb8NpaM6YSelEKbA2SStD7lGyqaobw==",
    ),
    _addon(
        "search", "0.16.0", "9OeuBFu0/uZJPu+9AHKY6g/w0Czyb/Ut0A5t79I4ULoU4IfU5BEpPFVGQxP4zTTMdfZEYkVIRYbHBX1xWwjeSA=="
    ),
    _addon(
        "serialize",
        "0.14.0",
        "uteyTU1EkrQa2Ux6P/uFl2fzmXI46jy5uoQMKEOM0fKTyiW7cSn0WrFenHm5vO5uEXX/GpwW/FgILvv3r0WbkA==",
        "@xterm/xterm",
    ),
    _addon(
        "unicode11", "0.9.0", "FxDnYcyuXhNl+XSqGZL/t0U9eiNb/q3EWT5rYkQT/zuig8Gz/VagnQANKHdDWFM2lTMk9ly0EFQxxxtZUoRetw=="
    ),
    Package(
        "asciinema-player",
        "3.18.0",
        "sha512-5gpt2ipFcy4NKmgkv+c/QXnJ9zMicxqWROCOuJqgwwtiYKM8Qe9hnDOvfqke5bW6M2DW/seO3uQYkQ0xeUUVtw==",
        "Apache-2.0",
        {
            "dist/bundle/asciinema-player.min.js": "asciinema-player.min.js",
            "dist/bundle/asciinema-player.css": "asciinema-player.css",
        },
    ),
    Package(
        "@fontsource-variable/inter",
        "5.3.0",
        "sha512-OupL48va4JNofb97w6NYeF9S7W/kHNKM0Er8Dem5nqi4jeOLrVJDoE8tZEpnMJmtkvNbB1EIPPwHcdkF6b1oUA==",
        "OFL-1.1",
        {"files/inter-latin-wght-normal.woff2": "inter-latin.woff2"},
    ),
)


class VendorError(Exception):
    """A package is not what it should be."""


def fetch(package: Package, folder: Path) -> Path:
    """Return the package's tarball, fetched with npm and compared with the pinned integrity."""
    command = ["npm", "pack", "--silent", "--ignore-scripts", f"{package.name}@{package.version}"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=120)
    tarball = folder / done.stdout.split()[-1]
    algorithm, _, wanted = package.integrity.partition("-")
    found = base64.b64encode(hashlib.new(algorithm, tarball.read_bytes()).digest()).decode()
    if found != wanted:
        raise VendorError(f"{package.name} {package.version}: the tarball is {algorithm}-{found}, not the pinned one")
    return tarball


def read(tarball: Path, member: str) -> bytes | None:
    """Return one file of a tarball; None where it has none of that name."""
    with tarfile.open(tarball) as archive:
        try:
            info = archive.getmember(f"package/{member}")
        except KeyError:
            return None
        stream = archive.extractfile(info) if info.isfile() and info.size <= LARGEST else None
        if stream is None:
            raise VendorError(f"{tarball.name}: {member} is no file of at most {LARGEST} bytes")
        return stream.read()


def digest(data: bytes) -> str:
    """Return the SHA-256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()


def take(package: Package, tarball: Path, licence: bytes) -> dict[str, Any]:
    """Write a package's files and its licence; return its entry in VENDOR.json."""
    folder = VENDOR / package.folder
    folder.mkdir(parents=True)
    hashes = {}
    for member, name in {**package.files, "LICENSE": "LICENSE"}.items():
        data = licence if member == "LICENSE" else read(tarball, member)
        if data is None:
            raise VendorError(f"{package.name} {package.version} has no {member}")
        (folder / name).write_bytes(data)
        hashes[f"{package.folder}/{name}"] = digest(data)
    entry = {"name": package.name, "version": package.version, "licence": package.licence}
    return {**entry, "integrity": package.integrity, "files": hashes}


def fetch_all() -> None:
    """Replace what is in vendor/ by what is pinned here."""
    with tempfile.TemporaryDirectory() as folder:
        tarballs = {package.name: fetch(package, Path(folder)) for package in PACKAGES}
        if VENDOR.exists():
            shutil.rmtree(VENDOR)
        entries = []
        for package in PACKAGES:
            licence = read(tarballs[package.licence_from or package.name], "LICENSE")
            if licence is None:
                raise VendorError(f"{package.name}: its tarball has no LICENSE")
            entries.append(take(package, tarballs[package.name], licence))
    (VENDOR / "VENDOR.json").write_text(json.dumps({"packages": entries}, indent=2) + "\n")


def differences(vendor: Path = VENDOR) -> list[str]:
    """Return what is not as VENDOR.json says, a line each; nothing where all is."""
    packages = json.loads((vendor / "VENDOR.json").read_text())["packages"]
    wanted = {name: value for package in packages for name, value in package["files"].items()}
    there = {path.relative_to(vendor).as_posix(): path for path in vendor.rglob("*") if path.is_file()}
    there.pop("VENDOR.json", None)
    missing = [f"{name}: missing" for name in wanted if name not in there]
    changed = [f"{n}: changed" for n, path in there.items() if n in wanted and digest(path.read_bytes()) != wanted[n]]
    return sorted([*missing, *changed, *(f"{name}: nobody asked for it" for name in there if name not in wanted)])


def main() -> int:
    """Fetch, or check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="fetch nothing, compare the files with VENDOR.json")
    if not parser.parse_args().check:
        fetch_all()
    found = differences()
    print("\n".join(found) or f"{VENDOR.relative_to(ROOT)}: as VENDOR.json says")
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (VendorError, subprocess.SubprocessError, OSError) as error:
        sys.exit(f"vendor: {error}")
