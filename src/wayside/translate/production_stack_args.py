"""The command line of ``vllm_router`` (``vllm-router``), and the files that it reads.

Every argument is a key of the configuration as well, with ``_`` for ``-``, so a command line
becomes one document, which :mod:`wayside.translate.production_stack` translates. Source:
production-stack, ``parsers/parser.py`` (names, defaults, what goes together) and
``experimental/semantic_cache_integration.py``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from wayside.translate.notes import Translation
from wayside.translate.production_stack import NAME, TYPES, translate
from wayside.translate.production_stack_picking import LOGICS
from wayside.vocab.errors import ConfigError, Problem

Kind = Literal["text", "whole", "number", "flag"]
DYNAMIC = ("dynamic_config_json", "dynamic_config_yaml")
HOST, PORT = "0.0.0.0", 8001
"""Where ``vllm_router`` listens when nobody says otherwise."""


class Argument(NamedTuple):
    """``help`` says what it becomes here."""

    name: str
    kind: Kind
    group: str
    help: str

    @property
    def key(self) -> str:
        return self.name.replace("-", "_")


_SERVERS, _PICKING, _HEALTH = "Servers", "Routing", "Health and failover"
_STATS, _BATCH, _GATES, _FILES = "Log and metrics", "Files and batches", "Gates", "Files to read"
_LISTEN, _PODS = "Listener", "Servers in Kubernetes"
_NONE = "Refused, or without effect"
ARGUMENTS = (
    Argument("host", "text", _LISTEN, f"listen.address [{HOST}]"),
    Argument("port", "whole", _LISTEN, f"listen.port [{PORT}]"),
    Argument("config", "text", _FILES, "YAML with any of these; the command line wins over it"),
    Argument("dynamic-config-json", "text", _FILES,
             "wins over the command line for servers and routing; followed when it changes"),
    Argument("dynamic-config-yaml", "text", _FILES, "the same in YAML; one of the two"),
    Argument("external-providers-config", "text", _FILES,
             "YAML: a list external_providers of name, api_base, models, api_key_env_var"),
    Argument("service-discovery", "text", _SERVERS, "static, or external-only; required"),
    Argument("static-backends", "text", _SERVERS, "URLs, with commas between: models.*.endpoints"),
    Argument("static-models", "text", _SERVERS, "the model of each, at the same place"),
    Argument("static-aliases", "text", _SERVERS, "alias:model, with commas: models.*.aliases"),
    Argument("static-model-types", "text", _SERVERS, f"of each: {', '.join(TYPES)}"),
    Argument("static-model-labels", "text", _SERVERS, "of each: labels of the endpoint"),
    Argument("routing-logic", "text", _PICKING, f"picking: {', '.join(LOGICS)}; required"),
    Argument("session-key", "text", _PICKING, "the header or field that names a session"),
    Argument("prefix-min-match-length", "whole", _PICKING, "a longer match counts for more"),
    Argument("kv-aware-threshold", "whole", _PICKING, "a longer match counts for more"),
    Argument("prefill-model-labels", "text", _PICKING, "labels of servers that read prompts"),
    Argument("decode-model-labels", "text", _PICKING, "labels of servers that write answers"),
    Argument("static-backend-health-checks", "flag", _HEALTH, "models.*.health_check"),
    Argument("static-backend-health-check-interval", "number", _HEALTH, "its interval_s [60]"),
    Argument("static-backend-health-check-timeout-seconds", "number", _HEALTH,
             "its timeout_s [10]"),
    Argument("backend-health-check-timeout-seconds", "number", _HEALTH, "of Pods: no effect"),
    Argument("max-instance-failover-reroute-attempts", "whole", _HEALTH,
             "models.*.retries.attempts less one"),
    Argument("engine-stats-interval", "number", _STATS, "production_stack.engine_stats_s [30]"),
    Argument("request-stats-window", "number", _STATS, "production_stack.stats_window_s [60]"),
    Argument("log-stats", "flag", _STATS, "production_stack.log_stats_s"),
    Argument("log-stats-interval", "number", _STATS, "its seconds [10]"),
    Argument("log-level", "text", _STATS, "log.level"),
    Argument("log-format", "text", _STATS, "log.format: text or json"),
    Argument("enable-batch-api", "flag", _BATCH, "batches.enabled"),
    Argument("file-storage-path", "text", _BATCH, "batches.folder [/tmp/vllm_files]"),
    Argument("file-storage-class", "text", _BATCH, "local_file"),
    Argument("batch-processor", "text", _BATCH, "local"),
    Argument("feature-gates", "text", _GATES,
             "SemanticCache=true: plugin response_cache; PIIDetection=true: plugin pii"),
    Argument("semantic-cache-threshold", "number", _GATES, "its threshold [0.95]"),
    Argument("semantic-cache-model", "text", _GATES, "the built-in embedder takes its place"),
    Argument("semantic-cache-dir", "text", _GATES, "refused but for semantic_cache"),
    Argument("request-rewriter", "text", _NONE, "noop; else refused: plugins change requests"),
    Argument("callbacks", "text", _NONE, "refused: plugins see requests and answers"),
    Argument("root-path", "text", _NONE, "refused: the proxy strips its prefix"),
    Argument("k8s-service-discovery-type", "text", _PODS, "registry.pods or registry.services"),
    Argument("k8s-port", "whole", _PODS, "its port [8000]"),
    Argument("k8s-namespace", "text", _PODS, "registry.namespace [the router's own]"),
    Argument("k8s-label-selector", "text", _PODS, "its selector [everything]"),
    Argument("k8s-watcher-timeout-seconds", "whole", _NONE, "no effect"),
    Argument("lmcache-controller-port", "whole", _NONE, "no effect"),
    Argument("lmcache-controller-reply-port", "whole", _NONE, "no effect"),
    Argument("lmcache-controller-heartbeat-port", "whole", _NONE, "no effect"),
    Argument("lmcache-health-check-interval", "number", _NONE, "no effect"),
    Argument("lmcache-worker-timeout", "number", _NONE, "no effect"),
    Argument("sentry-dsn", "text", _NONE, "refused: errors are in the log"),
    Argument("sentry-traces-sample-rate", "number", _NONE, "no effect"),
    Argument("sentry-profile-session-sample-rate", "number", _NONE, "no effect"),
    Argument("otel-endpoint", "text", _NONE, "tracing.endpoint (OTLP/HTTP: 4318 for 4317)"),
    Argument("otel-service-name", "text", _NONE, "tracing.service_name"),
    Argument("otel-secure", "flag", _NONE, "https"),
)  # fmt: skip
BY_NAME = {argument.name: argument for argument in ARGUMENTS}


def parsed(words: Sequence[str]) -> dict[str, Any]:
    """A command line as a document. Raises :class:`ConfigError` with everything that is wrong.

    As ``argparse`` reads it: ``--name value``, ``--name=value``, the beginning of a name where
    only one begins so, and the last of several wins.
    """
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        argument = _named(name) if word.startswith("--") else None
        if argument is None:
            problems.append(_unknown(word, name))
            while rest and not rest[0].startswith("--"):
                rest.pop(0)
            continue
        where = f"--{argument.name}"
        if argument.kind == "flag":
            found[argument.key] = True
            if equals:
                problems.append(Problem("takes no value", where, "leave out what follows the ="))
            continue
        if not equals:
            if not rest or rest[0].startswith("--"):
                problems.append(Problem("has no value", where, f"write {where}=VALUE"))
                continue
            value = rest.pop(0)
        try:
            found[argument.key] = _value(argument, value)
        except ValueError:
            kind = "a whole number" if argument.kind == "whole" else "a number"
            problems.append(Problem(f"{value[:80]!r} is not {kind}", where))
    if problems:
        raise ConfigError(problems)
    return named(found)


def named(document: Mapping[Any, Any]) -> dict[str, Any]:
    """A command line or the file of ``--config``, by its keys; what has no value is as if it were
    not there. Raises :class:`ConfigError` for two dynamic configurations."""
    found = {
        str(key).replace("-", "_"): value for key, value in document.items() if value is not None
    }
    if all(found.get(key) for key in DYNAMIC):
        names = " and ".join("--" + key.replace("_", "-") for key in DYNAMIC)
        raise ConfigError.one("both are given", where=names, fix="keep one of them")
    return found


def _unknown(word: str, name: str) -> Problem:
    near = difflib.get_close_matches(name, BY_NAME, 1, 0.6) if word.startswith("--") else []
    fix = f"did you mean --{near[0]}?" if near else "--help lists them"
    return Problem(f"vllm_router has no argument {word[:80]!r}", "", fix)


def _named(name: str) -> Argument | None:
    if name in BY_NAME:
        return BY_NAME[name]
    begins = [argument for argument in ARGUMENTS if name and argument.name.startswith(name)]
    return begins[0] if len(begins) == 1 else None


def _value(argument: Argument, text: str) -> str | int | float:
    if argument.kind == "whole":
        return int(text)
    return float(text) if argument.kind == "number" else text


def together(
    given: Mapping[str, Any],
    config: Mapping[Any, Any],
    dynamic: Mapping[Any, Any],
    external: Mapping[Any, Any],
) -> dict[str, Any]:
    """One document of a command line and the files that it names, as parsed.

    A dynamic configuration is there to be rewritten while the command line stays, so it wins, and
    where it lists servers it lists all of them.
    """
    whole: dict[str, Any] = {"host": HOST, "port": PORT, **named(config), **given}
    if "static_models" in dynamic:
        for key in [key for key in whole if key.startswith("static_") and key not in _TIMES]:
            del whole[key]
    for key in ("config", *DYNAMIC):  # read already; in a dynamic configuration nobody knows them
        whole.pop(key, None)
    whole |= {str(key): value for key, value in dynamic.items() if value is not None}
    if external:
        whole.pop("external_providers_config", None)
        whole |= external
    return whole


_TIMES = frozenset({
    "static_backend_health_checks", "static_backend_health_check_interval",
    "static_backend_health_check_timeout_seconds",
})  # fmt: skip


def settings_of(document: Mapping[str, Any]) -> Translation:
    """The settings. Raises :class:`ConfigError` for whatever is refused, named as the command line
    names it, or is missing."""
    problems = [
        Problem("is missing", f"--{key.replace('_', '-')}")
        for key in ("service_discovery", "routing_logic")
        if not document.get(key)
    ]
    found = translate(document)
    problems += [
        Problem(note.what, _argument(note.path))
        for note in found.notes
        if note.severity in ("refused", "unknown")
    ]
    if not {"models", "registry"} & set(found.settings) and not problems:
        problems.append(Problem("names no server", "--static-backends", "http://host:8000"))
    if problems:
        raise ConfigError(problems)
    settings = {**found.settings, "management": {"enabled": False}}
    return Translation(settings, found.notes, NAME)


def _argument(path: str) -> str:
    """``static_backends[1]`` is ``--static-backends[1]``."""
    head, bracket, rest = path.partition("[")
    if "." in head or head.replace("_", "-") not in BY_NAME:
        return path
    return f"--{head.replace('_', '-')}{bracket}{rest}"
