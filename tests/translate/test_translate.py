"""What the border promises, in small cases: recognition, rules, secrets, names."""

from __future__ import annotations

from typing import Any

import pytest

from wayside.settings.address import strict_ip_problem
from wayside.translate import FORMATS, Note, Translation, grouped, translate, translate_all
from wayside.translate.mmlu import DOMAINS, domain_of


def done(document: dict[str, Any]) -> Translation:
    translation = translate(document)
    assert translation is not None
    return translation


def about(translation: Translation, path: str) -> list[str]:
    return [str(n) for n in translation.notes if n.path == path]


@pytest.mark.parametrize(
    ("document", "format_"),
    [
        ({"vllm_endpoints": []}, "vsr_flat"),
        ({"decisions": []}, "vsr_flat"),
        ({"semantic_cache": {"enabled": True}}, "vsr_flat"),
        ({"version": "v0.3"}, "vsr_v03"),
        ({"routing": {"decisions": []}}, "vsr_v03"),
        ({"version": "v0.1", "providers": {"models": []}}, "vsr_v03"),
        ({"static_backends": "http://a", "static_models": "m"}, "production_stack"),
        ({"service_discovery": "k8s", "routing_logic": "session"}, "production_stack"),
        ({"apiVersion": "vllm.ai/v1alpha1", "kind": "IntelligentPool"}, "kubernetes"),
        ({"plugin": {"type": "memory"}}, "vsr_v03"),
    ],
)
def test_a_format_is_recognised_by_its_keys(document: dict[str, Any], format_: str) -> None:
    assert format_ in FORMATS
    assert done(document).format == format_


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"models": {"a": {"endpoints": ["http://a:8000"]}}},
        {"models": {}, "routing": {"decisions": []}},
        {"listen": {"port": 8801}, "models": {}},
        {"routing": {"signals": {}}, "models": {"a": {}}, "recipes": {}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {}},
        {"schema_version": "v1", "decisions": {}},
    ],
)
def test_our_own_format_and_strangers_are_left_alone(document: dict[str, Any]) -> None:
    assert translate(document) is None


_LEAF = {"type": "keyword", "name": "a"}
_LOST = {"type": "latency", "name": "j"}


def _rule(rules: Any) -> Any:
    translation = done(
        {
            "signals": {
                "keywords": [{"name": "a", "keywords": ["x"]}, {"name": "b", "keywords": ["y"]}]
            },
            "decisions": [{"name": "d", "rules": rules}],
        }
    )
    decisions = translation.settings["routing"].get("decisions", [])
    return decisions[0].get("when", "always") if decisions else None


def _node(operator: str, *conditions: Any) -> dict[str, Any]:
    return {"operator": operator, "conditions": list(conditions)}


@pytest.mark.parametrize(
    ("rules", "when"),
    [
        ({}, "always"),
        (_node("AND"), "always"),
        (_LEAF, "keyword:a"),
        (_node("AND", _LEAF), "keyword:a"),
        (_node("and", _LEAF, {**_LEAF, "name": "b"}), {"all": ["keyword:a", "keyword:b"]}),
        (_node("OR", _LEAF, _LOST), "keyword:a"),
        (_node("OR", _LEAF, _node("AND")), {"any": ["keyword:a", {"all": []}]}),
        (_node("NOT", _LEAF), {"not": "keyword:a"}),
        (_node("AND", _LEAF, _node("OR", _LOST, _LEAF)), {"all": ["keyword:a", "keyword:a"]}),
        (_LEAF | {"predicate": {"gte": 0.5}}, {"signal": "keyword:a", "gte": 0.5}),
        # What cannot be kept whole is not kept.
        (_node("AND", _LEAF, _LOST), None),
        (_node("OR", _LOST), None),
        (_node("OR"), None),
        (_node("NOT", _LOST), None),
        (_node("NOT", _node("OR", _LEAF, _LOST)), None),
        (_node("NOT", _LEAF, _LEAF), None),
        (_node("NOT"), None),
        (_node("XOR", _LEAF), None),
        (_node("AND", _LEAF, _node("NOT", _node("NOT", _LOST))), None),
    ],
)
def test_a_rule_is_kept_whole_or_not_at_all(rules: Any, when: Any) -> None:
    assert _rule(rules) == when


def test_a_left_out_decision_says_which_signal_it_needs() -> None:
    translation = done({"decisions": [{"name": "guard", "rules": _node("AND", _LOST)}]})

    assert about(translation, "decisions[0]") == [
        "unsupported: decisions[0]: decision 'guard' needs signal kind latency: not supported "
        "yet; the decision is left out"
    ]


def test_an_unknown_key_names_its_neighbour() -> None:
    translation = done({"vllm_endpoints": [{"name": "a", "address": "10.0.0.1", "prot": 1}]})

    assert about(translation, "vllm_endpoints[0].prot") == [
        "unknown: vllm_endpoints[0].prot: unknown key; did you mean 'port'?"
    ]


@pytest.mark.parametrize(
    ("backend", "url"),
    [
        ({"endpoint": "10.0.0.1:8000"}, "http://10.0.0.1:8000"),
        ({"endpoint": "10.0.0.1"}, "http://10.0.0.1:80"),
        ({"endpoint": "host", "protocol": "https"}, "https://host:443"),
        ({"endpoint": "https://host/v1/x"}, "https://host:443"),
        ({"endpoint": "[::1]:8000"}, "http://[::1]:8000"),
        ({"base_url": "https://host/v1"}, "https://host:443/v1"),
        (
            {"base_url": "https://host/api/v1", "chat_path": "/chat/completions"},
            "https://host:443/api/v1",
        ),
        ({"base_url": "https://host", "chat_path": "/v1/chat/completions"}, "https://host:443/v1"),
        ({"base_url": "https://host", "chat_path": "/odd"}, "https://host:443"),
        ({"base_url": "https://u:hunter2@host"}, None),
        ({"endpoint": ":8000"}, None),
        ({}, None),
    ],
)
def test_a_backend_becomes_an_endpoint(backend: dict[str, Any], url: str | None) -> None:
    translation = done({"providers": {"models": [{"name": "m", "backend_refs": [backend]}]}})
    endpoints = translation.settings["models"]["m"].get("endpoints", [])

    assert [e["url"] for e in endpoints] == ([url] if url else [])
    assert "hunter2" not in str(translation.notes)
    assert url is not None or about(translation, "providers.models[0].backend_refs[0]")


@pytest.mark.parametrize(
    ("backend", "credential"),
    [
        ({"api_key_env": "KEY"}, {"env": "KEY"}),
        ({"api_key": "${KEY}"}, {"env": "KEY"}),
        ({"api_key": "${KEY:-none}"}, {"env": "KEY"}),
        ({"api_key": "sk-hunter2"}, None),
        ({"api_key_env": "sk-hunter2"}, None),
        ({"api_key_env": "KEY", "api_key": "sk-hunter2"}, {"env": "KEY"}),
        (
            {"api_key_env": "KEY", "auth_header": "X-Api-Key"},
            {"env": "KEY", "header": "x-api-key", "prefix": ""},
        ),
        (
            {"api_key_env": "KEY", "auth_header": "Authorization", "auth_prefix": "Token"},
            {"env": "KEY", "prefix": "Token "},
        ),
        ({"api_key_env": "KEY", "auth_prefix": ""}, {"env": "KEY", "prefix": ""}),
    ],
)
def test_a_key_is_taken_by_reference_only(backend: dict[str, Any], credential: Any) -> None:
    translation = done(
        {"providers": {"models": [{"name": "m", "backend_refs": [{"endpoint": "h", **backend}]}]}}
    )

    assert translation.settings["models"]["m"].get("credential") == credential
    assert "hunter2" not in str(translation)


def test_a_key_does_not_travel_to_a_backend_that_has_another() -> None:
    refs = [{"endpoint": "cloud", "api_key_env": "KEY"}, {"endpoint": "local"}]
    translation = done({"providers": {"models": [{"name": "m", "backend_refs": refs}]}})

    assert [e["url"] for e in translation.settings["models"]["m"]["endpoints"]] == [
        "http://cloud:80"
    ]
    assert about(translation, "providers.models[0].backend_refs[1]")


@pytest.mark.parametrize("address", ["http://10.0.0.1", "10.0.0.1/v1", "10.0.0.1:8000", " "])
def test_a_flat_address_is_refused_in_the_old_words_a0_30(address: str) -> None:
    translation = done({"vllm_endpoints": [{"name": "a", "address": address, "port": 8000}]})

    assert translation.settings == {}
    said = strict_ip_problem(address.strip())
    assert about(translation, "vllm_endpoints[0]") == [
        f"refused: vllm_endpoints[0]: {said}; the endpoint is left out"
    ]


@pytest.mark.parametrize("address", ["127.0.0.1", "vllm-model-a.ns.svc.cluster.local", "::1"])
def test_a_flat_address_may_be_local_a_dns_name_or_ipv6_a0_27_a0_28_a0_31(address: str) -> None:
    translation = done({"vllm_endpoints": [{"name": "a", "address": address, "port": 8000}]})
    host = f"[{address}]" if ":" in address else address

    assert translation.settings["models"]["a"]["endpoints"][0]["url"] == f"http://{host}:8000"


def test_a_listener_whose_protection_is_missing_stays_on_loopback() -> None:
    translation = done(
        {"version": "v0.3", "listeners": [{"address": "0.0.0.0", "port": 80, "api_keys": ["k1"]}]}
    )

    assert translation.settings["listen"] == {"port": 80}
    assert about(translation, "listeners[0].address")
    assert "k1" not in str(translation)


def test_names_that_clients_ask_for_are_unique() -> None:
    models = [
        {"name": "a", "loras": [{"name": "x"}], "backend_refs": [{"endpoint": "h"}]},
        {
            "name": "b",
            "loras": [{"name": "x"}, {"name": "a"}],
            "backend_refs": [{"endpoint": "h"}],
        },
        {"name": "auto", "backend_refs": [{"endpoint": "h"}]},
    ]
    translation = done({"version": "v0.3", "providers": {"models": models}})

    assert "loras" not in translation.settings["models"]["b"]
    assert "auto" not in translation.settings["auto_names"]


def test_several_documents_need_one_that_is_ours_to_read() -> None:
    flat = {"vllm_endpoints": [{"name": "a", "address": "::1", "port": 1}]}
    service = {"apiVersion": "v1", "kind": "Service"}

    translation = translate_all([service, flat])

    assert translation is not None
    assert about(translation, "document 1") == ["ignored: document 1: Service: not a router's"]
    assert translate_all([flat, flat]) is None
    assert translate_all([service, service]) is None


def test_notes_that_differ_in_an_index_are_told_once() -> None:
    notes = [Note(f"a[{i}].b", "not supported yet", "unsupported") for i in range(3)]

    assert grouped([*notes, Note("c", "odd", "unknown")]) == (
        "unsupported: a[].b: not supported yet (3 times)",
        "unknown: c: odd",
    )


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("math", "math"),
        ("Computer Science", "computer science"),
        ("computer_science", "computer science"),
        ("abstract_algebra", "math"),
        ("high school us history", "history"),
        ("professional_law", "law"),
        ("sociology", "other"),
        ("gossip", None),
        ("", None),
    ],
)
def test_names_of_domains(name: str, domain: str | None) -> None:
    assert domain_of(name) == domain


def test_all_of_mmlu_has_a_domain() -> None:
    from wayside.signals.domain import LABELS
    from wayside.translate.mmlu import _BY_SUBJECT

    assert DOMAINS == LABELS
    assert len(_BY_SUBJECT) == 57 + 3  # and the three subcategories that MMLU-Pro lacks
    assert set(_BY_SUBJECT.values()) == set(DOMAINS)


@pytest.mark.parametrize(
    "text", ["a: 2026-99-99", "a: !!bool x", "[" * 3_000, "? [a]\n: 1", "- 1"]
)
def test_an_entry_of_a_config_map_that_cannot_be_read_is_only_noted(text: str) -> None:
    foreign = "vllm_endpoints: []\n"
    translation = done({"kind": "ConfigMap", "data": {"a": text, "b": foreign}})
    assert "not read" in " ".join(about(translation, "data.a"))


@pytest.mark.parametrize("port", [10**400, "9" * 400, "9" * 5_000, float("inf"), float("nan")])
def test_a_number_without_bounds_is_left_out(port: object) -> None:
    endpoint = {"name": "a", "address": "10.0.0.1", "port": port}
    assert any("port" in note.path for note in done({"vllm_endpoints": [endpoint]}).notes)
