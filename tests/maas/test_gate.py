"""The gate: nobody comes in without a token, and nobody says who they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.maas.rig import ALICE, MODELS, Rig, rig
from wayside.maas.gate import opens
from wayside.vocab.calls import Complete, Completed
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.outcome import Forward, Request

EVERYWHERE = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/responses"),
    ("GET", "/v1/models"),
    ("GET", "/v1/files"),
    ("GET", "/metrics"),
    ("GET", "/nothing/here"),
    ("POST", "/Model-B/v1/chat/completions"),
    ("POST", "/llm/Model-B/v1/chat/completions"),
    ("OPTIONS", "/v1/chat/completions"),
]


@pytest.fixture
def r(tmp_path: Path) -> Rig:
    return rig(tmp_path)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """For tests that leave nothing behind: one for all."""
    return rig(tmp_path_factory.mktemp("maas"))


@pytest.mark.parametrize(("method", "path"), EVERYWHERE)
async def test_nothing_without_a_token(one: Rig, method: str, path: str) -> None:
    """A2-08, A2-41."""
    answer = await one.ask(method, path)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="maas"'
    if path == "/v1/messages":  # as Anthropic's clients read errors
        assert answer.json["error"]["type"] == "authentication_error"
    else:
        assert answer.json["error"] == {
            "message": "Authorization token required",
            "type": "authentication_error",
            "param": None,
            "code": "missing_token",
        }


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions?x=/health",
        "/health/../v1/chat/completions",
        "/health/",
        "//health",
        "/HEALTH",
        "/%68ealth",
        "/maas-api",
        "/maas-api/",
        "/maas-api/v1",
        "/maas-api/v1/chat/completions",
        "/maas-api/../v1/chat/completions",
        "/maas-api/v1/tokens/../../../v1/chat/completions",
        "/maas-api/v1/api-keys/x/y",
        "/maas-api/v1/api-keys/",
        "/.well-known/jwks.json/",
        "/.well-known/",
    ],
)
async def test_spellings_open_nothing(one: Rig, path: str) -> None:
    """A2-08: what is open is compared letter by letter."""
    assert not opens(path.partition("?")[0])
    assert (await one.ask("POST", path, body={"model": "Model-B"})).status == 401


async def test_a_model_named_like_the_api_opens_nothing(tmp_path: Path) -> None:
    """A2-08."""
    r = rig(tmp_path, models={**MODELS, "maas-api": {"endpoints": ["http://10.0.0.9:1"]}})
    answer = await r.ask("POST", "/maas-api/v1/chat/completions", body={"messages": []})
    assert answer.status == 401


async def test_the_classifier_is_not_asked_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A2-41: the counter stays at zero until somebody with a token asks."""
    routing = {
        "default_model": "Model-B",
        "signals": {"keyword": {"sums": {"keywords": ["sum"]}}},
        "decisions": [{"name": "sums", "when": "keyword:sums", "models": ["Model-B"]}],
    }
    r = rig(tmp_path, routing=routing)
    read: list[Any] = []
    (signal, _) = r.app.runtime.policy.virtual["auto"].signals["keyword"]
    reading = type(signal).read
    monkeypatch.setattr(type(signal), "read", lambda *a: read.append(a) or reading(*a))  # type: ignore[func-returns-value]
    for token in (None, "x" * 40, "sk-oai-x_y", ALICE):
        assert (await r.chat(token, "auto")).status == 401
    assert read == []
    assert (await r.chat(await r.token(), "auto")).status == 200
    assert len(read) == 1


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YWxpY2U6eA==",
        "{token}",
        "Token {token}",
        "Bearer {token}, Bearer {token}",
        "Bearer {token} Bearer {token}",
        "Bearer {token} ",
        "Bearer\t{token}",
        "Bearer {token}\x00",
        "Bearer x{token}",
        "Bearer " + "x" * 100_000,
    ],
)
async def test_headers_that_are_not_one_token(one: Rig, value: str) -> None:
    """A2-08: also a header that came twice, whose values are joined."""
    shown = value.replace("{token}", await one.token())
    assert (await one.chat(headers={"authorization": shown})).status == 401


async def test_two_headers_have_to_agree(r: Rig) -> None:
    token, key = await r.token(), (await r.key())["token"]
    both = {"authorization": f"bearer {token}", "x-api-key": token}
    assert (await r.chat(headers=both)).status == 200
    for other in (key, "x", "", f"{token}, {token}"):
        answer = await r.chat(headers={**both, "x-api-key": other})
        assert answer.status == 401
    assert (await r.chat(headers={"api-key": token})).status == 401


@pytest.mark.parametrize(
    "claim",
    [
        {"x-maas-username": "alice"},
        {"x-maas-group": '["enterprise-user"]'},
        {"x-maas-subscription": "a, b"},
        {"x-maas-username": "a\r\nb", "x-maas-group": "[]"},
    ],
)
async def test_nobody_says_who_they_are(one: Rig, claim: dict[str, str]) -> None:
    """A2-12 and section 3.5: username alone, groups alone, twice, and with odd characters."""
    token = await one.token()
    for shown in (None, token):
        for method, path in (("POST", "/v1/chat/completions"), ("POST", "/maas-api/v1/tokens"),
                             ("GET", "/maas-api/v1/models")):  # fmt: skip
            answer = await one.ask(method, path, shown, headers=claim)
            assert answer.status == 403
            assert answer.json["error"]["code"] == "identity_header"
    assert (await one.chat(token)).status == 200


async def test_a_credential_ends_here(tmp_path: Path) -> None:
    """A caller's token reaches no model server, in whichever header it came."""
    models = {
        "plain": {"endpoints": ["http://10.0.0.1:1"], "tiers": []},
        "keyed": {"endpoints": ["http://10.0.0.1:1"], "tiers": [],
                  "credential": {"env": "K", "header": "authorization", "prefix": "Bearer "}},
    }  # fmt: skip
    r = rig(tmp_path, models=models, env={"K": "provider-key"})
    token = await r.token()
    for model in models:
        for headers in ({"authorization": f"Bearer {token}"}, {"x-api-key": token}):
            outcome = (await r.chat(headers=headers, model=model)).outcome
            assert isinstance(outcome, Forward)
            given = dict(outcome.set_headers)
            for name in ("authorization", "x-api-key", "api-key"):
                assert name in outcome.remove_headers or given[name] == "Bearer provider-key"
            assert token not in str(outcome.set_headers)


def test_models_that_would_get_it_are_refused(tmp_path: Path) -> None:
    """And what the configuration says is named."""
    models = {"m": {"endpoints": ["http://10.0.0.1:1"], "keep_authorization": True}}
    with pytest.raises(ConfigError, match=r"models\.m\.keep_authorization.*credential"):
        rig(tmp_path, models=models)


async def test_doubt_is_no_answer(r: Rig) -> None:
    """Whoever should know does not answer: 503, and nobody comes in; nothing of that stays."""
    token = await r.token()

    async def silent(*_: Any) -> Any:
        raise AskFailed("the database says secret things")

    account, r.maas.keys.account = r.maas.keys.account, silent  # type: ignore[method-assign]
    answer = await r.chat(token)
    assert answer.status == 503
    assert b"secret" not in answer.body
    r.maas.keys.account = account  # type: ignore[method-assign]
    assert (await r.chat(token)).status == 200


async def test_a_gate_that_breaks_lets_nobody_in(r: Rig) -> None:
    """A bug of ours is no way in either."""
    token = await r.token()

    async def broken(*_: Any) -> Any:
        raise RuntimeError("a bug")

    r.maas.keys.account = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        await r.chat(token)


async def test_reloads_count_with_the_next_request(r: Rig) -> None:
    """A2-36: which models a tier may ask, also with tokens that are remembered."""
    token = await r.token()
    assert (await r.chat(token, "Model-A")).status == 200
    r.reload({"models": {**MODELS, "Model-A": {**MODELS["Model-A"], "tiers": ["enterprise"]}}})
    assert (await r.chat(token, "Model-A")).status in (403, 404)
    assert (await r.chat(token, "Model-B")).status == 200
    r.reload({"maas": {"instance": "acme"}})
    assert r.maas.instance == "maas-default-gateway"
    assert "maas.instance" in r.app.state.needs_restart
    document = {k: v for k, v in r.document.items() if k != "maas"}
    r.document = document
    r.reload({})
    assert "maas" in r.app.state.needs_restart
    assert (await r.chat()).status == 401  # taking it out of the file opens nothing
    await r.app.close()


async def test_a_clock_that_goes_back_prolongs_nothing(r: Rig) -> None:
    """What was found out about a token holds for so long, whatever the time of day is then."""
    token = await r.token()
    assert (await r.chat(token)).status == 200
    assert (await r.chat("x.y.z")).status == 401
    r.clock.now -= 20
    for shown in (token, "x.y.z"):
        assert r.maas.callers.recall(shown) is None
    r.clock.now += 20
    assert (await r.chat(token)).status == 200


async def test_a_token_is_good_at_once_where_a_clock_is_behind(r: Rig) -> None:
    """Another router may have made it, a moment ahead of us; an hour ahead is no moment."""
    token = await r.token(expiration="4h")
    r.clock.now -= 20
    assert (await r.chat(token)).status == 200
    r.clock.now -= 3600
    r.maas.callers.forget()
    assert (await r.chat(token)).status == 401


async def test_looking_where_a_prompt_would_go_asks_no_model(tmp_path: Path) -> None:
    """An algorithm may have a helper model name the one that answers: for whoever only looks,
    nobody would count what that takes."""
    models = {name: {"endpoints": ["http://10.0.0.1:1"], "tiers": []} for name in ("a", "b")}
    routing = {
        "signals": {"keyword": {"sums": {"keywords": ["sum"]}}},
        "decisions": [{"name": "sums", "when": "keyword:sums", "models": ["a", "b"],
                       "select": {"prompt": {"model": "b"}}}],
    }  # fmt: skip
    r = rig(tmp_path, models=models, routing=routing)
    asked: list[Complete] = []

    async def answer(question: Complete) -> Completed:
        asked.append(question)
        return Completed("b", 200, b'{"choices":[{"message":{"content":"b"}}]}', 0.1)

    r.app.runtime._answerers[Complete] = answer
    caller = await r.maas.callers.find(await r.token())
    body = b'{"model": "auto", "messages": [{"role": "user", "content": "the sum"}]}'
    request = Request("POST", "/v1/chat/completions", {}, body)
    _, choice = await r.app.runtime.explain(request)  # an operator's
    assert (choice.option.candidate.model, len(asked)) == ("b", 1)
    _, choice = await r.app.runtime.explain(msgspec.structs.replace(request, caller=caller))
    assert (choice.option.candidate.model, len(asked)) == ("a", 1)
    assert "not asked" in choice.why or "the first" in choice.why
