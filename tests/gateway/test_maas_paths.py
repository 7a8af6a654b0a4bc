"""The journey of somebody with a token through a router that serves: every path that asks models,
what is kept for whom, and which model the answer names (A2-01, A2-35, A2-37)."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from tests.production_stack.test_batches import asked, ended, lines_of, started
from tests.running import Answer, Running, chat, running
from wayside.gateway.batch_rows import Batch, Rows
from wayside.settings.production_stack import BatchSettings
from wayside.sim import FaultRates, Sim, SimModel, SimServer, StatusRate, serve_sim
from wayside.vocab.access import Caller

ENV = {"ALICE": "a" * 24, "BOB": "b" * 24}
FAILS = FaultRates(status=StatusRate(rate=1))
SERVERS = {
    "good": SimServer((SimModel("good"),)),
    "other": SimServer((SimModel("other"),)),
    "broken": SimServer((SimModel("shaky"),), faults=FAILS),
    "steady": SimServer((SimModel("shaky"),)),
}


def document(sims: dict[str, Sim], folder: Path) -> dict[str, Any]:
    def user(name: str, *groups: str) -> dict[str, Any]:
        return {"name": name, "groups": list(groups), "token": {"env": name.upper()}}

    def at(*names: str, **more: Any) -> dict[str, Any]:
        return {"endpoints": [sims[name].url for name in names], "tiers": ["premium"], **more}

    def on(word: str, **more: Any) -> dict[str, Any]:
        return {"name": word, "when": f"keyword:{word}", **more}

    cache = {"response_cache": {"mode": "exact"}}
    return {
        "maas": {
            "folder": str(folder / "maas"),
            "users": [user("alice", "premium-user"), user("bob")],
            "tiers": [
                {"name": "free", "level": 0, "groups": ["system:authenticated"]},
                {"name": "premium", "level": 1, "groups": ["premium-user"]},
            ],
        },
        "batches": {"enabled": True, "folder": str(folder / "batches")},
        "models": {
            "good": at("good"),
            "other": at("other") | {"tiers": []},
            "down": at("broken", upstream_name="shaky", fallbacks=["good", "other"]),
            "shaky": at("broken", "steady"),
        },
        "routing": {
            "default_model": "other",
            "signals": {"keyword": {w: {"keywords": [w]} for w in ("cached", "hours", "panel")}},
            "decisions": [
                on("cached", models=["other"], plugins=cache),
                on("hours", plugins={"fast_response": {"message": "Nine to five."}}),
                on("panel", models=["good", "other"], select={"fusion": {"model": "good"}}),
            ],
        },
    }


class Place:
    """The router, its servers, and two people's tokens."""

    def __init__(self, router: Running, sims: dict[str, Sim]) -> None:
        self.router, self.sims = router, sims
        self.tokens: dict[str, str] = {}
        self.clients: list[AsyncOpenAI] = []

    async def token(self, who: str) -> str:
        headers = {"authorization": f"Bearer {ENV[who.upper()]}"}
        answer = await self.router.ask({}, headers, "/maas-api/v1/tokens")
        assert answer.status == 201, answer.body
        return str(answer.json["token"])

    async def ask(
        self, body: Any, who: str = "alice", path: str = "/v1/chat/completions", **headers: str
    ) -> Answer:
        shown = {"authorization": f"Bearer {self.tokens[who]}", **headers}
        return await self.router.ask(body, shown, path)

    def client(self, token: str, path: str = "/v1") -> AsyncOpenAI:
        url = self.router.url + path
        self.clients.append(AsyncOpenAI(base_url=url, api_key=token, max_retries=0))
        return self.clients[-1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with serve_sim(list(SERVERS.values())) as found:
        sims = dict(zip(SERVERS, found, strict=True))
        text = document(sims, tmp_path_factory.mktemp("maas"))
        async with running("gateway", text, ENV) as router:
            there = Place(router, sims)
            there.tokens = {who: await there.token(who) for who in ("alice", "bob")}
            yield there
            for client in there.clients:
                await client.close()


pytestmark = pytest.mark.asyncio(loop_scope="module")
EXECUTED, REQUESTED = "x-maas-model-executed", "x-maas-model-requested"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_model_that_really_answered_is_named(place: Place, stream: bool) -> None:
    """A2-37: after a failover, and after another server of the same model was tried."""
    for asks, executed in (("good", "good"), ("down", "good"), ("shaky", "shaky")):
        answer = await place.ask(chat("hi", asks, stream=stream))
        assert answer.status == 200, answer.body
        assert (answer.headers[EXECUTED], answer.headers[REQUESTED]) == (executed, asks)
        assert len(answer.headers.getall(EXECUTED)) == 1


async def test_only_models_of_the_caller_stand_in(place: Place) -> None:
    """A2-35: bob may not use the model itself, so that nothing of it is asked."""
    answer = await place.ask(chat("hi", "down"), "bob")
    assert (answer.status, answer.json["error"]["type"]) == (403, "permission_error")


async def test_an_answer_from_the_cache_and_one_of_our_own(place: Place) -> None:
    """A2-37: no model is executed, and the header says so."""
    for executed in ("other", "cache"):
        answer = await place.ask(chat("cached, please"))
        assert (answer.headers[EXECUTED], answer.headers[REQUESTED]) == (executed, "auto")
    answer = await place.ask(chat("your hours?"))
    assert answer.headers[EXECUTED] == "none"


async def test_answers_are_shared_by_user_not_by_token(place: Place) -> None:
    """A2-35: the identity is the caller's, never a header's."""
    again = place.client(await place.token("alice"))
    question = chat("cached for alice alone")
    assert (await place.ask(question)).headers[EXECUTED] == "other"
    raw = await again.chat.completions.with_raw_response.create(**question)
    assert raw.headers[EXECUTED] == "cache", "another token of the same user"
    forged = {"x-authz-user-id": "alice", "x-authz-tenant-id": "maas-default-gateway"}
    other = await place.ask(question, "bob", **forged)
    assert other.headers[EXECUTED] == "other"


async def test_every_model_that_an_algorithm_asked_is_named(place: Place) -> None:
    """A2-37: and who may not use one of them gets another decision's answer."""
    answer = await place.ask(chat("panel"))
    assert answer.status == 200, answer.body
    assert set(answer.headers[EXECUTED].split(", ")) == {"good", "other"}
    answer = await place.ask(chat("panel"), "bob")
    assert (answer.status, answer.headers[EXECUTED]) == (200, "other")


@pytest.mark.parametrize("path", ["/v1/rerank", "/score", "/tokenize"])
async def test_passed_paths_ask_only_models_of_the_caller(place: Place, path: str) -> None:
    """A2-35, A2-37."""
    body = {"model": "good", "query": "q", "documents": ["d"], "prompt": "p"}
    assert (await place.ask(body, "bob", path)).status == 403
    before = len(place.sims["good"].requests)
    answer = await place.ask(body, "alice", path)
    assert len(place.sims["good"].requests) == before + 1, answer.body
    if path != "/tokenize":
        assert answer.headers[EXECUTED] == "good"
    assert (await place.router.ask(body, path=path)).status == 401


async def test_kept_responses_are_their_user_s(place: Place) -> None:
    mine = place.client(place.tokens["alice"])
    made = await mine.responses.create(model="good", input="hello")
    again = place.client(await place.token("alice"))
    assert (await again.responses.retrieve(made.id)).id == made.id
    with pytest.raises(openai.NotFoundError):
        await place.client(place.tokens["bob"]).responses.retrieve(made.id)


async def test_a_path_names_the_model_for_the_official_client_too(place: Place) -> None:
    """A2-01: ``base_url`` ends in ``/<model>/v1``, as MaaS's models API says it."""
    ai = place.client(place.tokens["alice"], "/good/v1")
    said = await ai.chat.completions.create(
        model="good", messages=[{"role": "user", "content": "hi"}]
    )
    assert said.model == "good"
    assert [model.id for model in (await ai.models.list()).data] == ["good"]
    with pytest.raises(openai.BadRequestError):
        await ai.chat.completions.create(model="other", messages=[])


async def test_a_batch_asks_as_who_made_it(place: Place) -> None:
    """A2-35: its requests are refused what its maker is refused, with a token or without."""
    for who, good in (("alice", 3), ("bob", 0)):
        ai = place.client(place.tokens[who])
        batch = await ended(ai, (await started(ai, asked(3, "good"))).id)
        assert batch.status == "completed"
        assert (batch.request_counts.completed, batch.request_counts.failed) == (good, 3 - good)
        if who == "bob":
            lines = await lines_of(ai, batch.error_file_id)
            assert {line["response"]["status_code"] for line in lines} == {403}
        elsewhere = place.client(place.tokens["bob" if who == "alice" else "alice"])
        with pytest.raises(openai.NotFoundError):
            await elsewhere.batches.retrieve(batch.id)
        again = place.client(await place.token(who))
        assert (await again.batches.retrieve(batch.id)).id == batch.id


async def test_rights_of_a_batch_are_those_of_the_moment(place: Place) -> None:
    """Who made it is kept, and what they may use is looked up for each request."""
    maas = place.router.app.maas
    assert maas is not None
    stale = Caller(user="bob", groups=("premium-user",), tier="premium", models=None)
    now = await maas.callers.again(stale)
    assert (now.tier, now.models) == ("free", frozenset({"other"}))


async def test_a_batch_keeps_its_maker_and_no_secret(tmp_path: Path) -> None:
    """Also after a restart."""
    caller = Caller(user="alice", groups=("g",), tier="free", key="jti", models=frozenset({"a"}))
    rows = Rows(BatchSettings(enabled=True, folder=str(tmp_path)))
    rows.open()
    batch = Batch("batch_1", "o", "validating", "file-1", 1, 2.0, {"endpoint": "x"}, {"x-a": "b"})
    await rows.add_batch(batch.of(caller))
    rows.close()
    again = Rows(BatchSettings(enabled=True, folder=str(tmp_path)))
    again.open()
    found = await again.batch("o", "batch_1")
    assert (found.caller, found.headers) == (caller, {"x-a": "b"})
    again.close()


async def test_no_token_is_kept_with_batches(place: Place) -> None:
    ai = place.client(place.tokens["alice"])
    await ai.files.create(file=("in.jsonl", io.BytesIO(asked(1))), purpose="batch")
    folder = Path(place.router.app.settings.batches.folder)
    secret = place.tokens["alice"].encode()
    files = [path for path in folder.rglob("*") if path.is_file()]
    kept = await asyncio.to_thread(lambda: [path.read_bytes() for path in files])
    assert files and not any(secret in content for content in kept)


async def test_nobody_reads_files_of_others(place: Place) -> None:
    mine, other = (place.client(place.tokens[who]) for who in ("alice", "bob"))
    file = await mine.files.create(file=("in.jsonl", io.BytesIO(asked(1))), purpose="batch")
    assert file.id in [f.id async for f in mine.files.list()]
    assert file.id not in [f.id async for f in other.files.list()]


async def test_what_was_refused_before_the_model_was_chosen_has_no_executed_model(
    place: Place,
) -> None:
    answer = await place.router.ask(json.dumps(chat("hi")).encode())
    assert answer.status == 401 and EXECUTED not in answer.headers
