"""Command lines of ``vllm_router``, and what becomes of them.

``WAYSIDE_UPDATE_GOLDEN=1 pytest tests/translate`` rewrites the golden file; read the diff.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from wayside.runtime.compile import compile_policy
from wayside.settings import RouterSettings
from wayside.translate.production_stack_args import (
    ARGUMENTS,
    Argument,
    parsed,
    settings_of,
    together,
)
from wayside.vocab.errors import ConfigError

from .cases import updating

GOLDEN = Path(__file__).parents[1] / "golden" / "production_stack_args"
STATIC = "--service-discovery static --static-backends http://a:8000 --static-models m "
LINES = {
    "two_backends": "--host 0.0.0.0 --port 8001 --service-discovery static "
    "--static-backends http://a:8000,http://b:8000 --static-models llama,llama "
    "--static-aliases gpt:llama --routing-logic roundrobin",
    "session": STATIC + "--routing-logic session --session-key x-user-id",
    "session_by_field": STATIC + "--routing-logic session --session-key User.Id",
    "prefixaware": STATIC + "--routing-logic prefixaware --prefix-min-match-length 256",
    "kvaware": STATIC + "--routing-logic kvaware --kv-aware-threshold 1000 "
    "--lmcache-controller-port 9000",
    "least_loaded": STATIC + "--routing-logic least_loaded",
    "disaggregated": "--service-discovery static --static-backends http://p:1,http://d:1 "
    "--static-models m,m --static-model-labels pre,dec --prefill-model-labels pre "
    "--decode-model-labels dec --routing-logic disaggregated_prefill_orchestrated",
    "health": STATIC + "--routing-logic roundrobin --static-backend-health-checks "
    "--static-model-types chat --static-backend-health-check-interval 5 "
    "--static-backend-health-check-timeout-seconds 2 "
    "--max-instance-failover-reroute-attempts 2",
    "everything_else": STATIC + "--routing-logic roundrobin --log-stats --log-stats-interval 3 "
    "--log-level trace --log-format json --enable-batch-api --file-storage-path /var/files "
    "--file-storage-class local_file --batch-processor local --request-rewriter noop "
    "--request-stats-window 30 --engine-stats-interval 15 "
    "--feature-gates SemanticCache=true,PIIDetection=true --semantic-cache-threshold 0.9 "
    "--semantic-cache-model all-MiniLM-L6-v2",
    "external_only": "--service-discovery external-only --routing-logic roundrobin "
    "--external-providers-config FILE",
}
EXTERNAL = {
    "external_providers": [
        {
            "name": "openai",
            "type": "openai",
            "api_base": "https://api.openai.com/v1",
            "api_key_env_var": "OPENAI_API_KEY",
            "timeout": 20,
            "max_retries": 1,
            "custom_headers": {"x-team": "a"},
            "models": [{"id": "gpt-4o", "type": "chat", "aliases": ["gpt"]}],
        }
    ]
}


def translated(line: str) -> Any:
    given = parsed(shlex.split(line))
    external = EXTERNAL if "external_providers_config" in given else {}
    return settings_of(together(given, {}, {}, external))


@pytest.mark.parametrize("name", LINES)
def test_a_command_line_becomes_these_settings(name: str) -> None:
    found = translated(LINES[name])
    settings = RouterSettings.model_validate(found.settings)
    compile_policy(settings, keys=lambda reference, where: None)  # type: ignore[arg-type,return-value]
    shown = {"line": LINES[name], "settings": found.settings, "notes": list(map(str, found.notes))}
    text = yaml.safe_dump(json.loads(json.dumps(shown)), sort_keys=False, width=95)
    expected = GOLDEN / f"{name}.yaml"
    if updating():
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8"), f"{expected} (see cases.py)"


@pytest.mark.parametrize(
    ("words", "endpoint"),
    [("--otel-endpoint jaeger:4317", "http://jaeger:4318"),
     ("--otel-endpoint tempo:4318 --otel-secure", "https://tempo:4318")],
)  # fmt: skip
def test_traces_go_to_the_collector_that_is_named(words: str, endpoint: str) -> None:
    found = translated(f"{STATIC} --routing-logic roundrobin {words}").settings["tracing"]
    assert found == {"enabled": True, "endpoint": endpoint, "service_name": "vllm-router"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--service-discovery zookeeper", "is not one of static, k8s, external-only"),
        ("--service-discovery k8s --k8s-service-discovery-type dns", "pod-ip, service-name"),
        ("--callbacks mine.callback", "--callbacks: code of others"),
        ("--request-rewriter clever", "--request-rewriter: plugins"),
        ("--sentry-dsn http://x", "--sentry-dsn"),
        ("--root-path /llm", "--root-path"),
        ("--routing-logic fastest", "--routing-logic: 'fastest' is not one of roundrobin"),
        ("--routing-logic session", "session_key is missing"),
        ("--routing-logic disaggregated_prefill", "prefill_model_labels is missing"),
        ("--static-model-types song", "'song' is not one of chat"),
        ("--static-models a,b", "1 static_backends but 2 static_models"),
        ("--static-backends ftp://a", "--static-backends[0]: scheme 'ftp'"),
        ("--static-aliases x:nobody", "--static-aliases[0]: an alias is written"),
        ("--semantic-cache-model big --feature-gates SemanticCache=true", "built-in embedder"),
        ("--feature-gates Magic=true", "SemanticCache, PIIDetection"),
        ("--file-storage-class s3", "local_file"),
        ("--batch-processor ray", "--batch-processor"),
        ("--external-providers-config", "has no value"),
        ("--log-level loud", "--log-level"),
        ("--port 70000", "--port"),
        ("--port x", "'x' is not a whole number"),
        ("--static-backend-health-check-intervall 3", "did you mean --static-backend-health"),
        ("--log-stats=yes", "takes no value"),
        ("extra", "no argument 'extra'"),
        ("--dynamic-config-json a --dynamic-config-yaml b", "keep one of them"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_to_do(words: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        translated(STATIC + "--routing-logic roundrobin " + words)
    assert said in str(refused.value)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ConfigError) as refused:
        settings_of(together({}, {}, {}, {}))
    assert "--service-discovery: is missing" in str(refused.value)
    assert "--routing-logic: is missing" in str(refused.value)


def _given(argument: Argument) -> Any:
    """A value that nobody takes for the default."""
    if argument.kind == "flag":
        return True
    return 7 if argument.kind in ("whole", "number") else "something"


@pytest.mark.parametrize("argument", ARGUMENTS, ids=lambda a: a.name)
def test_no_argument_is_ignored_in_silence(argument: Argument) -> None:
    """With any of them, something is otherwise: the settings, a note, or a refusal."""
    base = parsed(shlex.split(STATIC + "--routing-logic roundrobin"))
    before = settings_of(together(base, {}, {}, {}))
    if argument.name in ("config", "dynamic-config-json", "dynamic-config-yaml"):
        return  # files: read by the command
    given = {**base, argument.key: _given(argument)}
    try:
        after = settings_of(together(given, {}, {}, {}))
    except ConfigError as refused:
        assert argument.name in str(refused) or argument.key in str(refused)
        return
    named = [n for n in after.notes if n.path.startswith(argument.key)]
    assert named or after.settings != before.settings


def test_arguments_are_read_as_argparse_reads_them() -> None:
    words = "--port=1 --port 2 --static-ba=http://a --log-stats --k8s-names x"
    assert parsed(shlex.split(words.replace("--static-ba=", "--static-backends="))) == {
        "port": 2,
        "static_backends": "http://a",
        "log_stats": True,
        "k8s_namespace": "x",
    }
    with pytest.raises(ConfigError, match="no argument"):
        parsed(["--static", "x"])  # several begin so


def test_the_dynamic_file_wins_and_lists_all_servers() -> None:
    given = parsed(shlex.split(STATIC + "--static-aliases old:m --routing-logic roundrobin"))
    config = {"port": 9, "log-level": "debug", "routing_logic": "session"}
    dynamic = {"static_backends": "http://n:1", "static_models": "new", "session_key": None}
    found = together(given, config, dynamic, {})
    assert found["port"] == 9
    assert found["log_level"] == "debug"
    assert found["routing_logic"] == "roundrobin"
    assert found["static_models"] == "new"
    assert "static_aliases" not in found
    assert "session_key" not in found
