"""In provider mode a server behaves like a cloud's: keys, dated names, TLS."""

import ssl

import aiohttp
import pytest
import trustme
from openai import AuthenticationError, NotFoundError

from wayside.sim import SimModel, SimServer, TlsFiles, serve_sim

from .conftest import chat

HELLO = [{"role": "user", "content": "Hello"}]


def provider(*names: str, **more: object) -> SimServer:
    return SimServer(tuple(SimModel(name) for name in names), provider="openai", **more)


async def test_a_provider_echoes_the_dated_name_and_a_fingerprint(openai_for):
    async with serve_sim([provider("gpt-4o-mini", "mine")]) as [sim]:
        client = openai_for(sim)
        done = await client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
        dated = await client.chat.completions.create(model=done.model, messages=HELLO)
        mine = await client.chat.completions.create(model="mine", messages=HELLO)
        raw = await client.chat.completions.with_raw_response.create(model="mine", messages=HELLO)
    assert done.model == dated.model == "gpt-4o-mini-2024-07-18"
    assert mine.model == "mine-2025-01-01"
    assert done.id.startswith("chatcmpl-") and len(done.id) == 38
    assert done.system_fingerprint.startswith("fp_")
    assert raw.headers["x-request-id"].startswith("req_")


async def test_a_missing_key_is_401_in_openais_words(http):
    async with (
        serve_sim([provider("m")]) as [sim],
        http.post(f"{sim.url}/v1/chat/completions", json=chat(model="m")) as response,
    ):
        error = (await response.json())["error"]
    assert response.status == 401
    assert error["type"] == "invalid_request_error" and error["code"] is None
    assert error["message"].startswith("You didn't provide an API key.")


async def test_a_wrong_key_is_401_and_a_right_one_is_not(openai_for):
    async with serve_sim([provider("m", api_keys=("sk-right",))]) as [sim]:
        await openai_for(sim, "sk-right").models.list()
        with pytest.raises(AuthenticationError) as refused:
            await openai_for(sim, "sk-wrong-wrong-wrong").models.list()
    assert refused.value.code == "invalid_api_key"
    assert "wrong-wrong" not in refused.value.message


async def test_an_unknown_model_is_refused_in_openais_words(openai_for):
    async with serve_sim([provider("m")]) as [sim]:
        with pytest.raises(NotFoundError) as refused:
            await openai_for(sim).chat.completions.create(model="x", messages=HELLO)
    assert refused.value.code == "model_not_found"


async def test_a_provider_has_no_metrics_page(http):
    async with serve_sim([provider("m")]) as [sim], http.get(f"{sim.url}/metrics") as response:
        assert response.status == 404


async def test_a_streamed_answer_has_empty_usage_until_the_end(openai_for):
    async with serve_sim([provider("m")]) as [sim]:
        stream = await openai_for(sim).chat.completions.create(
            model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert "usage" in chunks[0].model_fields_set and chunks[0].usage is None
    assert chunks[-1].usage.prompt_tokens == 2
    assert all(chunk.system_fingerprint for chunk in chunks)


async def test_tls_serves_and_records_the_name_asked_for(tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("api.example.test", "127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(cert)
    certificate.private_key_pem.write_to_path(key)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with (
        serve_sim([provider("m", tls=TlsFiles(cert, key))]) as [sim],
        aiohttp.ClientSession(headers={"authorization": "Bearer k"}) as http,
    ):
        assert sim.url.startswith("https://")
        url = f"{sim.url}/v1/chat/completions"
        async with http.post(
            url, json=chat(model="m"), ssl=trust, server_hostname="api.example.test"
        ) as response:
            assert response.status == 200
        assert sim.sni_seen == ("api.example.test",)
        assert sim.requests[0].sni == "api.example.test"
        with pytest.raises(aiohttp.ClientError):
            faulty = {"x-sim-fault": "reset-after=2"}
            async with http.post(
                url, json=chat(model="m", stream=True), ssl=trust, headers=faulty
            ) as response:
                await response.read()
