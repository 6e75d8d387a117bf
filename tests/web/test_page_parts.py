"""Parts of the page by themselves, in a browser, with a server that answers what a test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.serving import make_server

from tests.web.site import Site


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A page on a platform to which nobody is signed in."""
    with Site(authenticate=lambda environ: None, origins=[]) as site:
        server = make_server("127.0.0.1", 0, site.application, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join(60)
        server.server_close()


@pytest.fixture(scope="module")
def context(browser: Any) -> Iterator[Any]:
    context = browser.new_context()
    context.set_default_timeout(60000)
    yield context
    context.close()


@pytest.fixture(scope="module")
def page(context: Any, address: str) -> Any:
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".signin-card")
    return page


def test_who_is_not_signed_in_at_the_platform_is_asked_for_no_token(page: Any):
    card = page.locator(".signin-card")
    assert "Sign in where you came from" in card.inner_text()
    assert card.locator("input").count() == 0
    assert card.get_by_role("button", name="Load anew").is_visible()


def test_a_run_that_is_left_before_it_came_is_not_followed(page: Any):
    assert page.evaluate(
        """async () => {
          const { RunModel } = await import("./runs/follow.js");
          let answer;
          const api = { get: () => new Promise((resolve) => (answer = resolve)), url: () => "data:," };
          const model = new RunModel({ api }, "x");
          const opened = model.open();
          model.close();
          answer({ hosts: [], answers: [], tails: {}, live: true, state: "running" });
          await opened;
          return [model.source, model.run];
        }"""
    ) == [None, None]


def test_a_run_whose_server_is_away_is_asked_for_until_it_is_there(page: Any):
    assert (
        page.evaluate(
            """async () => {
          const { RunModel } = await import("./runs/follow.js");
          const later = window.setTimeout;
          window.setTimeout = (run) => later(run, 0);
          let asked = 0;
          const get = async () => {
            asked += 1;
            if (asked < 4) throw Object.assign(new Error(), { status: asked === 1 ? 0 : 502 });
            return { hosts: [], answers: [], tails: {}, live: false, state: "finished" };
          };
          const model = new RunModel({ api: { get }, failed: () => (asked = -1) }, "x");
          model.lost = true;
          const there = new Promise((resolve) => model.addEventListener("change", () => model.lost || resolve()));
          model.later();
          await there;
          window.setTimeout = later;
          return asked;
        }"""
        )
        == 4
    )


def test_a_module_that_is_not_offered_is_not_taken_for_another_one(page: Any):
    said = page.evaluate(
        """async () => {
          const { Composer } = await import("./runs/composer.js");
          const shell = { name: "shell", summary: "", free_form: true, hosts: "posix", parameters: [] };
          const none = { count: 0, hosts: [], locked: [], locked_count: 0 };
          const get = async (path) => (path === "modules" ? { modules: [shell] } : none);
          const composer = new Composer({ api: { get } }, () => null);
          composer.setMode("text"); // nothing is there to be shown yet
          await composer.again({ pattern: "web1", module: "fetch", args: "src=/etc/motd" });
          return composer.problem.textContent;
        }"""
    )
    assert "fetch is not offered here" in said


def test_a_download_that_breaks_off_is_said_and_one_that_is_large_is_whole(page: Any):
    assert page.evaluate(
        """async () => {
          const { Api } = await import("./api.js");
          const piece = new Uint8Array(5 * 2 ** 20);
          const stream = (count, end) => {
            let sent = 0;
            return new ReadableStream({ pull: (to) => (sent++ < count ? to.enqueue(piece) : end(to)) });
          };
          const real = window.fetch;
          const api = new Api(() => null);
          const get = async (body) => {
            window.fetch = async () => new Response(body);
            try {
              return (await api.download("x", {}, () => null)).size;
            } catch (error) {
              return [error.code, error.message];
            } finally {
              window.fetch = real;
            }
          };
          const broken = stream(2, (to) => to.error(new TypeError("network")));
          return [await get(stream(9, (to) => to.close())), await get(broken)];
        }"""
    ) == [9 * 5 * 2**20, ["broken_off", "The download broke off."]]


def test_tabs_do_not_undo_each_others_settings(context: Any, page: Any, address: str):
    other = context.new_page()
    other.goto(address)
    set_one = """async ([name, value]) => {
        const { Settings } = await import("./settings.js");
        window.settings ??= new Settings();
        window.settings.set(name, value);
        return window.settings.values; }"""
    page.evaluate(set_one, ["blink", True])
    other.evaluate(set_one, ["blink", False])
    page.wait_for_function("window.settings.get('blink') === false")
    page.evaluate(set_one, ["fontSize", 20])
    other.wait_for_function("window.settings.get('fontSize') === 20")
    assert other.evaluate(set_one, ["scrollback", 100])["blink"] is False
    other.close()


def test_a_view_that_is_shown_twice_looks_again_once(page: Any):
    assert page.evaluate(
        """async () => {
          const view = (await import("./views/sessions.js")).default;
          const [start, end] = [window.setInterval, window.clearInterval];
          const going = new Set();
          window.setInterval = () => (going.add(going.size + 1), going.size);
          window.clearInterval = (which) => going.delete(which);
          const element = document.createElement("div");
          view.mount(element, { api: { get: async () => ({ sessions: [] }) }, me: {}, failed: () => null });
          view.shown();
          view.shown();
          const during = going.size;
          view.hidden();
          [window.setInterval, window.clearInterval] = [start, end];
          return [during, going.size];
        }"""
    ) == [1, 0]


def test_a_server_that_never_gets_ready_is_given_up(page: Any):
    assert page.evaluate(
        """async () => {
          const { Channel } = await import("./terminal/channel.js");
          const [real, later] = [window.WebSocket, window.setTimeout];
          class Silent {
            static OPEN = 1;
            readyState = 1;
            constructor() { later(() => this.onopen()); }
            send() {}
            close() { later(() => this.onclose?.({ code: 1006 })); }
          }
          window.WebSocket = Silent;
          window.setTimeout = (run, time) => later(run, time >= 1000 ? 0 : 1e9); // the patience, and no other try
          const states = [];
          const waiting = new Promise((resolve) => {
            const state = (name) => { states.push(name); if (name === "waiting") resolve(); };
            new Channel({ token: async () => "x", hello: () => ({}), on: { state } });
          });
          await waiting;
          [window.WebSocket, window.setTimeout] = [real, later];
          return states;
        }"""
    ) == ["connecting", "waiting"]
