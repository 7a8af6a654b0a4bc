"""The requests of docs/reference/management-api.md get the answers that the page shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.docs.pages import ROOT, blocks
from tests.gateway.api_rig import Api, listening

PAGE = ROOT / "docs" / "reference" / "management-api.md"
VOLATILE = {
    "category",
    "message",
    "reasoning",
    "version",
    "loaded",
    "loaded_models",
    "total_models",
}
"""Keys whose text or number is of this build, this model or this moment."""
PART = ", among others"


class Example(NamedTuple):
    line: int
    method: str
    path: str
    body: Any
    answer: Any
    whole: bool
    """Whether the answer has no other keys."""


def examples() -> Iterator[Example]:
    request: tuple[str, str, Any] | None = None
    for block in blocks(PAGE, "json"):
        if not block.mark:
            continue
        said = json.loads(block.text)
        method, path, *_ = [*block.mark.split(), "", ""]
        if method == "POST":
            request = (method, path, said)
        else:
            if method == "GET":
                request = (method, path, None)
            assert request is not None, f"{block}: an answer without a request"
            assert "answers" in block.mark, block
            yield Example(block.line, *request, said, not block.mark.endswith(PART))
            request = None


EXAMPLES = list(examples())


def config() -> str:
    ((block),) = (b for b in blocks(PAGE, "yaml"))
    return block.text


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.method} {e.path}")
async def test_the_page_shows_what_is_answered(example: Example) -> None:
    async with listening(None, config()) as api:
        status, answer = await ask(api, example)
        assert status == 200, answer
        alike(example.answer, answer, "answer", example.whole)


async def ask(api: Api, example: Example) -> tuple[int, Any]:
    if example.method == "GET":
        return await api.get(example.path)
    return await api.post(example.path, example.body)


def alike(shown: Any, found: Any, where: str, whole: bool) -> None:
    """The same keys, kinds of values, lengths, words and yes or no; numbers may differ."""
    if isinstance(shown, dict):
        assert isinstance(found, dict), where
        if whole:
            assert set(shown) == set(found), where
        for key, value in shown.items():
            assert key in found, f"{where}.{key}"
            if key not in VOLATILE or isinstance(value, dict | list):
                alike(value, found[key], f"{where}.{key}", True)
            else:
                assert type(value) is type(found[key]), f"{where}.{key}"
    elif isinstance(shown, list):
        assert len(shown) == len(found), where
        for i, (one, other) in enumerate(zip(shown, found, strict=True)):
            alike(one, other, f"{where}[{i}]", True)
    elif isinstance(shown, float):
        assert isinstance(found, float), where
    else:
        assert shown == found, where


def test_every_endpoint_has_an_example() -> None:
    shown = {(e.method, e.path.partition("?")[0]) for e in EXAMPLES}
    text = PAGE.read_text()
    for line in text.splitlines():
        if line.startswith("| `"):
            method, _, path = line.split("`")[1].partition(" ")
            if path.startswith(OF_EARLIER_REQUESTS):
                continue
            if method in ("GET", "POST") and path not in TEXTUAL:
                assert (method, path) in shown, f"{method} {path} has no example"


TEXTUAL = {"/metrics", "/docs", "/catalog", "/startup-status"}
"""Not JSON, too long to show, or the same as another."""
OF_EARLIER_REQUESTS = ("/v1/router/", "/v1/router_replay", "/v1/memory")
"""What they show comes from requests on the data plane: see test_outcomes_api, test_replay_api and
test_memory_api."""
