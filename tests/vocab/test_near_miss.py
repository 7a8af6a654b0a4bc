"""Questions that may share an answer, and the many that may not."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.vocab.near_miss import READ, differs, unfit
from wayside.vocab.near_miss_words import LANGUAGES, tables

CORPUS = Path(__file__).parents[2] / "corpora" / "near_miss"


@pytest.mark.parametrize(
    ("asked", "kept", "kind"),
    [
        ("is 20 mg of aspirin too much", "is 200 mg of aspirin too much", "number"),
        ("boil 5 eggs", "boil -5 eggs", "number"),
        ("5!", "5", "words"),
        ("2 * (3 + 4)", "2 * 3 + 4", "words"),
        ("node 1.5", "node 15", "number"),
        ("a 6 foot fence", "a 6 metre fence", "unit"),
        ("download at 10 MB", "download at 10 Mb", "case"),
        ("weather in Rome today", "weather in Rome tomorrow", "time"),
        ("who is president of Peru", "who was president of Peru", "time"),
        ("can I take it", "can I not take it", "negation"),
        ("can't dogs eat rice", "can dogs eat rice", "negation"),
        ("recipes with nuts", "recipes without nuts", "negation"),
        ("enable logging", "disable logging", "polarity"),
        ("how do I turn on dark mode", "how do I turn off dark mode", "polarity"),
        ("is Go faster than C", "is Go slower than C", "comparison"),
        ("delete all rows", "delete some rows", "quantifier"),
        ("fly from Oslo to Rome", "fly from Rome to Oslo", "order"),
        ("is Bach older than Mozart", "is Mozart older than Bach", "order"),
        ("subtract 5 from 10", "subtract 10 from 5", "order"),
        ("the train to Rome", "the train from Rome", "direction"),
        ("who is Plato", "where is Plato", "question"),
        ("how do I sort a list", "when do I sort a list", "question"),
        ("how should I sort a list", "how do I sort a list", "question"),
        ("how do you feel", "how do I feel", "question"),
        ("sort a list in C", "sort a list in C++", "words"),
        ("US population", "us population", "case"),
        ("hotel in Berlin", "отель in Berlin", "language"),
        ("who directed Alien", "who directed Aliens", "words"),
        ("what is the capital of Niger", "what is the capital of Nigeria", "words"),
        ("quick sort in C", "fast sort in C", "words"),
        ("county population", "country population", "words"),
        ("what is north of Korea", "what is North Korea", "words"),
        ("why do a few people vote", "why do few people vote", "quantifier"),
        ("symptoms of hepatitis A", "symptoms of hepatitis", "words"),
        ("vitamin a dose", "vitamin dose", "words"),
        ("write a note of thanks", "write a note", "words"),
        ("cómo se dice gracias", "cómo se dice por favor", "words"),
        ("как переводится спасибо", "как переводится пожалуйста", "words"),
        ("hello kitty creator", "kitty creator", "words"),
        ("well water testing", "water testing", "words"),
        ("do some animals swim", "do animals swim", "quantifier"),
        ("what is a purchase order", "what is a buy order", "words"),
        ("请假条怎么写", "假条怎么写", "words"),
        ("Beißt der Hund den Mann?", "Beißt den Hund der Mann?", "order"),
        ("Was ist die Liebe", "Wie ist die Liebe", "question"),
        ("هل الأسبرين آمن", "هل الأسبرين غير آمن", "negation"),
        ("怎么打开暖气", "怎么关闭暖气", "words"),
        ("トイレはどこですか", "トイレを教えて", "words"),
        ("x" * (READ + 1), "x" * (READ + 1) + "y", "length"),
        ("?", "hello", "language"),
        ("?", "!", "words"),
    ],
)
def test_near_misses(asked: str, kept: str, kind: str) -> None:
    assert differs(asked, kept) == differs(kept, asked) == kind


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("What is the capital of France?", "what's the capital of france"),
        ("please tell me what the capital of Peru is", "capital of Peru"),
        ("Peru's capital", "What's the capital of Peru?"),
        ("Hi there, how can I sort a list in Go?", "how do I sort a list in Go"),
        ("how to cook rice", "what's the right way to cook rice?"),
        ("in Go, how do I sort a list", "how to sort a list using Go"),
        ("when was Ada Lovelace born?", "Ada Lovelace's date of birth"),
        ("20% of 80", "20 percent of 80"),
        ("why isn't it working", "why is it not working"),
        ("Wie heißt die Hauptstadt von Peru?", "was ist die Hauptstadt von Peru"),
        ("Quand est né Molière ?", "date de naissance de Molière"),
        ("¿Puedes decirme cuándo nació Lorca?", "cuándo nació Lorca"),
        ("você pode me dizer como posso ir", "como posso ir"),
        ("Che tempo fa a Roma?", "meteo Roma"),
        ("Hoe is het weer in Delft?", "weer Delft"),
        ("Cześć, jaka jest stolica Peru?", "stolica Peru"),
        ("Здравствуйте, какая столица Перу?", "столица Перу"),
        ("Merhaba, Peru'nun başkenti neresi?", "Peru'nun başkenti nedir"),
        ("من فضلك ما عاصمة بيرو؟", "ما هي عاصمة بيرو"),
        ("पेरू की राजधानी क्या है?", "पेरू की राजधानी बताओ"),
        ("请问秘鲁的首都是哪里？", "秘鲁首都叫什么"),
        ("ペルーの首都はどこですか", "ペルーの首都を教えてください"),
        ("페루 수도가 어디야", "페루의 수도를 알려줘"),
    ],
)
def test_the_same_in_other_words(asked: str, kept: str) -> None:
    assert differs(asked, kept) == differs(kept, asked) == ""


@pytest.mark.parametrize("file", ["pairs.jsonl", "heldout.jsonl"])
def test_no_near_miss_of_the_corpus_passes(file: str) -> None:
    rows = [json.loads(line) for line in (CORPUS / file).read_text("utf-8").splitlines()]
    passed = [row for row in rows if not row["same"] and not differs(row["a"], row["b"])]
    assert passed == []
    kinds = {differs(row["a"], row["b"]) for row in rows if not row["same"]}
    assert len(kinds) >= 8, "most differences have a name"


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=200), st.text(max_size=200))
def test_any_two_texts_can_be_compared_and_the_order_does_not_matter(a: str, b: str) -> None:
    assert differs(a, b) == differs(b, a)
    assert differs(a, a) == ""


WORDS = st.sampled_from(["how", "do", "cook", "rice", "in", "Rome", "with", "2", "eggs", "not"])


@settings(deadline=None, max_examples=100)
@given(
    st.lists(WORDS),
    st.integers(0, 99),
    st.sampled_from(["more", "never", "7", "Oslo", "without"]),
)
def test_a_word_that_matters_is_never_lost(words: list[str], at: int, word: str) -> None:
    at %= len(words) + 1
    other = [*words[:at], word, *words[at:]]
    assert differs(" ".join(words), " ".join(other)) != ""


def test_no_text_takes_long() -> None:
    """Against the cost of ordinary questions in the same run, as machines differ."""
    began = time.perf_counter()
    for i in range(200):
        differs(f"how do I cook rice for {i} people", f"cooking rice for {i + 1} people, please")
    usual = time.perf_counter() - began
    for piece in ("how do i ", "what is the ", "a's ", "的首都是", "' ", "is (", "1 ", "of of "):
        text = piece * 400
        began = time.perf_counter()
        for size in (399, 1_999):
            differs(text[:size], text[1:size] + "q")
        assert time.perf_counter() - began < usual, piece


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("how do I cook rice", ""),
        ("```py\nprint(1)\n```", "code"),
        ("fix this: if (a == b) { return 1; }", "code"),
        ("def f(x):\n    return x", "code"),
        ("add 1 2 3 4 5", "numbers"),
        ("two and 2 are 4", ""),
        ("word " * 500, "long"),
    ],
)
def test_what_only_the_same_question_may_answer(text: str, why: str) -> None:
    assert unfit(text) == why


def test_tables_say_what_is_wrong_with_them() -> None:
    (found,) = tables("## xx unspaced\ntelling:\n  a b\nframes:\n  ^_a|\n      ^_b => _c\n")
    name, words = found
    assert name == "xx" and words.unspaced and words.telling == {"a", "b"}
    assert words.frames[0][0].pattern == "^ a|^ b" and words.frames[0][1] == " c"
    for text in ("## xx\nframe:\n  a => b\n", "## xx spaced\n", "## xx\nframes:\n  a\n"):
        with pytest.raises(ValueError):
            list(tables(text))
    assert len(LANGUAGES) >= 14
