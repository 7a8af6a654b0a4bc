"""The console's pages for changing and measuring, in a real Chromium before a real router.

One router, one page load: pages are walked to. What a page says is compared with what clients of
the router see.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.console.browser import TOKENS, Router, Watched, browser, page, router, watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser", "page", "router"]

PAGES = (
    ("routing", "Routing"),
    ("routing/signals", "Routing"),
    ("routing/rest/default/models", "Routing"),
    ("routing/text", "Routing"),
    ("changes", "Changes"),
    ("models", "Models"),
    ("costs", "Costs"),
    ("cache", "Cache"),
    ("access", "Access"),
    ("evaluation", "Evaluation"),
)
SUM = "What is the integral of x times cos(x)?"
FIRST_LINE = "# What the console's pages are shown with"


def go(page: Watched, path: str, heading: str) -> Page:
    """Walk to a page, and wait until its data is there."""
    page.to(path, heading)
    expect(page.page.locator(".loading")).to_have_count(0)
    return page.page


def went(router: Router, text: str, key: str = "") -> tuple[int, str]:
    """The status of a request, and the model that it was sent to."""
    body = {"model": "auto", "max_tokens": 8, "messages": [{"role": "user", "content": text}]}
    headers = {
        "content-type": "application/json",
        "authorization": f"Bearer {key or router.key}",
        "x-vsr-debug": "true",
    }
    asked = urllib.request.Request(
        f"{router.url}/v1/chat/completions", json.dumps(body).encode(), headers
    )
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status, answer.headers["x-vsr-selected-model"] or ""
    except urllib.error.HTTPError as refused:
        return refused.code, ""


def test_models_show_their_replicas_and_what_they_did(page: Watched) -> None:
    shown = go(page, "models", "Models")
    card = shown.get_by_role("region", name="llama3-8b", exact=True)
    rows = card.get_by_role("table").locator("tbody tr")
    assert rows.count() == 2
    assert rows.filter(has_text="ready").count() == 2
    answered = card.locator(".stat").filter(has_text="Requests").locator("dd").first.inner_text()
    assert int(answered) >= 3
    assert shown.get_by_role("region", name="gpt-4o", exact=True).get_by_text("2.50").is_visible()


def test_costs_are_set_against_the_dearest_model(page: Watched) -> None:
    shown = go(page, "costs", "Costs")
    stats = dict(zip(shown.locator(".stat dt").all_inner_texts(), _figures(shown), strict=True))
    spent, all_by, saved = stats["Spent"], stats["All by gpt-4o"], stats["Saved"]
    assert 0 < spent < all_by
    assert saved == pytest.approx(all_by - spent, rel=0.05)
    table = shown.get_by_role("table", name="Costs by model")
    assert {"qwen3-4b", "llama3-8b", "gpt-4o"} <= set(
        table.locator("tbody td:first-child").all_inner_texts()
    )
    table.get_by_role("button", name="Model").click()
    assert table.locator("th[aria-sort=descending]").inner_text().startswith("Model")
    assert (
        shown.get_by_role("table", name="Costs by decision").get_by_text("exact-sciences").count()
    )


def _figures(shown: Page) -> list[float]:
    texts = shown.locator(".stat dd:not(.stat-note)").all_inner_texts()
    return [float(text.split()[0].replace(",", "")) for text in texts]


def test_a_decision_is_changed_by_its_form_rehearsed_saved_and_taken_back(page: Watched) -> None:
    """In force at once for clients; the file keeps its comments; one click goes back."""
    router, file = page.router, page.router.folder / "wayside.yaml"
    before = file.read_text()
    assert went(router, SUM) == (200, "gpt-4o")
    shown = go(page, "routing", "Routing")
    shown.get_by_role("link", name="exact-sciences").click()
    shown.get_by_role("combobox", name=re.compile("^Model")).fill("llama3-8b")
    shown.get_by_label("What the rule is").select_option("any")
    shown.get_by_role("button", name="Add a signal to the rule").click()
    shown.get_by_label("Signal of part 2").select_option("keyword:urgent")
    shown.get_by_text("In words: domain:exact or keyword:urgent").wait_for()

    shown.get_by_role("button", name="Check").click()
    diff = shown.get_by_role("group", name="What would change")
    diff.wait_for()
    lines = [line for line in diff.inner_text().splitlines() if re.match(r"[+-] ", line)]
    assert any("- " in line and "keyword:urgent" in line for line in lines), lines
    assert diff.locator(".added").count() >= 2

    shown.get_by_role("button", name="Rehearse").click()
    moved = shown.get_by_role("table", name="Requests that would go elsewhere")
    moved.get_by_role("row").filter(has_text="derivative").first.wait_for()
    assert moved.get_by_text("llama3-8b (exact-sciences)").count() >= 2
    assert went(router, SUM) == (200, "gpt-4o"), "it was only rehearsed"

    shown.get_by_role("button", name="Save…").click()
    shown.get_by_label("Why (kept with the version)").fill("sums stay here")
    shown.get_by_role("button", name="Save and put into force").click()
    shown.get_by_text("As in force").wait_for()
    assert went(router, SUM) == (200, "llama3-8b")
    written = file.read_text()
    assert written.startswith(FIRST_LINE)
    assert len(written.splitlines()) < len(before.splitlines()) + 8, "only those lines changed"

    shown = go(page, "changes", "Changes")
    versions = shown.get_by_role("table", name="Versions")
    row = versions.get_by_role("row").filter(has_text="sums stay here")
    assert row.get_by_text("in force").is_visible()
    assert row.get_by_text("ada").is_visible()
    versions.get_by_role("row").filter(has_text="as it was found").click()
    dialog = shown.get_by_role("dialog")
    dialog.get_by_role("group", name="Against what is in force").wait_for()
    dialog.get_by_role("button", name="Go back to it").click()
    dialog.get_by_role("button", name="Yes, put it into force now").click()
    dialog.wait_for(state="detached")
    assert file.read_text() == before
    assert went(router, SUM) == (200, "gpt-4o")
    audit = shown.get_by_role("table", name="Audit")
    audit.get_by_role("row").filter(has_text="to version").wait_for()
    assert audit.get_by_role("row").filter(has_text="sums stay here").get_by_text("ada").count()


def test_what_is_wrong_is_told_where_it_is(page: Watched) -> None:
    shown = go(page, "routing", "Routing")
    shown.get_by_role("link", name="long-or-urgent").click()
    shown.get_by_role("combobox", name=re.compile("^Model")).fill("gpt-4oo")
    shown.get_by_role("button", name="Check").click()
    problems = shown.get_by_role("list", name="Problems")
    problems.wait_for()
    assert "did you mean 'gpt-4o'?" in problems.inner_text()
    assert shown.locator("[aria-invalid=true]").first.input_value() == "gpt-4oo"
    assert shown.locator(".chooser-item[aria-current]").get_by_text("1 problem").is_visible()
    problems.get_by_role("button", name=re.compile("^Line")).click()
    area = shown.get_by_label("The configuration as YAML")
    area.wait_for()
    picked = "e => e.value.slice(e.selectionStart, e.selectionEnd)"
    shown.locator("textarea:focus").wait_for()
    assert "gpt-4oo" in area.evaluate(picked)
    assert shown.locator(".text-editor-gutter .wrong").count() == 1
    area.fill(area.input_value() + "\nnot: [yaml")
    shown.get_by_role("tab", name="Decisions").click()
    shown.get_by_role("alert").wait_for()
    assert area.is_visible(), "what is no YAML stays in the text"
    shown.get_by_role("button", name="Discard").click()
    shown.get_by_text("As in force").wait_for()


def test_a_file_that_changed_meanwhile_is_not_written_over(page: Watched) -> None:
    file = page.router.folder / "wayside.yaml"
    before = file.read_text()
    shown = go(page, "routing/signals/default/keyword/urgent", "Routing")
    shown.get_by_label("Keywords").fill("urgent\nasap\nhurry")
    file.write_text(before + "# somebody else was here\n")
    shown.get_by_role("button", name="Save…").click()
    save = shown.get_by_role("button", name="Save and put into force")
    save.click()
    again = shown.get_by_role("button", name="Make my changes on the newest version")
    again.click()
    again.wait_for(state="detached")
    save.click()
    shown.get_by_text("As in force").wait_for()
    written = file.read_text()
    assert "hurry" in written
    assert written.endswith("# somebody else was here\n")


def test_a_signal_of_any_kind_is_made_by_its_schema(page: Watched) -> None:
    shown = go(page, "routing/signals", "Routing")
    shown.get_by_role("button", name="Add a signal").click()
    dialog = shown.get_by_role("dialog", name="A new signal")
    kinds = dialog.get_by_label("Kind").locator("option").all_inner_texts()
    assert len(kinds) >= 20
    dialog.get_by_label("Kind").select_option("embedding")
    dialog.get_by_label("Name").fill("refund")
    dialog.get_by_role("button", name="Add", exact=True).click()
    shown.get_by_role("heading", name="embedding:refund").wait_for()
    shown.get_by_label("Examples").fill("I want my money back\nrefund me")
    threshold = shown.get_by_label("Threshold")
    assert threshold.get_attribute("placeholder") == "0.5", "its default"
    threshold.fill("7")
    assert shown.get_by_text("A number, -1 to 1").is_visible()
    threshold.fill("0.7")
    shown.get_by_text("settings").first.click()  # the fold
    shown.get_by_label("Aggregate").select_option(label="max")
    shown.get_by_role("tab", name="Text").click()
    text = shown.get_by_label("The configuration as YAML").input_value()
    assert re.search(r"refund:\s+examples:\s+- I want my money back\s+- refund me", text)
    assert re.search(r"threshold: 0\.7\s+aggregate: max", text)
    shown.get_by_role("button", name="Discard").click()


def test_every_kind_of_signal_and_plugin_has_a_form(page: Watched) -> None:
    shown = go(page, "routing/text", "Routing")
    kinds = _names("signal", page)
    text = shown.get_by_label("The configuration as YAML")
    rules = "".join(f"      {kind}: {{one: {{}}}}\n" for kind in kinds)
    text.fill(f"models: {{}}\nrouting:\n    signals:\n{rules}    decisions: [{{name: one}}]\n")
    shown.get_by_role("tab", name="Signals").click()
    for kind in kinds:
        shown.get_by_role("navigation", name="Signals").get_by_text(kind, exact=True).click()
        expect(shown.get_by_role("heading", level=2, name=f"{kind}:one")).to_be_visible()
    shown.get_by_role("tab", name="Decisions").click()
    plugins = shown.get_by_role("group", name="Plugins")
    for kind in _names("plugin", page):
        plugins.get_by_label("Add", exact=True).last.select_option(kind)
        plugins.get_by_role("button", name="Add", exact=True).last.click()
        expect(plugins.get_by_role("group", name=kind, exact=True)).to_be_visible()
    assert shown.get_by_text("could not be drawn").count() == 0
    shown.get_by_role("button", name="Discard").click()
    shown.get_by_text("As in force").wait_for()


def _names(family: str, page: Watched) -> list[str]:
    with urllib.request.urlopen(f"{page.router.management}/catalog") as answer:
        kinds = json.load(answer)["kinds"]
    return [kind["name"] for kind in kinds if kind["family"] == family]


def test_the_cache_is_tried_read_and_emptied_in_part(page: Watched) -> None:
    shown = go(page, "cache", "Cache")
    store = shown.get_by_role("table", name="Stores of answers").locator("tbody tr").first
    assert store.get_by_text("%").is_visible()
    question = "What is the derivative of x^3 * sin(x)?"
    shown.get_by_label("The first, which was answered").fill(question)
    shown.get_by_label("The second, which comes later").fill(question)
    shown.get_by_role("button", name="Test").click()
    shown.get_by_text("Yes, they would share it.").wait_for()
    rows = shown.get_by_role("table", name="Answers").locator("tbody tr")
    rows.filter(has_text="gpt-4o").first.click()
    kept = shown.get_by_role("dialog", name="A kept answer")
    assert kept.get_by_text("Answered by gpt-4o").is_visible()
    shown.keyboard.press("Escape")
    words = shown.get_by_label("Words in the question or the answer")
    words.fill("words that nobody wrote")
    words.press("Enter")
    shown.get_by_text("Nothing kept has these words").wait_for()
    words.fill("")
    words.press("Enter")
    rows.first.wait_for()
    shown.get_by_label("Decision", exact=True).fill("exact-sciences")
    shown.get_by_role("button", name="Count them").click()
    drop = shown.get_by_role("button", name=re.compile(r"^Let \d+ go"))
    drop.wait_for()
    assert rows.first.is_visible(), "they were only counted"
    drop.click()
    shown.get_by_text("answers were let go").wait_for()
    shown.get_by_text("Nothing is kept yet").wait_for()


def test_a_key_is_shown_once_works_and_is_revoked(page: Watched) -> None:
    router = page.router
    shown = go(page, "access", "Access")
    assert (
        shown.get_by_role("table", name="All tiers")
        .get_by_text("premium", exact=True)
        .is_visible()
    )
    usage = shown.get_by_role("table", name="Usage by person and model")
    assert usage.get_by_text("alice").first.is_visible()
    shown.get_by_role("button", name="Make a key").click()
    shown.get_by_role("dialog").get_by_label("Name").fill("laptop")
    shown.get_by_role("dialog").get_by_label("Tier").select_option("premium")
    shown.get_by_role("button", name="Make it").click()
    key = shown.get_by_test_id("key").inner_text()
    assert went(router, "Tell me a joke about otters.", key)[0] == 200
    shown.get_by_role("button", name="I have it").click()
    assert key not in shown.content()
    shown.get_by_role("button", name="Revoke laptop").click()
    shown.get_by_role("button", name="Revoke it").click()
    row = shown.get_by_role("table", name="All keys").get_by_role("row").filter(has_text="laptop")
    row.get_by_text("revoked").wait_for()
    assert went(router, "Tell me a joke about otters.", key)[0] == 401


def test_an_evaluation_shows_what_is_confused(page: Watched) -> None:
    shown = go(page, "evaluation", "Evaluation")
    shown.get_by_role("button", name="New evaluation").click()
    dialog = shown.get_by_role("dialog", name="A new evaluation")
    dialog.get_by_label("What is evaluated").select_option("decision")
    rows = dialog.get_by_label("Rows: CSV, or a JSON object on each line")
    rows.fill("text,label\nonly a text\n")
    assert dialog.get_by_text("wants a text and a label").is_visible()
    rows.fill(
        'text,label\n"why does my regex, not match?",programming\n'
        "a traceback asap,programming\n"
        "URGENT: two lines of apology,long-or-urgent\n"
        "Tell me a joke about penguins.,programming\n"
    )
    assert dialog.get_by_text("4 rows").is_visible()
    dialog.get_by_label("Name").fill("four rows")
    dialog.get_by_role("button", name="Begin").click()
    matrix = shown.get_by_role("group", name="Confusion matrix")
    matrix.wait_for()
    assert shown.locator(".stat").filter(has_text="Right").get_by_text("75.0 %").is_visible()
    matrix.get_by_role("button", name="programming, said programming: 2").wait_for()
    wrong = shown.get_by_role("table", name="Wrong rows")
    assert wrong.locator("tbody tr").count() == 1
    assert wrong.get_by_text("penguins").is_visible()
    matrix.get_by_role("button", name="programming, said programming: 2").click()
    shown.get_by_text("These were right").wait_for()


def test_an_evaluation_of_a_score_suggests_a_threshold(page: Watched) -> None:
    shown = go(page, "evaluation", "Evaluation")
    shown.get_by_role("button", name="New evaluation").click()
    dialog = shown.get_by_role("dialog", name="A new evaluation")
    dialog.get_by_label("What is evaluated").select_option("domain:exact")
    labels = [each.strip() for each in _labels(dialog.inner_text())]
    rows = [
        {"text": "What is the derivative of x^3?", "label": labels[0]},
        {"text": "How fast does a stone fall?", "label": labels[0]},
        {"text": "Tell me a joke about penguins.", "label": labels[1]},
        {"text": "Can my landlord keep my deposit?", "label": labels[1]},
    ]
    dialog.get_by_label("Rows: CSV, or a JSON object on each line").fill(
        "\n".join(map(json.dumps, rows))
    )
    dialog.get_by_role("button", name="Begin").click()
    shown.get_by_role("heading", name="Thresholds").wait_for()
    assert shown.get_by_text("now 0.4").is_visible()
    assert shown.get_by_text(re.compile(r"^Best F1: \d")).is_visible()


def _labels(text: str) -> list[str]:
    found = re.search(r"Its labels: ([^.]*)\.", text)
    assert found
    return found[1].split(",")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page: Watched, scheme: Any) -> None:
    """In the dark only the colours differ, and they are the same on every page."""
    page.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    for path, heading in PAGES[:1] + PAGES[4::2] if scheme == "dark" else PAGES:
        shown = go(page, path, heading)
        rules = ["color-contrast"] if scheme == "dark" else None
        assert _violations(shown, rules) == [], f"{path}, {scheme}"
    page.page.emulate_media(color_scheme="light", reduced_motion="no-preference")


def test_nothing_is_wider_than_a_phone(page: Watched) -> None:
    page.page.set_viewport_size({"width": 390, "height": 844})
    try:
        for path, heading in PAGES:
            shown = go(page, path, heading)
            wide = shown.evaluate("document.documentElement.scrollWidth")
            assert wide <= 390, f"{path} is {wide} wide"
    finally:
        page.page.set_viewport_size({"width": 1280, "height": 900})


def test_a_viewer_sees_it_and_reads_why_not_more(browser: Browser, router: Router) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    found = watched(context, router)
    found.page.goto(f"{router.console}#token={TOKENS['viewer']}")
    found.page.get_by_role("heading", level=1, name="Live").wait_for()
    shown = go(found, "routing", "Routing")
    shown.get_by_text("Your role (viewer) may look").first.wait_for()
    assert shown.get_by_role("textbox", name="Name").is_disabled()
    assert shown.get_by_role("button", name="Save…").is_disabled()
    assert shown.get_by_role("button", name="Check").is_disabled()
    shown = go(found, "access", "Access")
    assert shown.get_by_role("button", name="Make a key").is_disabled()
    shown = go(found, "cache", "Cache")
    shown.get_by_text("does not allow you to read kept answers").wait_for()
    shown = go(found, "evaluation", "Evaluation")
    assert shown.get_by_role("button", name="New evaluation").is_disabled()
    assert _violations(shown) == []
    assert found.wrong == []
    context.close()


def test_nothing_was_wrong_all_the_while(page: Watched) -> None:
    """But for what these tests had refused: a wrong text, a file that had changed."""
    refused = re.compile("the server responded with a status of (400|412|422)")
    assert [each for each in page.wrong if not refused.search(each)] == []


def _violations(page: Page, rules: list[str] | None = None) -> list[str]:
    page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => setTimeout(drawn)))")
    options: Any = {"runOnly": rules} if rules else None
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary']}"
        for one in found
    ]
