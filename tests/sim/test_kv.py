"""The KV cache finds what was read before, and never holds more than it has room for."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.sim import SimModel, serve_sim
from wayside.sim.kv import KvCache, Text

from .conftest import chat
from .test_engine import ask, metrics, of


def text(*parts, owner=(None, None)):
    return Text("".join(str(part).ljust(16, "-") for part in parts), owner)


def hold(cache, prompt, answer_tokens=0):
    return cache.hold(prompt, cache.names(prompt), len(prompt.text) // 4 + answer_tokens)


def test_a_beginning_is_found_and_a_middle_is_not():
    cache = KvCache(16, 4)
    first = hold(cache, text("a", "b", "c"))
    assert first.found == 0
    assert hold(cache, text("a", "b", "x")).found == 2
    assert hold(cache, text("x", "b", "c")).found == 0
    assert hold(cache, text("a", "b", "c", owner=("lora", None))).found == 0
    assert hold(cache, text("a", "b", owner=(None, "salt"))).found == 0


def test_blocks_of_many_are_counted_once_and_stay_when_given_back():
    cache = KvCache(8, 4)
    one, two = hold(cache, text("a", "b", "c")), hold(cache, text("a", "b", "d"))
    assert (cache.named_in_use, cache.cached) == (4, 0)
    cache.release(one)
    assert (cache.named_in_use, cache.cached) == (3, 1)
    cache.release(two)
    assert (cache.named_in_use, cache.cached) == (0, 4)


def test_there_is_no_room_beside_what_is_held():
    cache = KvCache(8, 4)
    held = hold(cache, text("a", "b", "c"), answer_tokens=12)
    assert hold(cache, text("x", "y", "z")) is None
    assert hold(cache, text("a", "b", "x")) is not None, "two of its three blocks are shared"
    cache.release(held)
    assert hold(cache, text("x", "y", "z")) is not None


def test_the_least_recently_used_goes_first_and_the_end_before_the_beginning():
    told = Told()
    cache = KvCache(6, 4, told)
    _, b, c = cache.names(text("a", "b", "c"))
    x, y, z = cache.names(text("x", "y", "z"))
    cache.release(hold(cache, text("a", "b", "c")))
    cache.release(hold(cache, text("x", "y", "z")))
    cache.release(hold(cache, text("a", "b")))
    cache.release(hold(cache, text("n", "m", "o", "p", "q")))
    assert told.gone == [c, z, y, x, b]
    assert hold(cache, text("a", "b", "c")).found == 1


def test_an_answer_is_found_by_the_next_turn():
    cache = KvCache(16, 4)
    held = hold(cache, text("a", "b"), answer_tokens=8)
    cache.release(held, "answer".ljust(32, "."))
    assert hold(cache, Text(text("a", "b").text + "answer".ljust(32, ".") + "more")).found == 4


def test_what_is_larger_than_the_cache_has_it_to_itself():
    cache = KvCache(4, 4)
    held = hold(cache, text(*range(9)), answer_tokens=100)
    assert len(held.keys) == 4 and hold(cache, text("x")) is None
    cache.release(held)
    assert hold(cache, text("x")) is not None


def test_cleared_while_it_is_held_a_block_is_not_found_again():
    cache = KvCache(8, 4)
    held = hold(cache, text("a", "b"), answer_tokens=4)
    cache.clear()
    assert hold(cache, text("a")).found == 0
    cache.release(held, "answer".ljust(16, "."))
    assert hold(cache, text("a", "b")).found == 1, "a was read again, b was not"


@given(st.lists(st.tuples(st.text("ab", max_size=5), st.integers(0, 3), st.booleans())))
@settings(max_examples=300)
def test_whatever_comes_it_holds_no_more_than_its_capacity(steps):
    """And a block is in the cache only if the one before it is: the chain has no holes."""
    told = Told()
    cache = KvCache(6, 4, told)
    open_ = []
    for letters, answer, close in steps:
        held = hold(cache, text(*letters), answer_tokens=4 * answer)
        if held is not None:
            open_.append((held, answer))
        if open_ and (close or held is None):
            oldest, made = open_.pop(0)
            cache.release(oldest, "answer".ljust(16, ".") * made)
        spare = sum(held.spare for held, _ in open_)
        assert cache.named_in_use + spare + cache.cached <= cache.capacity
        assert len(told.parents) == cache.named_in_use + cache.cached
        assert all(p is None or p in told.parents for p in told.parents.values())
    for held, _ in open_:
        cache.release(held)
    assert cache.named_in_use == 0
    assert len(told.parents) == cache.cached


class Told:
    """What a watcher knows."""

    def __init__(self):
        self.parents = {}
        self.gone = []

    def stored(self, parent, keys, text, first):
        for key in keys:
            assert key not in self.parents, "told twice"
            self.parents[key], parent = parent, key

    def removed(self, keys):
        self.gone += keys
        for key in keys:
            del self.parents[key]

    def cleared(self):
        self.parents.clear()

    def done(self):
        pass


async def post(http, sim, turns, **more):
    body = {"model": "small", "messages": turns, **more}
    async with http.post(f"{sim.url}/v1/chat/completions", json=body) as response:
        assert response.status == 200
        return await response.json()


async def test_each_turn_of_a_conversation_finds_all_before_it(http):
    async with serve_sim([SimModel("small", answer_tokens=64)]) as [sim]:
        turns = [
            {"role": "system", "content": "You are kind. " * 30},
            {"role": "user", "content": "Tell me of the sea."},
        ]
        before = 0
        for number in range(4):
            done = await post(http, sim, turns)
            usage = done["usage"]
            cached = usage["prompt_tokens_details"]["cached_tokens"]
            if number:
                assert before - 16 < cached <= before, "all whole blocks, the answer's too"
            before = usage["total_tokens"]
            turns += [done["choices"][0]["message"], {"role": "user", "content": f"And {number}?"}]
    assert before > 4 * 64


async def test_a_text_completion_goes_on_where_it_ended(http):
    async with serve_sim(["small"]) as [sim]:
        prompt = "Once upon a time " * 10
        body = {"model": "small", "prompt": prompt, "max_tokens": 40}
        url = f"{sim.url}/v1/completions"
        async with http.post(url, json=body) as response:
            text = (await response.json())["choices"][0]["text"]
        body["prompt"] = prompt + text + " and so on"
        async with http.post(url, json=body) as response:
            usage = (await response.json())["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == len(prompt + text) // 64 * 16


async def test_the_same_prompt_with_another_salt_is_read_again(http):
    async with serve_sim(["small"]) as [sim]:
        turns = [{"role": "user", "content": "The same long question. " * 20}]
        found = []
        for salt in ("one", "one", "two", None):
            more = {"cache_salt": salt} if salt else {}
            usage = (await post(http, sim, turns, **more))["usage"]
            found.append(usage["prompt_tokens_details"]["cached_tokens"])
    assert found == [0, 112, 0, 0]


async def test_a_prompt_found_whole_still_costs_its_last_block(http):
    async with serve_sim(["small"]) as [sim]:
        turns = [{"role": "user", "content": "x" * 128}]
        await post(http, sim, turns)
        usage = (await post(http, sim, turns))["usage"]
    assert usage["prompt_tokens"] == 32
    assert usage["prompt_tokens_details"]["cached_tokens"] == 16


async def test_a_request_waits_until_the_cache_has_room(http):
    model = SimModel("small", ttft_s=0.05, itl_s=0.001, kv_blocks=10, answer_tokens=40)
    async with serve_sim([model]) as [sim]:
        asks = [ask(http, sim, content=f"{i}" * 200) for i in range(2)]  # 50 + 40 tokens: 6 blocks
        await sim.until(lambda stats: (stats.running, stats.waiting) == (1, 1))
        during = await metrics(http, sim)
        assert during[of("num_requests_waiting")] == 1
        assert 0.4 <= during[of("kv_cache_usage_perc")] <= 0.6
        assert await asyncio.gather(*asks) == [200, 200]
        after = await metrics(http, sim)
    assert after[of("kv_cache_usage_perc")] == 0
    assert after[of("request_queue_time_seconds_sum")] > 0.05


async def test_usage_rises_as_an_answer_grows(http):
    model = SimModel("small", itl_s=0.002, kv_blocks=20, answer_tokens=160)
    async with serve_sim([model]) as [sim]:
        seen = []
        url = f"{sim.url}/v1/chat/completions"
        async with http.post(url, json=chat(stream=True)) as response:
            lines = 0
            async for line in response.content:
                lines += line.startswith(b"data: ")
                if lines in (2, 140):
                    lines += 1
                    seen.append((await metrics(http, sim))[of("kv_cache_usage_perc")])
    assert seen[0] <= 0.3 and seen[1] > 0.4


async def test_more_is_found_where_there_is_more_room(http):
    """Ten conversations of two turns, in a cache for three of them and in one for all."""

    async def found(blocks):
        async with serve_sim([SimModel("small", kv_blocks=blocks)]) as [sim]:
            for _ in range(2):
                for user in range(10):
                    await post(http, sim, [{"role": "user", "content": f"{user:03d} " * 256}])
            page = await metrics(http, sim)
            return page[of("prefix_cache_hits_total")]

    small, large = await found(60), await found(400)
    assert small == 0, "least recently used is the worst order for a loop"
    assert large == 10 * 15 * 16


async def test_reset_prefix_cache_forgets(http):
    async with serve_sim(["small"]) as [sim]:
        turns = [{"role": "user", "content": "The same long question. " * 20}]
        await post(http, sim, turns)
        async with http.post(f"{sim.url}/reset_prefix_cache") as response:
            assert response.status == 200
        usage = (await post(http, sim, turns))["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0


@pytest.mark.parametrize("salt", ["", 3, ["a"]])
async def test_a_salt_is_text(http, salt):
    async with (
        serve_sim(["small"]) as [sim],
        http.post(f"{sim.url}/v1/chat/completions", json=chat(cache_salt=salt)) as response,
    ):
        assert response.status == 400
