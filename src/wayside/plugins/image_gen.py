"""Answer with a picture of what the user asks for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from wayside.catalog import catalog
from wayside.plugins import Draft
from wayside.settings import EngineName, EngineOf, Settings
from wayside.vocab.ask import Flow, Now, ask
from wayside.vocab.errors import AskFailed, RequestError
from wayside.vocab.pictures import Draw
from wayside.vocab.prompt import Prompt

PATH = "image_generation"
_LONGEST = 32_000
Pixels = Annotated[int, Field(ge=16, le=8192)]


class ImageGenRule(Settings):
    """Example: ``{engine: pictures, width: 1024, height: 1024}``"""

    engine: Annotated[EngineName, EngineOf("draw")]
    """A key of `engines` that draws."""
    width: Pixels = 1024
    """Pixels."""
    height: Pixels = 1024
    """Pixels."""
    on_failure: Literal["refuse", "text"] = "refuse"
    """Where no picture comes: answer 503, or let the decision's model answer in words."""


@catalog.register("plugin", "image_gen", settings=ImageGenRule, stability="alpha")
class ImageGenPlugin:
    """Answers with a picture, as Markdown in the place of words."""

    def __init__(self, rule: ImageGenRule) -> None:
        self._rule = rule
        self.answers = rule.on_failure == "refuse"
        self.creates = True

    def before(self, prompt: Prompt, draft: Draft) -> Flow[None] | None:
        return self._draw(prompt, draft) if prompt.question.strip() else None

    def _draw(self, prompt: Prompt, draft: Draft) -> Flow[None]:
        rule = self._rule
        try:
            made = yield from ask(
                Draw(prompt.question[:_LONGEST], rule.engine, rule.width, rule.height)
            )
        except AskFailed as failed:
            if rule.on_failure == "refuse":
                raise RequestError(
                    "The picture could not be made; try again later.",
                    status=503,
                    kind="server_error",
                    code="image_generation_unavailable",
                ) from failed
            return
        now = yield from ask(Now())
        alt = " ".join(prompt.question.split())[:80].translate(_PLAIN)
        said = f"![{alt}]({made.url})"
        if made.revised_prompt:
            said = f"{said}\n\n{made.revised_prompt}"
        draft.answer(_completion(prompt.model, said, int(now)), path=PATH)


_PLAIN = str.maketrans("[]()!\\", "      ")


def _completion(model: str, said: str, now: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": said, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {
        "id": f"chatcmpl-image-{now:x}",
        "object": "chat.completion",
        "created": now,
        "model": model,
        "choices": [choice],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }
