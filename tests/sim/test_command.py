"""`wayside sim` starts servers and prints where they are."""

import json
import re
import signal
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
import zmq
from click.testing import CliRunner

from wayside.sim import SimModel, SimServer, SimSettings, parse_settings
from wayside.sim.command import sim
from wayside.sim.options import placed, read_options

PROGRAM = [sys.executable, "-c", "from wayside.sim.command import sim; sim()"]


def start(*options, **more):
    return subprocess.Popen([*PROGRAM, *options], stdout=subprocess.PIPE, text=True, **more)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_under_uvloop_until_told_to_stop(number):
    options = ["--model", "small", "--model", "large,max_running=1", "--replicas", "2"]
    with start(*options, "--port", "0", "--json", "--ttft", "0") as process:
        try:
            lines = [json.loads(process.stdout.readline()) for _ in range(4)]
            assert [(line["model"], line["replica"]) for line in lines] == [
                ("small", 0),
                ("small", 1),
                ("large", 0),
                ("large", 1),
            ]
            body = {"model": "large", "messages": [{"role": "user", "content": "Hi"}]}
            request = urllib.request.Request(
                lines[3]["url"] + "/v1/chat/completions", json.dumps(body).encode()
            )
            with urllib.request.urlopen(request, timeout=10) as response:
                answer = json.load(response)
            assert "large, replica 1" in answer["choices"][0]["message"]["content"]
            request.add_header("x-sim-fault", "reset")
            with pytest.raises(ConnectionResetError):
                urllib.request.urlopen(request, timeout=10)
        finally:
            process.send_signal(number)
        assert process.wait(timeout=10) == 0


def test_a_provider_serves_all_models_on_one_address(monkeypatch):
    options = ["--provider", "openai", "--model", "a", "--model", "b", "--api-key-env", "SIM_KEY"]
    with start(*options, "--port", "0", env={"SIM_KEY": "k"}) as process:
        try:
            a, b = (process.stdout.readline().split() for _ in range(2))
            assert a[-1] == b[-1] and a[-1].endswith("/v1")
            request = urllib.request.Request(f"{a[-1]}/models")
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(request, timeout=10)
            request.add_header("authorization", "Bearer k")
            with urllib.request.urlopen(request, timeout=10) as response:
                assert [model["id"] for model in json.load(response)["data"]] == ["a", "b"]
        finally:
            process.terminate()
        assert process.wait(timeout=10) == 0


def fetch(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as response:
        return response.headers, response.read().decode()


@pytest.mark.parametrize(
    ("environment", "pods"),
    [
        ({}, ["sim-0", "sim-1"]),
        ({"POD_NAME": "vllm-abc", "POD_NAMESPACE": "llm"}, ["vllm-abc-0", "vllm-abc-1"]),
    ],
)
def test_a_fleet_for_endpoint_picking(environment, pods):
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.linger = 0
        port = subscriber.bind_to_random_port("tcp://127.0.0.1")
        subscriber.subscribe(b"kv@10.0.0.7:")
        options = ["--model", "small,loras=sql+chat,max_loras=2", "--replicas", "2", "--ttft", "0"]
        options += ["--port", "0", "--json", "--itl", "0", "--prefill", "0.0001"]
        options += ["--kv-events-connect", f"tcp://127.0.0.1:{port}", "--metrics", "sglang"]
        environment = {"POD_IP": "10.0.0.7", **environment}
        with start(*options, "--role", "decode", "--sidecar", env=environment) as process:
            try:
                urls = [json.loads(process.stdout.readline())["url"] for _ in pods]
                for url, pod in zip(urls, pods, strict=True):
                    headers, models = fetch(f"{url}/v1/models")
                    assert headers["x-inference-pod"] == pod
                    space = environment.get("POD_NAMESPACE", "default")
                    assert headers["x-inference-namespace"] == space
                    assert [card["id"] for card in json.loads(models)["data"]] == [
                        "small",
                        "sql",
                        "chat",
                    ]
                    assert "sglang:num_running_reqs" in fetch(f"{url}/metrics")[1]
                    assert json.loads(fetch(f"{url}/_sim/stats")[1])["role"] == "decode"
                heard = {subscriber.recv_multipart()[0].decode() for _ in urls}
                assert heard == {f"kv@10.0.0.7:{url.rpartition(':')[2]}@small" for url in urls}
                body = {"model": "sql", "messages": [{"role": "user", "content": "x" * 400}]}
                fetch(f"{urls[0]}/v1/chat/completions", body)
                _, number, told = subscriber.recv_multipart()
                assert number[-1] == 1 and b"BlockStored" in told
            finally:
                process.terminate()
            assert process.wait(timeout=10) == 0


def test_each_server_tells_its_events_on_a_port_of_its_own_and_gpus_are_on_one():
    options = options_of("--model", "a", "--replicas", "3", "--kv-events", "tcp://*:5557")
    assert [server.kv_events.endpoint for server in options.servers] == [
        "tcp://*:5557",
        "tcp://*:5558",
        "tcp://*:5559",
    ]
    assert options.gpu_exporter is None
    options = options_of("--model", "a", "--gpu-exporter-port", "9400")
    assert options.gpu_exporter.port == 9400 and options.servers[0].kv_events is None


def options_of(*words):
    """The settings that these words on the command line mean."""
    given = sim.make_context("sim", list(words)).params
    return read_options(**{k: v for k, v in given.items() if k not in ("config", "as_json")})


def test_a_pod_has_one_name_if_it_is_one_server_and_the_settings_go_first():
    one = SimSettings((SimServer((SimModel("a"),)),))
    environment = {"POD_NAME": "p", "POD_NAMESPACE": "n", "POD_IP": "10.0.0.9"}
    [server] = placed(one, environment).servers
    assert (server.pod, server.namespace, server.pod_ip) == ("p", "n", "10.0.0.9")
    mine = SimServer((SimModel("a"),), pod="mine", namespace="own", pod_ip="::1")
    assert placed(SimSettings((mine,)), environment).servers == (mine,)
    cloud = SimServer((SimModel("a"),), provider="openai")
    assert placed(SimSettings((cloud,)), environment).servers[0].pod is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "at least one --model"),
        (["--model", "a,colour=red"], "colour"),
        (["--model", "a,ttft_s=fast"], "ttft_s"),
        (["--model", "a,oops"], "NAME,KEY=VALUE"),
        (["--model", "a", "--fault", "explode=1"], "explode"),
        (["--model", "a", "--fault", "status=2"], "status.rate"),
        (["--model", "a", "--api-key-env", "NO_SUCH_VARIABLE"], "is not set"),
        (["--model", "a", "--tls-cert", __file__], "go together"),
        (["--model", "a", "--kv-events", "5557"], "endpoint"),
        (
            ["--model", "a", "--kv-events", "tcp://*:1", "--kv-events-connect", "tcp://x:1"],
            "give one",
        ),
        (["--model", "a", "--role", "prefill", "--sidecar"], "prefill server has none"),
        (["--model", "a,max_loras=0"], "max_loras"),
        (["--model", "a", "--port", "0", "--kv-events", "tcp://nowhere.invalid:1"], "kv_events"),
    ],
)
def test_mistakes_are_explained(options, says):
    result = CliRunner().invoke(sim, options)
    assert result.exit_code != 0 and says in result.output


def test_a_config_file_says_it_all(tmp_path):
    config = tmp_path / "sim.yaml"
    config.write_text("servers:\n- models:\n  - name: small\n")
    with start("--config", str(config)) as process:
        try:
            assert process.stdout.readline().startswith("small  replica 0  http://127.0.0.1:")
        finally:
            process.terminate()


def test_the_help_teaches():
    help_text = CliRunner().invoke(sim, ["--help"]).output
    assert "wayside sim --model small --model large --replicas 2 --port 9001" in help_text
    assert "x-sim-fault" in help_text


@pytest.mark.parametrize("page", ["simulator", "simulator-replicas"])
def test_the_file_shown_in_the_reference_is_one(page):
    text = (Path(__file__).parents[2] / "docs" / "reference" / f"{page}.md").read_text()
    [shown] = re.findall(r"^    servers:\n(?:    .*\n)+", text, re.MULTILINE)
    assert parse_settings(yaml.safe_load(textwrap.dedent(shown))).servers
