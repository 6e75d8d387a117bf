"""The page where something is not as usual: read-only, a login that asks, a server that does not answer, many tabs."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from sshexec import Engine, Host, Inventory
from sshexec.connectors.base import Phase
from sshexec.terminal.policy import TerminalPolicy
from sshexec.terminal.sessions import TerminalManager
from sshexec.web.application import WebTerminal
from sshexec.web.pages import FOLDER
from tests.pam import asking_sshd
from tests.testbed import Sshd
from tests.web.site import everything

FAKE = {"ansible_connection": "fake"}
OPEN = ".pane:not([hidden]) .terminal-bar .dot-open"


@contextlib.contextmanager
def served(browser: Any, hosts: dict[str, dict[str, Any]], **policy: Any) -> Iterator[Any]:
    """Serve hosts from this process; yields a browser's context, on which a new page opens with `go(page, path)`."""
    inventory = Inventory.from_hosts([Host(name, variables) for name, variables in hosts.items()])
    manager = TerminalManager(inventory, permit=everything, policy=TerminalPolicy(**policy))
    place: list[Any] = []
    server = make_server("127.0.0.1", 0, lambda environ, start: place[0](environ, start), threaded=True)
    server.daemon_threads = True
    address = f"http://127.0.0.1:{server.server_port}"
    engine = Engine(inventory)
    place.append(WebTerminal(manager, authenticate=lambda environ: "ann", origins=[address], engine=engine))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    context = browser.new_context(viewport={"width": 1280, "height": 800}, base_url=address)
    context.set_default_timeout(20000)
    try:
        yield context
    finally:
        context.close()
        manager.close()
        engine.close()
        server.shutdown()
        server.server_close()
        thread.join(10)


def go(context: Any, path: str = "/") -> Any:
    page = context.new_page()
    page.goto(path)
    page.wait_for_selector(".rail")
    return page


def opened(context: Any, host: str = "web1") -> Any:
    """Open the page and a terminal of a host in it."""
    page = go(context)
    page.locator(".tree-row", has=page.get_by_text(host, exact=True)).click()
    return page


@pytest.fixture(scope="module")
def context(browser: Any) -> Iterator[Any]:
    """Two hosts on which everything is allowed."""
    with served(browser, {"web1": FAKE, "web2": FAKE}) as context:
        yield context


@pytest.fixture
def page(context: Any) -> Any:
    """A terminal that is open; the page is the one of the test before, where that has not closed it."""
    page = context.pages[0] if context.pages else opened(context)
    page.wait_for_selector(OPEN)
    return page


def test_read_only_says_so_and_sends_nothing(browser: Any, shells_sshd: Sshd):
    with served(browser, {"web1": shells_sshd.variables(ansible_host="127.0.1.2")}, read_only=True) as context:
        page = go(context)
        sent: list[Any] = []
        page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
        page.locator(".tree-row", has=page.get_by_text("web1", exact=True)).click()
        page.wait_for_selector(OPEN)
        page.wait_for_selector(".badge >> text=Read-only")
        page.locator(".pane:not([hidden]) .xterm-helper-textarea").focus()
        page.keyboard.type("echo never\n")
        assert [each for each in sent if isinstance(each, bytes)] == []
        assert sent


def test_a_password_and_a_second_factor_are_asked_for(browser: Any, tmp_path: Path):
    with asking_sshd(tmp_path, {"Password: ": "hunter2", "+Verification code: ": "123456"}) as server:
        variables = server.variables(ansible_host="127.0.1.2")
        del variables["ansible_private_key_file"]
        with served(browser, {"bastion": variables}) as context:
            page = opened(context, "bastion")
            dialog = page.locator("dialog[open]")
            dialog.locator("input[type=password]").fill("hunter2")
            page.keyboard.press("Enter")
            dialog.get_by_text("Verification code:").wait_for()
            assert "bastion asks" not in dialog.inner_text()
            dialog.locator("input[type=text]").fill("123456")
            page.keyboard.press("Enter")
            page.wait_for_selector(OPEN)
            page.wait_for_selector(".xterm-helper-textarea:focus", state="attached")
            assert "hunter2" not in page.content()


def test_a_session_is_watched_from_a_page_that_shows_sessions_first(context: Any, page: Any):
    page.get_by_role("button", name="Find").focus()
    other = go(context, "/#/sessions")
    other.get_by_role("button", name="Watch web1").first.click()
    other.wait_for_selector(".pane:not([hidden]) .badge-info")
    # The bar of the first one is drawn anew, and the keyboard stays where it was.
    page.get_by_role("button", name="1 other viewer").wait_for()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Find"
    other.close()


def test_a_transfer_that_waits_is_cancelled_at_once(page: Any):
    page.route("**/files?*", lambda route: None)
    files = [{"name": f"{number}.txt", "mimeType": "text/plain", "buffer": b"x"} for number in (1, 2)]
    page.locator(".pane:not([hidden]) input[type=file]").set_input_files(files)
    page.get_by_role("button", name="Upload", exact=True).click()
    waiting = page.locator(".transfer", has_text="2.txt")
    waiting.get_by_role("button", name="Cancel").click()
    waiting.wait_for(state="detached")
    assert page.locator(".transfer", has_text="1.txt").count() == 1
    page.unroute("**/files?*")


def test_a_run_is_asked_for_until_the_server_answers(page: Any):
    asked = page.evaluate(
        """async () => {
          const { RunModel } = await import("./runs/follow.js");
          const real = window.setTimeout;
          window.setTimeout = (run) => real(run, 0);
          let asked = 0;
          const whole = { hosts: [], answers: [], tails: {}, state: "finished", live: false };
          const get = async () => { if ((asked += 1) < 4) throw { status: [0, 502, 429][asked - 1] }; return whole; };
          const model = new RunModel({ api: { get }, failed: () => (asked = -1) }, "1");
          model.later();
          await new Promise((done) => model.addEventListener("change", done));
          window.setTimeout = real;
          return asked;
        }"""
    )
    assert asked == 4


def test_a_connection_is_tried_when_the_network_goes_and_given_up_without_an_answer(page: Any):
    states = page.evaluate(
        """async () => {
          const { Channel } = await import("./terminal/channel.js");
          const [RealSocket, later] = [window.WebSocket, window.setTimeout];
          let socket;
          const told = [];
          window.WebSocket = class {
            static OPEN = 1;
            readyState = 1;
            constructor() { socket = this; }
            send(text) { told.push(JSON.parse(text).t); }
            close() { this.readyState = 3; this.onclose?.({ code: 1006 }); }
          };
          let patience;
          window.setTimeout = (run, time) => (time === 5000 ? ((patience = run), 0) : later(run, time));
          const states = [];
          const on = { data() {}, message() {}, latency() {}, state: (state) => states.push(state) };
          const channel = new Channel({ token: async () => "t", hello: () => ({ columns: 80, rows: 24 }), on });
          while (!socket?.onmessage) await new Promise((done) => later(done, 5));
          const tried = (answers) => {
            told.length = 0;
            window.dispatchEvent(new Event("offline"));
            channel.last = performance.now() + (answers ? 1 : -1);
            patience();
            states.push(told.join());
          };
          socket.onmessage({ data: '{"t":"ready"}' });
          tried(true);
          tried(false);
          channel.close();
          [window.WebSocket, window.setTimeout] = [RealSocket, later];
          return states;
        }"""
    )
    assert states == ["connecting", "connected", "ping", "waiting", "ping"]


def test_closing_the_page_is_asked_about_while_a_terminal_is_open(page: Any):
    page.locator(".pane:not([hidden]) .xterm-helper-textarea").focus()
    page.keyboard.type("x")
    with page.expect_event("dialog") as dialog:
        page.close(run_before_unload=True)
    assert dialog.value.type == "beforeunload"
    dialog.value.dismiss()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Ask before terminals are closed").uncheck()
    page.get_by_label("Font size").fill("99")
    page.get_by_role("button", name="Save").click()
    page.locator("dialog[open]").wait_for(state="hidden")
    kept = "JSON.parse(localStorage['sshexec.settings'] ?? '{}').fontSize"
    while page.evaluate(kept) != 32:  # the dialog is closed before it is taken note of
        page.wait_for_timeout(20)
    with page.expect_event("close"):
        page.close(run_before_unload=True)


def test_the_last_terminal_leaves_the_keyboard_on_the_page(page: Any):
    page.keyboard.press("Alt+Shift+W")
    page.get_by_role("button", name="End it").click()
    page.wait_for_selector(".home button:focus")
    page.close()


def test_tabs_that_do_not_fit_are_gone_through_by_the_wheel(context: Any, page: Any):
    page.set_viewport_size({"width": 760, "height": 500})
    for _ in range(5):
        page.locator(".tree-row", has=page.get_by_text("web2", exact=True)).click()
    page.wait_for_selector(".tabs.more-before:not(.more-after)")
    assert page.get_by_role("button", name="New terminal").bounding_box()["width"] == 32
    page.locator(".tabs").hover()
    page.mouse.wheel(0, -2000)
    page.wait_for_selector(".tabs.more-after:not(.more-before)")
    # What stands at the foot of a low window is reached all the same.
    page.set_viewport_size({"width": 760, "height": 360})
    page.get_by_role("button", name="Settings").click()
    page.close()


def test_a_server_that_does_not_answer_is_told_where_its_answer_would_be(context: Any):
    page = context.new_page()
    for path in ("hosts", "sessions", "runs/*"):
        page.route(f"**/api/{path}", lambda route: route.abort())
    page.goto("/")
    page.wait_for_selector(".tree-none >> text=cannot be reached")
    page.goto("/#/sessions")
    page.wait_for_selector(".empty >> text=could not be loaded")
    page.goto(f"/#/runs/{'0' * 32}")
    page.wait_for_selector(".empty >> text=The run could not be loaded")
    page.close()


def test_there_is_a_word_for_each_phase_of_opening():
    words = re.search(r"const PHASES = \{(.*?)\};", (FOLDER / "terminal" / "pane.js").read_text(), re.DOTALL)
    assert words is not None
    found = set(re.findall(r'^\s+"?([\w ]+)"?:', words[1], re.MULTILINE))
    assert found == {str(phase) for phase in Phase} - {"transferring"}


# ---------------------------------------------------------------------- colours

_GROUNDS = ("page", "panel", "raised", "hover", "active")


def _light(colour: tuple[float, ...]) -> float:
    parts = [each / 255 for each in colour]
    linear = [each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    low, high = sorted((_light(one), _light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_can_be_read_on_every_ground(theme: str):
    """WCAG 2.2, 1.4.3: 4.5 to 1, for badges as well, whose ground is a veil of their own colour."""
    css = (FOLDER / "style.css").read_text()
    block = css.split(f'[data-theme="{theme}"] {{')[1].split("}")[0]
    solid = {
        name: tuple(int(value[at : at + 2], 16) for at in (0, 2, 4))
        for name, value in re.findall(r"--([\w-]+): #([0-9a-f]{6});", block)
    }
    veils = {
        name: (tuple(map(int, parts)), int(parts[3]) / 100)
        for name, *parts in re.findall(r"--([\w-]+)-soft: rgb\((\d+) (\d+) (\d+) / (\d+)%\)", block)
    }
    poor = []
    for ground in _GROUNDS:
        below = solid[ground]
        for name in ("text", "muted", "faint", "accent", "good", "warn", "bad", "info"):
            if _contrast(solid[name], below) < 4.5:
                poor.append((name, ground))
        for name, (colour, share) in veils.items():
            veiled = tuple(over * share + under * (1 - share) for over, under in zip(colour, below, strict=False))
            if _contrast(solid[name], veiled) < 4.5:
                poor.append((f"{name} badge", ground))
    if _contrast(solid["muted"], solid["line"]) < 4.5:
        poor.append(("muted", "line"))
    assert poor == []
