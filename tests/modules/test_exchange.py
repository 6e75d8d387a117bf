"""A script goes to the host's shell, and its whole answer comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sshexec.connectors.base import Deadline
from sshexec.connectors.output import DEFAULT_LIMIT, Output
from sshexec.errors import BecomeError, ConnectionLostError, HostError
from sshexec.modules.base import Invocation
from sshexec.modules.exchange import is_answer, run_script
from tests.modules.tools import Here, here


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    """Run a module here."""
    yield from here("gnu", tmp_path, monkeypatch)


def test_an_answer_that_is_not_kept_whole_is_none(run: Here) -> None:
    invocation = Invocation("here", Output(), Deadline.after(30))
    script = "head -c {} /dev/zero"
    rc, output = run_script(run.connector, invocation, script.format(DEFAULT_LIMIT), ())
    assert (rc, len(output.stdout)) == (0, DEFAULT_LIMIT)
    with pytest.raises(HostError, match="answer is longer than 16 MiB"):
        run_script(run.connector, invocation, script.format(DEFAULT_LIMIT + 1), ())


def test_only_what_the_task_came_to_is_its_answer() -> None:
    assert is_answer(HostError("no space"))
    assert not is_answer(ConnectionLostError("gone"))
    assert not is_answer(BecomeError("wrong password"))
