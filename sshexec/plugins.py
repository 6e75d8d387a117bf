"""What is loaded when it is first asked for: classes of this project, and what other distributions bring."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@dataclass(frozen=True, slots=True)
class Plugin:
    """An entry point of another distribution.

    Args:
        entry: the entry point.
    """

    entry: EntryPoint

    @property
    def owner(self) -> str:
        """The distribution that brings it, for messages."""
        return self.entry.dist.name if self.entry.dist else "an unknown distribution"

    def load(self) -> Any:
        """Return what it names; whatever its module raises comes out."""
        return self.entry.load()


def plugins(group: str) -> dict[str, Plugin]:
    """Return the entry points of a group by their names; of two with one name the first that is found counts."""
    from importlib import metadata  # takes 20 ms to import, and few runs need it

    found: dict[str, Plugin] = {}
    for entry in metadata.entry_points(group=group):
        found.setdefault(entry.name, Plugin(entry))
    return found


def attribute(place: str) -> Any:
    """Return what ``module:name`` names."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
