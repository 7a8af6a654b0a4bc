import json
from typing import Any

import pytest
from pydantic import ValidationError

from wayside.dialects.openai_chat import ChatBody
from wayside.dialects.openai_completions import CompletionBody
from wayside.signals.input_modality import InputModalityRule, InputModalitySignal
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

TEXT = {"type": "text", "text": "What is this?"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}


def prompt(*contents: Any, role: str = "user") -> Prompt:
    messages = [{"role": role, "content": content} for content in contents]
    return ChatBody(json.dumps({"model": "m", "messages": messages}).encode()).prompt({})


def read(asked: Prompt, **rule: Any) -> Verdict:
    signal = InputModalitySignal({"it": InputModalityRule.model_validate(rule)})
    return signal.read(asked)["it"]


@pytest.mark.parametrize(
    ("content", "any_of", "all_of", "only", "none_of"),
    [
        ("words", False, False, False, True),
        ([TEXT, IMAGE], True, False, False, False),
        ([IMAGE], True, False, True, False),
        ([AUDIO], True, False, True, False),
        ([IMAGE, AUDIO], True, True, True, False),
        ([TEXT, IMAGE, AUDIO], True, True, False, False),
        ("", False, False, False, True),
        ([], False, False, False, True),
    ],
)
def test_combinations(content: Any, any_of: bool, all_of: bool, only: bool, none_of: bool) -> None:
    expected = {"any": any_of, "all": all_of, "only": only, "none": none_of}
    for match, holds in expected.items():
        verdict = read(prompt(content), modalities=["image", "audio"], match=match)
        assert verdict.matched is holds, match
        assert verdict.confidence == float(holds)


def test_the_value_counts_what_is_named_also_when_it_does_not_match() -> None:
    asked = prompt([TEXT, IMAGE, IMAGE], [IMAGE, AUDIO], "go on")
    assert read(asked, modalities=["image"]).value == 3
    assert read(asked, modalities=["image", "audio"], match="none").value == 4
    assert read(asked, modalities=["text"]).value == 2
    assert read(asked, modalities=["audio"]).because == "2 text, 3 image, 1 audio"


def test_the_question_is_the_last_message_of_the_user() -> None:
    asked = prompt([TEXT, IMAGE], "and now in words")
    assert read(asked, modalities=["image"]).matched
    assert not read(asked, modalities=["image"], scope="question").matched
    assert read(asked, modalities=["text"], match="only", scope="question").matched


def test_only_what_the_user_sends_counts() -> None:
    asked = prompt([IMAGE], role="assistant")
    verdict = read(asked, modalities=["image"])
    assert (verdict.matched, verdict.because) == (False, "nothing")


def test_a_completion_is_text() -> None:
    asked = CompletionBody(b'{"model":"m","prompt":"Once upon a time"}').prompt({})
    assert read(asked, modalities=["text"], match="only").matched


@pytest.mark.parametrize(
    "rule",
    [{}, {"modalities": []}, {"modalities": ["video"]}, {"modalities": ["text"], "match": "x"}],
)
def test_bad_settings_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        InputModalityRule.model_validate(rule)
