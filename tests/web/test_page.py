"""The page in a real browser, against a real sshd: what a person does with terminals."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import Visitor, Web

TimeoutError = pytest.importorskip("playwright.sync_api").TimeoutError

ROWS = ".pane:not([hidden]) .xterm-rows"
READ = """Array.from(document.querySelector(rows)?.children ?? [],
    (row) => row.textContent.replaceAll('\\u00a0', ' ').trimEnd()).join('\\n').trimEnd()"""


class Terminal:
    """The terminal that a page shows."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def type(self, text: str) -> None:
        """Type as on a keyboard, once the terminal has it; a newline is Enter."""
        self.page.wait_for_selector(".pane:not([hidden]) .xterm-helper-textarea:focus", state="attached")
        self.page.keyboard.type(text)

    def text(self) -> str:
        """What is on the screen, without the spaces at the ends of its lines."""
        return str(self.page.evaluate(f"(rows) => {READ}", ROWS))

    def wait(self, pattern: str, seconds: float = 60) -> str:
        """Wait until a regular expression is on the screen, and return the screen."""
        try:
            self.page.wait_for_function(
                f"([rows, pattern]) => new RegExp(pattern, 'm').test({READ})",
                arg=[ROWS, pattern],
                timeout=seconds * 1000,
            )
        except TimeoutError as error:
            raise AssertionError(f"{pattern!r} is not on the screen:\n{self.text()}") from error
        return self.text()

    def run(self, command: str, pattern: str, seconds: float = 60) -> str:
        """Type a command and wait for what it prints."""
        self.type(command + "\n")
        return self.wait(pattern, seconds)


def opened(page: Any, host: str) -> Terminal:
    """Open a terminal from the tree and wait for its prompt."""
    page.locator(".tree-row", has=page.get_by_text(host, exact=True)).click()
    page.wait_for_selector(".pane:not([hidden]) .terminal-bar .dot-open")
    terminal = Terminal(page)
    terminal.wait(r"[$#]$")
    # So that no prompt of the machine's own decides what the tests see.
    terminal.run("PS1='ready> '; PS2=; cd; clear", r"^ready>$")
    return terminal


def octal(text: str) -> str:
    """Return what makes `printf` print something, whatever the shell's locale is."""
    return "".join(f"\\{byte:03o}" for byte in text.encode())


def point_at(page: Any, row: Any) -> None:
    """Click near the start of a line of the terminal, which lies below the terminal's own layers."""
    box = row.bounding_box()
    page.mouse.move(box["x"] + 12, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + 14, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.up()


@pytest.fixture
def page(visitor: Visitor) -> Any:
    """The page of somebody who is signed in."""
    return visitor.page


@pytest.fixture
def shell(page: Any) -> Terminal:
    """A terminal on web1."""
    return opened(page, "web1")


def size_of(terminal: Terminal, mark: str) -> tuple[int, int]:
    """What the host takes for the terminal's size: rows and columns."""
    found = re.search(rf"{mark} (\d+) (\d+)", terminal.run(f"echo {mark}=$(stty size) | tr = ' '", rf"{mark} \d+ \d+$"))
    assert found is not None
    return int(found[1]), int(found[2])


def test_typing_answers_and_the_window_says_how_large_the_terminal_is(page: Any, shell: Terminal):
    assert "hello 42" in shell.run("echo hello $((6*7))", "^hello 42$")
    rows, columns = size_of(shell, "first")
    page.set_viewport_size({"width": 900, "height": 500})
    page.wait_for_function(
        "([rows, before]) => document.querySelector(rows).children.length < before", arg=[ROWS, rows]
    )
    smaller = size_of(shell, "second")
    assert smaller[0] < rows
    assert smaller[1] < columns
    assert smaller[0] == page.locator(f"{ROWS} > div").count()


def test_wide_characters_and_titles(page: Any, shell: Terminal):
    shown = shell.run(f"printf '{octal('日本語|żółć|😀|─┼|')}\\n'", r"^日本語")
    assert "日本語|żółć|😀|─┼|" in shown
    # Each wide character takes two cells: the cursor's position says so.
    where = shell.run(rf"printf 'X{octal('日本')}\033[6n'; read -rsd R at; echo; echo at ${{at#*[}}", r"^at \d+;\d+$")
    assert re.search(r"at \d+;6$", where, re.MULTILINE)
    shell.run(r"printf '\033]0;<img src=x onerror=alert(1)>\007'; echo titled", "^titled$")
    page.wait_for_function("document.querySelector('.bar-title').textContent.includes('onerror')")
    assert page.locator(".bar-title img").count() == 0
    assert page.title().startswith("<img src=x")


def test_what_a_host_sends_cannot_reach_clipboard_links_or_input(page: Any, shell: Terminal):
    page.evaluate("void (navigator.clipboard.writeText = () => (document.body.dataset.clip = 'written'))")
    shell.run(r"printf '\033]52;c;c2VjcmV0\007\033[21t\033[5i'; echo sent", "^sent$")
    # Nothing that a title report would have typed stands at the prompt.
    assert shell.wait(r"^ready>$")
    assert page.evaluate("document.body.dataset.clip") is None
    shell.run(r"printf '\033]8;;javascript:alert(1)\033\\bad\033]8;;\033\\\n'; echo https://example.org/a", r"^https:")
    point_at(page, page.locator(f"{ROWS} > div", has_text="https://example.org/a").last)
    dialog = page.locator("dialog[open]")
    dialog.wait_for()
    assert "https://example.org/a" in dialog.inner_text()
    page.keyboard.press("Escape")
    point_at(page, page.locator(f"{ROWS} > div", has_text=re.compile(r"^bad\s*$")))
    assert page.locator("dialog[open]").count() == 0


def test_vim_and_a_reload_within_it(page: Any, shell: Terminal, tmp_path: Path):
    file = tmp_path / "note.txt"
    shell.type(f"vi {file}\n")
    shell.wait("^~$")  # it has the screen: what is typed before that, it may throw away
    shell.type("ihello from the page")
    page.keyboard.press("Escape")
    shell.wait("hello from the page")
    page.reload()
    shell.wait("hello from the page")
    page.wait_for_selector(".pane:not([hidden]) .terminal-bar .dot-open")
    shell.type("A, and again")
    shell.wait("page, and again")
    page.keyboard.press("Escape")
    shell.type(":wq\n")
    shell.wait(r"^ready>$")
    assert file.read_text() == "hello from the page, and again\n"


def test_a_reload_keeps_the_shell_its_screen_and_what_it_wrote_meanwhile(page: Any, shell: Terminal, tmp_path: Path):
    go = tmp_path / "go"
    shell.run("kept=yes; echo before-$((1+1))", "^before-2$")
    shell.run(f"(until test -e {go}; do sleep 0.1; done; echo mean'while') & echo started", "^started$")
    address = page.url
    page.goto("about:blank")
    go.touch()
    time.sleep(0.3)  # the page is away while the host writes
    page.goto(address)
    shown = shell.wait("meanwhile$")
    assert shown.index("before-2") < shown.index("meanwhile")
    assert len(re.findall(r"^before-2$", shown, re.MULTILINE)) == 1
    page.wait_for_selector(".pane:not([hidden]) .terminal-bar .dot-open")
    shell.run("echo kept=$kept", "^kept=yes$")


def test_a_connection_that_breaks_is_made_anew_and_nothing_is_lost_or_doubled(page: Any, tmp_path: Path):
    sockets: list[Any] = []

    def between(socket: Any) -> None:
        sockets.append(socket)
        socket.connect_to_server()

    page.route_web_socket("**/terminal", between)
    shell = opened(page, "web2")
    go = tmp_path / "go"
    shell.run(f"(until test -e {go}; do sleep 0.1; done; echo mean'while') & echo started", "^started$")
    sockets[0].close(code=1012)
    page.wait_for_selector(".terminal-strip >> text=The connection was lost")
    go.touch()
    shell.wait("meanwhile$")
    page.wait_for_selector(".pane:not([hidden]) .terminal-bar .dot-open")
    shown = shell.run("echo once", "^once$")
    assert shown.count("echo once") == 1
    assert len(re.findall("^started$", shown, re.MULTILINE)) == 1
    assert len(re.findall("meanwhile$", shown, re.MULTILINE)) == 1
    assert len(sockets) >= 2


def test_a_session_is_ended_though_its_connection_is_away(page: Any):
    sockets: list[Any] = []

    def between(socket: Any) -> None:
        if not sockets:
            socket.connect_to_server()
        sockets.append(socket)  # a later one never gets ready

    page.route_web_socket("**/terminal", between)
    opened(page, "cache1")
    sockets[0].close(code=1012)
    page.wait_for_selector(".pane:not([hidden]) .terminal-bar .dot-lost")
    page.get_by_role("button", name="Close cache1").click()
    page.get_by_role("button", name="End it").click()
    page.wait_for_function(
        """async () => (await (await fetch("api/sessions")).json()).sessions.every((each) => each.host !== "cache1")"""
    )


def test_old_questions_to_the_terminal_are_not_answered_again(browser: Any, web: Web, page: Any, shell: Terminal):
    shell.run(r"stty -echo; printf '\033[c'; read -rsd c x; stty echo; echo asked $?", "^asked 0$")
    shell.run("cat; :", "cat; :$")
    session = page.evaluate("async () => (await (await fetch('api/sessions')).json()).sessions.at(-1).id")
    other = Visitor(browser, web)
    try:
        other.page.get_by_role("link", name="Sessions").click()
        other.page.locator(f"tr[data-session='{session}']").get_by_role("button", name="Take up web1").click()
        page.wait_for_selector(".terminal-strip >> text=opened somewhere else")
        taken = Terminal(other.page)
        other.page.wait_for_selector(".pane:not([hidden]) .terminal-bar .dot-open")
        assert "1;2c" not in taken.run("echo", "^echo\necho$")
        page.get_by_role("button", name="Take it back").click()
        other.page.wait_for_selector(".terminal-strip >> text=opened somewhere else")
        page.wait_for_selector(".pane:not([hidden]) .terminal-bar .dot-open")
        shell.run("mine", "^mine\nmine$")
    finally:
        other.leave()


def test_where_a_stream_may_be_cut(page: Any):
    # What stands at the end and is not complete -> how many bytes of it.
    streams = {
        "plain\r\n": 0,
        "\x1b": 1,
        "done\x1b[1;31m": 0,
        "text\x1b[1;3": 5,
        "\x1b]0;title\x07": 0,
        "\x1b]0;title": 9,
        "\x1b]0;title\x1b": 10,
        "\x1b]0;title\x1b\\": 0,
        "\x1bP$q": 4,
        "\x1b(": 2,
        "\x1b(B": 0,
        "ż": 0,
        "żółć \x1b[38;5;\x18": 0,
    }
    cases = [(list(text.encode()), length) for text, length in streams.items()]
    cases += [(list("😀".encode()[:cut]), cut) for cut in (1, 2, 3)] + [(list("a日".encode()[:-1]), 2)]
    found = page.evaluate(
        """async (all) => { const { unfinished } = await import("./terminal/tail.js");
        return all.map(([bytes]) => unfinished(Uint8Array.from(bytes))); }""",
        cases,
    )
    assert found == [length for _, length in cases]


def test_a_flood_is_stopped_by_ctrl_c(page: Any, shell: Terminal, tmp_path: Path):
    big = tmp_path / "big"
    with big.open("w") as file:
        for number in range(50):
            file.write(f"{number:07d} and some more text of a line\n" * (1024 * 1024 // 39))
    shell.type(f"cat {big}\n")
    shell.wait("000000[3-9] and some more")
    began = time.monotonic()
    page.keyboard.press("Control+c")
    shell.wait(r"\^C\s*\nready>$")
    print(f"Ctrl-C was answered after {time.monotonic() - began:.2f} s")
    assert "0000049" not in shell.text()
    shell.run("echo still here", "^still here$")


def test_two_viewers_and_a_hand_over(browser: Any, web: Web, page: Any, shell: Terminal):
    shell.run("echo seen by both", "^seen by both$")
    colleague = Visitor(browser, web, viewport={"width": 800, "height": 500})
    try:
        other = colleague.page
        other.get_by_role("link", name="Sessions").click()
        other.get_by_role("button", name="Watch web1").first.click()
        watching = Terminal(other)
        watching.wait("seen by both")
        watching.type("echo nothing-of-this\n")
        shell.run("echo after that", "^after that$")
        assert "nothing-of-this" not in watching.wait("^after that$")
        page.get_by_role("button", name="1 other viewer").click()
        page.get_by_role("button", name="Hand over").click()
        page.wait_for_selector(".pane:not([hidden]) .badge-info")
        other.wait_for_function("!document.querySelector('.pane:not([hidden]) .badge-info')")
        watching.run("echo now it is mine", "^now it is mine$")
        shell.wait("^now it is mine$")
    finally:
        colleague.leave()


def test_files_go_both_ways(page: Any, shell: Terminal, tmp_path: Path):
    content = bytes(range(256)) * 4000
    page.locator(".pane:not([hidden]) input[type=file]").set_input_files(
        [{"name": "<b>up.bin", "mimeType": "application/octet-stream", "buffer": content}]
    )
    page.get_by_label("Into this folder").fill(str(tmp_path))
    page.get_by_role("button", name="Upload", exact=True).click()
    page.wait_for_selector(".transfer.over:not(.failed)")
    assert (tmp_path / "<b>up.bin").read_bytes() == content
    page.get_by_role("button", name="Download a file").click()
    page.get_by_label("Path on web1").fill(f"{tmp_path}/<b>up.bin")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    assert Path(download.value.path()).read_bytes() == content


def test_a_dropped_file_is_uploaded_and_a_refusal_is_said(visitor: Visitor, page: Any, shell: Terminal, tmp_path: Path):
    drop = """() => { const all = new DataTransfer();
        all.items.add(new File(["dropped"], "dropped.txt")); return all; }"""
    pane = page.locator(".pane:not([hidden])")
    pane.dispatch_event("dragenter", {"dataTransfer": page.evaluate_handle(drop)})
    assert page.locator(".pane:not([hidden]) .drop").is_visible()
    pane.dispatch_event("drop", {"dataTransfer": page.evaluate_handle(drop)})
    page.get_by_label("Into this folder").fill(f"{tmp_path}/missing")
    page.get_by_role("button", name="Upload", exact=True).click()
    page.wait_for_selector(".transfer.failed")
    assert not page.locator(".pane:not([hidden]) .drop").is_visible()
    visitor.forgive("404")


def test_an_unknown_host_key_is_asked_about(page: Any, web: Web):
    page.wait_for_selector(".tree-row")
    page.get_by_label("Search hosts").fill("stranger")
    page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    dialog.wait_for()
    assert "SHA256:" in dialog.inner_text()
    page.get_by_role("button", name="Do not connect").click()
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("button", name="Trust it and connect").click()
    Terminal(page).wait(r"[$#]$")


def test_a_passphrase_is_asked_for_and_asked_again(page: Any):
    page.wait_for_selector(".tree-row")
    page.get_by_label("Search hosts").fill("locked")
    page.keyboard.press("Enter")
    field = page.locator("dialog[open] input[type=password]")
    field.fill("close sesame")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] >> text=That was not right")
    field.fill("open sesame")
    page.keyboard.press("Enter")
    Terminal(page).wait(r"[$#]$")
    assert "sesame" not in page.content()


def test_several_lines_are_pasted_after_a_question_only_where_each_would_run(page: Any, shell: Terminal):
    paste = """(text) => { const data = new DataTransfer(); data.setData("text/plain", text);
        document.activeElement.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true,
            cancelable: true})); }"""
    shell.run("bind 'set enable-bracketed-paste off'; clear; cat", "^$")
    page.evaluate(paste, "first\x1b[201~\nsecond\n")
    assert "3 lines" in page.locator("dialog[open]").inner_text()
    page.get_by_role("button", name="Cancel").click()
    page.evaluate(paste, "one\x1b[31m line")
    shell.wait(r"^one\[31m line$")
    page.evaluate(paste, "\nfirst\nsecond\n")
    page.get_by_role("button", name="Paste", exact=True).click()
    shell.wait("^first$[^]*^first$[^]*^second$")


def test_what_is_selected_is_copied(visitor: Visitor, page: Any, shell: Terminal):
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shell.run("clear; echo only-this-word", "^only-this-word$")
    box = page.locator(f"{ROWS} > div", has_text=re.compile("^only-this-word")).bounding_box()
    page.mouse.dblclick(box["x"] + 20, box["y"] + box["height"] / 2)
    page.keyboard.press("Control+Shift+C")
    page.wait_for_selector(".toast >> text=Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "only-this-word"


def test_keys_reach_tabs_hosts_search_and_the_list_of_keys(page: Any, shell: Terminal):
    shell.run("echo needle in the hay", "^needle in the hay$")
    page.keyboard.press("Alt+Shift+F")
    page.keyboard.type("needle")
    page.wait_for_function("/^\\d+ of 2$/.test(document.querySelector('.find-count').textContent)")
    page.keyboard.press("Escape")
    page.keyboard.press("Alt+Shift+H")
    page.keyboard.type("db2")
    page.keyboard.press("Enter")
    page.wait_for_selector(".tab.on >> text=db2")
    page.wait_for_selector(".pane:not([hidden]) .terminal-bar .dot-open")
    page.keyboard.press("Alt+Shift+ArrowLeft")
    page.wait_for_selector(".tab.on >> text=web1")
    shell.run("read -rsn2 key; clear; printf '%q\\n' \"$key\"", "")
    page.keyboard.press("Alt+2")
    shell.wait("E2")
    page.keyboard.press("Alt+Shift+2")
    page.wait_for_selector(".tab.on >> text=db2")
    page.keyboard.press("Alt+Shift+K")
    assert "Alt+Shift+K" in page.locator("dialog[open]").inner_text()
    page.keyboard.press("Escape")
    shell.run("exit", "")
    page.wait_for_selector(".pane:not([hidden]) .terminal-strip >> text=ended with status 0")


def test_the_tree_is_used_by_keys_alone(page: Any):
    tree = page.get_by_role("tree")
    page.wait_for_selector(".tree-row")
    tree.focus()
    page.keyboard.press("Home")
    assert page.locator(".tree-row.current").get_attribute("aria-expanded") == "true"
    page.keyboard.press("ArrowLeft")
    assert page.locator(".tree-row.current").get_attribute("aria-expanded") == "false"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    current = page.locator(".tree-row.current")
    assert current.locator(".tree-name").inner_text() == "web1"
    assert current.get_attribute("aria-level") == "2"
    assert tree.get_attribute("aria-activedescendant") == current.get_attribute("id")


def test_a_session_is_paused_and_terminated_from_the_list(page: Any, shell: Terminal):
    page.get_by_role("link", name="Sessions").click()
    row = page.locator("tr", has_text="web1").first
    row.get_by_role("button", name="Pause web1").click()
    row.get_by_text("paused").wait_for()
    page.get_by_role("link", name="Terminals").click()
    page.wait_for_selector(".terminal-strip >> text=Paused by")
    shell.type("echo never\n")
    page.get_by_role("link", name="Sessions").click()
    row.get_by_role("button", name="Let web1 go on").click()
    row.get_by_role("button", name="Pause web1").wait_for()
    page.get_by_role("link", name="Terminals").click()
    page.wait_for_selector(".terminal-strip", state="hidden")
    page.wait_for_selector(".pane:not([hidden]) .xterm-helper-textarea:focus", state="attached")
    assert "never" not in shell.run("echo on again", "^on again$")
    page.get_by_role("link", name="Sessions").click()
    row.get_by_role("button", name="Terminate web1").click()
    page.locator("dialog[open]").get_by_role("button", name="Terminate").click()
    page.get_by_role("link", name="Terminals").click()
    page.wait_for_selector(".terminal-strip >> text=terminated")


@pytest.fixture
def phone(browser: Any, web: Web) -> Iterator[Visitor]:
    """Somebody on a phone."""
    person = Visitor(browser, web, viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
    yield person
    person.leave()


def test_on_a_phone_hosts_are_a_drawer_and_keys_are_a_row(phone: Visitor):
    page = phone.page
    page.get_by_role("button", name="Hosts", exact=True).tap()
    page.get_by_label("Search hosts").fill("db1")
    page.locator(".tree-row").first.tap()
    page.wait_for_selector(".pane:not([hidden]) .terminal-bar .dot-open")
    terminal = Terminal(page)
    terminal.wait(r"[$#]$")
    for place in ("html", ".rail"):
        assert page.locator(place).evaluate("(element) => element.scrollWidth <= innerWidth")
    terminal.type("cat\n")
    page.get_by_role("button", name="Ctrl+C").tap()
    terminal.wait(r"\^C")


def test_signing_in_by_hand_and_out(browser: Any, web: Web):
    person = Visitor(browser, web)
    page = person.page
    page.get_by_role("button", name=re.compile("sign out")).click()
    page.locator("dialog[open]").get_by_role("button", name="Sign out").click()
    page.get_by_label("One-time token").wait_for()
    page.goto(f"{web.url}#token=wrong")
    page.wait_for_selector(".signin-error:not(:empty)")
    field = page.get_by_label("One-time token")
    field.fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector(".signin-error:not(:empty)")
    field.fill(web.link())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector(".rail")
    assert "token" not in page.url
    person.forgive("401")
    person.leave()
