"""CLIXML out of standard error: errors as text, while they come, and never a byte lost."""

from __future__ import annotations

from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshexec.connectors.winrm.clixml import LIMIT, Decoder, unescaped

NAMESPACE = 'xmlns="http://schemas.microsoft.com/powershell/2004/04"'
HEAD = f'#< CLIXML\r\n<Objs Version="1.1.0.1" {NAMESPACE}>'
PROGRESS = (
    '<Obj S="progress" RefId="0"><TN RefId="0"><T>System.Management.Automation.PSCustomObject</T></TN><MS>'
    '<I64 N="SourceId">1</I64><PR N="Record"><AV>Preparing modules for first use.</AV><S S="Error">no</S></PR></MS>'
    "</Obj>"
)


def record(text: str, stream: str = "Error") -> str:
    return f'<S S="{stream}">{escape(text)}</S>'


def document(*inner: str) -> bytes:
    return (HEAD + "".join(inner) + "</Objs>").encode()


def decoded(*pieces: bytes) -> bytes:
    decoder = Decoder()
    return b"".join([*map(decoder.feed, pieces), decoder.finish()])


def each_cut(data: bytes) -> list[bytes]:
    """Return what comes of the data in two pieces, wherever the cut is, and byte by byte."""
    found = [decoded(data[:at], data[at:]) for at in range(len(data) + 1)]
    return [*found, decoded(*(data[at : at + 1] for at in range(len(data))))]


def test_errors_are_text() -> None:
    data = document(
        record("bad : gone_x000D__x000A_"),
        record("a warning", "Warning"),
        record("verbose", "verbose"),
        PROGRESS,
        record("   + CategoryInfo & <such>_x000D__x000A_"),
    )
    assert set(each_cut(data)) == {b"bad : gone\r\n   + CategoryInfo & <such>\r\n"}


def test_progress_alone_is_nothing() -> None:
    assert set(each_cut(document(PROGRESS))) == {b""}
    assert decoded(document()) == b""


def test_plain_text_passes_at_once() -> None:
    decoder = Decoder()
    assert decoder.feed(b"plain\n") == b"plain\n"
    assert decoder.feed(b"#") == b""  # it may be the beginning of a document
    assert decoder.feed(b"1\n") == b"#1\n"
    assert decoder.feed(b"#< CLIXML") == b""
    assert decoder.feed(b" is what PowerShell writes\n") == b"#< CLIXML is what PowerShell writes\n"
    assert decoder.feed(b"caf\xc3\xa9 \xff\x00") == b"caf\xc3\xa9 \xff\x00"
    assert decoder.finish() == b""


def test_text_and_several_documents() -> None:
    data = b"before " + document(record("one")) + b"\r\nbetween\r\n" + document(record("two")) + b"after"
    assert set(each_cut(data)) == {b"before one\r\nbetween\r\ntwoafter"}


def test_a_document_that_comes_behind_what_a_program_printed() -> None:
    """PowerShell writes the line with its first record, and the document at its end (WrappedSerializer)."""
    late = document(PROGRESS, record("late")).removeprefix(b"#< CLIXML\r\n")
    data = b"#< CLIXML\r\nfatal: no repository\r\n" + late + b"after"
    assert set(each_cut(data)) == {b"#< CLIXML\r\nfatal: no repository\r\nlateafter"}


def test_a_powershell_within_a_powershell() -> None:
    outer = document(record("outer")).removeprefix(b"#< CLIXML\r\n")
    inner = document(record("inner"))
    assert set(each_cut(b"#< CLIXML\r\n" + inner + outer)) == {b"innerouter"}
    assert set(each_cut(b"#< CLIXML\r\n" + inner + b"x\r\n" + inner + outer)) == {b"innerx\r\ninnerouter"}
    assert set(each_cut(inner + outer)) == {b"inner" + outer}, "nobody has announced the second one"


def test_a_line_feed_alone_after_the_mark() -> None:
    assert decoded(document(record("one")).replace(b"\r\n", b"\n")) == b"one"


def test_each_error_passes_as_soon_as_it_is_whole() -> None:
    decoder = Decoder()
    assert decoder.feed((HEAD + record("first")).encode()) == b"first"
    assert decoder.feed(b'<S S="Error">sec') == b""
    assert decoder.feed(b"ond</S>") == b"second"
    assert decoder.feed(b"</Objs>\r\nplain") == b"\r\nplain"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("_x000D__x000A_", "\r\n"),
        ("_x001B_[31m", "\x1b[31m"),
        ("_x005F_x000A_", "_x000A_"),
        ("_xD83D__xDE00_", "\U0001f600"),
        ("_xD83D_ alone", "\ufffd alone"),
        ("_xd83d__xde00_", "\U0001f600"),
        ("_x00_ _x000G_ _X000A_", "_x00_ _x000G_ _X000A_"),
        ("\u20ac", "\u20ac"),
    ],
)
def test_escapes(text: str, meant: str) -> None:
    assert unescaped(text) == meant
    assert decoded(document(record(text))) == meant.encode()


def test_a_document_that_is_cut_off_is_given_as_it_is() -> None:
    data = document(record("whole"), record("cut off"), PROGRESS)
    for at in range(len(HEAD), len(data)):
        got = decoded(data[:at])
        assert got.startswith(b"whole") or got == data[len(HEAD) : at]
        assert b"cut off" not in data[:at] or b"cut off" in got
    assert decoded(HEAD.encode()) == b""
    assert decoded(b"#< CLIXML\r\n<Objs Ver") == b"#< CLIXML\r\n<Objs Ver"
    assert decoded(b"#< CLIXML\r\n") == b"#< CLIXML\r\n"


BOMB = (
    b'#< CLIXML\r\n<Objs><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><S S="Error">&b;</S></Objs> rest'
)


@pytest.mark.parametrize(
    "data",
    [
        BOMB,
        b"#< CLIXML\r\n<Objs><S S='Error'>a</Objs> rest",
        b"#< CLIXML\r\n<Objs>\xff\xfe</Objs> rest",
        b"#< CLIXML\r\n<Objs>&undefined;</Objs> rest",
        b"#< CLIXML\r\n<Objs></Other></Objs> rest",
        b"#< CLIXML\r\n<Objs><![CDATA[</Objs>]]></Objs> rest",
        b"#< CLIXML\r\n<Objsolete/> rest",
        b"#< CLIXML\r\n<Objs a=></Objs> rest",
    ],
)
def test_what_cannot_be_read_is_given_as_it_is(data: bytes) -> None:
    for got in each_cut(data):
        # Its beginning may have been read by then, and has no text.
        assert data.endswith(got.removeprefix(b"#< CLIXML\r\n"))
        assert got.endswith(b" rest")
        for word in (b"&b;", b"\xff\xfe", b"&undefined;", b"]]>", b"a=>", b"</Other>", b"Objsolete"):
            assert word not in data or word in got


def test_what_was_read_before_is_not_told_twice() -> None:
    data = document(record("fine"), record("broken"))[:-7] + b"<oh no></Objs> rest"
    assert set(each_cut(data)) == {b"finebroken<oh no></Objs> rest"}


def test_a_large_document_is_never_held_whole() -> None:
    decoder = Decoder()
    size = len(decoder.feed(HEAD.encode()))
    line = record("x" * 1000).encode()
    for _ in range(3000):
        size += len(decoder.feed(line + PROGRESS.encode()))
        held = decoder._document
        assert held is not None
        assert len(held.raw) < 4096
    assert size == 3_000_000
    assert decoder.feed(b"</Objs>") == b""


def test_a_record_without_an_end_is_given_as_it_is() -> None:
    decoder = Decoder()
    out = [decoder.feed((HEAD + record("one") + '<S S="Error">').encode())]
    for _ in range(40):
        out.append(decoder.feed(b"y" * 65536))
        assert decoder._document is None or len(decoder._document.raw) <= LIMIT
    out.append(decoder.finish())
    whole = b"".join(out)
    assert whole == b"one" + b'<S S="Error">' + b"y" * (40 * 65536)
    assert LIMIT < 20 * 65536


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"#< CLIXML\r\n", b"<Objs", b"</Objs>", b"#", b"<"])))
def test_text_without_a_document_stays_as_it_is(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    if b"<Objs" not in whole:
        assert decoded(*pieces) == whole


@given(
    st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=0xFFFD, blacklist_categories=["Cs"]), max_size=20)),
    st.integers(1, 50),
)
def test_any_errors_in_any_pieces(texts: list[str], size: int) -> None:
    data = document(*(record(text.replace("_x", "_x005F_x")) for text in texts))
    assert decoded(*(data[at : at + size] for at in range(0, len(data), size))) == "".join(texts).encode()
