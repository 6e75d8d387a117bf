from __future__ import annotations

from typing import Any

import pytest

from sshexec.errors import InputError
from sshexec.secret import Secret, SecretExpression
from sshexec.templating import has_template, render

VARIABLES: dict[str, Any] = {
    "n": 3,
    "name": "web",
    "both": "{{ name }}{{ n }}",
    "items": [1, 2],
    "deep": {"k": "{{ n }}"},
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("{{ n }}", 3),
        ("{{ both }}", "web3"),
        ("x {{ both }}\n", "x web3\n"),
        ("{% if n > 2 %}big{% endif %}", "big"),
        ({"a": ["{{ items }}", 1]}, {"a": [[1, 2], 1]}),
        ("{{ deep }}", {"k": 3}),
        ("{{ n }}{{ n }}", "33"),
        # Only an expression that stands alone keeps its type; blanks and line ends around one are text.
        ("{{ name }}\n", "web\n"),
        ("  {{ n }}\n\n", "  3\n\n"),
        ("{{ nope | default('other') }}", "other"),
        ("${HOME} {x}", "${HOME} {x}"),
        (7, 7),
    ],
)
def test_render(value: Any, expected: Any) -> None:
    assert render(value, VARIABLES, "h") == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{{ nope }}", "host h: .*'nope' is undefined"),
        ("a {{ nope }}", "'nope' is undefined"),
        ("{{ n.x.y }}", "no attribute 'x'"),
        ("{{ 1/0 }}", "ZeroDivisionError"),
        ("{% for %}", "host h"),
        ("{{ ''.__class__ }}", "unsafe"),
        ("{{ self_ }}", "refers to itself"),
    ],
)
def test_errors(value: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        render(value, {**VARIABLES, "self_": "{{ self_ }}", "password": Secret("hunter2")}, "h")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "variables"),
    [
        ({"ansible_password": "hunter2{{"}, {}),
        ({"ansible_password": "hunter2 {{ nope }}"}, {}),
        ("{{ db_password }}", {"db_password": "hunter2{% x %}"}),
        ("{{ db.password }}", {"db": {"password": "hunter2{{ nope }}"}}),
        ("{{ [].index(db_password) }}", {"db_password": "hunter2"}),
        ("{{ {}[token] }}", {"token": "hunter2"}),
    ],
)
def test_errors_show_nothing_of_a_password(value: Any, variables: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="host h: ") as caught:
        render(value, variables, "h")
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_has_template() -> None:
    assert has_template({"a": [{"b": "{% x %}"}]})
    assert not has_template({"a": ["{b}", 1, None]})


SECRETS: dict[str, Any] = {
    "token": Secret("hunter2"),
    "odd": Secret("a{{ b }}"),
    "db": {"password": Secret("hunter3"), "port": 5432},
    "url": SecretExpression("db://{{ token }}:{{ db.port }}"),
    "indirect": "<{{ token }}>",
    "plain": "x",
}


@pytest.mark.parametrize(
    ("value", "text", "secret"),
    [
        ("{{ token }}", "hunter2", True),
        ("-p{{ token }}", "-phunter2", True),
        ("{{ odd }}!", "a{{ b }}!", True),
        ("{{ odd }}", "a{{ b }}", True),
        ("{{ db.password }}", "hunter3", True),
        ("{{ db['password'] | upper }}", "HUNTER3", True),
        ("{{ url }}", "db://hunter2:5432", True),
        ("{{ indirect }}", "<hunter2>", True),
        ("{{ [token, plain] | join(',') }}", "hunter2,x", True),
        ("{{ plain }}", "x", False),
    ],
)
def test_a_secret_is_used_as_a_text(value: str, text: str, secret: bool) -> None:
    assert render(value, SECRETS, "h") == text
    assert type(render(value, SECRETS, "h")) is str
    kept = render({"ansible_x": value}, SECRETS, "h", "kept")["ansible_x"]
    assert (type(kept) is Secret) is secret
    assert (kept.reveal() if secret else kept) == text
    if secret:
        with pytest.raises(InputError, match=r"is a secret and can't be used here$"):
            render([value], SECRETS, "h", "refused")
    else:
        assert render(value, SECRETS, "h", "refused") == text


def test_an_expression_that_is_a_secret_itself_is_filled_in() -> None:
    kept = render({"ansible_password": SECRETS["url"]}, SECRETS, "h", "kept")
    assert kept == {"ansible_password": Secret("db://hunter2:5432")}
    with pytest.raises(InputError) as caught:
        render({"ansible_x": SecretExpression("hunter2 {{ nope }}")}, SECRETS, "h", "kept")
    assert "hunter2" not in str(caught.value)
