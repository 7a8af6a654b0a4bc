"""``wayside route``: where a prompt would go, for people and for scripts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Wayside
from tests.docs.pages import ROOT, blocks

CODE = "Linux is said to be an open source kernel because "


def test_it_says_which_model_and_why(wayside: Wayside, example: Path) -> None:
    said = wayside("route", CODE)
    assert said.status == 0 and said.err == ""
    first = said.out.splitlines()[0]
    assert first.startswith("coder  programming holds because domain:code (computer science")
    assert "✓  domain:code" in said.out and "→  programming" in said.out
    assert "programming (chosen)" in said.out and "✗ context:long" in said.out


def test_a_prompt_that_nothing_takes_goes_to_the_default(wayside: Wayside, example: Path) -> None:
    said = wayside("route", "hello")
    assert said.out.startswith("small  No decision matched, so the default model small answers.")


def test_json_is_plain_data(wayside: Wayside, example: Path) -> None:
    said = wayside("route", "--json", "this is urgent")
    told = json.loads(said.out)
    assert told["model"] == "gpt-4o-mini" and told["decision"] == "hard"
    assert {s["signal"]: s["matched"] for s in told["signals"]}["keyword:urgent"] is True
    assert told["question"] == "this is urgent"


def test_a_prompt_comes_through_a_pipe(wayside: Wayside, example: Path) -> None:
    told = json.loads(wayside("route", "--json", "-", text="this is urgent").out)
    assert told["question"] == "this is urgent"
    told = json.loads(wayside("route", "--json", "-", text=b"urgent \xff\xfe").out)
    assert told["decision"] == "hard"


@pytest.mark.parametrize("source", ["request.json", "-"])
def test_a_whole_request_is_read_as_it_would_be(
    wayside: Wayside, example: Path, source: str
) -> None:
    messages = [
        {"role": "user", "content": "urgent"},
        {"role": "assistant", "content": "yes?"},
        {"role": "user", "content": [{"type": "text", "text": "hello"}]},
    ]
    body = json.dumps({"model": "MoM", "messages": messages, "temperature": 0})
    Path("request.json").write_text(body)
    told = json.loads(wayside("route", "--json", "--body", source, text=body).out)
    assert told["requested"] == "MoM" and told["question"] == "hello"
    assert told["model"] == "small", "the keyword is not in the last message"


def test_every_signal_on_request(wayside: Wayside, here: Path) -> None:
    (here / "wayside.yaml").write_text(
        "models: {a: {}}\nrouting:\n  default_model: a\n"
        "  signals: {keyword: {spare: {keywords: [tyre]}}}\n"
    )
    assert json.loads(wayside("route", "--json", "a tyre").out)["signals"] == []
    told = json.loads(wayside("route", "--json", "--all-signals", "a tyre").out)
    assert told["signals"][0]["signal"] == "keyword:spare" and told["signals"][0]["matched"]


def test_a_system_prompt_counts(wayside: Wayside, example: Path) -> None:
    long = "Follow these rules. " * 3000
    told = json.loads(wayside("route", "--json", "--system", long, "hello").out)
    assert told["decision"] == "hard"


def test_names_that_look_like_markup_are_shown_as_they_are(wayside: Wayside, here: Path) -> None:
    (here / "wayside.yaml").write_text(
        "models: {'[red]': {}}\nrouting:\n"
        "  signals: {keyword: {'[bold]': {keywords: ['[/]', ':smile:']}}}\n"
        "  decisions: [{name: '[/x]', when: 'keyword:[bold]', models: ['[red]']}]\n"
    )
    said = wayside("route", "so [/] it is :smile:")
    assert said.status == 0
    assert "keyword:[bold]" in said.out and "[/x]" in said.out and said.out.startswith("[red]")


def test_a_decision_that_answers_by_itself_has_no_model(wayside: Wayside, here: Path) -> None:
    (here / "wayside.yaml").write_text("""
models: {m: {endpoints: [h]}}
routing:
  default_model: m
  signals: {keyword: {banned: {keywords: [falcon]}}}
  decisions:
    - {name: banned, when: "keyword:banned", plugins: {fast_response: {message: No.}}}
""")
    said = wayside("route", "project falcon")
    assert said.out.startswith("no model") and "answers by itself" in said.out


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ((), 2, "Give a prompt"),
        (("hi", "--body", "wayside.yaml"), 2, "Give a prompt"),
        (("--body", "wayside.yaml", "--model", "auto"), 2, "go with a prompt"),
        (("--body", "nothing.json"), 2, "does not exist"),
        (("--body", "wayside.yaml"), 1, "not valid JSON"),
        (("--model", "small", "hi"), 1, "goes straight there, nothing is decided"),
        (("--model", "smal", "hi"), 1, "no model 'smal'; did you mean 'small'?"),
    ],
)
def test_what_cannot_be_routed_is_explained(
    wayside: Wayside, example: Path, arguments: tuple[str, ...], status: int, says: str
) -> None:
    said = wayside("route", *arguments)
    assert said.status == status and said.out == ""
    assert says in said.err


def test_explain_shows_costs_rules_and_what_would_change(wayside: Wayside, example: Path) -> None:
    plain, whole = wayside("route", CODE), wayside("route", "--explain", CODE)
    assert "Costs in microseconds" not in plain.out and "What would have" not in plain.out
    assert "classify domain" in whole.out and "≥ 0.40" in whole.out
    costs = re.findall(r"^(\w+) +\d+ +(\d+) +\d+ +\d+", whole.out, re.MULTILINE)
    assert {"domain", "keyword"} <= {kind for kind, _ in costs}
    _, _, changes = whole.out.partition("What would have changed the choice\n")
    assert "no decision, so the default model, but domain:code matched" in changes
    assert "hard, but context:long at 11 needed 8000" in changes, "one leaf does for two rules"


def test_json_tells_it_all(wayside: Wayside, example: Path) -> None:
    told = json.loads(wayside("route", "--json", "hello").out)
    assert {c["kind"] for c in told["costs"]} >= {"domain", "keyword", "context"}
    assert all(s["cost_us"] > 0 for s in told["signals"])
    assert told["would_change"][0]["needs"]
    domain = next(c for c in told["costs"] if c["kind"] == "domain")
    assert domain["total_us"] < 20_000, "loading the model is not what a prompt costs"


def test_the_page_shows_what_is_explained(wayside: Wayside, here: Path) -> None:
    page = ROOT / "docs" / "how-to" / "explain-a-decision.md"
    (settings,) = (b.text for b in blocks(page, "yaml"))
    (shown,) = (b.text for b in blocks(page, "text") if b.mark == "output")
    (here / "wayside.yaml").write_text(settings)
    said = wayside("route", "--explain", "What is the integral of x squared?")
    assert said.status == 0
    # The cheaper kind comes first, and which that is may change.
    assert sorted(without_numbers(said.out)) == sorted(without_numbers(shown))


def without_numbers(text: str) -> list[str]:
    return [re.sub(r"[\d.]+", "0", " ".join(line.split())) for line in text.splitlines() if line]


def test_explain_says_why_the_algorithm_chose(wayside: Wayside, here: Path) -> None:
    (here / "wayside.yaml").write_text(
        """
models:
  small: {endpoints: ["http://small:8000"], quality: 0.6}
  big: {endpoints: ["http://big:8000"], quality: 0.9}
routing:
  decisions:
    - name: all
      models: [small, big]
      select: {multi_factor: {weights: {quality: 1, latency: 0, cost: 0, load: 0}}}
"""
    )
    said = wayside("route", "--explain", "hello")
    assert "chosen by multi_factor among 2 (big 1, small 0)" in " ".join(said.out.split())
    assert json.loads(wayside("route", "--json", "hello").out)["reason"] == "big 1, small 0"


def test_what_somebody_else_would_get(wayside: Wayside, here: Path) -> None:
    """A2-35: models that are not for them are not named."""
    (here / "wayside.yaml").write_text("""
maas: {users: [{name: alice, groups: [premium-user], token: {env: ALICE}}]}
models:
  a: {endpoints: [h], tiers: [premium]}
  b: {endpoints: [h], tiers: []}
routing:
  signals: {keyword: {sums: {keywords: [integral]}}}
  decisions: [{name: math, when: "keyword:sums", models: [a, b]},
              {name: rest, models: [a], priority: -1}]
""")
    for who, model in (
        (("--as", "alice"), "a"),
        (("--as", "bob"), "b"),
        (("--as", "bob", "--tier", "premium"), "a"),
    ):
        said = wayside("route", *who, "an integral")
        assert said.status == 0 and said.out.startswith(f"{model}  math holds")
    told = json.loads(wayside("route", "--as", "bob", "--json", "an integral").out)
    assert told["candidates"] == ["b"]
    denied = wayside("route", "--as", "bob", "hello")
    assert denied.out.startswith("no model") and "you may use: b." in denied.out.replace("\n", " ")
    for wrong, says in (
        (("--tier", "premium", "hello"), "goes with --as"),
        (("--as", "bob", "--tier", "premum", "hello"), "did you mean 'premium'"),
    ):
        assert says in wayside("route", *wrong).err


def test_somebody_is_known_only_where_there_is_a_gate(wayside: Wayside, example: Path) -> None:
    assert "with maas" in wayside("route", "--as", "alice", "hello").err
