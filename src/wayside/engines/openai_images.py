"""Pictures from a server that speaks OpenAI's ``/v1/images/generations``: OpenAI, vLLM-Omni."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, JsonValue, PositiveInt, field_validator

from wayside.catalog import catalog
from wayside.engines.base import Engine, Tools
from wayside.net.http import Client, RemoteSettings
from wayside.settings import Task
from wayside.vocab.pictures import Draw, Picture

_OURS = frozenset({"model", "prompt", "n", "size"})


class OpenaiImagesSettings(RemoteSettings):
    """A model that makes pictures, behind OpenAI's API.

    Example: ``{base_url: "http://image-router:8005/v1", model: Qwen/Qwen-Image}``
    """

    model: Annotated[str, Field(min_length=1, max_length=1024)]
    """As the server calls it."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Further fields of every request: `{num_inference_steps: 28, cfg_scale: 4.5}`."""
    deadline_ms: PositiveInt = 120_000
    """For the whole picture, retries included."""
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    """Further tries; a picture is dear, so none unless asked for."""
    max_bytes: PositiveInt = 32 << 20
    """A larger answer is refused."""

    @field_validator("options")
    @classmethod
    def _not_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if name in _OURS:
                raise ValueError(f"{name} is set for each picture; leave it out")
        return value


@catalog.register("engine", "openai_images", settings=OpenaiImagesSettings)
class OpenaiImages(Engine):
    """Asks an OpenAI-compatible server for pictures."""

    tasks: frozenset[Task] = frozenset(["draw"])

    def __init__(self, rule: OpenaiImagesSettings, tools: Tools) -> None:
        self._client = Client(rule, tools)
        self._rule = rule

    async def draw(self, question: Draw) -> Picture:
        body: dict[str, Any] = {
            **self._rule.options,
            "model": self._rule.model,
            "prompt": question.prompt,
            "n": 1,
            "size": f"{question.width}x{question.height}",
        }
        found = await self._client.ask("/images/generations", body)
        try:
            made = found["data"][0]
            url, inside = made.get("url"), made.get("b64_json")
            revised = made.get("revised_prompt")
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise self._client.failed("did not answer with OpenAI's images") from error
        if isinstance(inside, str) and inside:
            kind = found.get("output_format")
            kind = kind if kind in ("png", "jpeg", "webp") else "png"
            url = f"data:image/{kind};base64,{inside}"
        if not isinstance(url, str) or not url.startswith(("https://", "http://", "data:image/")):
            raise self._client.failed("answered with no address of a picture")
        return Picture(url, revised if isinstance(revised, str) else "")

    def close(self) -> None:
        self._client.close()
