"""The console in a real Chromium, before a real router with traffic through it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.console.browser import TOKENS, Router, Watched, browser, page, router, watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser", "page", "router"]

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "src/wayside/console/static"
SOURCES = (
    "index.html", "package-lock.json", "public", "src", "tsconfig.json", "vite.config.ts",
)  # fmt: skip
MOST_BYTES = 350_000
DRAWN = "() => !document.querySelector('.loading')"


def test_the_build_is_of_these_sources() -> None:
    """``console/stamp.ts`` writes what this computes again: a page that is changed is built."""
    root = ROOT / "console"
    found = [file for name in SOURCES for file in [root / name, *sorted((root / name).rglob("*"))]]
    files = {file.relative_to(root).as_posix(): file for file in found if file.is_file()}
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + files[name].read_bytes() + b"\0")
    built = json.loads((STATIC / "build.json").read_text())
    assert built["sources"] == digest.hexdigest(), (
        "build it: cd console && npm ci && npm run build"
    )


def test_the_build_is_small_and_has_nothing_inline() -> None:
    assert (STATIC / "assets/index.js").stat().st_size < MOST_BYTES
    index = (STATIC / "index.html").read_text()
    assert "style=" not in index
    assert "<style" not in index
    assert not re.search(r"<script(?![^>]*\ssrc=)", index)


def test_a_token_of_the_address_logs_in_and_is_gone_from_it(page: Watched) -> None:
    assert page.page.url == page.router.console
    assert page.page.evaluate("document.title") == "Live · Wayside"
    assert page.page.get_by_text("ada").is_visible()


def test_live_shows_what_has_passed_and_what_passes(page: Watched) -> None:
    shown = page.page
    shown.get_by_role("button", name=re.compile("^programming: 3 of the last")).wait_for()
    shown.get_by_role("button", name=re.compile("^Cache .*: 1 of the last")).wait_for()
    assert shown.get_by_role("row").filter(has_text="exact-sciences").count() >= 2
    page.router.ask("How do I write a regex for dates?")
    shown.locator("circle.dot").first.wait_for(state="attached")
    shown.get_by_role("button", name=re.compile("^programming: 4 of the last")).wait_for()
    shown.get_by_role("row").filter(has_text="programming").first.click()
    opened = shown.get_by_role("dialog")
    assert opened.get_by_text("keyword:code_words").is_visible()
    assert opened.get_by_role("link", name="Open its replay").is_visible()
    shown.keyboard.press("Escape")
    assert not opened.is_visible()


def test_what_passes_in_a_pause_is_caught_up_with(page: Watched) -> None:
    shown = page.page
    shown.get_by_role("button", name="Pause").click()
    shown.get_by_text("paused", exact=True).wait_for()
    page.router.ask("Which kubectl command shows pods?")
    shown.get_by_role("button", name="Go on").click()
    shown.get_by_role("button", name=re.compile("^programming: 5 of the last")).wait_for()


def test_a_node_of_the_line_narrows_the_requests(page: Watched) -> None:
    shown = page.page
    shown.get_by_role("button", name=re.compile("^careful-subjects: ")).click()
    rows = shown.get_by_role("table", name="Latest requests").locator("tbody tr")
    assert rows.count() == 2
    shown.get_by_role("button", name="Show all").click()
    assert rows.count() > 2


def test_the_playground_says_why_and_asks_for_real(page: Watched) -> None:
    page.to("playground", "Playground")
    shown = page.page
    shown.get_by_label("Prompt", exact=True).fill("why does my regex not match?")
    shown.keyboard.press("Control+Enter")
    verdict = shown.locator(".verdict")
    verdict.get_by_text("programming").first.wait_for()
    assert verdict.get_by_text("llama3-8b").first.is_visible()
    assert shown.get_by_role("list", name="Signals with their scores").is_visible()
    assert shown.get_by_role("heading", name="What would change it").is_visible()
    assert shown.get_by_role("button", name="Ask for real").is_disabled(), "it wants a key"
    shown.get_by_label("Key, to ask for real").fill(page.router.key)
    shown.get_by_role("button", name="Ask for real").click()
    shown.get_by_role("heading", name="Answer of llama3-8b").wait_for()
    shown.get_by_text("Headers", exact=True).click()
    assert shown.get_by_text("x-vsr-selected-decision").is_visible()


def test_a_replay_is_found_and_decided_again(page: Watched) -> None:
    page.to("replays", "Replays")
    shown = page.page
    shown.get_by_label("Text").fill("linked list")
    row = shown.get_by_role("row").filter(has_text="reverses a linked list")
    row.wait_for()
    shown.wait_for_function("() => document.querySelectorAll('tbody tr').length === 1")
    row.click()
    shown.get_by_role("heading", level=1, name="Replay", exact=True).wait_for()
    shown.get_by_role("button", name="Decide again now").click()
    shown.get_by_text("It would go the same way").wait_for()
    shown.get_by_role("button", name="Open in the playground").click()
    asked = shown.get_by_label("Prompt", exact=True)
    assert "reverses a linked list" in asked.input_value()
    shown.get_by_role("heading", level=1, name="Playground").wait_for()


def test_all_of_it_goes_by_keyboard(page: Watched) -> None:
    shown = page.page
    page.to("", "Live")
    shown.keyboard.press("g")
    shown.keyboard.press("r")
    shown.get_by_role("heading", level=1, name="Replays").wait_for()
    shown.keyboard.press("/")
    assert shown.evaluate("document.activeElement.type") == "search"
    shown.keyboard.type("g")  # typed, no shortcut
    shown.keyboard.press("Escape")
    shown.get_by_role("main").focus()
    shown.keyboard.press("?")
    keys = shown.get_by_role("dialog", name="Keys")
    assert keys.get_by_text("Playground").is_visible()
    shown.keyboard.press("Escape")
    shown.keyboard.press("g")
    shown.keyboard.press("p")
    shown.get_by_role("heading", level=1, name="Playground").wait_for()
    shown.evaluate("document.querySelector('.skip').focus()")
    shown.keyboard.press("Enter")
    assert shown.evaluate("document.activeElement.tagName") == "MAIN"
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.tagName") == "TEXTAREA"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page: Watched, scheme: Any) -> None:
    page.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    for path, heading in (("", "Live"), ("playground", "Playground"), ("replays", "Replays")):
        page.to(path, heading)
        page.page.wait_for_function(DRAWN)
        if path == "playground":
            page.page.get_by_label("Prompt", exact=True).fill("a traceback, asap")
            page.page.locator(".verdict").wait_for()
        # In the dark only colours are other ones.
        rules = ["color-contrast"] if scheme == "dark" else []
        assert _violations(page.page, rules) == [], f"{heading}, {scheme}"
    page.page.emulate_media(color_scheme="light", reduced_motion="no-preference")


def test_nothing_is_wider_than_a_phone(page: Watched) -> None:
    page.page.set_viewport_size({"width": 390, "height": 844})
    try:
        for path, heading in (("replays", "Replays"), ("playground", "Playground"), ("", "Live")):
            page.to(path, heading)
            page.page.wait_for_function(DRAWN)
            wide = page.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 390, f"{heading} is {wide} wide"
        assert page.page.get_by_role("listitem").filter(has_text="programming").first.is_visible()
        page.page.get_by_role("button", name="Menu").click()
        page.page.get_by_role("link", name="Playground").click()
        page.page.get_by_role("heading", level=1, name="Playground").wait_for()
    finally:
        page.page.set_viewport_size({"width": 1280, "height": 900})


def test_a_wrong_token_is_refused_and_a_viewer_is_let_in(browser: Browser, router: Router) -> None:
    context = browser.new_context(reduced_motion="reduce")
    found = watched(context, router)
    shown = found.page
    shown.goto(router.console)
    shown.get_by_label("Token").fill("not-a-token-that-anybody-has")
    shown.get_by_role("button", name="Log in").click()
    shown.get_by_role("alert").wait_for()
    assert _violations(shown) == []
    shown.get_by_label("Token").fill(TOKENS["viewer"])
    shown.get_by_role("button", name="Log in").click()
    shown.get_by_text("vera").wait_for()
    assert not shown.locator("circle.dot").count(), "nothing moves for those who do not want it"
    found.to("replays", "Replays")
    shown.get_by_text(
        "Your role (viewer) does not allow you to read what people asked."
    ).wait_for()
    shown.get_by_role("button", name="Log out").click()
    shown.get_by_text("You are logged out.").wait_for()
    assert found.wrong == []
    context.close()


def test_nothing_was_wrong_all_the_while(page: Watched) -> None:
    """No error, no breach of the content security policy, no request to another host."""
    assert page.wrong == []


def _violations(page: Page, rules: Sequence[str] = ()) -> list[str]:
    page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => setTimeout(drawn)))")
    found = Axe().run(page, options={"runOnly": rules} if rules else None).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary']}"
        for one in found
    ]
