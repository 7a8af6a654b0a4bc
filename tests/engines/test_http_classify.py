"""Classifiers behind HTTP: vLLM's, TEI's and anybody's."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.engines.server import Handler, serving
from wayside.engines.base import Tools
from wayside.engines.http_classify import HttpClassify, HttpClassifySettings
from wayside.engines.ranked import chosen, ranked, read_ranking
from wayside.vocab.ask import Span
from wayside.vocab.errors import AskFailed

VLLM = {"format": "vllm", "labels": ["benign", "jailbreak"]}


async def asked(handler: Handler, text: str, *, mark: bool = False, **settings: Any) -> Any:
    """What an engine answers, and the server that it asked."""
    async with serving(handler) as server:
        rule = {"base_url": server.url, "retries": 0, **settings}
        engine = HttpClassify(HttpClassifySettings.model_validate(rule), Tools("far"))
        try:
            if mark:
                return await engine.mark(text, "a source"), server
            return await engine.classify(text), server
        finally:
            engine.close()


async def test_vllm() -> None:
    reply = {"data": [{"index": 0, "label": "LABEL_1", "probs": [0.1, 0.9], "num_classes": 2}]}
    found, server = await asked(lambda body: reply, "hello", model="guard", **VLLM)
    assert found == (("jailbreak", pytest.approx(0.9)), ("benign", pytest.approx(0.1)))
    assert server.asked[0][0] == "/classify"
    assert server.asked[0][2] == {"input": "hello", "model": "guard"}


@pytest.mark.parametrize("batched", [False, True])
async def test_tei(batched: bool) -> None:
    reply = [{"score": 0.25, "label": "A"}, {"score": 0.75, "label": "B"}]
    found, server = await asked(
        lambda body: [reply] if batched else reply, "hello", format="tei", rename={"A": "safe"}
    )
    assert found == (("B", 0.75), ("safe", 0.25))
    assert server.asked[0][0] == "/predict"
    assert server.asked[0][2] == {"inputs": "hello", "raw_scores": False, "truncate": True}


async def test_a_server_of_ones_own() -> None:
    found, server = await asked(
        lambda body: {"result": [{"scores": {"x": 0.5, "y": 0.3, "z": 0.2}}]},
        "hello",
        format="wayside",
        path="/v2/label",
        text_field="prompt",
        read="result.0.scores",
        rename={"y": "x"},
        extra_body={"top": 3},
    )
    assert found == (("x", pytest.approx(0.8)), ("z", pytest.approx(0.2)))
    assert server.asked[0][0] == "/v2/label"
    assert server.asked[0][2] == {"prompt": "hello", "top": 3}


async def test_spans() -> None:
    spans = [
        {"start": 6, "end": 9, "label": "N", "score": 0.5},
        {"start": 0, "end": 5, "label": "P"},
    ]
    found, server = await asked(
        lambda body: {"spans": spans},
        "Alice Bob",
        mark=True,
        format="wayside",
        task="mark",
        rename={"P": "PERSON"},
    )
    assert found == (Span(0, 5, "PERSON", 1.0), Span(6, 9, "N", 0.5))
    assert server.asked[0][2] == {"text": "Alice Bob", "context": "a source"}


async def test_spans_of_a_long_text_are_found_once_in_its_parts() -> None:
    def names(body: dict[str, Any]) -> Any:
        text = body["text"]
        found = [i for i in range(len(text)) if text.startswith("Bob", i)]
        return {"spans": [{"start": i, "end": i + 3, "label": "P"} for i in found]}

    text = ("." * 57 + "Bob") * 20
    found, server = await asked(
        names, text, mark=True, format="wayside", task="mark", part_characters=100, max_parts=64
    )
    assert [span.start for span in found] == [57 + 60 * i for i in range(20)]
    assert len(server.asked) > 10


async def test_harmless_text_does_not_thin_a_guard_out() -> None:
    def guard(body: dict[str, Any]) -> Any:
        bad = 0.9 if "attack" in body["input"] else 0.1
        return {"data": [{"probs": [1 - bad, bad]}]}

    text = "harmless " * 30 + "attack" + " harmless" * 30
    found, server = await asked(guard, text, part_characters=200, positive=["jailbreak"], **VLLM)
    assert dict(found)["jailbreak"] == pytest.approx(0.9) and len(server.asked) == 3
    found, _ = await asked(guard, text, part_characters=200, **VLLM)
    assert dict(found)["jailbreak"] < 0.75
    _, server = await asked(guard, text * 500, part_characters=200, max_parts=3, **VLLM)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ({"data": [{"probs": [0.5, 0.4, 0.1]}]}, "holds no ranking"),
        ({"data": [{"probs": [0.9, 0.9]}]}, "add up to 1.800, not to one; .*`several: true`"),
        ({"data": [{"probs": [-1.5, 2.5]}]}, "the score of 'benign' is -1.5"),
        ({"data": [{"probs": ["a", "b"]}]}, "holds no ranking"),
        ({"data": []}, r"holds no ranking of labels \(at data\.0\.probs\)"),
        ({"error": "x"}, "holds no ranking"),
        ([1], "holds no ranking"),
        (None, "holds no ranking"),
    ],
    ids=range(8),
)
async def test_an_answer_that_is_no_ranking(reply: Any, problem: str) -> None:
    with pytest.raises(AskFailed, match=f"'far': .*{problem}"):
        await asked(lambda body: reply, "hello", **VLLM)


@pytest.mark.parametrize(
    "spans",
    [
        [{"start": 0, "end": 99, "label": "P"}],
        [{"start": 3, "end": 3, "label": "P"}],
        [{"start": 0, "end": 4, "label": "P"}, {"start": 3, "end": 5, "label": "P"}],
        [{"start": 0, "end": 4, "label": "P", "score": 7}],
        [{"start": 0}],
        ["P"],
        {},
        None,
    ],
    ids=range(8),
)
async def test_spans_that_cannot_be(spans: Any) -> None:
    with pytest.raises(AskFailed, match=r"'far': .*the reply holds"):
        await asked(
            lambda body: {"spans": spans}, "Alice", mark=True, format="wayside", task="mark"
        )


@pytest.mark.parametrize(
    ("found", "names", "expected"),
    [
        ({"a": 0.6, "b": 0.4}, (), {"a": 0.6, "b": 0.4}),
        ({"labels": {"a": 0.6, "b": 0.4}}, (), {"a": 0.6, "b": 0.4}),
        ([{"label": "a", "score": 1.0}], (), {"a": 1.0}),
        ({"class": 1, "confidence": 0.8}, ("a", "b"), {"a": 0.2, "b": 0.8}),
        ({"class": 1, "confidence": 0.8, "probabilities": [0.2, 0.8]}, ("a", "b"), {"b": 0.8}),
        ({"label": "b"}, ("a", "b", "c"), {"b": 0.9, "a": 0.05, "c": 0.05}),
        ({"label": "b", "score": 0.7}, (), {"b": 0.7, "not b": 0.3}),
    ],
)
def test_rankings_are_read_in_many_shapes(
    found: Any, names: tuple[str, ...], expected: dict[str, float]
) -> None:
    said = dict(read_ranking(found, names, several=False, certainty=0.9))
    assert {label: said[label] for label in expected} == pytest.approx(expected)
    assert sum(said.values()) == pytest.approx(1)


@pytest.mark.parametrize("found", [{"label": "z"}, {"class": 7}, {"class": True}, {"label": ""}])
def test_a_label_nobody_listed_is_no_ranking(found: Any) -> None:
    with pytest.raises(AskFailed):
        read_ranking(found, ("a", "b"), several=False, certainty=0.9)


def test_labels_that_apply_together() -> None:
    assert dict(ranked({"a": 0.75, "b": 0.5}, several=True)) == pytest.approx(
        {"a": 0.525, "b": 0.35, "none": 0.125}
    )
    assert ranked({"a": 0.0, "b": 0.0}, several=True)[0] == ("none", 1.0)


def test_a_bare_choice() -> None:
    assert chosen("b", ("a", "b", "c"), 0.9) == (
        ("b", 0.9),
        ("a", pytest.approx(0.05)),
        ("c", pytest.approx(0.05)),
    )
    assert chosen("a", ("a",), 0.9) == (("a", 1.0),)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"format": "vllm"}, "list the names of them in `labels`"),
        ({"format": "tei", "task": "mark"}, "`task` belongs to the format wayside"),
        ({"format": "tei", "read": "x"}, "`read` belongs to the format wayside"),
        ({"format": "wayside", "path": "no slash"}, "should match pattern"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        HttpClassifySettings.model_validate({"base_url": "http://x", **settings})
