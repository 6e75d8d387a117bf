"""Several files to a host: the small ones together, the others, and what is refused, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sshexec.connectors.base import Upload
from sshexec.connectors.source import is_small

Told = Callable[[int], None]


def put_all(
    uploads: Sequence[Upload],
    together: Callable[[Sequence[Upload], Callable[[Upload, int], None]], None],
    put: Callable[[Upload, Told], None],
    progress: Told | None,
) -> None:
    """Write several files (see `Connector.put_all`).

    Args:
        uploads: what to write where.
        together: writes small files until one is refused, and tells which are in their place, and their sizes.
        put: writes one file, telling how much of it has arrived; it says in full why it is refused.
        progress: called with the number of bytes of all files that have arrived so far.
    """
    total = 0
    done: set[int] = set()

    def tell(size: int) -> None:
        nonlocal total
        total = size
        if progress is not None:
            progress(total)

    def sent(upload: Upload, size: int) -> None:
        done.add(id(upload))
        tell(total + size)

    small = [upload for upload in uploads if is_small(upload.source)]
    if small:
        together(small, sent)
    for upload in uploads:
        if id(upload) not in done:
            before = total
            put(upload, lambda size, before=before: tell(before + size))  # type: ignore[misc]
