"""Tokens have ids that are the same everywhere, and an API that tells them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.sim import count_tokens, serve_sim, token_ids, token_text

from .conftest import chat


@given(st.text())
def test_there_is_an_id_for_each_token_and_it_fits_31_bits(text):
    ids = token_ids(text)
    assert len(ids) == count_tokens(text)
    assert all(0 <= number < 2**31 for number in ids)


@given(st.text(st.characters(min_codepoint=1, max_codepoint=127)))
def test_ascii_is_spelled_by_its_ids(text):
    assert token_text(token_ids(text)) == text


@given(st.text(min_size=1, max_size=4), st.text(max_size=40))
def test_a_token_has_the_same_id_wherever_it_is(piece, rest):
    piece = piece.ljust(4, ".")
    assert token_ids(piece + rest)[0] == token_ids(piece)[0]


def test_the_ids_never_change():
    """They are in KV events that other programs keep, so a change would need a note."""
    assert token_ids("Hello, world") == (0x6C6C6548, 0x77202C6F, 0x646C726F)
    assert token_ids("naïve") == (0x60AAF2E1, 0x65)
    assert token_text(token_ids("naïve")) == "\ufffde"


async def test_tokenize_and_detokenize(http):
    async with serve_sim(["small"]) as [sim]:

        async def post(path, body):
            async with http.post(f"{sim.url}{path}", json=body) as response:
                return response.status, await response.json()

        status, said = await post("/tokenize", {"model": "small", "prompt": "Hello, world"})
        assert (status, said["count"], said["max_model_len"]) == (200, 3, 131072)
        assert tuple(said["tokens"]) == token_ids("Hello, world")
        assert await post("/detokenize", {"tokens": said["tokens"]}) == (
            200,
            {"prompt": "Hello, world"},
        )
        turns = {**chat("Hello"), "messages": [{"role": "system", "content": "Be"}]}
        turns["messages"].append({"role": "user", "content": "Hi"})
        _, said = await post("/tokenize", turns)
        assert tuple(said["tokens"]) == token_ids("Be\nHi"), "as the cache sees the prompt"
        _, done = await post("/v1/chat/completions", turns)
        assert done["usage"]["prompt_tokens"] == said["count"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/tokenize", {"model": "x", "prompt": "a"}, 404),
        ("/tokenize", {"prompt": 3}, 400),
        ("/tokenize", {"messages": []}, 400),
        ("/detokenize", {"tokens": ["a"]}, 400),
        ("/detokenize", {"tokens": [-1]}, 400),
        ("/detokenize", {}, 400),
    ],
)
async def test_what_cannot_be_tokenized_is_refused(http, path, body, status):
    async with (
        serve_sim(["small"]) as [sim],
        http.post(f"{sim.url}{path}", json=body) as response,
    ):
        assert response.status == status
