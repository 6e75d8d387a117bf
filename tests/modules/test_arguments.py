"""Ansible's key=value grammar and argument types."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sshexec.errors import ArgumentError
from sshexec.modules.arguments import Parameter, Rules, parse
from sshexec.modules.base import Module
from sshexec.modules.grammar import LIFTED, split

PARAMETERS = (
    Parameter("_raw_params"),
    Parameter("chdir", "path"),
    Parameter("stdin"),
    Parameter("force", "bool", default=True, aliases=("thirsty",)),
    Parameter("count", "int"),
    Parameter("names", "list", elements="str"),
    Parameter("state", choices=("absent", "present")),
    Parameter("any", "raw"),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chdir=/x", {"chdir": "/x"}),
        ("  chdir=/x   stdin=y ", {"chdir": "/x", "stdin": "y"}),
        ("chdir='a b' stdin=\"c 'd'\"", {"chdir": "a b", "stdin": "c 'd'"}),
        ("stdin=a=b=c", {"stdin": "a=b=c"}),
        (r'stdin="a\nb\t\"c\"\x41\u00e9\\x"', {"stdin": 'a\nb\t"c"A\u00e9\\x'}),
        (r"stdin=\N{BULLET}", {"stdin": "\u2022"}),
        ("stdin={{ a | default('x y') }} chdir={% if a %}b{% endif %}", {
            "stdin": "{{ a | default('x y') }}", "chdir": "{% if a %}b{% endif %}",
        }),
        ("stdin=", {"stdin": ""}),
        ("", {}),
    ],
)  # fmt: skip
def test_key_value(text: str, expected: dict[str, str]) -> None:
    assert split("m", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("echo  hi   there", {"_raw_params": "echo  hi   there"}),
        ("echo a=b chdir=/x force=no", {"_raw_params": "echo a=b force=no", "chdir": "/x"}),
        ("chdir='/x y' echo 'a  b'\n\tc", {"_raw_params": "echo 'a  b'\n\tc", "chdir": "/x y"}),
        ("echo 'chdir=/x'", {"_raw_params": "echo 'chdir=/x'"}),
        ("echo it\\'s chdir=/", {"_raw_params": "echo it\\'s", "chdir": "/"}),
        ("a; stdin=x b", {"_raw_params": "a; b", "stdin": "x"}),
    ],
)
def test_free_form_keeps_the_text_as_written(text: str, expected: dict[str, str]) -> None:
    assert split("m", text, free_form=True) == expected


@pytest.mark.parametrize("text", ["echo 'a", 'echo "a', "echo {{ a", "stdin={% x", r'stdin="a\\"'])
def test_what_is_not_closed_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match=r"^m: failed at splitting arguments"):
        split("m", text, free_form=True)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *[("force", value, True) for value in ("yes", "On", "TRUE", "1", 1, True, 1.0, "y", "t")],
        *[("thirsty", value, False) for value in ("no", "off", "False", "0", 0, False, 0.0, "n", "f")],
        ("count", "7", 7), ("count", 7, 7), ("count", 7.0, 7), ("count", " -7 ", -7),
        ("names", "a,b", ["a", "b"]), ("names", ["a", 1], ["a", "1"]), ("names", 3, ["3"]),
        ("state", "absent", "absent"), ("stdin", 5, "5"), ("stdin", True, "True"), ("any", {"a": 1}, {"a": 1}),
    ],
)  # fmt: skip
def test_types(name: str, value: Any, expected: Any) -> None:
    parsed = parse("m", PARAMETERS, {name: value})
    found = parsed["force" if name == "thirsty" else name]
    assert found == expected
    assert type(found) is type(expected)


def test_every_parameter_is_there_and_none_is_not_given() -> None:
    expected = {parameter.name: parameter.default for parameter in PARAMETERS}
    assert parse("m", PARAMETERS, None) == parse("m", PARAMETERS, {"force": None, "count": None}) == expected


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"forse": 1}, r"Unsupported parameters for \(m\) module: forse\. Supported parameters include: "
                       r"_raw_params, any, chdir, count, force, .*, stdin \(thirsty\)\. Did you mean force\?"),
        ({"qqq": 1, "aaa": 2}, r"module: aaa, qqq\. .*stdin \(thirsty\)\.$"),
        ({"force": "maybe"}, "argument 'force' is of type str and we were unable to convert to bool"),
        ({"count": "1.5"}, "unable to convert to int"),
        ({"count": "three"}, "\"'three'\" cannot be converted to an int"),
        ({"count": "1e999999999"}, "unable to convert to int"),
        ({"count": float("inf")}, "unable to convert to int"),
        ({"names": {"a": 1}}, "unable to convert to list"),
        ({"stdin": ["a"]}, "unable to convert to str"),
        ({"state": "here"}, "value of state must be one of: absent, present, got: here"),
        ("word", "expected key=value, got 'word'"),
    ],
)  # fmt: skip
def test_messages(args: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        parse("m", PARAMETERS, args)


def test_missing() -> None:
    parameters = (Parameter("dest", required=True), Parameter("src", required=True))
    with pytest.raises(ArgumentError, match="m: missing required arguments: dest, src"):
        parse("m", parameters, None)


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        found = split("m", text, free_form=True)
    except ArgumentError:
        return
    assert set(found) <= {"_raw_params", *LIFTED}


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs",)), max_size=40))
def test_a_quoted_value_comes_back(value: str) -> None:
    assume(not re.search(r"\{[{%#]|[%#}]\}|\\\Z", value))  # these have a meaning of their own in quotes too
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert split("m", f'chdir=/ stdin="{quoted}"') == {"chdir": "/", "stdin": value}


SPEC = (
    Parameter("path", required=True, aliases=("dest", "name")),
    Parameter("key", no_log=True),
    Parameter("n", "int"),
)


def test_of_several_names_the_last_alias_counts_and_a_warning_says_so() -> None:
    parsed = parse("m", SPEC, {"path": "a", "dest": "b", "name": "c"})
    assert parsed["path"] == "c"
    assert parsed.warnings == [f"Both option path and its alias {alias} are set." for alias in ("dest", "name")]
    assert parsed.given == {"path": "a", "dest": "b", "name": "c"}


def test_results_show_aliases_that_were_given_and_no_secret() -> None:
    class Sample(Module):
        name = "sample"
        parameters = SPEC

        def run(self, connector: Any, invocation: Any) -> Any:
            return self._result(changed=False)

    result = Sample.from_args({"dest": "b", "key": "hush"}).run(None, None)  # type: ignore[arg-type]
    shown = {"path": "b", "dest": "b", "key": "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER", "n": None}
    assert result == {"changed": False, "invocation": {"module_args": shown}}
    both = Sample.from_args({"dest": "b", "path": "a"}).run(None, None)  # type: ignore[arg-type]
    assert both["warnings"] == ["Both option path and its alias dest are set."]


def test_a_secret_is_in_no_message() -> None:
    secret = (Parameter("key", "int", no_log=True), Parameter("word", choices=("a",), no_log=True))
    for args in ({"key": "hush"}, {"word": "hush"}):
        with pytest.raises(ArgumentError) as caught:
            parse("m", secret, args)
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("rules", "args", "message"),
    [
        (Rules(exclusive=(("path", "n"),)), {"dest": "a", "n": 1}, r"parameters are mutually exclusive: path\|n$"),
        (Rules(together=(("path", "n"),)), {"path": "a"}, "parameters are required together: path, n$"),
        (Rules(one_of=(("key", "n"),)), {"path": "a"}, "one of the following is required: key, n$"),
        (Rules(required_if=(("path", "a", ("key", "n")),)), {"path": "a", "n": 1},
         "path is a but all of the following are missing: key$"),
        (Rules(required_if=(("path", "a", ("key", "n"), True),)), {"path": "a"},
         "path is a but any of the following are missing: key, n$"),
        (Rules(required_by={"path": ("n",)}), {"path": "a"}, r"missing parameter\(s\) required by 'path': n$"),
    ],
)  # fmt: skip
def test_rules(rules: Rules, args: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        parse("m", SPEC, args, rules=rules)
