"""The built-in classifier: any text, bounded work, honest probabilities."""

import dataclasses
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wayside.engines import features, modelfile
from wayside.engines.static import DOMAIN_MODEL, StaticClassifier


@pytest.fixture(scope="module")
def domain() -> StaticClassifier:
    return StaticClassifier.built_in()


any_text = st.text(
    alphabet=st.characters(min_codepoint=0, max_codepoint=0x10FFFF, categories=None)
)


@settings(max_examples=300, deadline=None)
@given(any_text)
@example("")
@example("\x00")
@example("\ud800")
@example("\udfff\ud800 x")
@example("İ" * 5000)
@example("\ufdfa" * 5000)
@example("a")
@example("\U0010ffff")
@example("a" * 3_000_000)
def test_every_text_gets_all_labels_with_probabilities_best_first(text: str) -> None:
    domain = StaticClassifier.built_in() if not _ONCE else _ONCE[0]
    _ONCE[:] = [domain]
    ranking = domain.classify(text)
    shares = [probability for _, probability in ranking]
    assert sorted(label for label, _ in ranking) == sorted(domain.labels)
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in shares)


_ONCE: list[StaticClassifier] = []


@pytest.mark.parametrize("text", ["", " ", "\n\t \u3000", "\x00\x00"])
def test_a_text_that_says_nothing_is_other_without_confidence(
    domain: StaticClassifier, text: str
) -> None:
    label, probability = domain.classify(text)[0]
    assert label == "other"
    assert probability == pytest.approx(1 / 14)


def test_the_labels_are_those_of_mmlu_pro(domain: StaticClassifier) -> None:
    assert len(domain.labels) == 14
    assert {"computer science", "law", "other"} < set(domain.labels)


def test_huge_texts_cost_no_more_than_long_ones(domain: StaticClassifier) -> None:
    text = "the court ruled that the contract was void " * 250_000
    assert len(features.excerpt(text)) <= features.LIMIT + 5
    began = perf_counter()
    assert domain.classify(text)[0][0] == "law"
    assert perf_counter() - began < 0.5  # milliseconds, on a busy machine too


def test_the_middle_and_the_end_of_a_long_text_are_read() -> None:
    text = "a" * 2_000 + "b" * 4_000 + "c" * 1_000
    read = features.excerpt(text)
    assert {"a", "b", "c"} < set(read)


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("What is  DNA?", " what is dna? "),
        ("ｆｕｌｌ ｗｉｄｔｈ", "full width"),
        ("in 1945", "in 1871"),
        ("line\nbreaks\tand tabs", "line breaks and tabs"),
    ],
)
def test_case_spaces_width_and_digits_do_not_matter(one: str, same: str) -> None:
    assert features.buckets(one).tolist() == features.buckets(same).tolist()


@pytest.mark.parametrize(("one", "other"), [("a b", "b a"), ("x+y", "x-y"), ("細胞", "胞細")])
def test_order_and_signs_do_matter(one: str, other: str) -> None:
    assert features.buckets(one).tolist() != features.buckets(other).tolist()


@given(any_text)
@settings(deadline=None)
def test_buckets_are_distinct_sorted_and_in_range(text: str) -> None:
    found = features.buckets(text)
    assert (np.diff(found) > 0).all()
    assert not len(found) or (found.min() >= 0 and found.max() < 1 << features.BITS)


def test_a_span_has_the_same_hash_wherever_it_stands() -> None:
    alone = set(features.buckets("mitochondria").tolist())
    assert alone <= set(features.buckets("so what do mitochondria do, then").tolist())


def test_the_hashes_never_change() -> None:
    """A model file is worthless once its features hash differently."""
    assert features.buckets("2+2 is  ").tolist() == GOLDEN


GOLDEN = [
    9002,
    141708,
    160874,
    223789,
    255191,
    258691,
    296068,
    353008,
    394628,
    716770,
    751019,
    925181,
    938324,
    971104,
    983228,
]


def test_a_model_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    model = modelfile.read(DOMAIN_MODEL)
    copy = tmp_path / "copy.model"
    modelfile.write(copy, model)
    assert copy.read_bytes() == DOMAIN_MODEL.read_bytes()
    assert copy.stat().st_size < 8_400_000


@pytest.mark.parametrize(
    "damage", [b"", b"PK\x03\x04", modelfile.MAGIC + b"{}\n", modelfile.MAGIC]
)
def test_a_file_that_holds_no_model_says_so(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "broken.model"
    file.write_bytes(damage)
    with pytest.raises(ValueError, match=r"broken\.model"):
        StaticClassifier.load(file)


def test_a_truncated_model_says_so(tmp_path: Path) -> None:
    file = tmp_path / "short.model"
    file.write_bytes(DOMAIN_MODEL.read_bytes()[:-1])
    with pytest.raises(ValueError, match="damaged"):
        StaticClassifier.load(file)


def test_a_model_with_other_features_is_refused() -> None:
    model = dataclasses.replace(modelfile.read(DOMAIN_MODEL), bits=features.BITS + 1)
    with pytest.raises(ValueError, match="bits"):
        StaticClassifier(model)


def test_several_classifiers_read_a_prompt_once() -> None:
    text = "".join(["the same ", "prompt"])
    first = features.buckets(text)
    assert features.buckets(text) is first
    assert not first.flags.writeable  # one classifier cannot spoil it for the next
    equal = "".join(["the ", "same prompt"])
    assert features.buckets(equal).tolist() == first.tolist()
    assert features.buckets("another prompt").tolist() != first.tolist()
    assert features.buckets(text).tolist() == first.tolist()


def test_many_prompts_are_classified_as_each_would_be(domain: StaticClassifier) -> None:
    texts = ["what is dna", "", "SELECT 1;", "\ud800", "क्या हाल है", "lorem " * 2000] * 60
    for text, found in zip(texts, domain.classify_many(texts), strict=True):
        assert dict(found) == pytest.approx(dict(domain.classify(text)), abs=1e-4)


def test_a_model_replaced_on_disk_keeps_answering(tmp_path: Path) -> None:
    file = tmp_path / "live.model"
    modelfile.write(file, modelfile.read(DOMAIN_MODEL))
    live = StaticClassifier.load(file)
    before = live.classify("is a verbal contract binding")
    tiny = dataclasses.replace(
        modelfile.read(DOMAIN_MODEL), known=np.zeros(0, np.int64),
        weights=live._weights[:0], spreads=np.zeros(0, np.uint8),
    )  # fmt: skip
    modelfile.write(file, tiny)
    assert live.classify("is a verbal contract binding") == before
    assert StaticClassifier.load(file).classify("is a verbal contract binding")[0][1] < 0.1
