"""The page's view of runs, in a real browser on real hosts."""

from __future__ import annotations

import re

import pytest

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=60_000)
COMMAND = "Command"


@pytest.fixture
def page(visitor):
    """The view of runs."""
    visitor.page.goto(f"{visitor.web.url}#/runs")
    visitor.page.get_by_role("heading", name="New run").wait_for()
    return visitor.page


def hosts(page):
    return page.get_by_role("textbox", name="Hosts", exact=True)


def choose(page, host: str, module: str) -> None:
    """Choose a host, and then a module: what is said of the host moves what is below, also in the middle of a click."""
    hosts(page).fill(host)
    expect(page.locator("#run-hosts")).to_contain_text("1 host")
    page.get_by_role("button", name=module, exact=True).click()
    expect(page.get_by_role("button", name=module, exact=True)).to_have_attribute("aria-pressed", "true")


def start(page, pattern: str, command: str) -> None:
    hosts(page).fill(pattern)
    page.get_by_label(COMMAND).fill(command)
    page.get_by_role("button", name=re.compile("Run on")).click()


def state(page):
    return page.locator(".run-title .badge")


def test_a_run_on_twenty_hosts_comes_in_live_and_is_folded(page, tmp_path):
    hosts(page).fill("web:db:cache:!cache5:!web[0]:!web2:!cache6")
    expect(page.locator("#run-hosts")).to_contain_text("20 hosts")
    hosts(page).fill("nonsense")
    expect(page.locator("#run-hosts")).to_contain_text("no host or group matches")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()
    hosts(page).fill("web:db:cache:!cache5:!web[0]:!web2:!cache6")
    expect(page.get_by_role("button", name="Run on 20 hosts")).to_be_enabled()
    go = tmp_path / "go"
    waits = f"while [ ! -e {go} ]; do sleep 0.05; done"
    # The third address of the testbed is web3's.
    odd = "case $SSH_CONNECTION in *127.0.1.4*) echo '<b>no & \\033[31mspace</b>' >&2; exit 3;; esac"
    page.get_by_label(COMMAND).fill(f"echo begun; {waits}; {odd}")
    page.keyboard.press("Control+Enter")
    expect(state(page)).to_have_text("Running")
    expect(page.locator(".tile")).to_have_count(20)
    expect(page.locator(".working-row").first).to_contain_text("begun")
    go.touch()
    expect(state(page)).to_have_text("1 of 20 failed")
    expect(page.locator(".answer")).to_have_count(2)
    failed, well = page.locator(".answer").all()
    expect(failed).to_contain_text("1 host")
    expect(failed).to_contain_text("exit 3")
    expect(failed.locator(".block-error pre")).to_have_text("<b>no & space</b>")
    expect(well).to_contain_text("19 hosts")
    expect(well.locator("pre")).to_have_text("begun")
    page.get_by_role("button", name="1 failed").click()
    expect(page.locator(".answer")).to_have_count(1)
    page.get_by_role("button", name="Host by host").click()
    expect(page.locator(".host-row:visible")).to_have_count(1)
    page.locator(".host-open:visible").click()
    expect(page.locator(".host-answer")).to_contain_text("begun")
    page.reload()
    expect(state(page)).to_have_text("1 of 20 failed")
    expect(page.locator(".answer")).to_have_count(2)


def test_a_run_is_cancelled_and_run_again(page, tmp_path):
    start(page, "db", f"while [ ! -e {tmp_path}/never ]; do sleep 0.05; done")
    expect(page.locator(".tile.state-running")).to_have_count(6)
    page.reload()
    expect(page.locator(".tile.state-running")).to_have_count(6)
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the run").click()
    expect(state(page)).to_have_text("Cancelled")
    page.get_by_role("button", name="Run again").click()
    expect(hosts(page)).to_have_value("db")
    expect(page.get_by_label(COMMAND)).to_have_value(re.compile("never"))
    page.get_by_label(COMMAND).fill("true")
    page.get_by_role("button", name="Run on 6 hosts").click()
    expect(state(page)).to_have_text("Finished")
    expect(page.locator(".answer")).to_contain_text("Nothing was printed.")
    expect(page.locator(".runs-entry[aria-current]")).to_contain_text("true")


def test_arguments_by_form_and_what_would_change(page, tmp_path):
    choose(page, "web1", "copy")
    page.get_by_label("dest", exact=True).fill(f"{tmp_path}/motd")
    page.get_by_label("content", exact=True).fill("hello\nworld\n")
    page.get_by_label("Only check").check()
    page.get_by_label("Show differences").check()
    page.get_by_role("button", name="Run on 1 host").click()
    expect(state(page)).to_have_text("Finished")
    expect(page.locator(".difference-added")).to_have_text(["+hello\n", "+world\n"])
    assert not (tmp_path / "motd").exists()
    page.get_by_role("button", name="Run again").click()
    page.get_by_role("button", name="Text", exact=True).click()
    # What a file shall hold is in no record: it has to be given again.
    expect(page.get_by_role("alert").filter(has_text="hidden")).to_be_visible()
    page.get_by_label("Arguments as a text").fill(f"dest={tmp_path}/motd content=hi")
    page.get_by_label("Only check").uncheck()
    page.get_by_role("button", name="Run on 1 host").click()
    expect(state(page)).to_have_text("Finished")
    assert (tmp_path / "motd").read_text() == "hi"


def test_what_is_wrong_is_said_beside_the_form(page, visitor):
    choose(page, "web1", "copy")
    page.get_by_role("textbox", name="src").fill("/etc/passwd")
    page.get_by_label("dest", exact=True).fill("/tmp/x")
    page.get_by_role("button", name="Run on 1 host").click()
    expect(page.locator(".composer-problem")).to_contain_text("a file of the server")
    # Chromium itself says of every refusal that a resource failed to load.
    visitor.complaints[:] = [text for text in visitor.complaints if "status of 400" not in text]


def test_it_can_be_used_on_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 780})
    start(page, "cache", "uname")
    expect(state(page)).to_have_text("Finished")
    for element in ("html", ".runs", ".runs-place"):
        assert page.locator(element).evaluate("element => element.scrollWidth <= innerWidth")
    page.get_by_role("button", name="All runs").click()
    expect(page.get_by_role("heading", name="New run")).to_be_visible()


def test_what_is_too_long_for_the_page_is_a_file(page):
    start(page, "web1", "seq 20000")
    expect(state(page)).to_have_text("Finished")
    expect(page.locator(".answer-note")).to_contain_text("Not all of it is shown")
    with page.expect_download() as download:
        page.get_by_role("link", name="All of the output").click()
    assert download.value.suggested_filename.endswith("stdout.txt")
    assert download.value.path().read_text().split()[-1] == "20000"


def test_the_map_of_hosts_is_gone_through_by_keys(page):
    start(page, "web", "uname")
    expect(state(page)).to_have_text("Finished")
    first = page.locator(".tile").first
    first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tile").nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(page.locator(".tile").last).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".answer.found")).to_have_count(1)
