"""`wayside sim` starts servers and prints where they are."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from click.testing import CliRunner

from wayside.sim.command import sim

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
