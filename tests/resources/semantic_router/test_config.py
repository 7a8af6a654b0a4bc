"""The configuration that a SemanticRouter becomes (spec 1.7), and what makes none."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.translate.cases import updating
from wayside.resources.semantic_router import backends, config
from wayside.resources.semantic_router.config import RouterConfig
from wayside.resources.semantic_router.config_notes import MOST_NOTES
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.runtime import compile_policy
from wayside.runtime.reload import digest
from wayside.settings import CredentialSettings, RouterSettings
from wayside.settings.load import parse
from wayside.translate import translate
from wayside.vocab.outcome import Credential

from .goldens import CASES, NAMESPACE, ONE, config_of, load, make, spec_of, told, world_of

TWO = [ONE, {**ONE, "name": "n", "model": "n"}]


def compiled(
    made: RouterConfig, tmp_path: Path, env: dict[str, str] | None = None
) -> RouterSettings:
    """What the router makes of the text: raises where it would not start."""
    (tmp_path / "tools_db.json").write_text(made.tools, encoding="utf-8")
    text = made.text.replace(config.CONFIG_DIR, str(tmp_path))
    assert translate(yaml.safe_load(text)) is None, "taken for somebody else's format"
    settings = RouterSettings.model_validate(parse(text, env or {}))
    compile_policy(settings, keys=_mounted(made))
    return settings


def _mounted(made: RouterConfig) -> Any:
    files = {use.file for use in made.secrets}

    def keys(reference: CredentialSettings, where: str) -> Credential:
        assert reference.env is None, f"{where}: a key that no rotation would reach"
        assert reference.file in files, f"{where}: {reference.file} is not mounted"
        return Credential(reference.header, reference.prefix, "x")

    return keys


# --- families ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_family_of_settings_is_translated(case: Path, tmp_path: Path) -> None:
    """A1-95, A1-27, A1-28, A1-101, A1-102: one golden for each, which the router accepts."""
    made = make(load(case))

    got = {"config.yaml": made.text, "told.txt": told(made)}
    if made.tools != "[]\n":
        got["tools_db.json"] = made.tools
    for name, text in got.items():
        expected = case / name
        if updating():
            expected.write_text(text, encoding="utf-8")
        assert text == expected.read_text(encoding="utf-8"), f"{expected} (see goldens.py)"
    settings = compiled(made, tmp_path)
    assert made.settings is not None
    assert set(settings.models) == set(made.settings.models)


def test_numbers_are_numbers_where_they_belong_and_nowhere_else(tmp_path: Path) -> None:
    """A1-95 (D10): a rate is a number; a model called 1e5, and a tool's tag 1, stay texts."""
    made = make(
        {
            "vllmEndpoints": [{**ONE, "model": "1e5", "loras": [{"name": "0123"}]}],
            "config": {
                "response_cache": {"similarity_threshold": "0.80"},
                "decisions": [
                    {
                        "name": "true",
                        "rules": {
                            "operator": "AND",
                            "conditions": [{"type": "domain", "name": "law"}],
                        },
                        "modelRefs": [{"model": "1e5", "lora_name": "0123"}],
                    }
                ],
            },
        }
    )

    settings = compiled(made, tmp_path)

    assert list(settings.models) == ["1e5"]
    assert settings.models["1e5"].loras[0].name == "0123"
    decision = settings.routing.decisions[0]
    assert (decision.name, decision.models[0].lora) == ("true", "0123")
    assert decision.plugins["response_cache"]["threshold"] == 0.8


# --- cache validation ----------------------------------------------------------------------------

HOST = {"connection": {"host": "h"}}
_CACHES = [
    ("absent", None, ""),
    ("off", {"enabled": False, "backend_type": "redis"}, ""),
    ("memory", {"enabled": True, "backend_type": "memory"}, ""),
    ("redis", {"backend_type": "redis", "redis": HOST}, ""),
    ("no redis", {"backend_type": "redis"},
     "redis configuration required when backend_type is 'redis'"),
    ("no host", {"backend_type": "redis", "redis": {"connection": {}}},
     "redis.connection.host is required"),
    ("valkey", {"backend_type": "valkey", "valkey": HOST}, ""),
    ("no valkey", {"backend_type": "valkey"},
     "valkey configuration required when backend_type is 'valkey'"),
    ("no valkey host", {"backend_type": "valkey", "valkey": {}},
     "valkey.connection.host is required"),
    ("milvus", {"backend_type": "milvus", "milvus": HOST},
     "answers cannot be cached in Milvus"),
    ("no milvus", {"backend_type": "milvus"},
     "milvus configuration required when backend_type is 'milvus'"),
    ("no milvus host", {"backend_type": "milvus", "milvus": {"connection": {}}},
     "milvus.connection.host is required"),
    ("qdrant", {"backend_type": "qdrant", "qdrant": {"host": "h"}},
     "answers cannot be cached in Qdrant"),
    ("no qdrant", {"backend_type": "qdrant"},
     "qdrant configuration required when backend_type is 'qdrant'"),
    ("no qdrant host", {"backend_type": "qdrant", "qdrant": {}}, "qdrant.host is required"),
    ("hybrid", {"backend_type": "hybrid", "milvus": HOST},
     "answers cannot be cached in Milvus and memory together"),
    ("no hybrid milvus", {"backend_type": "hybrid"},
     "milvus configuration required when backend_type is 'hybrid'"),
    ("no hybrid host", {"backend_type": "hybrid", "milvus": {"connection": {}}},
     "milvus.connection.host is required for hybrid backend"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("cache", "problem"), [c[1:] for c in _CACHES], ids=[c[0] for c in _CACHES]
)
def test_a_cache_is_validated_in_the_words_people_know(
    cache: dict[str, Any] | None, problem: str
) -> None:
    """A1-99: and what cannot be had is refused, never replaced by something else."""
    made = config_of(**({} if cache is None else {"response_cache": cache}))

    assert bool(made.problems) is bool(problem)
    if problem:
        assert made.settings is None
        assert made.problems[0].startswith("spec.config.response_cache")
        assert problem in made.problems[0]
        unsupported = "cannot be cached" in problem
        assert (made.reason == "Unsupported") is unsupported
        assert ("backend_type: redis" in made.problems[0]) is unsupported


def test_an_unknown_store_is_named_with_those_there_are() -> None:
    """A1-99: the nineteenth case, which the API server refuses before."""
    from wayside.resources.semantic_router.cache_spec import CacheSpec
    from wayside.resources.semantic_router.config_spec import ConfigSpec

    spec = spec_of({})
    cache = CacheSpec.model_construct({"backend_type"}, backend_type="dragonfly")
    raw = spec.model_copy(
        update={"config": ConfigSpec.model_construct({"response_cache"}, response_cache=cache)}
    )
    raw.model_fields_set.add("config")

    made = config.make(raw, "sr", NAMESPACE, backends.resolve(spec, NAMESPACE, world_of(spec)))

    assert made.problems[0].endswith(
        "unsupported backend_type: dragonfly (must be one of: memory, redis, valkey, milvus, "
        "qdrant, hybrid)"
    )


# --- what is refused -----------------------------------------------------------------------------


def _decision(**more: Any) -> dict[str, Any]:
    return {"name": "d", "rules": {"operator": "AND", "conditions": []},
            "modelRefs": [{"model": "m"}], **more}  # fmt: skip


def _routed(**decision: Any) -> dict[str, Any]:
    return {"routing": {"decisions": [_decision(**decision)]}}


_REFUSED = [
    pytest.param(
        {"response_cache": {}, "semantic_cache": {}}, "Conflict",
        "config.response_cache conflicts with deprecated config.semantic_cache", id="two caches",
    ),
    pytest.param(
        {"routing": {"stratgy": "priority"}}, "UnknownField",
        "spec.config.routing.stratgy: unknown key; did you mean 'strategy'?", id="unknown key",
    ),
    pytest.param(
        _routed(piority=3), "UnknownField",
        "spec.config.routing.decisions[0].piority: unknown key; did you mean 'priority'?",
        id="unknown key of a decision",
    ),
    pytest.param(
        {"decisions": [_decision(modelRefs=[{"model": "mm"}])]}, "UnknownModel",
        "nothing defines model 'mm'", id="unknown model",
    ),
    pytest.param(
        {"decisions": [_decision(modelRefs=[{"model": "m"}, {"model": "mm"}])]}, "UnknownModel",
        "nothing defines model 'mm'", id="unknown model beside a known one",
    ),
    pytest.param(
        {"routing": {"modelCards": [{"name": "mm"}]}}, "UnknownModel",
        "no provider serves model 'mm'", id="a card of no model",
    ),
    pytest.param(
        {"decisions": [_decision(rules={"operator": "AND", "conditions": [
            {"type": "keyword", "name": "urgent"}]})]}, "ParseError",
        "refers to keyword 'urgent', which nothing defines", id="unknown signal",
    ),
    pytest.param(
        {"decisions": [_decision()], "routing": {"decisions": [_decision()]}}, "Conflict",
        "write it in one place", id="decisions twice",
    ),
    pytest.param(
        _routed(plugins=[{"type": "telepathy"}]), "Unsupported",
        "plugin telepathy is not supported yet", id="a plugin that is not here",
    ),
    pytest.param(
        _routed(plugins=[{"type": "tool_selection", "configuration": {
            "mode": "add", "tools_db_path": "/etc/tools.json"}}]), "ParseError",
        "no file '/etc/tools.json' is in the router's container", id="a file that is not there",
    ),
    pytest.param(
        {"tools": {"tools_db_path": "/etc/tools.json"}}, "ParseError",
        "only the tools of toolsDb are there", id="tools elsewhere",
    ),
    pytest.param(
        {"prompt_guard": {"variant": "candle", "protocol": "http_chat"}}, "Conflict",
        "cannot specify both prompt_guard.variant and prompt_guard.protocol", id="guard twice",
    ),
    pytest.param(
        {"prompt_guard": {"protocol": "http_chat"}}, "ParseError",
        "nothing says where the server is that would be asked", id="a guard that is nowhere",
    ),
    pytest.param(
        {"prompt_guard": {"positive_labels": ["INJECTION"]}}, "ParseError",
        "'INJECTION' is none", id="labels of another detector",
    ),
    pytest.param(
        {"embedding_models": {"endpoint": {"base_url": "http://e", "model": "x"}}}, "ParseError",
        "embedding_config.backend is openai_compatible", id="embeddings that nobody asks",
    ),
    pytest.param(
        {"embedding_models": {"embedding_config": {"backend": "openai_compatible"},
         "endpoint": {"base_url": "http://e/v1", "model": "x", "api_key_env": "KEY"}}},
        "ParseError", "no variable KEY; add it to spec.env", id="a variable that nobody sets",
    ),
    pytest.param(
        _routed(plugins=[{"type": "system_prompt", "configuration": {"system_prompt": "${X}"}}]),
        "ParseError", "environment variable X is not set; add it to spec.env", id="text",
    ),
    pytest.param(
        {"response_cache": {"backend_type": "redis", "redis": {"connection": {
            "host": "user@h/0"}}}}, "ParseError", "redis.connection.host", id="host",
    ),
    pytest.param(
        {"response_cache": {"backend_type": "redis", "redis": {"connection": {
            "host": "h", "password_secret_ref": {"name": "s", "key": "../../token"}}}}},
        "ParseError", "is not a key of a Secret", id="a key that is a path",
    ),
    pytest.param(
        {"response_cache": {"backend_type": "redis", "redis": {"connection": {
            "host": "h", "tls": {"enabled": True, "cert_file": "/c"}}}}},
        "ParseError", "shows no certificate of its own", id="a client certificate",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("given", "reason", "problem"), _REFUSED)
def test_what_would_be_ignored_is_refused(
    given: dict[str, Any], reason: str, problem: str
) -> None:
    """A1-96, A1-100, A1-101 (D20): with its path and what to write instead."""
    made = config_of(**given)

    assert made.settings is None
    assert made.text == ""
    assert any(problem in line for line in made.problems), made.problems
    assert all(
        line.startswith(("spec.", "decision", "engines", "routing")) for line in made.problems
    )
    assert made.reason == reason


def test_the_guard_is_on_unless_told_otherwise() -> None:
    """A1-100: `variant` means the built-in detector, as does neither of the two."""
    for said in ({}, {"variant": "mmbert32k"}, {"variant": "candle", "threshold": "0.9"}):
        made = config_of(prompt_guard=said)
        assert made.settings is not None
        assert made.settings.guard_recipe == "guards"
        assert made.settings.routing.decisions[0].name == "prompt_guard"
    off = config_of(prompt_guard={"enabled": False})
    assert off.settings is not None
    assert (off.settings.guard_recipe, off.settings.routing.decisions) == (None, ())


def test_a_guard_comes_first_also_where_confidence_decides() -> None:
    """A1-100: a decision that is surer of itself must not let an attack through."""
    decision = _decision(
        rules={"operator": "AND", "conditions": [{"type": "domain", "name": "law"}]}
    )
    made = config_of(prompt_guard={}, routing={"strategy": "confidence", "decisions": [decision]})

    assert made.settings is not None
    first, second = made.settings.routing.decisions
    assert (first.name, first.tier, second.tier) == ("prompt_guard", 1, 2)


# --- models --------------------------------------------------------------------------------------


def _with(found: set[str], **spec: Any) -> RouterConfig:
    """The configuration where only some models are somewhere."""
    made = spec_of({"vllmEndpoints": TWO, **spec})
    there = [
        backend if backend.model in found else type(backend)(
            name=backend.name, model=backend.model, type=backend.type, reason="ServiceNotFound"
        )
        for backend in backends.resolve(made, NAMESPACE, world_of(made))
    ]  # fmt: skip
    return config.make(made, "sr", NAMESPACE, there)


def test_the_default_model_is_the_specs_and_does_not_wander() -> None:
    """A1-20 (D8): the one that is named, or the first of the list; not the first by alphabet."""
    backwards = [{**ONE, "name": "z", "model": "z"}, {**ONE, "name": "a", "model": "a"}]
    made = make({"vllmEndpoints": backwards})
    assert made.settings is not None
    assert made.settings.routing.default_model == "z"

    named = _with({"m", "n"}, defaultModel="n")
    assert named.settings is not None
    assert named.settings.routing.default_model == "n"

    refused = _with({"m"}, defaultModel="n", config={"response_cache": {}})
    assert refused.settings is not None
    assert refused.settings.routing.default_model is None
    assert refused.settings.routing.decisions == ()
    assert "spec.defaultModel: n has no backend" in refused.notes[0]

    next_one = _with({"n"})
    assert next_one.settings is not None
    assert next_one.settings.routing.default_model == "n"
    assert "m has no backend; until it has, n answers" in next_one.notes[0]

    assert "nothing defines it" in _with({"m"}, defaultModel="q").problems[0]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({}, "spec.vllmEndpoints names no model"),
        (
            {"config": {"prompt_guard": {}, "response_cache": {}}},
            "spec.vllmEndpoints names no model",
        ),
        ({"vllmEndpoints": TWO}, "no model has a backend yet"),
        (
            {"vllmEndpoints": TWO, "config": {"decisions": [_decision()], "tools": {}}},
            "no model has a backend yet",
        ),
    ],
)
def test_nothing_to_route_to_is_no_mistake(spec: dict[str, Any], why: str, tmp_path: Path) -> None:
    """A1-20 (D8): the router starts with it, and its last decision refuses with words."""
    read = spec_of({"vllmEndpoints": [], **spec})
    resolved = [
        backends.Backend(name=e.name, model=e.model, type=e.backend.type)
        for e in read.vllm_endpoints
    ]
    made = config.make(read, "sr", NAMESPACE, resolved)

    assert (made.problems, made.waiting) == ((), why)
    assert made.settings is not None
    assert not made.settings.models
    last = min(made.settings.routing.decisions, key=lambda d: d.priority)
    assert last.name == "no_backend"
    assert last.plugins["fast_response"]["status"] == 503
    compiled(made, tmp_path)


def test_an_algorithm_that_lost_its_models_is_let_go(tmp_path: Path) -> None:
    """A1-20: settings that name a model that is nowhere would keep the router from starting."""
    decision = _decision(
        modelRefs=[{"model": "m"}, {"model": "n"}], algorithm={"type": "multi_factor"}
    )
    both = _with({"m", "n"}, config={"decisions": [decision]})
    one = _with({"m"}, config={"decisions": [decision]})

    assert both.settings is not None
    assert both.settings.routing.decisions[0].selector[0] == "multi_factor"
    assert one.settings is not None
    assert one.settings.routing.decisions[0].selector[0] == "static"
    compiled(one, tmp_path)


# --- the file ------------------------------------------------------------------------------------


def test_the_text_is_the_same_for_the_same_spec_and_its_digest_the_routers() -> None:
    """A1-83, A1-84: nothing is written twice, and pods can say what they have read."""
    first, second = make(load(CASES[0])), make(load(CASES[0]))

    assert first == second
    assert first.digest == digest(first.text.encode())
    assert first.text.startswith("# Made from SemanticRouter ns/sr.")


def test_other_tools_are_another_configuration() -> None:
    """A1-102, A1-84: a router reads the list of tools when its configuration changes."""
    tool = {"name": "a", "description": "b", "parameters": {"type": "object"}}
    first = make({"config": {"tools": {}}, "toolsDb": [tool]})
    second = make({"config": {"tools": {}}, "toolsDb": [{**tool, "description": "c"}]})

    assert first.settings == second.settings
    assert first.text != second.text


def test_the_pod_may_say_where_it_listens(tmp_path: Path) -> None:
    """A1-41: laid over what the spec says, and checked with it."""
    extra = {"management": {"address": "0.0.0.0", "port": 9190}}
    made = make({"config": {"api": {"batch_classification": {"max_batch_size": 7}}}}, extra=extra)

    management = compiled(made, tmp_path).management
    assert (management.address, management.port, management.max_batch_size) == ("0.0.0.0", 9190, 7)
    assert make({}, extra={"management": {"prot": 1}}).problems == (
        "management.prot: unknown key; did you mean 'port'?",
    )


def test_whoever_can_compile_policies_may_look_too() -> None:
    """A1-95: what this ring cannot know is asked of a checker, and told like the rest."""
    made = make({}, check=lambda settings: [f"models: {', '.join(settings.models)}"])

    assert made.problems == ("models: m",)
    assert made.settings is None


def test_a_variable_of_the_pod_may_stand_in_a_text(tmp_path: Path) -> None:
    """A1-92, A1-95: `${NAME}` is filled in by the router, from `spec.env`."""
    plugin = {"type": "system_prompt", "configuration": {"system_prompt": "You are ${WHO}."}}
    made = make({"env": [{"name": "WHO", "value": "Ada"}], "config": _routed(plugins=[plugin])})

    assert "${WHO}" in made.text
    rule = compiled(made, tmp_path, {"WHO": "Ada"}).routing.decisions[0].plugins["system_prompt"]
    assert rule["prompt"] == "You are Ada."


def test_remarks_are_bounded() -> None:
    """A1-77: a condition's message has a bound of its own."""
    rules = [
        {"name": f"r{i}", "candidates": ["x"], "threshold": (i + 1) / 1000} for i in range(200)
    ]

    made = config_of(routing={"signals": {"embeddings": rules}})

    assert len(made.notes) == MOST_NOTES + 1
    assert made.notes[-1] == "and 150 more"


SAMPLES = Path(__file__).parents[3] / "deploy" / "operator" / "config" / "samples"
_NOT_HERE = ("milvus", "qdrant", "hybrid")


def _samples() -> list[Any]:
    return [
        pytest.param(document, id=path.stem)
        for path in sorted(SAMPLES.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if document and document.get("kind") == "SemanticRouter"
    ]


@pytest.mark.parametrize("document", _samples())
def test_every_sample_becomes_a_configuration(document: dict[str, Any], tmp_path: Path) -> None:
    """A1-12..17: those of stores that are not here are refused, with what to write instead."""
    spec = SemanticRouterSpec.model_validate(document["spec"])
    there = [
        backend if backend.url else dataclasses.replace(backend, url="http://found:8000")
        for backend in backends.resolve(spec, NAMESPACE, world_of(spec))
    ]

    made = config.make(spec, "sr", NAMESPACE, there)

    if any(store in document["metadata"]["name"] for store in _NOT_HERE):
        assert made.reason == "Unsupported"
        assert "write backend_type: redis" in made.problems[0]
    else:
        assert made.problems == ()
        compiled(made, tmp_path)


def test_a_value_without_effect_is_told_where_somebody_wrote_it() -> None:
    """A1-80 (D20): what an API server puts there as a default is nobody's wish, and no remark."""
    stored = {
        "prompt_guard": {"model_id": "models/mmbert32k-jailbreak-detector-merged",
                         "threshold": "0.7", "use_cpu": True, "enabled": True},
        "response_cache": {"max_entries": 1000, "embedding_model": "mmbert"},
    }  # fmt: skip
    assert make({"config": stored}).notes == ()
    stored["prompt_guard"]["threshold"] = "0.9"
    stored["response_cache"] |= {"max_entries": 5, "eviction_policy": "lru"}
    stored["classifier"] = {"category_model": {"model_id": "mine"}}
    said = make({"config": stored}).notes
    assert said[0].startswith("spec.config.prompt_guard.threshold: ")
    assert said[1:] == (
        "no effect: spec.config.classifier.category_model.model_id: "
        "the built-in classifier is used",
        "no effect: spec.config.response_cache.max_entries, "
        "spec.config.response_cache.eviction_policy: bounded in bytes; what was least used goes",
    )


def test_a_model_that_nobody_has_is_told_with_the_one_that_was_meant() -> None:
    """A1-80 (D20): by its own path; and nothing is said to be left out, for nothing is written."""
    (said, *_) = make({"config": _routed(modelRefs=[{"model": "mm"}])}).problems
    assert said.startswith("spec.config.routing.decisions[0].modelRefs[0]: ")
    assert said.endswith("nothing defines model 'mm'; did you mean 'm'?")
    assert make({"defaultModel": "other"}).problems == (
        "spec.defaultModel: default model 'other': nothing defines it; spec.vllmEndpoints has: m",
    )
