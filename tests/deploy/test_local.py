"""Target ``local``, end to end: a router and simulators that run, answer, are changed and end."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from wayside.cli import cli
from wayside.cli.deploy_intent import named, parse
from wayside.deploy import Process, Step
from wayside.deploy.applying import processes
from wayside.deploy.applying.processes import Running
from wayside.vocab.errors import ConfigError

TARGET = named("local").target
SECRET = "sk-very-secret-0123456789"
ROUTING = {
    "signals": {"keyword": {"law": {"keywords": ["contract"]}}},
    "decisions": [{"name": "law", "when": "keyword:law", "models": ["Model-B"]}],
}


def free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Place:
    """A folder with an intent in it, and what runs of it."""

    def __init__(self, folder: Path) -> None:
        self.file, self.state = folder / "wayside.yaml", folder / "state"
        self.options = {"port": free(), "management_port": free(), "folder": str(self.state)}
        self.options["first_port"] = free()
        self.document: dict[str, Any] = {
            "name": "here",
            "target": "local",
            "models": {
                "Model-A": {"run": "simulator"},
                "gpt": {
                    "cloud": {"url": "https://api.openai.com/v1"},
                    "settings": {"credential": {"env": "OPENAI_API_KEY"}},
                },
            },
            "default_model": "Model-A",
            "targets": {"local": self.options},
        }

    def __call__(self, *args: str, ok: bool = True) -> Result:
        self.file.write_text(yaml.safe_dump(self.document))
        done = CliRunner().invoke(
            cli, ["deploy", args[0], "-f", str(self.file), *args[1:]], catch_exceptions=False
        )
        assert not ok or done.exit_code == 0, done.output
        return done

    def ask(self, prompt: str) -> str:
        body = {"model": "auto", "messages": [{"role": "user", "content": prompt}]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.options['port']}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(json.loads(answer.read())["model"])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    for one in processes.read(made.state).values():
        processes.stop(one, grace_s=2)


@pytest.mark.slow
def test_it_runs_answers_is_changed_and_ends(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert place("plan", ok=False).exit_code == 2
    assert "started" in place("apply").output
    assert "Model-A answers: 200" in place("verify").output
    assert place.ask("a contract") == "Model-A"
    before = {name: one.pid for name, one in processes.read(place.state).items()}
    assert place("plan").output.strip() == "no changes"
    assert json.loads(place("apply", "--json").output) == {"created": []}
    assert {name: one.pid for name, one in processes.read(place.state).items()} == before

    # No secret is in a command line, and what is written is readable for nobody else.
    for one in processes.read(place.state).values():
        assert SECRET.encode() not in Path(f"/proc/{one.pid}/cmdline").read_bytes()
    for file in place.state.rglob("*"):
        assert SECRET not in file.read_text()
    assert (place.state / "config.yaml").stat().st_mode & 0o077 == 0
    assert place.state.stat().st_mode & 0o077 == 0

    # A process that died is started anew; another configuration reaches the router that runs.
    os.kill(before["model-Model-A"], signal.SIGKILL)
    while processes.alive(processes.read(place.state)["model-Model-A"]):
        processes._reap(before["model-Model-A"])  # a signal takes its time to come
    assert place("status", ok=False).exit_code == 1
    place.document["models"]["Model-B"] = {"run": "simulator"}
    place.document["router"] = {"settings": {"routing": ROUTING}}
    assert json.loads(place("apply", "--json").output)["created"] == [
        "model-Model-A",
        "model-Model-B",
    ]
    assert processes.read(place.state)["router"].pid == before["router"]
    for _ in range(400):
        if place.ask("a contract") == "Model-B":
            break
    else:
        pytest.fail("the router did not follow its configuration")
    assert place.ask("a poem") == "Model-A"

    # What is read at a start means another process.
    place.options["port"] = free()
    assert "~ Process router (ended and started anew)" in place("plan", ok=False).output

    running = processes.read(place.state)
    assert "3 ended" in place("destroy", "--yes").output
    assert not any(processes.alive(one) for one in running.values())
    assert (place.state / "router.log").exists()


def test_a_folder_of_somebody_elses_is_neither_used_nor_deleted(
    place: Place, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    place.options["folder"] = str(home)
    done = place("apply", ok=False)
    assert done.exit_code == 2
    assert "targets.local.folder" in done.output and "name an empty folder" in done.output
    place("destroy", "--yes", "--with-data")
    assert (home / "thesis.txt").read_text() == "years of work"
    place.options["folder"] = str(home / "thesis.txt")
    done = place("apply", ok=False)
    assert done.exit_code == 2 and "cannot be used" in done.output


def test_data_can_be_deleted_later(tmp_path: Path) -> None:
    folder, told = tmp_path / "new", []
    processes.start(folder, [], lambda what, about: None, timeout_s=1)
    processes.destroy(folder, lambda what, about: told.append(what), with_data=False)
    assert told == ["kept"] and folder.exists()
    processes.destroy(folder, lambda what, about: told.append(what), with_data=True)
    assert told == ["kept", "deleted"] and not folder.exists()


@pytest.mark.parametrize("flag", ["--no-wait", "--adopt", "--force-conflicts"])
def test_what_a_cluster_is_told_is_refused(place: Place, flag: str) -> None:
    done = place("apply", flag, ok=False)
    assert done.exit_code == 2 and f"{flag}: is for a cluster; leave it out" in done.output


def test_another_process_with_the_same_id_is_let_be(tmp_path: Path) -> None:
    mine = os.getpid()
    other = Running("router", mine, "long ago", "x")
    (tmp_path / "processes.json").write_text(json.dumps([asdict(other)]))
    assert not processes.alive(other) and not processes.stop(other)
    assert processes.destroy(tmp_path, lambda what, about: None, with_data=False) == []


def test_a_port_that_is_taken_is_told(place: Place) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        place.options["first_port"] = other.getsockname()[1]
        done = place("apply", ok=False)
    assert done.exit_code == 2 and "somebody else listens on port" in done.output
    assert not processes.read(place.state)


def test_one_that_ends_at_once_is_told_with_its_log(tmp_path: Path) -> None:
    argv = (sys.executable, "-c", "print('no such model', flush=True); raise SystemExit(3)")
    process = Process(name="p", argv=argv, url="http://127.0.0.1:1/")
    with pytest.raises(ConfigError, match=r"p: ended at once: no such model; see .*p\.log"):
        step = Step(title="s", processes=(process,))
        processes.start(tmp_path, [step], lambda what, about: None, timeout_s=20)


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"models": {"a": {"run": "vllm", "source": "x"}}}, "models.a.run"),
        ({"models": {"a": {"service": {"name": "x"}}}}, "models.a.service"),
        ({"exposure": {"kind": "ingress", "host": "x"}}, "exposure"),
        ({"router": {"storage": "1Gi"}}, "router.storage"),
        ({"clusters": [{"name": "a", "context": "a"}]}, "clusters"),
    ],
)
def test_what_is_for_a_cluster_is_refused(more: dict[str, Any], path: str) -> None:
    models = {"a": {"run": "simulator"}}
    [problem] = TARGET.problems(parse({"models": models, **more}))
    assert problem.where == path and problem.fix
