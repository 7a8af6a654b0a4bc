"""``wayside config``: is it right, what does it mean, what would it be in our words?"""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from tests.cli.conftest import Wayside
from wayside.cli.config import EXAMPLE
from wayside.cli.files import read

FOREIGN = """
vllm_endpoints:
  - {name: a, address: vllm-a.models.svc.cluster.local, port: 8000, weight: 2}
  - {name: b, address: 10.0.0.8, port: 8001}
model_config:
  model-a: {preferred_endpoints: [a], api_key: "${KEY_OF_A}"}
  model-b: {preferred_endpoints: [b]}
categories:
  - {name: math, mmlu_categories: [math], model_scores: [{model: model-b, score: 0.9}]}
default_model: model-a
prompt_guard: {enabled: true}
ratelimit: {enabled: true}
semantic_cahce: {enabled: true}
"""
UNUSED = """
models:
  a: {endpoints: [http://127.0.0.1:1], credential: {env: KEY_OF_A}}
routing:
  signals:
    keyword:
      used: {keywords: [x]}
      forgotten: {keywords: [y]}
  decisions: [{name: d, when: {not: {any: [keyword:used]}}, models: [a]}]
recipes:
  spare: {default_model: a}
"""


# check


def test_a_good_file_is_ok_in_one_line(wayside: Wayside, example: Path) -> None:
    said = wayside("config", "check")
    assert said.status == 0
    assert said.out == "ok wayside.yaml (wayside): 3 models, 4 signals, 2 decisions\n"


def test_a_file_is_named_either_way(wayside: Wayside, here: Path) -> None:
    (here / "mine.yaml").write_text("models: {a: {endpoints: [http://127.0.0.1:1]}}\n")
    for arguments in (("mine.yaml",), ("--config", "mine.yaml"), ("-c", "mine.yaml")):
        said = wayside("config", "check", *arguments)
        assert said.status == 0
        assert said.out == "ok mine.yaml (wayside): 1 model, 0 signals, 0 decisions\n"


def test_a_configuration_can_come_through_a_pipe(wayside: Wayside) -> None:
    said = wayside("config", "check", "-", text="models: {a: {endpoints: [h:1]}}")
    assert said.status == 0 and said.out.startswith("ok standard input (wayside)")
    said = wayside("config", "check", "--config", "-", text="modles: {}")
    assert said.status == 2 and "did you mean 'models'?" in said.err


def test_everything_wrong_is_listed_with_its_path_and_what_to_do(
    wayside: Wayside, here: Path
) -> None:
    (here / "wayside.yaml").write_text(
        "limitz: {}\nmodels:\n  a: {endpoint: [x], endpoints: ['ftp://b']}\n"
        "routing: {strategy: x}\n"
    )
    said = wayside("config", "check")
    assert said.status == 2 and said.out == ""
    *lines, last = said.err.splitlines()
    assert all(line.startswith("error ") for line in lines)
    assert "error limitz: unknown key; did you mean 'limits'?" in lines
    assert "error models.a.endpoint: unknown key; did you mean 'endpoints'?" in lines
    assert any("models.a.endpoints[0].url: scheme 'ftp'" in line for line in lines)
    assert any("routing.strategy" in line and "'priority'" in line for line in lines)
    assert last == f"{len(lines)} problems in wayside.yaml"


def test_what_only_shows_when_compiled_is_listed_too(wayside: Wayside, here: Path) -> None:
    (here / "wayside.yaml").write_text(
        "models: {small: {}}\nrouting:\n  default_model: smal\n"
        "  decisions: [{name: d, when: keyword:x, models: [small]}]\n"
    )
    said = wayside("config", "check")
    assert said.status == 2
    assert "models.small.endpoints: no endpoint; add one" in said.err
    assert "routing.default_model: no model 'smal'; did you mean 'small'?" in said.err
    assert "routing.decisions[0].when: no signal 'keyword:x'" in said.err


def test_bad_yaml_is_told_with_its_line(wayside: Wayside, here: Path) -> None:
    (here / "wayside.yaml").write_text("models:\n  a: [\n")
    said = wayside("config", "check")
    assert said.status == 2 and "error line 3" in said.err
    assert said.err.endswith("1 problem in wayside.yaml\n")
    (here / "wayside.yaml").write_bytes(b"models: \xff\n")
    said = wayside("config", "check")
    assert said.status == 2 and "not UTF-8" in said.err


def test_what_looks_forgotten_is_a_hint(wayside: Wayside, here: Path) -> None:
    (here / "wayside.yaml").write_text(UNUSED)
    said = wayside("config", "check")
    assert said.status == 0
    assert said.err.splitlines() == [
        "hint routing.signals.keyword.forgotten: no decision refers to it",
        "hint routing.default_model: not set; a prompt that no decision takes is refused",
        "hint recipes.spare: no entrypoint leads to it",
        "hint models.a.credential: KEY_OF_A is not set here; `serve` will want it",
    ]


def test_what_serve_will_want_is_a_hint(wayside: Wayside, here: Path) -> None:
    (here / "wayside.yaml").write_text("""
models:
  a: {provider: openai, credential: {file: key.txt}}
  b: {provider: anthropic}
  c: {provider: groq, accept_user_keys: true}
routing:
  default_model: a
  decisions: [{name: d, models: [a, b], select: {knn: {file: mine.selector}}}]
""")
    told = [
        "hint models.a.credential: key.txt is not there; `serve` will want it",
        "hint models.b.credential: not set; anthropic is asked without a key",
        "hint routing.decisions[0].select.knn.file: mine.selector is not there; "
        "`serve` will want it: "
        "wayside train selection --algorithm knn ROWS.jsonl -o mine.selector",
    ]
    said = wayside("config", "check")
    assert said.status == 0 and said.err.splitlines() == told
    (here / "key.txt").write_text("sk-1")
    (here / "mine.selector").write_bytes(b"")
    assert wayside("config", "check").err.splitlines() == told[1:2]


def test_a_foreign_file_is_read_and_what_is_lost_is_named(wayside: Wayside, here: Path) -> None:
    (here / "old.yaml").write_text(FOREIGN)
    said = wayside("config", "check", "old.yaml")
    assert said.status == 0 and said.out.startswith("ok old.yaml (vsr_flat): 2 models")
    assert "unsupported: ratelimit" in said.err
    assert "unknown: semantic_cahce: " in said.err
    assert wayside("config", "check", "old.yaml", "--strict").status == 1


def test_strict_ip_refuses_names(wayside: Wayside, here: Path) -> None:
    (here / "old.yaml").write_text(FOREIGN)
    said = wayside("config", "check", "old.yaml", "--strict-ip")
    assert said.status == 2 and "vllm-a.models.svc.cluster.local" in said.err


# convert


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_is_converted_loads_to_equal_settings(
    wayside: Wayside, here: Path, options: tuple[str, ...]
) -> None:
    (here / "old.yaml").write_text(FOREIGN)
    said = wayside("config", "convert", "old.yaml", *options)
    assert said.status == 0 and "ratelimit" in said.err
    before = read(FOREIGN.encode(), "old.yaml", env={})
    after = read(said.out.encode(), "wayside.yaml", env={})
    assert after.format == "wayside" and after.settings == before.settings
    assert before.settings.models["model-a"].credential is not None
    (here / "new.yaml").write_text(said.out)
    assert wayside("config", "check", "new.yaml").status == 0


def test_values_of_variables_are_not_copied(
    wayside: Wayside, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_OF_A", "sk-secret")
    (here / "old.yaml").write_text(FOREIGN)
    said = wayside("config", "convert", "old.yaml")
    assert "sk-secret" not in said.out + said.err
    ours = 'models: {a: {endpoints: ["http://${HOST}:1"], description: "$$5"}}'
    said = wayside("config", "convert", "-", text=ours)
    assert "${HOST}" in said.out and "$$5" in said.out
    assert "our own format already" in said.err


# schema


def test_the_schema_takes_the_example_and_refuses_a_bad_one(wayside: Wayside) -> None:
    schema = json.loads(wayside("config", "schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good = yaml.safe_load(EXAMPLE)
    validator.validate(good)
    for path, value in (
        (("limitz",), {}),
        (("models", "small", "endpoint"), "x"),
        (("routing", "signals", "keywrd"), {}),
        (("routing", "signals", "keyword", "urgent", "keywords"), "urgent"),
        (("routing", "signals", "domain", "code", "threshold"), 2),
    ):
        bad = yaml.safe_load(EXAMPLE)
        inner = bad
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        assert not validator.is_valid(bad), path


# explain


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("", ["Everything one router is told.", "  models  ", "  limits  "]),
        ("limits", ["What a client may cost", "max_body_bytes", "413"]),
        ("limits.drain_s", ["number above 0; default 30.0", "SIGTERM"]),
        ("models", ["map of Model", "*.endpoints", "Its replicas"]),
        ("models.gpt-4.1", ["(Model)", "upstream_name"]),
        ("models.gpt-4.1.endpoints[0].weight", ["number from 0", "default 1.0"]),
        ("models.*.endpoints", ["list of Endpoint", "weight"]),
        ("models.a.price.currency", ['text; default "USD"']),
        ("models.a.headers", ["map of text"]),
        ("models.a.credential", ["by reference only", "prefix", "env"]),
        ("auto_names", ['list of text; default ["auto", "MoM"]']),
        ("default_effort", ['minimal or low or medium or high; default "medium"']),
        ("routing.signals", ["keyword", "language", "structure"]),
        ("routing.signals.keyword", ["*.keywords", "*.method"]),
        ("routing.signals.keyword.urgent.operator", ['AND or OR or NOR; default "OR"']),
        ("routing.decisions[2].when", ["(Condition)", "all", "gte"]),
        ("routing.decisions.select", ["or static or", 'default "static"']),
        ("routing.decisions.plugins", ["header_mutation", "system_prompt"]),
        ("recipes.mine.decisions.models", ["list of Candidate", "reasoning"]),
    ],
)
def test_a_key_is_explained(wayside: Wayside, key: str, says: list[str]) -> None:
    said = wayside("config", "explain", key)
    assert said.status == 0 and said.err == ""
    for text in says:
        assert text in said.out
    assert "$ref" not in said.out and "``" not in said.out


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("limitz", "no key 'limitz' in the configuration; did you mean 'limits'?"),
        ("limits.max_body", "no key 'max_body' in limits; did you mean 'max_body_bytes'?"),
        ("routing.signals.keywrd", "did you mean 'keyword'?"),
        ("models.a.endpoint", "did you mean 'endpoints'?"),
        ("limits.drain_s.seconds", "it is number above 0"),
        ("listen.host", "keys here: address, port"),
    ],
)
def test_a_wrong_key_is_answered_with_the_nearest(wayside: Wayside, key: str, says: str) -> None:
    said = wayside("config", "explain", key)
    assert said.status == 1 and says in said.err


def test_every_key_of_the_example_is_explained(wayside: Wayside) -> None:
    def keys(value: object, path: str) -> list[str]:
        if not isinstance(value, dict):
            return [path]
        return [path, *(k for key, v in value.items() for k in keys(v, f"{path}.{key}"))]

    for key in keys(yaml.safe_load(EXAMPLE), ""):
        if ".decisions" not in key:
            assert wayside("config", "explain", key.strip(".")).status == 0, key


# example


def test_the_example_passes_the_check(wayside: Wayside, here: Path) -> None:
    (here / "wayside.yaml").write_text(wayside("config", "example").out)
    said = wayside("config", "check")
    assert said.status == 0
    assert "OPENAI_API_KEY is not set here" in said.err
