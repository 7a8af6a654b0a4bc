"""The onnx engine, on models whose answers are worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import e, exp, log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import wayside.runtime  # noqa: F401 - discovers the kinds
from tests.engines import tiny
from wayside.engines import Engines
from wayside.engines.base import Tools
from wayside.engines.encoder import alike
from wayside.engines.onnx import OnnxEncoder, OnnxSettings
from wayside.vocab.ask import Classify, Span
from wayside.vocab.errors import AskFailed

Make = Callable[..., OnnxEncoder]
SUMS = {"[CLS]": [0, 0], "[SEP]": [0, 0], "add": [4, 0], "sue": [0, 4], "the": [0, 0]}
NAMES = ("O", "B-PER", "I-PER", "B-GPE", "I-GPE")
PLACES = {
    "[CLS]": [9, 0, 0, 0, 0],
    "[SEP]": [9, 0, 0, 0, 0],
    "[UNK]": [9, 0, 0, 0, 0],
    "anna": [0, 9, 0, 0, 0],
    "smi": [0, 0, 9, 0, 0],
    "##th": [0, 0, 6, 3, 0],
    "bonn": [0, 0, 0, 9, 0],
}


@pytest.fixture
def make(tmp_path: Path) -> Any:
    made: list[OnnxEncoder] = []

    def engine(**settings: Any) -> OnnxEncoder:
        rule = OnnxSettings.model_validate({"model": str(tmp_path), **settings})
        made.append(OnnxEncoder(rule, Tools("it")))
        return made[-1]

    yield engine
    for each in made:
        each.close()


def softmax(*logits: float) -> list[float]:
    whole = sum(exp(x) for x in logits)
    return [exp(x) / whole for x in logits]


async def test_a_classifier(tmp_path: Path, make: Make) -> None:
    tiny.folder(tmp_path, SUMS, labels=("math", "law"))
    engine = make()
    # [CLS] add the [SEP]: the mean of (4, 0) and three rows of nothing is (1, 0)
    found = await engine.classify("Add the")
    assert [label for label, _ in found] == ["math", "law"]
    assert [p for _, p in found] == pytest.approx(softmax(1, 0), abs=1e-6)
    assert engine.labels == ("math", "law") and engine.tasks == {"classify"}


async def test_labels_are_renamed_and_those_of_one_name_added_up(
    tmp_path: Path, make: Make
) -> None:
    table = {"[CLS]": [0, 0, 0], "[SEP]": [0, 0, 0], "add": [3, 0, 0]}
    tiny.folder(tmp_path, table, labels=("LABEL_0", "LABEL_1", "LABEL_2"))
    found = dict(await make(labels={"LABEL_1": "no", "LABEL_2": "no"}).classify("add"))
    assert found == pytest.approx({"LABEL_0": e / (e + 2), "no": 2 / (e + 2)})


async def test_a_long_text_is_the_mean_of_its_windows(tmp_path: Path, make: Make) -> None:
    tiny.folder(tmp_path, SUMS, labels=("math", "law"))
    engine = make(max_tokens=6, overlap=0, max_windows=8)  # four tokens of text in a window
    math = softmax(16 / 6, 0)[0]  # [CLS] add add add add [SEP]
    law = softmax(0, 16 / 6)[0]
    found = dict(await engine.classify("add " * 4 + "sue " * 4))
    assert found["math"] == pytest.approx((math + law) / 2, abs=1e-6)
    found = dict(await engine.classify("add " * 8 + "sue " * 4))
    assert found["math"] == pytest.approx((2 * math + law) / 3, abs=1e-6)


async def test_harmless_words_do_not_thin_a_guard_out(tmp_path: Path, make: Make) -> None:
    tiny.folder(tmp_path, SUMS, labels=("benign", "jailbreak"))
    thin = make(max_tokens=6, overlap=0)
    guard = make(max_tokens=6, overlap=0, positive=["jailbreak"])
    text = "the " * 8 + "sue sue sue sue " + "the " * 8
    worst = softmax(0, 16 / 6)[1]
    assert dict(await guard.classify(text))["jailbreak"] == pytest.approx(worst, abs=1e-6)
    assert dict(await thin.classify(text))["jailbreak"] == pytest.approx(
        (worst + 4 * 0.5) / 5, abs=1e-6
    )


async def test_the_windows_of_a_text_are_bounded_with_both_ends(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.folder(tmp_path, SUMS, labels=("benign", "jailbreak"))
    guard = make(max_tokens=34, overlap=0, max_windows=4, positive=["jailbreak"])
    calls: list[tuple[int, ...]] = []
    network = guard._network
    monkeypatch.setattr(
        guard, "_network", lambda *given: (calls.append(given[0].shape), network(*given))[1]
    )
    for text in ("the " * 1_000_000 + "sue " * 40, "sue " * 40 + "the " * 1_000_000):
        calls.clear()
        found = dict(await guard.classify(text))
        assert found["jailbreak"] > 0.9, "the beginning and the end are always read"
        assert calls == [(1, 34)] * 4


@pytest.mark.parametrize("batch", [1, 3, 64])
async def test_batches_answer_as_single_windows_do(tmp_path: Path, make: Make, batch: int) -> None:
    tiny.folder(tmp_path, SUMS, labels=("math", "law"))
    text = "add " * 9 + "sue " * 7 + "the " * 3 + "add"
    alone = await make(max_tokens=6, overlap=1).classify(text)
    found = await make(max_tokens=6, overlap=1, batch=batch).classify(text)
    assert dict(found) == pytest.approx(dict(alone), abs=1e-6)


def test_only_windows_of_like_length_share_a_batch() -> None:
    assert alike([8, 200, 16, 256, 210, 15], 8) == [[3, 4], [1], [2, 5], [0]]
    assert alike([5, 5, 5], 2) == [[0, 1], [2]]
    assert alike([9, 5], 1) == [[0], [1]]
    assert alike([], 4) == []


async def test_labels_that_do_not_exclude_each_other(tmp_path: Path, make: Make) -> None:
    table = {"[CLS]": [0, 0], "[SEP]": [0, 0], "bad": [3 * log(3), 0]}
    tiny.folder(
        tmp_path,
        table,
        labels=("insult", "threat"),
        config={"problem_type": "multi_label_classification"},
    )
    # sigmoid(log 3) = 3/4 and sigmoid(0) = 1/2; none: 1/4 * 1/2 = 1/8; the rest as 3 to 2
    found = dict(await make().classify("bad"))
    assert found == pytest.approx({"insult": 0.525, "threat": 0.35, "none": 0.125}, abs=1e-6)
    assert sum(found.values()) == pytest.approx(1)


async def test_spans_are_characters_of_the_text(tmp_path: Path, make: Make) -> None:
    tiny.folder(tmp_path, PLACES, kind="BertForTokenClassification", labels=NAMES)
    text = "so \U0001f600 Anna  Smith, Bonn Bonn"
    found = await make().mark(text, "")
    assert [(text[s.start : s.end], s.label) for s in found] == [
        ("Anna  Smith", "PER"),
        ("Bonn", "GPE"),
        ("Bonn", "GPE"),
    ]
    anna = exp(9) / (exp(9) + 4)
    smi, th = anna, exp(6) / (exp(6) + exp(3) + 3)  # the word's probability is their mean
    th_other = 1 / (exp(6) + exp(3) + 3)
    smith = (smi + 1 / (exp(9) + 4) + th + th_other) / 2
    anna_whole = anna + 1 / (exp(9) + 4)
    assert found[0].score == pytest.approx((anna_whole + smith) / 2, abs=1e-5)


async def test_the_first_token_may_speak_for_its_word(tmp_path: Path, make: Make) -> None:
    table = {**PLACES, "##th": [9, 0, 0, 0, 0], "smi": [0, 0, 2, 0, 0]}
    tiny.folder(tmp_path, table, kind="BertForTokenClassification", labels=NAMES)
    assert await make().mark("smith", "") == ()
    assert [s.label for s in await make(words="first").mark("smith", "")] == ["PER"]
    token = await make(words="token").mark("smith", "")
    assert [(s.start, s.end) for s in token] == [(0, 3)]


async def test_spans_across_windows_are_found_once(tmp_path: Path, make: Make) -> None:
    tiny.folder(tmp_path, PLACES, kind="BertForTokenClassification", labels=NAMES)
    text = "so so Anna so so so Bonn so so Anna smith so so"
    expected = [(6, 10, "PER"), (20, 24, "GPE"), (31, 41, "PER")]
    for size in (5, 6, 7, 9, 20):
        found = await make(max_tokens=size, overlap=2, max_windows=64).mark(text, "")
        assert [(s.start, s.end, s.label) for s in found] == expected, size


async def test_a_plain_marker_needs_to_be_told_what_outside_is(tmp_path: Path, make: Make) -> None:
    table = {"[CLS]": [9, 0], "[SEP]": [9, 0], "anna": [0, 9], "so": [9, 0]}
    tiny.folder(tmp_path, table, kind="BertForTokenClassification", labels=("LABEL_0", "LABEL_1"))
    with pytest.raises(ValueError, match=r"no label of .* is 'O'.*`labels: \{LABEL_0: O\}`"):
        make()
    engine = make(labels={"LABEL_0": "O", "LABEL_1": "name"})
    assert engine.labels == ("name",)
    assert [s.label for s in await engine.mark("so anna", "")] == ["name"]


async def test_a_text_is_marked_against_its_context(tmp_path: Path, make: Make) -> None:
    """The second segment's tokens get (0, 4) added: they are read as the answer."""
    table = {"[CLS]": [9, 0], "[SEP]": [9, 0], "so": [6, 0], "wrong": [0, 0], "[UNK]": [0, 0]}
    tiny.folder(
        tmp_path,
        table,
        kind="BertForTokenClassification",
        labels=("O", "unsupported"),
        types=(0, 4),
    )
    engine = make(max_tokens=12, overlap=0)
    text = "so so wrong"
    found = await engine.mark(text, "wrong wrong so")
    assert found == (Span(6, 11, "unsupported", pytest.approx(exp(4) / (1 + exp(4)), abs=1e-5)),)
    assert await engine.mark(text, "") == ()  # (0, 0): no more than a tie without a context
    many = make(max_tokens=12, overlap=0, max_windows=64)
    long = await many.mark("so so wrong " * 6, "so " * 60)
    assert [s.start for s in long] == [6 + 12 * i for i in range(6)]
    bounded = await engine.mark("so so wrong " * 6, "so " * 60)
    assert [s.start for s in bounded] == [6, 54, 66], (
        "two windows of the text, four of the context"
    )


VECTORS = {
    "[CLS]": [0, 0, 3, 0],
    "[SEP]": [0, 0, 0, 0],
    "cat": [3, 0, 0, 0],
    "dog": [0, 4, 0, 0],
    "[UNK]": [0, 0, 0, 1],
}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [3 / sqrt(34), 4 / sqrt(34), 3 / sqrt(34), 0]),
        ({"pooling": "cls"}, [0, 0, 1, 0]),
        ({"dimension": 2}, [0.6, 0.8]),
    ],
)
async def test_vectors(
    tmp_path: Path, make: Make, settings: dict[str, Any], expected: list[float]
) -> None:
    tiny.folder(tmp_path, VECTORS, kind="BertModel", inputs=("input_ids",))
    (found,) = await make(**settings).embed(("cat dog",))
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


async def test_pooling_is_read_from_the_folder(tmp_path: Path, make: Make) -> None:
    tiny.folder(tmp_path, {**VECTORS, "[SEP]": [0, 0, 0, 2]}, kind="BertModel")
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_lasttoken": true}')
    (found,) = await make().embed(("cat",))
    assert found.tolist() == [0, 0, 0, 1]


async def test_a_prefix_is_put_before_what_is_embedded(tmp_path: Path, make: Make) -> None:
    tiny.folder(tmp_path, VECTORS, kind="BertModel")
    plain, prefixed = make(), make(prefix="dog ")
    assert np.allclose(await prefixed.embed(("cat",)), await plain.embed(("dog cat",)))


async def test_a_long_text_has_the_mean_vector_of_its_windows(tmp_path: Path, make: Make) -> None:
    tiny.folder(tmp_path, {**VECTORS, "[CLS]": [0, 0, 0, 0]}, kind="BertModel")
    engine = make(max_tokens=4, overlap=0)
    (found,) = await engine.embed(("cat cat cat cat dog dog",))
    assert found.tolist() == pytest.approx([2 / sqrt(5), 1 / sqrt(5), 0, 0], abs=1e-6)


async def test_many_texts_are_one_ask(tmp_path: Path, make: Make) -> None:
    tiny.folder(tmp_path, VECTORS, kind="BertModel")
    engine = make(queue=1, batch=16)
    texts = tuple("cat " * (i % 7) + "dog" for i in range(300))
    found = await engine.embed(texts)
    assert found.shape == (300, 4) and np.allclose(np.linalg.norm(found, axis=1), 1)
    for i in (0, 5, 299):
        assert np.allclose(found[i], (await engine.embed((texts[i],)))[0], atol=1e-6)
    assert len(await engine.embed(())) == 0


async def test_a_vector_without_direction_is_no_answer(tmp_path: Path, make: Make) -> None:
    zeros = {word: [0, 0, 0, 0] for word in VECTORS}
    tiny.folder(tmp_path, zeros, kind="BertModel")
    with pytest.raises(AskFailed, match="without a direction"):
        await make().embed(("cat",))


async def test_what_is_not_a_number_is_no_answer(tmp_path: Path, make: Make) -> None:
    tiny.folder(tmp_path, {**SUMS, "sue": [0, float("nan")]}, labels=("math", "law"))
    engine = make()
    with pytest.raises(AskFailed, match="not a number"):
        await engine.classify("sue")
    assert (await engine.classify("add"))[0][0] == "math"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\ud800",
        "a\udfff add",
        "\x00\x01",
        "e" + "\u0301" * 5_000,
        "add" * 50_000,
        "\u202e",
    ],
    ids=range(8),
)
async def test_any_text_is_answered(tmp_path: Path, make: Make, text: str) -> None:
    tiny.folder(tmp_path / "a", SUMS, labels=("math", "law"))
    tiny.folder(tmp_path / "b", PLACES, kind="BertForTokenClassification", labels=NAMES)
    classifier, marker = make(model=str(tmp_path / "a")), make(model=str(tmp_path / "b"))
    assert sum(p for _, p in await classifier.classify(text)) == pytest.approx(1)
    for span in await marker.mark(text, "") + await marker.mark(text, text):
        assert 0 <= span.start < span.end <= len(text)


async def test_what_the_model_cannot_do_is_refused(tmp_path: Path, make: Make) -> None:
    tiny.folder(tmp_path, SUMS, labels=("math", "law"))
    engine = make()
    with pytest.raises(AskFailed, match="'it' makes no vectors: its model is to classify"):
        await engine.embed(("add",))
    with pytest.raises(AskFailed, match="'it' finds no pieces of a text"):
        await engine.mark("add", "")


async def test_eight_bits_answer_nearly_the_same(tmp_path: Path, make: Make) -> None:
    tiny.folder(tmp_path, SUMS, labels=("math", "law"))
    exact = dict(await make().classify("add the"))
    found = dict(await make(int8=True).classify("add the"))
    assert (tmp_path / "model_int8.onnx").is_file()
    assert found == pytest.approx(exact, abs=0.01)
    (tmp_path / "model.onnx").unlink()
    assert dict(await make(int8=True).classify("add the")) == found, "used when it is there"


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"file": "modle.onnx"}, "has no modle.onnx; did you mean 'model.onnx'"),
        ({"file": "../other.onnx"}, "outside of the model's folder"),
        ({"labels": {"maths": "m"}}, r"renames 'maths', but the model has \['law', 'math'\]"),
        ({"positive": ["jail"]}, "the model has no label 'jail'"),
        ({"pooling": "cls"}, "`pooling` is for models that embed; this one is to classify"),
        ({"words": "first"}, "`words` is for models that mark"),
        ({"task": "embed"}, r"has no output to embed with; it has logits \['batch', 2\]"),
        ({"max_tokens": 2}, "leaves no room"),
    ],
)
def test_settings_that_do_not_fit_the_model(
    tmp_path: Path, make: Make, settings: dict[str, Any], error: str
) -> None:
    tiny.folder(tmp_path, SUMS, labels=("math", "law"))
    with pytest.raises(ValueError, match=error):
        make(**settings)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"combine": "max"}, "list it"),
        ({"combine": "mean", "positive": ["x"]}, "leave one of them out"),
        ({"batch": 0}, "greater than or equal to 1"),
        ({"modle": "x"}, "Extra inputs"),
    ],
)
def test_settings_that_contradict_themselves(settings: dict[str, Any], error: str) -> None:
    with pytest.raises(ValidationError, match=error):
        OnnxSettings.model_validate({"model": "x", **settings})


@pytest.mark.parametrize(
    ("lost", "error"),
    [
        ("config.json", "no config.json"),
        ("tokenizer.json", "no tokenizer.json"),
        ("model.onnx", "holds no .onnx file; use the `torch` kind, or export it"),
    ],
)
def test_a_folder_that_lacks_something(tmp_path: Path, make: Make, lost: str, error: str) -> None:
    tiny.folder(tmp_path, SUMS, labels=("math", "law"))
    (tmp_path / lost).unlink()
    with pytest.raises(ValueError, match=error):
        make()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.onnx"])
def test_a_file_that_is_garbage(tmp_path: Path, make: Make, name: str) -> None:
    tiny.folder(tmp_path, SUMS, labels=("math", "law"))
    (tmp_path / name).write_bytes(b"\x00garbage{")
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        make()


def test_the_smaller_graph_is_chosen(tmp_path: Path) -> None:
    from wayside.engines.folder import Folder

    folder = tiny.folder(tmp_path, SUMS, labels=("math", "law"), file="onnx/model.onnx")
    assert Folder(folder).onnx(None) == folder / "onnx" / "model.onnx"
    (folder / "onnx" / "model_quantized.onnx").write_bytes(b"")
    assert Folder(folder).onnx(None) == folder / "onnx" / "model_quantized.onnx"
    (folder / "model_int8.onnx").write_bytes(b"")
    assert Folder(folder).onnx(None) == folder / "model_int8.onnx"
    assert Folder(folder).onnx("onnx/model.onnx") == folder / "onnx" / "model.onnx"


def test_an_input_nobody_knows_is_named(tmp_path: Path, make: Make) -> None:
    tiny.folder(tmp_path, VECTORS, kind="BertModel", inputs=("input_ids", "pixel_values"))
    with pytest.raises(ValueError, match="wants an input 'pixel_values'"):
        make()


async def test_labels_kept_in_a_mapping_file_are_read(tmp_path: Path, make: Make) -> None:
    tiny.folder(tmp_path, SUMS, labels=("LABEL_0", "LABEL_1"))
    mapping = {
        "category_to_idx": {"math": 0, "law": 1},
        "idx_to_category": {"0": "math", "1": "law"},
    }
    (tmp_path / "category_mapping.json").write_text(json.dumps(mapping))
    assert make().labels == ("math", "law")


def test_tasks_are_known_before_the_model_is_loaded(tmp_path: Path) -> None:
    def tasks(**settings: Any) -> set[str]:
        return set(OnnxEncoder.tasks_of(OnnxSettings.model_validate(settings)))

    tiny.folder(tmp_path, PLACES, kind="BertForTokenClassification", labels=NAMES)
    assert tasks(model=str(tmp_path)) == {"mark"}
    assert tasks(model="nowhere", task="embed") == {"embed"}
    assert tasks(model="nowhere") == {"classify", "mark", "embed"}


def test_a_model_that_cannot_be_loaded_is_a_failed_ask() -> None:
    engines = Engines({"it": {"onnx": {"model": "./nowhere"}}})
    with pytest.raises(AskFailed, match=r"no folder and no pulled model '\./nowhere'"):
        engines.classify(Classify("hello", "it"))
