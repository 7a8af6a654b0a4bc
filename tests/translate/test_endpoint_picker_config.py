# ruff: noqa: E501
"""llm-d's EndpointPickerConfig: every case that its own loader is tested with, and the seed's."""

from __future__ import annotations

from typing import Any

import pytest

from wayside.fleet.picking import profile
from wayside.settings.picking import PickingSettings
from wayside.translate.endpoint_picker_config import DEFAULT, GROUP, OLD_GROUP, read
from wayside.translate.picker_config import PickerConfig
from wayside.translate.picker_params import quantity, seconds
from wayside.translate.picker_plugins import NOT_DONE, TYPES
from wayside.vocab.errors import ConfigError

HEAD = f"apiVersion: {GROUP}\nkind: EndpointPickerConfig\n"
QUEUE = "plugins:\n- type: queue-scorer\n"
SEED = """
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
    weight: 1
  - pluginRef: kv-cache-utilization-scorer
    weight: 1
  - pluginRef: prefix-cache-scorer
    weight: 1
"""


def only(config: PickerConfig) -> PickingSettings:
    (found,) = config.profiles.values()
    return found


def scorers(config: PickerConfig) -> list[tuple[str, float]]:
    return [(use.name, use.weight) for use in only(config).scorers]


def problems(text: str, head: str = HEAD) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(head + text)
    return [str(p) for p in caught.value.problems]


# --- what is accepted --------------------------------------------------------------------------


def test_the_seeds_configuration() -> None:
    found = read(SEED)
    assert scorers(found) == [("queue", 1), ("kv_utilization", 1), ("prefix_cache", 1)]
    assert only(found).picker == "max_score" and found.handler.kind == "single"
    (note,) = found.notes
    assert note.path == "apiVersion" and GROUP in note.what


def test_an_empty_configuration_is_everything_by_default() -> None:
    found = read(DEFAULT)
    assert list(found.profiles) == ["default"] and only(found).scorers == ()
    assert found.reads == "json" and found.flow is None and found.scrapes
    assert found.detector.kind == "utilization" and not found.notes


def test_without_profiles_there_is_one_with_every_plugin() -> None:
    found = read(HEAD + QUEUE + "- type: random-picker\n")
    assert scorers(found) == [("queue", 1.0)] and only(found).picker == {"random": {}}


def test_without_a_weight_it_is_one() -> None:
    found = read(
        HEAD + QUEUE + "schedulingProfiles: [{name: a, plugins: [{pluginRef: queue-scorer}]}]"
    )
    assert scorers(found) == [("queue", 1.0)]


def test_a_picker_may_stand_before_a_scorer() -> None:
    found = read(HEAD + "plugins: [{type: random-picker}, {type: queue-scorer}]")
    assert only(found).picker == {"random": {}} and scorers(found) == [("queue", 1.0)]


def test_plugins_are_known_by_their_names() -> None:
    text = """
plugins:
- {name: q, type: queue-scorer}
- {name: p, type: max-score-picker, parameters: {maxNumOfEndpoints: 3}}
schedulingProfiles:
- name: default
  plugins: [{pluginRef: q, weight: 50}, {pluginRef: p}]
"""
    found = read(HEAD + text)
    assert scorers(found) == [("queue", 50)] and only(found).picker == {"max_score": {"count": 3}}


FLOW = "featureGates: [flowControl]\nflowControl:\n"


def test_flow_control() -> None:
    text = """  maxBytes: "1Ki"
  maxRequests: 7
  defaultRequestTTL: 1m
  noEndpointRequestTTL: 500ms
  defaultPriorityBand: {maxRequests: 11}
  defaultNegativePriorityBand: {maxRequests: 2}
  priorityBands:
  - {priority: 100, orderingPolicyRef: customEDF, fairnessPolicyRef: global-strict-fairness-policy}
plugins:
- {name: customEDF, type: edf-ordering-policy}
"""
    flow = read(HEAD + FLOW + text).flow
    assert flow is not None
    assert (flow.max_bytes, flow.max_requests, flow.ttl_s, flow.patience_s) == (1024, 7, 60, 0.5)
    (band,) = flow.bands
    assert (band.priority, band.ordering, band.fairness) == (100, "edf", "global-strict")
    assert band.max_requests == 11, "a band takes over what it does not say"
    assert flow.negative is not None and flow.negative.max_requests == 2


def test_without_a_time_it_is_a_minute() -> None:
    flow = read(HEAD + FLOW + "  maxRequests: 7\n").flow
    assert flow is not None and flow.ttl_s == 60 and flow.max_bytes == 0


def test_without_its_gate_flow_control_does_nothing_and_says_so() -> None:
    found = read(HEAD + "featureGates: []\nflowControl: {maxBytes: '1024'}")
    assert found.flow is None
    assert [n.path for n in found.notes] == ["flowControl"] and found.notes[
        0
    ].severity == "ignored"
    assert read(HEAD + "featureGates: ['flowControl=false']").flow is None
    assert read(HEAD + "featureGates: ['flowControl=true']").flow is not None


def test_the_data_layer() -> None:
    assert read(HEAD + "dataLayer: {}").scrapes
    assert not read(HEAD + "dataLayer: {injectDefaults: false}").scrapes
    text = """
plugins: [{type: metrics-data-source}, {type: core-metrics-extractor}]
dataLayer:
  injectDefaults: false
  sources: [{pluginRef: metrics-data-source, extractors: [{pluginRef: core-metrics-extractor}]}]
"""
    assert read(HEAD + text).scrapes


def test_endpoints_of_a_file() -> None:
    text = """
plugins: [{name: f, type: file-discovery, parameters: {path: /etc/endpoints.yaml}}]
dataLayer: {discovery: {pluginRef: f}}
"""
    assert read(HEAD + text).file == "/etc/endpoints.yaml"


def test_parsers() -> None:
    two = "plugins: [{type: openai-parser}, {name: b, type: anthropic-parser}]\n"
    refs = "requestHandler: {parsers: [{pluginRef: openai-parser}, {pluginRef: b}]}"
    assert read(HEAD + two + refs).reads == "json"
    raw = "plugins: [{type: passthrough-parser}]\n"
    assert (
        read(HEAD + raw + "requestHandler: {parsers: [{pluginRef: passthrough-parser}]}").reads
        == "nothing"
    )
    found = read(HEAD + raw + "parser: {pluginRef: passthrough-parser}")
    assert found.reads == "nothing" and found.notes[0].path == "parser"


def test_saturation_in_its_old_place_and_its_new() -> None:
    old = read(HEAD + "saturationDetector: {queueDepthThreshold: 9, kvCacheUtilThreshold: 0.5}")
    assert (old.detector.queue, old.detector.kv) == (9, 0.5)
    assert old.notes[0].path == "saturationDetector"
    text = """
plugins: [{name: c, type: concurrency-detector, parameters: {maxConcurrency: 5}}]
flowControl: {saturationDetector: {pluginRef: c}}
"""
    assert read(HEAD + FLOW.split("\n")[0] + text).detector.most == 5
    new = read(HEAD + "flowControl: {saturationDetector: {metricsStalenessThreshold: 1s}}")
    assert new.detector.stale_s == 1.0
    text = "flowControl: {saturationDetector: {pluginRef: utilization-detector}}"
    assert read(HEAD + text).detector.queue == 5


DISAGG = """
plugins:
- type: prefill-header-handler
- {type: prefix-cache-scorer, parameters: {hashBlockSize: 5, maxPrefixBlocksToMatch: 256,
                                           lruCapacityPerServer: 31250}}
- type: prefill-filter
- type: decode-filter
- type: max-score-picker
- {type: pd-profile-handler, parameters: {threshold: 10, hashBlockSize: 5}}
schedulingProfiles:
- name: prefill
  plugins: [{pluginRef: prefill-filter}, {pluginRef: max-score-picker},
            {pluginRef: prefix-cache-scorer, weight: 50}]
- name: decode
  plugins: [{pluginRef: decode-filter}, {pluginRef: max-score-picker},
            {pluginRef: prefix-cache-scorer, weight: 50}]
"""


def test_prefill_and_decode_in_the_old_words() -> None:
    found = read(HEAD + DISAGG)
    assert (found.handler.kind, found.handler.decider, found.handler.tokens) == (
        "disagg",
        "uncached",
        10,
    )
    decode = found.profiles["decode"]
    assert decode.filters[0].settings == {"role": "decode"}
    assert decode.scorers[0].settings == {"block_tokens": 1, "max_blocks": 256}


def test_prefill_and_decode_in_the_new_words() -> None:
    text = """
plugins:
- {type: by-label, name: prefill-pods, parameters: {label: role, validValues: [prefill]}}
- {type: by-label, name: decode-pods, parameters: {label: role, validValues: [decode]}}
- {type: approx-prefix-cache-producer, parameters: {autoTune: false, blockSizeTokens: 5,
                                                    lruCapacityPerServer: 31250}}
- type: prefix-cache-scorer
- type: disagg-headers-handler
- {type: prefix-based-pd-decider, parameters: {nonCachedTokens: 8, promptTokens: 3}}
- {type: disagg-profile-handler, parameters: {prefillProfile: p, decodeProfile: d,
                                              prefillDeciderPluginName: prefix-based-pd-decider}}
schedulingProfiles:
- {name: p, plugins: [{pluginRef: prefill-pods}, {pluginRef: prefix-cache-scorer}]}
- {name: d, plugins: [{pluginRef: decode-pods}, {pluginRef: prefix-cache-scorer}]}
"""
    found = read(HEAD + text)
    handler = found.handler
    assert (handler.decode, handler.prefill, handler.decider) == ("d", "p", "uncached")
    assert (handler.tokens, handler.prompt_tokens) == (8, 3)
    (use,) = found.profiles["d"].scorers
    assert use.settings == {"block_tokens": 5, "capacity": 31250}, "told to the producer"


# --- what is refused, by the names of the reference's error cases ------------------------------

PROFILE = "schedulingProfiles:\n- name: default\n  plugins:\n"
TWICE = "- {name: prof2, plugins: [{pluginRef: queue-scorer}]}\n"
ERRORS: dict[str, tuple[str, str]] = {
    "bad YAML": ("plugins: [", "not valid YAML"),
    "plugins are no mappings": ("plugins:\n- testing 1 2 3\n", "plugins[0]: a mapping is wanted"),
    "unknown feature gate": ("featureGates: [flowContol]", "featureGates[0]: no feature gate 'flowContol'; did you mean 'flowControl'?"),
    "malformed feature gate": ("featureGates: ['flowControl=maybe']", "featureGates[0]: not a feature gate"),
    "plugin without a type": ("plugins:\n- parameters: {a: 1234}\n", "plugins[0].type: it has to be named"),
    "unknown type": ("plugins: [{type: queue-scorr}]", "plugins[0].type: no plugin type 'queue-scorr'; did you mean 'queue-scorer'?"),
    "parameters of a wrong type": (
        "plugins: [{type: prefix-cache-scorer, parameters: {blockSizeTokens: asdf}}]",
        "plugins[0].parameters.blockSizeTokens: a whole number of at least 1 is wanted, not 'asdf'",
    ),
    "a parameter nobody knows": (
        "plugins: [{type: no-hit-lru-scorer, parameters: {lruSzie: 3}}]",
        "plugins[0].parameters.lruSzie: not known; did you mean 'lruSize'?",
    ),
    "duplicate plugin": (QUEUE + "- type: queue-scorer\n", "two plugins are called 'queue-scorer'"),
    "profile without a name": ("schedulingProfiles: [{plugins: []}]", "schedulingProfiles[0].name: a profile has to have a name"),
    "profile entry without pluginRef": (PROFILE + "  - weight: 10\n", "schedulingProfiles[0].plugins[0].pluginRef: it has to be named"),
    "pluginRef undefined": (QUEUE + PROFILE + "  - pluginRef: queue-scorr\n", "schedulingProfiles[0].plugins[0].pluginRef: no plugin 'queue-scorr'; did you mean 'queue-scorer'?"),
    "duplicate profile": (QUEUE + PROFILE + "  - pluginRef: queue-scorer\n" + TWICE.replace("prof2", "default"), "two profiles are called 'default'"),
    "two pickers": ("plugins: [{type: max-score-picker}, {type: random-picker}]", "two pickers: max-score-picker and random-picker"),
    "two profile handlers": (
        "plugins: [{type: single-profile-handler}, {name: b, type: single-profile-handler}]",
        "plugins: two profile handlers: single-profile-handler and b",
    ),
    "no profile handler with several profiles": (QUEUE + PROFILE + "  - pluginRef: queue-scorer\n" + TWICE, "schedulingProfiles: several profiles, and no profile handler"),
    "single-profile-handler with several": (
        QUEUE + "- type: single-profile-handler\n" + PROFILE + "  - pluginRef: queue-scorer\n" + TWICE,
        "single-profile-handler takes one profile, not 2",
    ),
    "bad source reference": (QUEUE + "dataLayer: {sources: [{pluginRef: queue-scorer}]}", "dataLayer.sources[0].pluginRef: 'queue-scorer' is a queue-scorer, which is no source"),
    "bad extractor reference": (
        "plugins: [{type: metrics-data-source}]\ndataLayer: {sources: [{pluginRef: metrics-data-source, extractors: [test-one]}]}",
        "dataLayer.sources[0].extractors[0]: a mapping is wanted",
    ),
    "policy missing": (FLOW + "  priorityBands: [{priority: 1, orderingPolicyRef: nope}]", "flowControl.priorityBands[0].orderingPolicyRef: no plugin 'nope'"),
    "policy of a wrong type": (
        QUEUE + FLOW + "  priorityBands: [{priority: 1, orderingPolicyRef: queue-scorer}]",
        "orderingPolicyRef: 'queue-scorer' is a queue-scorer, which is no ordering",
    ),
    "parser missing": ("requestHandler: {parsers: [{pluginRef: nope}]}", "requestHandler.parsers[0].pluginRef: no plugin 'nope'"),
    "parser of a wrong type": (QUEUE + "requestHandler: {parsers: [{pluginRef: queue-scorer}]}", "which is no parser"),
    "a decider that does not exist": (DISAGG.replace("threshold: 10", "prefillDeciderPluginName: nope"), "no decider 'nope'"),
    "a profile that the handler wants": (DISAGG.replace("name: decode", "name: dekode"), "no profile 'decode'; did you mean 'dekode'?"),
    "a type that is known and not done": ("plugins: [{type: vertexai-parser}]", "plugins[0].type: vertexai-parser is not done here; use passthrough-parser"),
    "another cluster": ("plugins: [{type: multicluster-queue-scorer}]", "is not done here; one picker serves one cluster"),
    "a key nobody knows": ("schedulingProfile: []", "schedulingProfile: not known; did you mean 'schedulingProfiles'?"),
    "a duration that is none": (FLOW + "  defaultRequestTTL: soon\n", "flowControl.defaultRequestTTL: a duration is wanted, not 'soon'; write 60s"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_where_and_what_to_write(case: str) -> None:
    text, expected = ERRORS[case]
    found = problems(text)
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("apiVersion: llm-d.ai/v1\nkind: EndpointPickerConfig\n", "apiVersion: no version 'llm-d.ai/v1'"),
        (f"apiVersion: {GROUP}\nkind: InferencePool\n", "kind: no kind 'InferencePool'; write EndpointPickerConfig"),
    ],
)  # fmt: skip
def test_the_head_is_checked(head: str, expected: str) -> None:
    assert any(expected in problem for problem in problems("", head))


def test_a_cycle_of_plugins_cannot_be_written() -> None:
    """The reference resolves dependencies among plugins; here none depends on another, but for a
    scorer on its producer, which depends on nobody."""
    text = "plugins: [{type: prefix-cache-scorer}, {type: approx-prefix-cache-producer}]"
    assert scorers(read(HEAD + text)) == [("prefix_cache", 1.0)]


def test_all_problems_are_told_at_once() -> None:
    assert len(problems("plugins: [{type: a-scorer}, {}]\nfeatureGates: [x]\n")) == 3


# --- every type --------------------------------------------------------------------------------

NEEDED: dict[str, Any] = {
    "by-label": {"label": "role", "validValues": ["decode"]},
    "by-label-selector": {"matchLabels": {"a": "b"}},
    "label-selector-filter": {
        "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]
    },
    "file-discovery": {"path": "/endpoints.yaml"},
    "topology-affinity-scorer": {"header": "x-zone"},
    "disagg-profile-handler": {"decodeProfile": "default", "prefillProfile": "default"},
    "pd-profile-handler": {"decodeProfile": "default", "prefillProfile": "default"},
}


@pytest.mark.parametrize("type_", TYPES)
def test_every_type_becomes_something_that_can_be_built(type_: str) -> None:
    import yaml

    plugin: dict[str, Any] = {"type": type_, "parameters": NEEDED.get(type_, {})}
    found = read(HEAD + yaml.safe_dump({"plugins": [plugin]}))
    profile(only(found))


PARAMETERS: dict[str, tuple[dict[str, Any], str, Any]] = {
    "load-aware-scorer": ({"threshold": 64}, "load_aware", {"threshold": 64.0}),
    "active-request-scorer": (
        {"requestTimeout": "2m", "idleThreshold": 2, "maxBusyScore": 0.5},
        "active_requests",
        {"idle_threshold": 2, "max_busy_score": 0.5},
    ),
    "token-load-scorer": ({"threshold": 1000}, "token_load", {"threshold": 1000}),
    "no-hit-lru-scorer": ({"lruSize": 2048}, "no_hit_lru", {"size": 2048}),
    "context-length-aware": ({"label": "range"}, "context_length", {"label": "range"}),
    "latency-scorer": (
        {"ttftWeight": 0.5, "headroomSelectionStrategy": "most"},
        "latency",
        {"ttft_weight": 0.5, "headroom": "most"},
    ),
    "session-affinity-scorer": (
        {"strategy": "session_id", "sources": [{"header": "x-a"}], "ttl": "10s"},
        "session_affinity",
        {"ttl_s": 10.0, "sources": [{"header": "x-a"}]},
    ),
    "prefix-cache-scorer": (
        {
            "blockSizeTokens": 32,
            "maxPrefixTokensToMatch": 640,
            "autoTune": False,
            "lruCapacityPerServer": 9,
        },
        "prefix_cache",
        {"block_tokens": 32, "max_blocks": 20, "capacity": 9},
    ),
    "precise-prefix-cache-scorer": (
        {
            "tokenProcessorConfig": {"blockSize": 64, "hashSeed": "42"},
            "kvEventsConfig": {
                "topicFilter": "kv@",
                "discoverPods": True,
                "podDiscoveryConfig": {"socketPort": 5556},
            },
        },
        "precise_prefix_cache",
        {"port": 5556, "topic": "kv@"},
    ),
}


@pytest.mark.parametrize("type_", PARAMETERS)
def test_parameters_are_carried_over(type_: str) -> None:
    import yaml

    theirs, name, ours = PARAMETERS[type_]
    plugins = [{"type": type_, "parameters": theirs}]
    (use,) = only(read(HEAD + yaml.safe_dump({"plugins": plugins}))).scorers
    assert (use.name, use.settings) == (name, ours)


def test_a_precise_producer_makes_the_scorer_precise() -> None:
    text = """
plugins:
- {type: precise-prefix-cache-producer, parameters: {kvEventsConfig: {topicFilter: kv@x}}}
- type: prefix-cache-scorer
schedulingProfiles: [{name: default, plugins: [{pluginRef: prefix-cache-scorer, weight: 3}]}]
"""
    (use,) = only(read(HEAD + text)).scorers
    assert (use.name, use.settings, use.weight) == ("precise_prefix_cache", {"topic": "kv@x"}, 3)


def test_no_type_is_both_done_and_not() -> None:
    assert not set(TYPES) & set(NOT_DONE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1m30s", 90.0), ("500ms", 0.5), ("0", 0.0), ("1.5h", 5400.0), ("2us", 2e-6),
     ("", None), ("1", None), ("1 s", None), ("-1s", None), ("s", None), (5, None)],
)  # fmt: skip
def test_durations_as_go_writes_them(text: object, expected: float | None) -> None:
    assert seconds(text) == pytest.approx(expected) if expected else seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1024", 1024), (7, 7), ("1Gi", 1 << 30), ("2k", 2000), ("-1", None), ("1.5Gi", None),
     (True, None), (-1, None)],
)  # fmt: skip
def test_quantities_as_kubernetes_writes_them(text: object, expected: int | None) -> None:
    assert quantity(text) == expected


def test_the_old_group_is_the_seeds() -> None:
    assert OLD_GROUP in SEED
