"""``/maas-api`` as clients of Models-as-a-Service know it: statuses and bodies, exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.maas.rig import ALICE, BOB, MODELS, Rig, rig
from tests.running import SHELLS, chat, running

TOKENS = "/maas-api/v1/tokens"
KEYS = "/maas-api/v1/api-keys"


@pytest.fixture
def r(tmp_path: Path) -> Rig:
    return rig(tmp_path)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """For tests that leave nothing behind: one for all."""
    return rig(tmp_path_factory.mktemp("maas"))


@pytest.mark.parametrize(
    ("body", "expiration"),
    [
        (b"", "4h0m0s"),
        (b"  ", "4h0m0s"),
        (b"{}", "4h0m0s"),
        (b'{"expiration":null}', "4h0m0s"),
        (b'{"expiration":"10m"}', "10m0s"),
        (b'{"expiration":"1h30m"}', "1h30m0s"),
        (b'{"expiration":600}', "10m0s"),
        (b'{"expiration":3600.0}', "1h0m0s"),
        (b'{"expiration":"2160h"}', "2160h0m0s"),
    ],
)
async def test_how_long_a_token_lives(one: Rig, body: bytes, expiration: str) -> None:
    """A2-05: default 4h; a number is seconds."""
    answer = await one.ask("POST", TOKENS, ALICE, body)
    assert answer.status == 201
    assert answer.json["expiration"] == expiration


@pytest.mark.parametrize("path", [TOKENS, KEYS])
@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("5m", {"error": "token expiration must be at least 10 minutes",
                "provided_expiration": "5m0s"}),
        (599, {"error": "token expiration must be at least 10 minutes",
               "provided_expiration": "9m59s"}),
        ("0", {"error": "expiration must be positive"}),
        (0, {"error": "expiration must be positive"}),
        ("-10m", {"error": "expiration must be positive"}),
        ("2x", {"error": 'time: unknown unit "x" in duration "2x"'}),
        ("", {"error": 'time: invalid duration ""'}),
        (True, {"error": "invalid duration"}),
        ([], {"error": "invalid duration"}),
        ("2160h1s", {"error": "token expiration must be at most 2160h0m0s",
                     "provided_expiration": "2160h0m1s"}),
    ],
)  # fmt: skip
async def test_lifetimes_that_are_refused(
    one: Rig, path: str, said: Any, error: dict[str, str]
) -> None:
    """A2-05: the words of the errors."""
    answer = await one.ask("POST", path, ALICE, {"expiration": said, **named(path)})
    assert (answer.status, answer.json) == (400, error)


def named(path: str) -> dict[str, str]:
    return {"name": "ci"} if path == KEYS else {}


@pytest.mark.parametrize("path", [TOKENS, KEYS])
async def test_bodies_that_are_none(one: Rig, path: str) -> None:
    for body in (b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000, b'{"expires": "10m"}'):
        answer = await one.ask("POST", path, ALICE, body)
        assert answer.status == 400, body[:20]
        assert answer.json.keys() == {"error"}
    large = await one.ask("POST", path, ALICE, b" " * ((1 << 20) + 1))
    assert large.status == 413


async def test_keys_have_names(r: Rig) -> None:
    for name in (None, "", "  ", 5):
        answer = await r.ask("POST", KEYS, ALICE, {"name": name})
        assert (answer.status, answer.json) == (
            400, {"error": "token name is required for api keys"}
        )  # fmt: skip
    for body in ({"name": "x" * 129}, {"name": "x", "description": 5}, {"name": "a\0b"}):
        assert (await r.ask("POST", KEYS, ALICE, body)).status == 400
    made = await r.key()
    assert made["expiration"] == "720h0m0s"


async def test_paths_without_their_prefix(r: Rig) -> None:
    """A2-04: behind a gateway that strips ``/maas-api``."""
    token = (await r.ask("POST", "/v1/tokens", ALICE)).json["token"]
    assert (await r.chat(token)).status == 200
    assert (await r.ask("POST", "/v1/api-keys", ALICE, {"name": "x"})).status == 201
    assert len((await r.ask("GET", "/v1/api-keys", ALICE)).json) == 1
    assert (await r.ask("DELETE", "/v1/tokens", ALICE)).status == 204
    assert (await r.chat(token)).status == 401
    assert (await r.ask("GET", "/maas-api/health")).json == {"status": "healthy"}


@pytest.mark.parametrize(("method", "path"), [
    ("POST", TOKENS), ("DELETE", TOKENS), ("POST", KEYS), ("GET", KEYS), ("GET", f"{KEYS}/x"),
    ("DELETE", f"{KEYS}/x"), ("GET", "/maas-api/v1/models"),
    ("POST", "/maas-api/v1/tiers/lookup"),
])  # fmt: skip
async def test_who_is_nobody_gets_nothing(one: Rig, method: str, path: str) -> None:
    """A2-04, A2-08."""
    for token in (None, "x" * 30, ALICE[:-1], ALICE + "a", "a.b.c"):
        answer = await one.ask(method, path, token, {"name": "x"})
        assert answer.status == 401
        assert answer.json["error"]["type"] == "authentication_error"
    without = await one.ask(method, path)
    assert without.json["error"]["message"] == "Authorization token required"
    assert (await one.ask("PUT", path, ALICE)).status == 405


async def test_models_are_those_that_may_be_asked(r: Rig) -> None:
    """A2-35, A2-36: for tokens, keys, and people with tokens of their own."""
    token, key = await r.token(), (await r.key())["token"]
    for shown in (token, key, ALICE):
        found = (await r.ask("GET", "/maas-api/v1/models", shown)).json
        assert found["object"] == "list"
        assert [model["id"] for model in found["data"]] == ["Model-A", "Model-B"]
    assert found["data"][0] == {
        "id": "Model-A",
        "object": "model",
        "created": r.app.created,
        "owned_by": "wayside",
        "url": "http://maas.example.com/Model-A",
        "ready": True,
        "modelDetails": {"description": "", "displayName": "Model-A"},
    }
    found = (await r.ask("GET", "/maas-api/v1/models", BOB)).json
    assert [model["id"] for model in found["data"]] == ["Model-B"]
    for replica in r.app.fleet.pools["Model-B"].replicas:
        replica.down = "gone"
    r.app.fleet.pools["Model-B"]._look_anew()
    (model,) = (await r.ask("GET", "/maas-api/v1/models", BOB)).json["data"]
    assert model["ready"] is False


async def test_people_see_models_before_they_have_a_token(one: Rig) -> None:
    """``GET /v1/models`` takes whichever token says who somebody is; asking a model does not."""
    assert (await one.ask("GET", "/v1/models", ALICE)).status == 200
    assert (await one.ask("POST", "/v1/models", ALICE)).status == 401
    assert (await one.chat(ALICE)).status == 401
    assert (await one.ask("GET", "/v1/models", ALICE)).status == 200
    assert (await one.ask("GET", "/v1/models", "x" * 20)).status == 401


LOOKUPS: list[tuple[Any, int, dict[str, str]]] = [
    ({"groups": ["system:authenticated", "premium-user"]}, 200,
     {"tier": "premium", "displayName": "Premium Tier"}),
    ({"groups": ["x"]}, 404,
     {"error": "not_found", "message": "group groups [x] not found in any tier"}),
    ({"groups": ["system:serviceaccounts:maas-default-gateway-tier-free"]}, 200,
     {"tier": "free", "displayName": "Free"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "said"), LOOKUPS)
async def test_the_tier_of_groups(one: Rig, body: Any, status: int, said: dict[str, str]) -> None:
    """A2-33: for Authorino on the management listener, elsewhere with a token."""
    answer = await one.ask("POST", "/maas-api/v1/tiers/lookup", BOB, body)
    assert (answer.status, answer.json) == (status, said)
    with TestClient(one.app.management.app()) as client:
        for path in ("/v1/tiers/lookup", "/maas-api/v1/tiers/lookup"):
            found = client.post(path, json=body)
            assert (found.status_code, found.json()) == (status, said)
    for part in ("clients", "metrics"):
        paths = [p for e in one.app.management.endpoints(part) for p in e.paths]  # type: ignore[arg-type]
        assert "/v1/tiers/lookup" not in paths


async def test_lookups_that_ask_nothing(one: Rig) -> None:
    """A2-33."""
    for body in (b"", b"{}", b"[]", b'{"groups":[]}', b'{"groups":"x"}', b'{"groups":[1]}',
                 json.dumps({"groups": ["x"] * 1001}).encode()):  # fmt: skip
        answer = await one.ask("POST", "/maas-api/v1/tiers/lookup", BOB, body)
        assert answer.status == 400
        assert answer.json["error"] == "bad_request"
        assert answer.json["message"].startswith("invalid request body: ")


async def test_odd_names_of_people(tmp_path: Path) -> None:
    """A2-34: names that sanitise to others', and those that nothing is left of."""
    names = ["alice", "ALICE", "alice!", "älice", "日本語", "a" * 200, "system:admin", "%00"]
    users = [
        {"name": name, "groups": ["premium-user"], "token": {"env": f"T{i}"}}
        for i, name in enumerate(names)
    ]
    env = {f"T{i}": f"{i}" * 20 for i in range(len(names))}
    r = rig(tmp_path, maas={"users": users}, env=env)
    tokens = [await r.token(env[f"T{i}"]) for i in range(len(names))]
    for name, token in zip(names, tokens, strict=True):
        caller = await r.maas.callers.find(token)
        assert caller is not None
        assert caller.user == name
    assert (await r.ask("DELETE", TOKENS, env["T1"])).status == 204
    assert [(await r.chat(token)).status for token in tokens] == [200, 401, *[200] * 6]
    await r.app.close()


@pytest.mark.parametrize("shell", SHELLS)
async def test_from_a_token_to_an_answer_in_both_shells(shell: str, tmp_path: Path) -> None:
    """A2-04, A2-06, A2-08: over HTTP, and behind Envoy."""
    document = {
        "models": {"m": {**MODELS["Model-B"], "endpoints": ["http://127.0.0.1:1"]}},
        "maas": {
            "folder": str(tmp_path),
            "usage": {"enabled": False},
            "users": [{"name": "alice", "token": {"env": "T"}}],
        },
    }
    async with running(shell, document, {"T": ALICE}) as router:
        who = {"authorization": f"Bearer {ALICE}"}
        made = await router.ask({"expiration": "10m"}, who, TOKENS)
        assert made.status == 201
        token = {"authorization": f"Bearer {made.json['token']}"}
        assert (await router.ask(chat("hi", "m"), token)).status in (502, 503)  # no such server
        refused = await router.ask(chat("hi", "m"))
        assert refused.status == 401
        assert refused.headers["www-authenticate"]
        claim = {**token, "X-MaaS-Username": "root"}
        assert (await router.ask(chat("hi", "m"), claim)).status == 403
