"""A picture in the place of words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wayside.dialects.openai_chat import ChatBody
from wayside.dialects.whole import assembled
from wayside.plugins import Draft
from wayside.plugins.image_gen import ImageGenPlugin, ImageGenRule
from wayside.vocab.ask import Failure, Now
from wayside.vocab.errors import RequestError
from wayside.vocab.pictures import Draw, Picture


def run(made: Any, question: str = "Draw a [red] cat!", **rule: Any) -> tuple[Draft, ChatBody]:
    turns = [{"role": "user", "content": question}]
    body = ChatBody(json.dumps({"model": "auto", "messages": turns, "stream": True}).encode())
    draft = Draft(body.edit)
    plugin = ImageGenPlugin(ImageGenRule.model_validate({"engine": "pictures", **rule}))
    flow = plugin.before(body.prompt({}), draft)
    answers: Any = None
    while flow is not None:
        try:
            (asked,) = next(flow) if answers is None else flow.send(answers)
        except StopIteration:
            break
        if isinstance(asked, Draw):
            assert (asked.width, asked.height) == (512, 1024) and asked.prompt == question
        answers = (100.0,) if isinstance(asked, Now) else (made,)
    return draft, body


def test_the_answer_is_the_picture_streamed_or_not() -> None:
    draft, body = run(Picture("https://pictures.example/cat.png", "A red cat."), width=512)
    assert draft.early is not None and draft.early.completion is not None
    assert draft.early.path == "image_generation"
    said = draft.early.completion["choices"][0]["message"]["content"]
    assert said == "![Draw a  red  cat ](https://pictures.example/cat.png)\n\nA red cat."
    whole = assembled(body.told(draft.early.completion))
    assert whole is not None and whole["choices"][0]["message"]["content"] == said


def test_no_picture() -> None:
    with pytest.raises(RequestError) as refused:
        run(Failure("down"), width=512)
    assert refused.value.status == 503 and "down" not in str(refused.value)
    draft, _ = run(Failure("down"), width=512, on_failure="text")
    assert draft.early is None


def test_it_needs_a_model_only_where_words_may_follow() -> None:
    assert ImageGenPlugin(ImageGenRule(engine="p")).answers
    assert not ImageGenPlugin(ImageGenRule(engine="p", on_failure="text")).answers
