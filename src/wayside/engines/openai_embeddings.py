"""Vectors from a server that speaks OpenAI's ``/v1/embeddings``: OpenAI, vLLM, TEI, Ollama."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from wayside.catalog import catalog
from wayside.engines.base import Engine, Tools, Vectors
from wayside.engines.heads import unit
from wayside.net.http import Client, RemoteSettings
from wayside.settings import Task


class OpenaiEmbeddingsSettings(RemoteSettings):
    """An embedding model behind OpenAI's API.

    Example: ``{base_url: "http://embed:8000/v1", model: BAAI/bge-m3}``
    """

    model: Annotated[str, Field(min_length=1, max_length=1024)]
    """As the server calls it."""
    dimensions: PositiveInt | None = None
    """How many numbers a vector shall have, for models that can choose."""
    prefix: Annotated[str, Field(max_length=4096)] = ""
    """Put before every text, such as ``query: `` for E5."""
    batch: Annotated[int, Field(ge=1, le=2048)] = 64
    """Texts sent in one request; more go in several, one after another."""
    max_characters: Annotated[int, Field(ge=1, le=10_000_000)] = 24_000
    """Of a longer text the beginning and the end are sent, half each."""


@catalog.register("engine", "openai_embeddings", settings=OpenaiEmbeddingsSettings)
class OpenaiEmbeddings(Engine):
    """Asks an OpenAI-compatible server for vectors."""

    tasks: frozenset[Task] = frozenset(["embed"])

    def __init__(self, rule: OpenaiEmbeddingsSettings, tools: Tools) -> None:
        self._client = Client(rule, tools)
        self._rule = rule

    async def embed(self, texts: tuple[str, ...]) -> Vectors:
        if not texts:
            return np.zeros((0, 0), np.float32)
        size = self._rule.batch
        parts = []
        for at in range(0, len(texts), size):  # a bank of examples is asked for once, in order
            parts.append(await self._vectors(texts[at : at + size]))
        widths = {part.shape[1] for part in parts}
        if len(widths) > 1:
            raise self._client.failed(f"gave vectors of {sorted(widths)} numbers")
        return np.concatenate(parts)

    def close(self) -> None:
        self._client.close()

    async def _vectors(self, texts: tuple[str, ...]) -> Vectors:
        rule = self._rule
        body: dict[str, Any] = {
            "model": rule.model,
            "input": [rule.prefix + ends_of(text, rule.max_characters) or " " for text in texts],
            "encoding_format": "float",
        }
        if rule.dimensions is not None:
            body["dimensions"] = rule.dimensions
        found = await self._client.ask("/embeddings", body)
        try:
            rows: list[Any] = [None] * len(texts)
            for place, item in enumerate(found["data"]):
                rows[item.get("index", place)] = item["embedding"]
            vectors = np.array(rows, np.float32)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise self._client.failed("did not answer with OpenAI's embeddings") from error
        wanted = rule.dimensions or (vectors.shape[-1] if vectors.ndim == 2 else 0)
        if vectors.shape != (len(texts), wanted) or not wanted:
            raise self._client.failed(
                f"gave an array of {list(vectors.shape)}, not {len(texts)} vectors"
                + (f" of {rule.dimensions} numbers" if rule.dimensions else "")
            )
        return unit(vectors)


def ends_of(text: str, most: int) -> str:
    """The text, or of one longer than ``most`` characters its beginning and its end."""
    if len(text) <= most:
        return text
    half = most // 2
    return text[: most - half] + (text[-half:] if half else "")
