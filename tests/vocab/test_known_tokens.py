from __future__ import annotations

import gc
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.vocab.known_tokens import KnownTokens
from wayside.vocab.prefix import Chains

CHAINS = Chains(1, 10_000)  # blocks of four bytes


def chain(text: str) -> list[int]:
    return CHAINS.chain("m", b"", text.encode())


def tokens(text: str) -> list[int]:
    """Three characters each."""
    return [hash(text[i : i + 3]) % 2**32 for i in range(0, len(text), 3)]


def known(*texts: str, most: int = 10**6) -> KnownTokens:
    found = KnownTokens(4, most)
    for text in texts:
        found.learn(chain(text), text.encode(), tokens(text))
    return found


def test_the_same_text_has_the_same_tokens() -> None:
    text = "It was a dark and stormy night."
    found = known(text).find(chain(text), text.encode())
    assert found.complete and list(found.tokens) == tokens(text) and found.total == 11


def test_what_begins_alike_has_as_many_tokens_in_common_as_bytes() -> None:
    text = "abcdefghijkl" * 10
    asked = text[:80] + "X" * 160
    found = known(text).find(chain(asked), asked.encode())
    assert not found.complete and found.tokens[: found.common].tolist() == tokens(text[:80])[:26]
    assert found.total == 80


def test_what_goes_on_after_an_end_has_all_its_tokens() -> None:
    text = "abcdefghijkl" * 10 + "mn]"  # the last block is not full
    asked = text[:-1] + ",and so on" * 9
    found = known(text).find(chain(asked), asked.encode())
    assert found.common == len(tokens(text)) - 1


def test_a_prompt_that_is_longer_than_its_chain_is_never_known_whole() -> None:
    text = "abcdefghijkl" * 10
    store = KnownTokens(4, 1000)
    store.learn(chain(text)[:20], text.encode(), tokens(text))
    found = store.find(chain(text)[:20], text[:-1].encode() + b"X")
    assert not found.complete and found.common == 40 * 80 // 120


@settings(deadline=None)
@given(st.lists(st.text("ab", min_size=1, max_size=40), min_size=1, max_size=8), st.text("ab"))
def test_no_more_is_claimed_than_is_alike(texts: list[str], asked: str) -> None:
    store = known(*texts)
    found = store.find(chain(asked), asked.encode())
    alike = max((length for text in texts if (length := same(text, asked))), default=0)
    if found is None:
        assert alike < 4 and asked not in texts
        return
    assert found.common * 3 <= alike + 3 and found.common <= found.total
    assert asked in texts or not found.complete
    assert list(found.tokens[: found.common - 1]) == tokens(asked)[: max(0, found.common - 1)]


def same(one: str, two: str) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b),
        min(len(one), len(two)),
    )


def test_a_longer_turn_takes_the_place_of_the_shorter() -> None:
    store = known(*["word " * n for n in range(1, 60)])
    kept = {id(prompt): len(prompt.tokens) for prompt in store._prompts.values()}
    assert sum(kept.values()) < 59 * 100 / 2, "what nothing leads to any more is not kept"
    assert store.find(chain("word " * 59), b"word " * 59).complete


def test_nothing_is_known_of_nothing() -> None:
    store = known()
    store.learn([], b"", [1])
    store.learn([1], b"abcd", [])
    assert store.find(chain("abcd"), b"abcd") is None and store.find([], b"") is None
    assert not store.held


@pytest.mark.parametrize("bad", [[-1], [2**32], ["x"], [None]])
def test_what_is_no_token_is_refused(bad) -> None:
    with pytest.raises((OverflowError, TypeError)):
        known().learn([1], b"abcd", bad)


@pytest.mark.parametrize(("count", "blocks"), [(1, 2048), (1, 1), (30, 3)])
def test_memory_is_bounded_whatever_servers_say_that_texts_have(count, blocks) -> None:
    """One token for a megabyte, say: what leads to it has to be paid for."""
    gc.collect()
    tracemalloc.start()
    store = KnownTokens(256, 100_000)
    for i in range(4000 // blocks + 60):
        chain = [(i << 20) + b << 30 for b in range(blocks)]
        store.learn(chain, b"%255d" % i * blocks, [7] * count)
        assert store.held <= 100_000
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert store.held > 60_000 and taken < 20 * 100_000


def test_memory_is_bounded() -> None:
    dice = random.Random(1)
    gc.collect()
    tracemalloc.start()
    store = KnownTokens(256, 100_000)
    for _ in range(100):
        text = dice.randbytes(4 * 4000)
        blocks = Chains(64, 2048).chain("m", b"", text)
        store.learn(blocks, text, [dice.getrandbits(17) for _ in range(4000)])
        assert store.held <= 100_000
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert store.held > 90_000 and taken < 16 * 100_000
