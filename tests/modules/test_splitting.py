"""Words are those of `shlex`, whatever their length."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshexec.modules.splitting import split_words


def _tried(split, text):
    try:
        return split(text)
    except ValueError as error:
        return str(error)


@given(st.text(alphabet="ab \t\n'\"\\\x0b\u00a0é\ud800#", max_size=12))
def test_words_are_those_of_shlex(text):
    assert _tried(split_words, text) == _tried(shlex.split, text)


@pytest.mark.parametrize("text", ["x" * 2_000_000, '"' + "x" * 2_000_000 + '"'])
def test_a_word_of_megabytes_is_no_work(text):
    # shlex is busy for minutes.
    assert split_words(text) == [text.strip('"')]
