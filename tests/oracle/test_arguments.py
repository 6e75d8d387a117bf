"""Texts, types and rules of arguments beside real Ansible's own functions, many at once, with made-up input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sshexec.errors import ArgumentError
from sshexec.modules.arguments import Parameter, Rules, parse
from sshexec.modules.conversion import convert
from sshexec.modules.grammar import FREE_FORM, split
from tests.oracle.oracle import Ansible

MANY = settings(
    max_examples=15,
    deadline=None,
    phases=(Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""Each example is a list of many questions; what fails names the question, so nothing is shrunk."""


@pytest.fixture(scope="module")
def ansible(oracle_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ansible]:
    """Real Ansible without a host."""
    asked = Ansible(oracle_python, tmp_path_factory.mktemp("ansible"))
    yield asked
    asked.close()


def answers(ansible: Ansible, call: str, each: list[Any]) -> list[dict[str, Any]]:
    """Return what a part of Ansible says to each of these arguments."""
    found: list[dict[str, Any]] = ansible.ask(call=call, each=each)["answers"]
    return found


KEYS = ["a", "chdir", "creates", "removes", "executable", "warn", "stdin", "stdin_add_newline", "é", "a b", "\tchdir"]
PIECES = [
    " ", " ", "  ", "\n", "\t", "=", "==", "\\", "\\\\", "\\=", "\\'", '\\"', "'", '"', "''", "{{", "}}", "{%", "%}",
    "{#", "#}", "{", "}", "x", "word", "/a/b", "~", "$HOME", "#", "é", "☃", "\\n", "\\t", "\\x41", "\\u00e9",
    "\\U0001F600",
    "\\N{BULLET}", "\\N{nonsense}", "\\N{", "\\x4", "\\U00110000", "\udcff", "\r", "\v", "\u2003", "\u2028", ";", "|",
]  # fmt: skip
TEXTS = st.lists(
    st.sampled_from([*PIECES, *KEYS, *(f"{key}=" for key in KEYS), *(f" {key}=" for key in KEYS)]), max_size=14
)
WORDS = st.builds(
    lambda key, value, quote: f"{key}={quote}{value}{quote}",
    st.sampled_from(KEYS), st.text(max_size=12), st.sampled_from(["", "'", '"']),
)  # fmt: skip
ANY_TEXTS = st.one_of(TEXTS.map("".join), st.lists(WORDS, max_size=5).map(" ".join), st.text(max_size=30))


@MANY
@given(st.lists(st.tuples(ANY_TEXTS, st.booleans()), min_size=20, max_size=40))
def test_a_text_is_split_as_ansible_does(ansible: Ansible, asked: list[tuple[str, bool]]) -> None:
    for (text, free_form), theirs in zip(asked, answers(ansible, "parse_kv", [[*each] for each in asked]), strict=True):
        try:
            ours = split("m", text, free_form=free_form)
        except ArgumentError as error:
            if "expected key=value" in error.message:
                # Ansible refuses it one step later: "this task has extra params".
                assert theirs["result"][FREE_FORM].strip(), text
            else:
                assert "error" in theirs, text
            continue
        if not free_form and not theirs["result"].get(FREE_FORM, "x").strip():
            # White space where no text is expected says nothing; Ansible takes it for a text and refuses that.
            del theirs["result"][FREE_FORM]
        assert ours == theirs["result"], text


NUMBERS = [
    "7",
    " 7 ",
    "-7",
    "+7",
    "7.0",
    "7.5",
    "1e3",
    "1_000",
    "0x10",
    "٣",
    "1e-2",
    "nan",
    "inf",
    "-0",
    "",
    ".",
    "1,5",
]
BOOLEANS = ["yes", "No", " true ", "ON", "off", "1", "0", "y", "F", "maybe", "tru", "2", "1.0", "\tyes\n", "é"]
MAPPINGS = [
    "a=1", "a=1,b=2", "a=1 b='2 3'", "a=1, b", '{"a": 1}', "{'a': 1}", "{a}", "{1, 2}", "{}", "a", 'a="b\\"c" d=e=f',
    "a=b\\ c", "a='b\" c'", "=", "a=,b=", " a=1 ", '{"a": [1, null, true]}', "{",
]  # fmt: skip
SCALARS = st.one_of(
    st.sampled_from([*NUMBERS, *BOOLEANS, *MAPPINGS]),
    st.text(alphabet="0123456789+-._ eE", max_size=5),
    st.text(alphabet="ab='\", \\{}:1", max_size=14),
    st.text(max_size=8),
    st.integers(min_value=-(10**25), max_value=10**25),
    st.floats(),
    st.booleans(),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.text(max_size=3), SCALARS, max_size=2))


@MANY
@given(
    st.lists(
        st.tuples(st.sampled_from(["bool", "int", "float", "list", "dict", "str", "raw"]), VALUES),
        min_size=60,
        max_size=100,
    )
)
def test_a_value_is_converted_as_ansible_does(ansible: Ansible, asked: list[tuple[Any, Any]]) -> None:
    found = answers(ansible, "convert", [[*each] for each in asked])
    different = [(each, theirs) for each, theirs in zip(asked, found, strict=True) if not alike(*each, theirs)]
    assert different == []


def alike(kind: Any, value: Any, theirs: dict[str, Any]) -> bool:
    """Return whether our conversion answers as Ansible's did."""
    try:
        ours = convert(kind, value)
    except (TypeError, ValueError) as error:
        said = str(error)
        # Refused here alone, on purpose: see sshexec/modules/conversion.py.
        if "NUL" in said or "surrogate" in said or (kind == "str" and isinstance(value, (list, dict))):
            return True
        if (kind == "int" and (isinstance(value, (list, float)) or "Infinity" in theirs.get("error", ""))) or (
            not str(value).isprintable()
        ):
            return "error" in theirs  # Ansible's is its decimal library's, or not fit to be shown
        # Ansible lists the booleans in an order that differs from process to process.
        return theirs.get("error", "").partition(" Valid")[0] == said.partition(" Valid")[0]
    return ours == theirs.get("result") or repr(ours) == repr(theirs["result"])  # NaN is not equal to itself


SPEC = (
    Parameter("path", "path", required=True, aliases=("dest", "name")),
    Parameter("state", choices=("absent", "link", "touch")),
    Parameter("src"),
    Parameter("content"),
    Parameter("force", "bool", default=False, aliases=("thirsty",)),
    Parameter("count", "int"),
    Parameter("sizes", "list", elements="int", choices=()),
    Parameter("kinds", "list", elements="str", choices=("a", "b")),
    Parameter("owner"),
    Parameter("group"),
)
RULES = Rules(
    exclusive=(("src", "content"), ("count", "sizes")),
    together=(("owner", "group"),),
    one_of=(("state", "src"), ("force", "count")),
    required_if=(("state", "link", ("src", "owner")), ("state", "touch", ("count", "sizes"), True)),
    required_by={"content": ("count", "kinds")},
)
GIVEN = st.fixed_dictionaries({}, optional={
    **{name: st.sampled_from(["/x", "y"]) for name in ("path", "dest", "name", "src", "content", "owner", "group")},
    "state": st.sampled_from(["absent", "link", "touch", "here"]),
    "force": st.sampled_from([True, "no", "yes"]), "thirsty": st.just("no"),
    "count": st.sampled_from([1, "2", "x", [1]]), "sizes": st.sampled_from(["1,2", [3], "a,1", {"a": 1}, [[1]]]),
    "kinds": st.sampled_from(["a", "a,c,d", ["b", 5], {}]), "bogus": st.just(1), "zzz": st.just("x"),
})  # fmt: skip


@MANY
@given(st.lists(GIVEN, min_size=60, max_size=120))
def test_arguments_are_held_to_a_spec_as_ansible_does(ansible: Ansible, asked: list[dict[str, Any]]) -> None:
    spec = {
        each.name: {
            "type": each.type, "default": each.default, "required": each.required, "aliases": list(each.aliases),
            "choices": list(each.choices) or None, "elements": each.elements,
        }
        for each in SPEC
    }  # fmt: skip
    rules = {
        "mutually_exclusive": RULES.exclusive, "required_together": RULES.together, "required_one_of": RULES.one_of,
        "required_if": RULES.required_if, "required_by": RULES.required_by,
    }  # fmt: skip
    found = answers(ansible, "validate", [[spec, rules, each] for each in asked])
    for args, theirs in zip(asked, found, strict=True):
        try:
            ours = parse("m", SPEC, args, rules=RULES)
        except ArgumentError as error:
            message = error.message.removeprefix("m: ").partition(" Did you mean")[0]
            assert message.replace(" for (m) module: ", ": ") == theirs.get("error"), args
        else:
            assert ours == theirs.get("result"), args


def test_ansible_is_really_asked(ansible: Ansible) -> None:
    assert answers(ansible, "parse_kv", [["a=b", False], ["'", False]])[0] == {"result": {"a": "b"}}
    assert "error" in answers(ansible, "parse_kv", [["'", False]])[0]
