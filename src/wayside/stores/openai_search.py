"""Vector stores behind OpenAI's API: ``POST /v1/vector_stores/{id}/search``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from wayside.catalog import catalog
from wayside.net.http import Client, RemoteSettings
from wayside.settings import Capability
from wayside.stores.base import Store, Tools
from wayside.stores.qdrant import name
from wayside.vocab.errors import AskFailed
from wayside.vocab.stores import Passage, Search


class OpenAISearchSettings(RemoteSettings):
    """Example: ``{base_url: "https://api.openai.com/v1", credential: {env: OPENAI_API_KEY}}``"""

    base_url: Annotated[str, Field(min_length=1, max_length=2048)] = "https://api.openai.com/v1"
    """Where it is, `/v1` included; llama-stack and others have the same API."""
    rewrite_query: bool = False
    """Let the server rewrite the question for its search."""
    filters: dict[str, Any] = Field(default_factory=dict)
    """A filter over attributes, as the API has it: `{type: eq, key: region, value: eu}`."""


@catalog.register("store", "openai_search", settings=OpenAISearchSettings, stability="alpha")
class OpenAISearchStore(Store):
    """A vector store behind OpenAI's API: embeds and searches by itself."""

    capabilities: frozenset[Capability] = frozenset({"search"})

    def __init__(self, rule: OpenAISearchSettings, tools: Tools) -> None:
        self._rule = rule
        self._client = Client(rule, tools, "store")

    async def search(self, question: Search) -> tuple[Passage, ...]:
        asked: dict[str, Any] = {
            "query": question.text,
            "max_num_results": min(question.most, 50),
            "rewrite_query": self._rule.rewrite_query,
            "ranking_options": {"score_threshold": max(0.0, min(1.0, question.threshold))},
        }
        if self._rule.filters:
            asked["filters"] = self._rule.filters
        found = await self._client.ask(f"/vector_stores/{name(question.space)}/search", asked)
        rows = found.get("data") if isinstance(found, dict) else None
        if not isinstance(rows, list):
            raise AskFailed("the vector store answered with something that is no list of results")
        return tuple(_passage(row) for row in rows if isinstance(row, dict))[: question.most]

    def close(self) -> None:
        self._client.close()


def _passage(row: dict[str, Any]) -> Passage:
    parts = row.get("content")
    texts = [
        part["text"]
        for part in (parts if isinstance(parts, list) else ())
        if isinstance(part, dict) and isinstance(part.get("text"), str)
    ]
    attributes = row.get("attributes")
    metadata = dict(attributes) if isinstance(attributes, dict) else {}
    if row.get("filename"):
        metadata.setdefault("source", row["filename"])
    score = row.get("score")
    return Passage(
        str(row.get("file_id", "")),
        "\n".join(texts),
        float(score) if isinstance(score, int | float) else 0.0,
        metadata,
    )
