"""Progress for those who have no terminal, and the words for what a host is busy with."""

from __future__ import annotations

import pytest

from sshexec.cli.display import Lines, activity
from sshexec.cli.stdout import Stdout
from sshexec.results import HostResult
from sshexec.run import HostState


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (HostState("h", "connecting", 97.0), "connecting for 3 s"),
        (HostState("h", "running", 99.0), "running for 1 s"),
        (HostState("h", "running", 88.0), "running for 12 s, idle for 12 s"),
        (HostState("h", "running", 88.0, 95.0), "running for 12 s, idle for 5 s"),
        (HostState("h", "running", 88.0, 99.5), "running for 12 s"),
        (HostState("h", "running", 101.0), "running for 0 s"),
    ],
)
def test_activity(state: HostState, words: str) -> None:
    assert activity(state, 100.0) == words


class Halfway:
    """A run with one of three hosts at work."""

    hosts = ("h1", "h2", "h3")

    def snapshot(self) -> list[HostState]:
        return [HostState("h2\x1b[2J", "authenticating", 0.0)]


def test_a_line_of_progress(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    with (tmp_path / "out").open("wb") as out:
        lines = Lines(Halfway(), Stdout(out.fileno()))  # type: ignore[arg-type]
        lines.count(HostResult("h1", "failed"))
        lines.tick()
    said = capsys.readouterr().err
    assert said.startswith("sshexec: 1 of 3 hosts after 0 s: 1 failed; h2\\x1b[2J: authenticating for ")
    assert said.count("\n") == 1
