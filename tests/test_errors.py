"""The exception tree: its picture, its words for programs, its way through a pipe."""

from __future__ import annotations

import inspect
import pickle
import re
import typing

import pytest

from sshexec import errors
from sshexec.errors import HostError, HostsFailedError, InputError, SshexecError
from sshexec.results import Status


def tree(root: type[SshexecError]) -> list[type[SshexecError]]:
    """Return the class and what derives from it in sshexec.errors, depth first, in the order of definition."""
    below = [kind for child in root.__subclasses__() if child.__module__ == errors.__name__ for kind in tree(child)]
    return [root, *below]


ALL = tree(SshexecError)
HOST_ERRORS = tree(HostError)
LEAVES = [kind for kind in HOST_ERRORS if len(tree(kind)) == 1]


def drawn() -> list[tuple[int, str]]:
    """Return (depth, name) of each line of the tree in the module's docstring."""
    found = re.findall(r"^    ((?:│   |    )*(?:[├└]── )?)(\w+Error)\b", errors.__doc__, re.MULTILINE)
    return [(len(indent) // 4, name) for indent, name in found]


def test_the_drawn_tree_is_the_real_one():
    def depth(kind: type[SshexecError]) -> int:
        return len([base for base in kind.__mro__ if base in ALL]) - 1

    assert drawn() == [(depth(kind), kind.__name__) for kind in ALL]


def test_every_exception_of_the_module_is_in_the_tree():
    defined = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    assert set(defined) == set(ALL)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_each_says_in_one_sentence_what_it_means(kind):
    first = inspect.cleandoc(kind.__doc__ or "").splitlines()[0]
    assert first.endswith(".")


@pytest.mark.parametrize("kind", HOST_ERRORS, ids=lambda kind: kind.__name__)
def test_each_host_error_maps_to_a_status_of_a_result(kind):
    assert kind.status in typing.get_args(Status)


def test_each_cause_is_a_word_of_its_own():
    causes = [kind.cause for kind in LEAVES]
    assert len(set(causes)) == len(causes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", cause) for cause in causes)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.InputError, ValueError),
        (errors.ConnectTimeoutError, TimeoutError),
        (errors.CommandTimeoutError, TimeoutError),
        (errors.ConnectionLostError, ConnectionError),
        (errors.TransferError, OSError),
    ],
)
def test_it_is_the_builtin_that_one_would_expect_too(kind, builtin):
    assert issubclass(kind, builtin)


def test_bad_input_shows_where_as_compilers_do():
    assert str(InputError("wrong")) == "wrong"
    assert str(InputError("wrong", path="hosts.yml")) == "hosts.yml: wrong"
    assert str(InputError("wrong", path="hosts.yml", line=3)) == "hosts.yml:3: wrong"


def test_failed_hosts_are_named_up_to_ten():
    assert str(HostsFailedError(["a", "b"])) == "2 host(s) did not end well: a, b"
    many = HostsFailedError([f"h{n}" for n in range(12)])
    assert str(many).endswith("h8, h9 and 2 more")
    assert len(many.hosts) == 12


def example(kind: type[SshexecError]) -> SshexecError:
    """Make one with every argument of its constructor set."""
    if kind.__init__ is Exception.__init__:
        return kind("what")
    if kind is HostsFailedError:
        return kind(["web1", "web2"])
    values = {"path": "/etc/x", "line": 3, "host": "web1", "phase": "running", "started": False, "killed": True}
    values["reason"] = "no_space"
    accepted = inspect.signature(kind).parameters
    return kind("what", **{name: value for name, value in values.items() if name in accepted})


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_it_comes_through_a_pipe_as_it_was(kind, protocol):
    sent = example(kind)
    got = pickle.loads(pickle.dumps(sent, protocol))
    assert type(got) is kind
    assert str(got) == str(sent)
    assert vars(got) == vars(sent)
    assert got.args == sent.args


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_what_others_hang_on_it_comes_through_too(kind):
    sent = example(kind)
    # What Exception.add_note (Python 3.11) does.
    sent.__notes__ = ["while testing"]
    got = pickle.loads(pickle.dumps(sent))
    assert got.__notes__ == ["while testing"]
    assert str(got) == str(sent)


@pytest.mark.parametrize("kind", HOST_ERRORS, ids=lambda kind: kind.__name__)
def test_host_and_phase_are_attributes_of_every_host_error(kind):
    error = kind("what", host="web1", phase="running")
    assert (error.message, error.host, error.phase) == ("what", "web1", "running")
    assert str(error) == "what"
