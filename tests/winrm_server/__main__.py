"""The endpoint as an own process: prints its port, and ends when its standard input does, or by SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tests.winrm_server.server import WinrmServer, serve
from tests.winrm_server.tls import Tls


def main() -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.winrm_server", description=__doc__)
    parser.add_argument("--users", default="vagrant:secret", help="name:password,name:password")
    parser.add_argument("--transports", default="ntlm,basic")
    parser.add_argument("--allow-unencrypted", action="store_true")
    parser.add_argument("--max-shells", type=int, default=1000)
    parser.add_argument("--max-operations", type=int, default=1500)
    parser.add_argument("--chunk", type=int, default=98304, help="bytes of output in one answer")
    parser.add_argument("--drive", type=Path, help=r"the host's C:\ ")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    given = parser.parse_args()
    server = WinrmServer(
        dict(pair.split(":", 1) for pair in given.users.split(",")),
        given.transports.split(","),
        Tls(given.certificate, given.key) if given.certificate else None,
        allow_unencrypted=given.allow_unencrypted,
        max_shells=given.max_shells,
        max_operations=given.max_operations,
        chunk=given.chunk,
        drive=given.drive,
        host=given.host,
        port=given.port,
    )
    # So that what it started ends with it.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    serve(server)


if __name__ == "__main__":
    main()
