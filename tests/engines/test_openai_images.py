"""Pictures from a server that speaks OpenAI's API."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.engines.server import serving
from wayside.engines.base import Tools
from wayside.engines.openai_images import OpenaiImages, OpenaiImagesSettings
from wayside.vocab.errors import AskFailed
from wayside.vocab.pictures import Draw, Picture


async def draw(answer: Any, **more: Any) -> tuple[Picture, Any]:
    async with serving(lambda body: answer) as server:
        rule = OpenaiImagesSettings(base_url=f"{server.url}/v1", model="m", **more)
        engine = OpenaiImages(rule, Tools("pictures"))
        try:
            made = await engine.draw(Draw("a cat", "pictures", 64, 32))
        finally:
            engine.close()
        return made, server.asked[0]


async def test_an_address_or_the_picture_itself() -> None:
    made, asked = await draw({"data": [{"url": "https://x/cat.png"}]}, options={"steps": 4})
    assert made == Picture("https://x/cat.png")
    assert asked[0] == "/v1/images/generations"
    assert asked[2] == {"steps": 4, "model": "m", "prompt": "a cat", "n": 1, "size": "64x32"}
    made, _ = await draw({"data": [{"b64_json": "aGk=", "revised_prompt": "A cat."}]})
    assert made == Picture("data:image/png;base64,aGk=", "A cat.")


@pytest.mark.parametrize(
    "answer", [{}, {"data": []}, {"data": [{"url": "javascript:alert(1)"}]}, {"data": [7]}]
)
async def test_what_is_no_picture(answer: Any) -> None:
    with pytest.raises(AskFailed):
        await draw(answer)


def test_what_each_picture_says_is_no_option() -> None:
    with pytest.raises(ValidationError, match="size is set for each picture"):
        OpenaiImagesSettings(base_url="http://x", model="m", options={"size": "1x1"})
