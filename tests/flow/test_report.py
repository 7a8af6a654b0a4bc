"""Response headers: vSR's contract, version 2 (spec 1.8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flow.driving import chat, forwarded, outcome, policy, post
from wayside.flow import refuse, report
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Record, Reply
from wayside.vocab.verdict import SignalRef, Verdict

SEED = policy("""
models: {big: {endpoints: [h]}}
routing:
  default_model: big
  signals:
    keyword: {b: {keywords: [sum]}, a: {keywords: [add]}, c: {keywords: [never]}}
    context: {short: {max_tokens: 100}}
  decisions: [{name: sums, when: {all: ["keyword:a", "keyword:b", "context:short"]}}]
""")
KEYSTONES = {"x-vsr-schema-version", "x-vsr-response-path"}
DEFAULTS = {
    "x-vsr-selected-recipe",
    "x-vsr-selected-decision",
    "x-vsr-selected-confidence",
    "x-vsr-selected-algorithm",
    "x-vsr-selected-model",
}


def test_a_routed_answer_says_what_was_chosen() -> None:
    found = dict(forwarded(SEED, post(chat("auto", "add a sum"))).report)
    assert set(found) == KEYSTONES | DEFAULTS
    assert found == {
        "x-vsr-schema-version": "2",
        "x-vsr-response-path": "upstream",
        "x-vsr-selected-recipe": "default",
        "x-vsr-selected-decision": "sums",
        "x-vsr-selected-confidence": "1.0000",
        "x-vsr-selected-algorithm": "default",
        "x-vsr-selected-model": "big",
    }


def test_an_answer_of_a_model_that_was_named_says_which() -> None:
    assert dict(forwarded(SEED, post(chat("big"))).report) == {
        "x-vsr-schema-version": "2",
        "x-vsr-response-path": "upstream",
        "x-vsr-selected-model": "big",
    }


def test_an_error_carries_the_keystones() -> None:
    found = refuse(RequestError("x", status=405, headers=(("allow", "POST"),)))
    assert dict(found.report) == {
        "x-vsr-schema-version": "2",
        "x-vsr-response-path": "error",
        "allow": "POST",
    }


def test_the_routers_own_answers_carry_the_schema() -> None:
    found = outcome(SEED, post(b"", method="GET", path="/v1/models"))
    assert isinstance(found, Reply)
    assert dict(found.report)["x-vsr-schema-version"] == "2"


def test_debug_adds_every_signal_that_matched() -> None:
    request = post(chat("auto", "add a sum"), {"x-vsr-debug": "true"})
    found = dict(forwarded(SEED, request).report)
    assert found["x-vsr-matched-keywords"] == "a,b"
    assert found["x-vsr-matched-context"] == "short"
    assert found["x-vsr-context-token-count"] == "2"
    assert set(found) > KEYSTONES | DEFAULTS


@pytest.mark.parametrize("value", ["false", "1", "TRUE", "", "true "])
def test_only_true_asks_for_debug(value: str) -> None:
    request = post(chat("auto", "add a sum"), {"x-vsr-debug": value})
    assert set(dict(forwarded(SEED, request).report)) == KEYSTONES | DEFAULTS


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        ("keyword", "x-vsr-matched-keywords"),
        ("embedding", "x-vsr-matched-embeddings"),
        ("domain", "x-vsr-matched-domains"),
        ("fact_check", "x-vsr-matched-fact-check"),
        ("user_feedback", "x-vsr-matched-user-feedback"),
        ("language", "x-vsr-matched-language"),
        ("jailbreak", "x-vsr-matched-jailbreak"),
        *(
            (kind, f"x-vsr-matched-{kind.replace('_', '-')}")
            for kind in (
                *("reask", "preference", "context", "structure", "complexity", "modality"),
                *("authz", "pii", "kb", "conversation", "event", "metadata", "input_modality"),
            )
        ),
        ("projection", "x-vsr-matched-projections"),
    ],
)
def test_kinds_have_the_header_vsr_gives_them(kind: str, header: str) -> None:
    verdicts = {
        SignalRef(kind, "yes"): Verdict(True),
        SignalRef(kind, "no"): Verdict(False),
        SignalRef(kind, "unknown"): Verdict(False, unknown=True),
    }
    assert dict(report.debug(Record(verdicts=verdicts)))[header] == "yes"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("computer science", "computer science"),
        ("", ""),
        ("a\r\nx-evil: 1", "a\\r\\nx-evil: 1"),
        ("caf\u00e9", "caf\\xe9"),
        ("日本", "\\u65e5\\u672c"),
        ("\x7f", "\\x7f"),
        ("\ud800", "\\ud800"),
    ],
)
def test_text_becomes_one_line_of_ascii(text: str, line: str) -> None:
    assert report.header_text(text) == line


@given(st.text(st.characters()))
def test_no_text_can_forge_a_header(text: str) -> None:
    line = report.header_text(text)
    assert all(" " <= c <= "~" for c in line)


_names = st.text(min_size=1, max_size=20)


@given(_names, _names, _names, st.lists(_names, max_size=3), _names)
def test_no_name_anywhere_can_forge_a_header(
    recipe: str, decision: str, model: str, signals: list[str], category: str
) -> None:
    verdicts = {SignalRef("domain", s): Verdict(True) for s in signals}
    record = Record(category=category, verdicts=verdicts, reasoning=True)
    for name, value in (
        *report.routed(recipe, decision, "static", model),
        *report.debug(record),
    ):
        assert name.isascii() and name.islower() and ":" not in name
        assert all(" " <= c <= "~" for c in value)


@pytest.mark.parametrize(
    ("because", "says"),
    [
        ("image 0.91", "DIFFUSION;classifier"),
        ("text 0.99", "AR;classifier"),
        ("both 0.55, and its words say so", "BOTH;classifier"),
        ("its words ask for image", "DIFFUSION;keyword"),
        ("its words ask for both, unsure: text 0.41", "BOTH;keyword"),
        ("", None),
    ],
)
def test_the_modality_that_was_seen_is_told(because: str, says: str | None) -> None:
    verdicts = {SignalRef("modality", "pictures"): Verdict(True, 1.0, because)}
    assert dict(report.debug(Record(verdicts=verdicts))).get("x-vsr-selected-modality") == says


@pytest.mark.parametrize(
    ("plugins", "says"), [("{system_prompt: {prompt: x}}", "true"), ("{}", "false")]
)
def test_a_system_prompt_that_was_given_is_told(plugins: str, says: str) -> None:
    seed = policy(
        "models: {big: {endpoints: [h]}}\nrouting:\n  signals: {keyword: {a: {keywords: [add]}}}\n"
        f"  decisions: [{{name: d, when: 'keyword:a', models: [big], plugins: {plugins}}}]\n"
    )
    found = dict(forwarded(seed, post(chat("auto", "add"), {"x-vsr-debug": "true"})).report)
    assert found["x-vsr-injected-system-prompt"] == says
