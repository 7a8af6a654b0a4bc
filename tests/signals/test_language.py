from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.engines.language import LanguageDetector
from wayside.signals.language import CODES, LanguageRule, LanguageSignal
from wayside.vocab.ask import Labels, Language
from wayside.vocab.errors import ConfigError
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

from .answer import reading_of

HELLO = Prompt(model="auto", question="Guten Tag")
DETECTOR = LanguageDetector()


def read(ranked: Labels, prompt: Prompt = HELLO, **rules: LanguageRule) -> dict[str, Verdict]:
    return reading_of(LanguageSignal(rules).read(prompt), lambda ask: ranked)


def test_the_likeliest_language_matches_and_others_come_near() -> None:
    reading = read(
        (("de", 0.7), ("nl", 0.2)),
        german=LanguageRule(languages=("de",)),
        either=LanguageRule(languages=("fr", "de")),
        dutch=LanguageRule(languages=("nl",), threshold=0.1),
        strict=LanguageRule(languages=("de",), threshold=0.9),
        thai=LanguageRule(languages=("th",)),
    )
    assert reading == {
        "german": Verdict(True, 0.7, "de 0.70", 0.7),
        "either": Verdict(True, 0.7, "de 0.70", 0.7),
        "dutch": Verdict(False, 0.0, "nl 0.20", 0.2),
        "strict": Verdict(False, 0.0, "de 0.70", 0.7),
    }


def test_nothing_is_asked_about_an_empty_question_and_no_answer_matches_nothing() -> None:
    german = LanguageRule(languages=("de",))
    assert next(LanguageSignal({"german": german}).read(HELLO)) == (Language("Guten Tag"),)
    assert read((("de", 1.0),), Prompt(model="auto", question=" "), german=german) == {}
    assert read((), HELLO, german=german) == {}


@pytest.mark.parametrize(
    ("code", "fix"),
    [("german", "'de'"), ("zh-CN", "'zh'"), ("EN", "'en'"), ("jp", "'ja'"), ("klingon", "ISO")],
)
def test_an_unknown_code_says_what_to_write(code: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        LanguageSignal({"mine": LanguageRule(languages=(code,))})
    assert str(caught.value).startswith(f"mine.languages[0]: no language {code!r}")
    assert fix in str(caught.value)


def sentences() -> list[tuple[str, str]]:
    lines = (Path(__file__).parent / "language_sentences.jsonl").read_text("utf-8").splitlines()
    return [(row["language"], row["text"]) for row in map(json.loads, lines)]


def test_98_of_100_sentences_in_24_languages_are_told_apart() -> None:
    rows = sentences()
    wrong = [
        (language, text, ranked[:2])
        for language, text in rows
        if not (ranked := DETECTOR.detect(text)) or ranked[0][0] != language or ranked[0][1] < 0.3
    ]
    assert len(rows) >= 24 * 15
    assert len(wrong) <= 0.02 * len(rows), wrong


@pytest.mark.parametrize(
    "text",
    [
        "Why does this fail? for (int i = 0; i < n; ++i) { sum += a[i]; }",
        "SELECT * FROM users WHERE id = 1; why is this so slow?",
        "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
        "docker compose up fails with port already allocated",
        "HELLO WORLD HOW ARE YOU TODAY MY FRIEND",
        "Fix this:\n```js\nconst réponse = fetch(url); // où est la réponse ?\n```\nplease help",
        "Translate 你好 into German please",
        "kubectl get pods -n kube-system shows CrashLoopBackOff, what now?",
        'What does "je ne sais quoi" mean in English?',
        "def foo(x):\n    return x + 1\n\nexplain what this function does",
        "see https://example.com/über/straße?x=1 and summarise the page for me",
    ],
)
def test_code_and_quotations_do_not_hide_english(text: str) -> None:
    assert DETECTOR.detect(text)[0][0] == "en"


@pytest.mark.parametrize(
    "text",
    ["x^2 + 3x - 5 = 0", "json to csv", "git rebase -i HEAD~3", "npm install", "asdf qwer zxcv",
     "std::vector<int> v; v.push_back(1);", "hi", "ChatGPT", '{"name": "bob", "age": 3}'],
)  # fmt: skip
def test_what_is_not_prose_is_no_language(text: str) -> None:
    assert all(probability < 0.3 for _, probability in DETECTOR.detect(text))


@pytest.mark.parametrize("text", ["", " \n", "🙂🙂", "，。！", "1234567", "\ud800", "\0"])
def test_text_without_words_has_no_answer(text: str) -> None:
    assert DETECTOR.detect(text) == ()


@pytest.mark.parametrize(
    ("text", "language"),
    [("你好", "zh"), ("東京", "zh"), ("カラオケ", "ja"), ("서울", "ko"), ("привет", "ru"),
     ("你好，world", "zh"), ("GUTEN MORGEN, WIE GEHT ES DIR HEUTE?", "de")],
)  # fmt: skip
def test_scripts_speak_for_short_texts(text: str, language: str) -> None:
    assert DETECTOR.detect(text)[0][0] == language


@given(st.text(max_size=300))
def test_probabilities_are_ordered_and_known(text: str) -> None:
    ranked = DETECTOR.detect(text)
    assert ranked == DETECTOR.detect(text)
    assert list(ranked) == sorted(ranked, key=lambda item: -item[1])
    assert sum(p for _, p in ranked) <= 1.001
    assert all(code in CODES and 0 < p <= 1 for code, p in ranked)


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the detector opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    assert LanguageDetector().detect("Bonjour tout le monde, ça va ?")[0][0] == "fr"
