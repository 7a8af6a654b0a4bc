"""Vectors from a server that speaks OpenAI's API, good and bad."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiohttp import web

from tests.engines.server import Server, serving
from wayside.engines.base import Tools
from wayside.engines.openai_embeddings import (
    OpenaiEmbeddings,
    OpenaiEmbeddingsSettings,
    ends_of,
)
from wayside.vocab.errors import AskFailed


def engine(server: Server, **settings: Any) -> OpenaiEmbeddings:
    rule = {"base_url": server.url + "/v1", "model": "m", "retries": 0, **settings}
    return OpenaiEmbeddings(OpenaiEmbeddingsSettings.model_validate(rule), Tools("far"))


def vectors(body: dict[str, Any]) -> dict[str, Any]:
    """One vector a text, (length, 3), told in the wrong order."""
    data = [{"index": i, "embedding": [len(t), 3]} for i, t in enumerate(body["input"])]
    return {"data": data[::-1]}


async def test_vectors_have_length_one_and_the_order_of_the_texts() -> None:
    async with serving(vectors) as server:
        asking = engine(server, batch=2)
        found = await asking.embed(("four", "", "a\ud800b"))
        assert np.allclose(found, [[0.8, 0.6], [1 / 10**0.5, 3 / 10**0.5], [0.5**0.5, 0.5**0.5]])
        assert [path for path, _, _ in server.asked] == ["/v1/embeddings"] * 2
        body = server.asked[0][2]
        assert body == {"model": "m", "input": ["four", " "], "encoding_format": "float"}
        assert len(await asking.embed(())) == 0
        asking.close()


async def test_dimensions_a_prefix_and_an_end_to_long_texts() -> None:
    async with serving(vectors) as server:
        asking = engine(server, dimensions=2, prefix="query: ", max_characters=10)
        await asking.embed(("a" * 500 + "b" * 500,))
        body = server.asked[0][2]
        assert body["dimensions"] == 2 and body["input"] == ["query: aaaaabbbbb"]
        asking.close()


def test_the_ends_of_a_text() -> None:
    assert ends_of("short", 5) == "short"
    assert ends_of("abcdefgh", 5) == "abcgh"
    assert ends_of("abcdefgh", 1) == "a"


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ({"data": [{"embedding": [1.0, 2.0]}]}, "did not answer with OpenAI's embeddings|array"),
        ({"data": [{"embedding": [1]}, {"embedding": [1, 2]}]}, "did not answer with OpenAI's"),
        ({"data": [{"embedding": "AAAA"}, {"embedding": "AAAA"}]}, "did not answer with OpenAI's"),
        ({"data": [{"index": 9, "embedding": [1]}, {"embedding": [1]}]}, "did not answer"),
        ({"error": {"message": "no"}}, "did not answer with OpenAI's"),
        ([], "did not answer with OpenAI's"),
        ({"data": [{"embedding": []}, {"embedding": []}]}, r"array of \[2, 0\]"),
        ({"data": [{"embedding": [0.0, 0.0]}, {"embedding": [1.0, 0.0]}]}, "without a direction"),
        ({"data": [{"embedding": [1.0]}, {"embedding": [2.0]}]}, r"not 2 vectors of 2 numbers"),
    ],
    ids=range(9),
)
async def test_an_answer_that_holds_no_vectors(reply: Any, problem: str) -> None:
    async with serving(lambda body: reply) as server:
        settings = {"dimensions": 2} if "numbers" in problem else {}
        asking = engine(server, **settings)
        with pytest.raises(AskFailed, match=problem):
            await asking.embed(("one", "two"))
        asking.close()


async def test_what_the_server_refuses() -> None:
    async with serving(lambda body: web.Response(status=400, text="too long")) as server:
        asking = engine(server)
        with pytest.raises(AskFailed, match=r"'far': .* answered 400"):
            await asking.embed(("one",))
        asking.close()
