"""The file that production-stack's controller rewrites (rows A3-37, A3-38): followed within two
seconds, also where it is mounted as a ConfigMap, and a bad one changes nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.production_stack.processes import Process, eventually, started
from tests.production_stack.test_routing import MODEL, servers
from wayside.cli.files import read
from wayside.vocab.errors import ConfigError

WITHIN_S = 2.0
"""What is promised; the machine may be slow, so this is asked of the quickest of several."""
OTHER = "meta-llama/Llama-3.1-8B-Instruct"


def config(backends: list[str], models: list[str], **more: Any) -> str:
    """As the controller writes it: compact, in this order."""
    document = {
        "service_discovery": "static",
        "routing_logic": "roundrobin",
        "static_backends": ",".join(backends),
        "static_models": ",".join(models),
        **more,
    }
    return json.dumps(document, separators=(",", ":"))


class ConfigMap:
    """A folder as kubelet mounts it: the file is a link through ``..data``, which is swapped."""

    def __init__(self, folder: Path, text: str, name: str = "static_config.json") -> None:
        self.folder, self._name, self._number = folder, name, 0
        folder.mkdir()
        self.write(text)
        (folder / name).symlink_to(f"..data/{name}")

    def write(self, text: str) -> None:
        self._number += 1
        data = self.folder / f"..2026_01_01_00_00_{self._number:02d}"
        data.mkdir()
        (data / self._name).write_text(text)
        link = self.folder / "..data_tmp"
        link.symlink_to(data.name)
        link.rename(self.folder / "..data")  # atomic, as kubelet does it
        for old in self.folder.glob("..2026*"):
            if old != data:
                (old / self._name).unlink()
                old.rmdir()

    @property
    def path(self) -> str:
        return str(self.folder / self._name)


def known(process: Process) -> set[str]:
    listed = process.ask("/v1/models")[1]["data"]
    return {m["id"] for m in listed} - {"auto", "MoM"}


def test_a_config_map_is_followed(tmp_path: Path) -> None:
    with servers(3) as urls:
        mounted = ConfigMap(tmp_path / "etc", config(urls[:1], [MODEL]))
        with started(tmp_path, "serve", "--port", "0", "--management-port", "0",
                     "--config", mounted.path) as process:  # fmt: skip
            assert known(process) == {MODEL}
            took = []
            for count in (3, 1, 2):
                mounted.write(config(urls[:count], [MODEL] * count))
                began = time.monotonic()
                eventually(lambda count=count: len(process.ask("/engines")[1]) == count)
                took.append(time.monotonic() - began)
            assert min(took) < WITHIN_S
            for _ in range(6):
                assert process.chat("hi", MODEL)[0] == 200
            went = process.went(6)
            assert sorted(set(went)) == sorted(urls[:2])


def test_models_are_mapped_by_position_and_a_lost_one_is_away(tmp_path: Path) -> None:
    """The example of the StaticRoute's documentation: three backends, two models."""
    with servers(2) as urls, servers(1, OTHER) as others:
        order = [urls[0], others[0], urls[1]]
        path = tmp_path / "static_config.json"
        path.write_text(config(order, [MODEL, OTHER, MODEL]))
        with started(tmp_path, "serve", "--port", "0", "--management-port", "0",
                     "--config", str(path)) as process:  # fmt: skip
            for _ in range(4):
                assert process.chat("hi", MODEL)[0] == 200
                assert process.chat("hi", OTHER)[0] == 200
            went = process.went(8)
            assert went == [urls[0], others[0], urls[1], others[0]] * 2 or went == [
                urls[1], others[0], urls[0], others[0]] * 2  # fmt: skip
            path.write_text(config(urls, [MODEL, MODEL]))
            eventually(lambda: known(process) == {MODEL})
            status, answer = process.chat("hi", OTHER)
            assert (status, answer["error"]["code"]) == (503, "model_unavailable")
            path.write_text(config(order, [MODEL, OTHER, MODEL]))
            eventually(lambda: process.chat("hi", OTHER)[0] == 200)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{nonsense", "line 1"),
        ("", "no configuration"),
        (config(["http://a:1", "http://b:1"], [MODEL]), "2 static_backends but 1"),
        (config(["http://not a host"], [MODEL]), "static_backends[0]"),
        (config(["http://a:1"], [MODEL], routing_logic="fastest"), "routing_logic"),
        (
            config(["http://a:1"], [MODEL], service_discovery="consul"),
            "static, k8s, external-only",
        ),
        (config(["http://a:1"], [MODEL], callbacks="a.b"), "callbacks"),
    ],
)
def test_a_bad_rewrite_keeps_what_was_there_and_health_says_so(
    tmp_path: Path, bad: str, said: str
) -> None:
    if said == "no configuration":
        said = ""
    path = tmp_path / "static_config.json"
    with servers(1) as urls:
        good = config(urls, [MODEL])
        path.write_text(good)
        with started(tmp_path, "serve", "--port", "0", "--management-port", "0",
                     "--config", str(path)) as process:  # fmt: skip
            assert process.ask("/health") == (
                200,
                {"status": "healthy", "dynamic_config": json.loads(good)},
            )
            path.write_text(bad)
            refusal = eventually(lambda: process.ask("/health")[1].get("dynamic_config_error"))
            assert said in refusal
            status, health = process.ask("/health")
            assert status == 200
            assert health["dynamic_config"] == json.loads(good)
            assert process.chat("hi", MODEL)[0] == 200
            better = config(urls * 1, [MODEL], session_key="x-user")
            path.write_text(better)
            eventually(lambda: "dynamic_config_error" not in process.ask("/health")[1])
            assert process.ask("/health")[1]["dynamic_config"] == json.loads(better)


def test_the_dynamic_file_wins_over_the_command_line(tmp_path: Path) -> None:
    with servers(3) as urls:
        path = tmp_path / "dynamic_config.json"
        path.write_text(config(urls[:1], [MODEL]))
        words = ["vllm-router", "--host", "127.0.0.1", "--port", "0",
                 "--service-discovery", "static", "--static-backends", "http://127.0.0.1:9",
                 "--static-models", "old", "--routing-logic", "roundrobin",
                 "--dynamic-config-json", str(path), "--log-format", "json"]  # fmt: skip
        with started(tmp_path, *words) as process:
            assert known(process) == {MODEL}
            path.write_text(config(urls, [MODEL] * 3, session_key="x-user-id",
                                   routing_logic="session"))  # fmt: skip
            eventually(lambda: len(process.ask("/engines")[1]) == 3)
            for _ in range(4):
                assert process.chat("hi", MODEL, {"x-user-id": "ann"})[0] == 200
            assert len(set(process.went(4))) == 1
            # What the command line alone says, such as the address, is as it was.
            assert process.ask("/health")[1]["dynamic_config"]["routing_logic"] == "session"
            path.write_text(config(urls, [MODEL] * 3, unheard_of=1))
            refusal = eventually(lambda: process.ask("/health")[1].get("dynamic_config_error"))
            assert "unheard_of" in refusal


@pytest.mark.parametrize(
    "host",
    ["svc:8000", "[::1]:8000", "svc.my-ns-2:8000", "svc.ns1.svc.cluster.local", "localhost:9001",
     "10.0.0.1", "a_b:80"],
)  # fmt: skip
def test_every_host_that_kubernetes_has_is_taken(host: str) -> None:
    """Theirs refuses single labels, IPv6, and namespaces with digits or hyphens (spec 2.4)."""
    loaded = read(config([f"http://{host}"], [MODEL]).encode(), "static_config.json")
    (endpoint,) = loaded.settings.models[MODEL].endpoints
    assert endpoint.address.host in host


def test_the_example_of_the_documentation_is_understood_as_it_is_meant() -> None:
    """Row A3-38: what the StaticRoute of requirement 003 becomes."""
    backends = [f"http://localhost:{port}" for port in (9001, 9002, 9003)]
    loaded = read(config(backends, [MODEL, OTHER, MODEL]).encode(), "static_config.json")
    assert {
        name: [endpoint.url for endpoint in model.endpoints]
        for name, model in loaded.settings.models.items()
    } == {MODEL: [backends[0], backends[2]], OTHER: [backends[1]]}
    assert loaded.notes == ()


def test_an_unknown_key_is_noted_where_the_file_is_all_there_is() -> None:
    text = config(["http://a:1"], [MODEL], sesion_key="x").encode()
    loaded = read(text, "static_config.json")
    assert "did you mean 'session_key'" in "".join(map(str, loaded.notes))


def test_half_a_configuration_is_none() -> None:
    with pytest.raises(ConfigError, match="2 static_backends but 1 static_models"):
        read(config(["http://a:1", "http://b:1"], ["m"]).encode(), "static_config.json")
