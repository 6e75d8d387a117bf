"""Sealed bodies: ``multipart/encrypted`` and ``multipart/x-multi-encrypted`` (MS-WSMV 2.2.9.1)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import spnego

_BOUNDARY = b"--Encrypted Boundary"
_OCTETS = b"\tContent-Type: application/octet-stream\r\n"
_CREDSSP = "application/HTTP-CredSSP-session-encrypted"
_SPNEGO = "application/HTTP-SPNEGO-session-encrypted"
_TLS_RECORD = 16384


def is_sealed(content_type: str) -> bool:
    """Whether a body of this type is sealed."""
    return content_type.lower().startswith(("multipart/encrypted", "multipart/x-multi-encrypted"))


def unseal(body: bytes, context: spnego.ContextProxy) -> bytes:
    """Return what a body holds.

    Raises:
        Exception: it can't be decrypted, or is not of this shape.
    """
    parts = body.split(_BOUNDARY + b"\r\n")[1:]
    if not parts or len(parts) % 2:
        raise ValueError("no parts")
    pieces = []
    for head, part in zip(parts[::2], parts[1::2], strict=True):
        data = part.removesuffix(_BOUNDARY + b"--\r\n")
        if not data.startswith(_OCTETS):
            raise ValueError("no octets")
        start = len(_OCTETS)
        (length,) = struct.unpack_from("<i", data, start)
        start += 4
        piece = context.unwrap_winrm(data[start : start + length], data[start + length :])
        if len(piece) != int(head.split(b"Length=")[1]):
            raise ValueError("not of the length it says")
        pieces.append(piece)
    return b"".join(pieces)


def seal(message: bytes, context: spnego.ContextProxy, credssp: bool) -> tuple[str, bytes]:
    """Return a sealed body and its type."""
    protocol = _CREDSSP if credssp else _SPNEGO
    many = credssp and len(message) > _TLS_RECORD
    size = _TLS_RECORD if credssp else max(1, len(message))
    parts = []
    for start in range(0, len(message) or 1, size):
        piece = message[start : start + size]
        header, data, padding = context.wrap_winrm(piece)
        parts += [
            _BOUNDARY,
            f"\r\n\tContent-Type: {protocol}\r\n\tOriginalContent: type=application/soap+xml;charset=UTF-8;"
            f"Length={len(piece) + padding}\r\n".encode(),
            _BOUNDARY,
            b"\r\n" + _OCTETS,
            struct.pack("<i", len(header)),
            header,
            data,
        ]
    parts.append(_BOUNDARY + b"--\r\n")
    kind = "x-multi-encrypted" if many else "encrypted"
    return f'multipart/{kind};protocol="{protocol}";boundary="Encrypted Boundary"', b"".join(parts)
