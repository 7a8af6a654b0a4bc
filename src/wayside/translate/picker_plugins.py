"""The plugins of llm-d's endpoint picker, by type, and what each is here.

A plugin plays roles: ``filter``, ``scorer`` and ``picker`` become kinds of ours with their
settings; the others (``handler``, ``decider``, ``parser``...) become values that the picker's
assembly reads. Types that are known and not done say so; their names are not mistaken for typos.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from wayside.translate.picker_params import Params

Made = dict[str, Any]
"""By role. Of a filter, scorer or picker: the kind's name and its settings."""
Make = Callable[[Params], Made]


def _kind(role: str, name: str) -> Make:
    return lambda params: {role: (name, {})}


def _marker(role: str, value: Any = True) -> Make:
    return lambda params: {role: value}


def _picker(name: str) -> Make:
    def make(params: Params) -> Made:
        count = params.whole("maxNumOfEndpoints", None, least=1)
        return {"picker": (name, {"count": count} if count is not None else {})}

    return make


_RECORD: Final = "there is nothing to tune: as many blocks are remembered as a server's cache has"


def _prefix_settings(params: Params) -> dict[str, Any]:
    """Of a prefix cache, whichever plugin they stand in and however they are called there."""
    settings: dict[str, Any] = {}
    tokens = params.whole("blockSizeTokens", None, least=1)
    for old in ("hashBlockSize", "blockSize"):  # in characters, as the Extension's picker had it
        characters = params.whole(old, None, least=1)
        if characters is not None and tokens is None:
            tokens = max(1, characters // 4)
            params.note(old, f"{characters} characters count as {tokens} tokens")
    if tokens is not None:
        settings["block_tokens"] = tokens
    blocks = params.whole("maxPrefixBlocksToMatch", None, least=1)
    limit = params.whole("maxPrefixTokensToMatch", None, least=1)
    if limit is not None and blocks is None:
        blocks = max(1, limit // (tokens or 64))
    if blocks is not None:
        settings["max_blocks"] = blocks
    capacity = params.whole("lruCapacityPerServer", None, least=1)
    tuned = params.flag("autoTune", True)
    if capacity is not None and not tuned:
        settings["capacity"] = capacity
    elif capacity is not None:
        params.note("lruCapacityPerServer", f"{_RECORD}; set autoTune to false to keep it")
    return settings


def _prefix_cache(params: Params) -> Made:
    settings = _prefix_settings(params)
    params.missing(("matchLengthWeight",), "the length of a match has no weight of its own here")
    params.unneeded(("matchLengthScaleTokens",), "it only scales matchLengthWeight")
    params.unneeded(("prefixMatchInfoProducerName",), "a scorer finds matches itself")
    return {"scorer": ("prefix_cache", settings)}


def _prefix_producer(params: Params) -> Made:
    return {"producer": "prefix", "prefix": _prefix_settings(params)}


def _load_aware(params: Params) -> Made:
    threshold = params.number("threshold", None)
    return {"scorer": ("load_aware", {"threshold": threshold} if threshold else {})}


def _active_request(params: Params) -> Made:
    settings: dict[str, Any] = {}
    idle = params.whole("idleThreshold", None)
    busy = params.number("maxBusyScore", None, most=1.0)
    if idle is not None:
        settings["idle_threshold"] = idle
    if busy is not None:
        settings["max_busy_score"] = busy
    params.unneeded(("requestTimeout",), "a request counts until it is over, which Envoy tells")
    return {"scorer": ("active_requests", settings)}


def _token_load(params: Params) -> Made:
    found = params.whole("threshold", params.whole("queueThresholdTokens", None, least=1), least=1)
    return {"scorer": ("token_load", {"threshold": found} if found is not None else {})}


_AGENT_SESSION: Final = "x-claude-code-session-id"


def _sessions(params: Params) -> dict[str, Any]:
    strategy = params.text("strategy", "token")
    header = params.header("headerName", "x-session-token")
    ttl = params.seconds("ttl", params.seconds("sessionTTL", None))
    settings: dict[str, Any] = {}
    if ttl:
        settings["ttl_s"] = ttl
    if strategy in ("token", "session_token"):
        settings["sources"] = [{"token": header}]
        return settings
    if strategy != "session_id":
        params.wrong("strategy", f"no strategy {strategy!r}", "write token, or session_id")
    sources = []
    for entry in params.entries("sources"):
        name, attribute = entry.header("header", None), entry.text("attribute", None)
        if name:
            sources.append({"header": name})
        elif attribute:
            sources.append({"header": _AGENT_SESSION})
            entry.note("attribute", f"it is what agents say in {_AGENT_SESSION}")
        entry.close()
    settings["sources"] = sources or [{"header": "x-session-id"}]
    return settings


def _no_hit_lru(params: Params) -> Made:
    size = params.whole("lruSize", None, least=1)
    params.unneeded(
        ("prefixPluginName", "prefixMatchInfoProducerName"),
        "every scorer of prefixes before it counts",
    )
    return {"scorer": ("no_hit_lru", {"size": size} if size is not None else {})}


_ESTIMATED: Final = "tokens are estimated at four bytes each; no tokenizer is asked"


def _context_length(params: Params) -> Made:
    label = params.text("label", None)
    settings = {"label": label} if label else {}
    filters = params.flag("enableFiltering", False)
    params.unneeded(("modelName", "localTokenizerConfig", "hfTokenizerConfig"), _ESTIMATED)
    made: Made = {"scorer": ("context_length", settings)}
    if filters:
        made["filter"] = ("context_fits", settings)
    return made


_OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist")


def _label(params: Params) -> Made:
    settings = {
        "label": params.text("label", ""),
        "values": params.texts("validValues"),
        "absent": params.flag("allowsNoLabel", False),
    }
    if not settings["label"]:
        params.wrong("label", "it has to be named")
    elif not settings["values"] and not settings["absent"]:
        params.wrong("validValues", "nobody would stay", "name values, or set allowsNoLabel")
    return {"filter": ("label", settings)}


def _label_selector(params: Params) -> Made:
    labels = params.pairs("matchLabels")
    rules = []
    for entry in params.entries("matchExpressions"):
        rule = {
            "key": entry.text("key", ""),
            "operator": entry.text("operator", ""),
            "values": entry.texts("values"),
        }
        entry.close()
        if not rule["key"]:
            entry.wrong("key", "a label has to be named")
        if rule["operator"] not in _OPERATORS:
            fix = f"write one of: {', '.join(_OPERATORS)}"
            entry.wrong("operator", f"no operator {rule['operator']!r}", fix)
        elif bool(rule["values"]) is not rule["operator"].endswith("In"):
            wanted = "values are" if rule["operator"].endswith("In") else "no value is"
            entry.wrong("values", f"{wanted} wanted with {rule['operator']}")
        rules.append(rule)
    if not labels and not rules:
        params.wrong("matchLabels", "everybody would stay", "name labels, or matchExpressions")
    return {"filter": ("label_selector", {"match_labels": labels, "match_expressions": rules})}


def _role(name: str) -> Make:
    return lambda params: {"filter": ("role", {"role": name})}


def _utilization_filter(params: Params) -> Made:
    settings: dict[str, Any] = {}
    waiting = params.number("queueDepthThreshold", None)
    kv = params.number("kvCacheUtilThreshold", None, most=1.0)
    if waiting is not None:
        settings["waiting"] = waiting
    if kv is not None:
        settings["kv"] = kv
    return {"filter": ("utilization", settings)}


def _topology(params: Params) -> Made:
    header = params.header("header", params.header("headerName", None))
    keys = params.texts("topologyKeys")
    settings: dict[str, Any] = {"header": header} if header else {}
    if keys:
        settings["labels"] = {key: 1.0 for key in keys}
    return {"scorer": ("topology", settings)}


def _latency(params: Params) -> Made:
    settings: dict[str, Any] = {}
    for theirs, ours in (("ttftWeight", "ttft_weight"), ("tpotWeight", "tpot_weight")):
        weight = params.number(theirs, None)
        if weight is not None:
            settings[ours] = weight
    headroom = params.text("headroomSelectionStrategy", None)
    if headroom in ("least", "most"):
        settings["headroom"] = headroom
    elif headroom is not None:
        params.wrong("headroomSelectionStrategy", f"{headroom!r} is not done", "least, or most")
    params.unneeded(
        ("headroomTTFTWeight", "headroomTPOTWeight"), "the weights are those of the latencies"
    )
    return {"scorer": ("latency", settings)}


_ZMQ: Final = re.compile(r"tcp://[^\s/]+:(\d{1,5}|\*)|ipc://\S+")


def _precise(params: Params) -> Made:
    """``precise-prefix-cache-scorer``: where events come from. What they are about is read of
    them: block sizes, and the tokens of blocks."""
    settings: dict[str, Any] = {}
    events = params.inner("kvEventsConfig")
    bind, topic = events.text("zmqEndpoint", None), events.text("topicFilter", None)
    pods = events.inner("podDiscoveryConfig")
    port = pods.port("socketPort", None)
    pods.unneeded(("podLabelSelector", "podNamespace"), "the pool says which pods are meant")
    pods.close()
    if events.flag("discoverPods", port is not None or bind is None):
        settings |= {"port": port} if port is not None else {}
    elif bind is not None:
        if not _ZMQ.fullmatch(bind):
            events.wrong("zmqEndpoint", f"{bind!r} is no place to listen", "write tcp://*:5557")
        settings["bind"] = bind
    if topic is not None:
        settings["topic"] = topic
    events.unneeded(("concurrency", "engineType"), "one loop reads all events")
    events.close()
    params.unneeded(
        ("tokenProcessorConfig", "indexerConfig", "speculativeIndexing", "modelName"),
        "blocks are known by the tokens in events; nothing is hashed as engines do",
    )
    return {"scorer": ("precise_prefix_cache", settings)}


def _precise_producer(params: Params) -> Made:
    return {"producer": "precise", "precise": _precise(params)["scorer"]}


def _disagg(params: Params) -> Made:
    profiles, deciders = params.inner("profiles"), params.inner("deciders")
    made: dict[str, Any] = {
        "kind": "disagg",
        "decode": params.text("decodeProfile", profiles.text("decode", "decode")),
        "prefill": params.text("prefillProfile", profiles.text("prefill", "prefill")),
        "decider": params.text(
            "prefillDeciderPluginName",
            params.text("deciderPluginName", deciders.text("prefill", "")),
        ),
    }
    why = "no stage of its own encodes pictures and sound here: prefill servers do"
    params.missing(("encodeProfile", "encodeDeciderPluginName"), why)
    profiles.missing(("encode",), why)
    deciders.missing(("encode",), why)
    for inner in (profiles, deciders):
        inner.close()
    threshold = params.whole("threshold", None)
    if threshold is not None:
        # The first handlers had the decider built in.
        made["tokens"] = threshold
    params.unneeded(
        ("hashBlockSize", "blockSize", "prefixPluginName", "prefixPluginType", "primaryPort"),
        "the scorer of prefixes says what is cached",
    )
    return {"handler": made}


def _prefix_decider(params: Params) -> Made:
    tokens = params.whole("nonCachedTokens", 0)
    prompt = params.whole("promptTokens", 0)
    params.unneeded(("prefixPluginName", "prefixPluginType"), "every scorer of prefixes counts")
    return {"decider": {"kind": "uncached", "tokens": tokens, "prompt_tokens": prompt}}


def _header_profile(params: Params) -> Made:
    header = params.header("headerName", params.header("header", "epp-profile"))
    usual = params.text("defaultProfile", params.text("default", ""))
    return {"handler": {"kind": "header", "header": header, "usual": usual}}


def _data_parallel(params: Params) -> Made:
    port = params.port("primaryPort", 8000)
    return {"handler": {"kind": "data_parallel", "port": port}}


def _prefill_headers(params: Params) -> Made:
    params.unneeded(("prefillProfile",), "the handler knows which profile reads prompts")
    return {"headers": True}


def _utilization_detector(params: Params) -> Made:
    return {"detector": utilization(params)}


def utilization(params: Params) -> dict[str, Any]:
    """A ``utilization-detector``'s thresholds, wherever they stand."""
    params.unneeded(("headroom",), "no endpoint is shut out by it: its score says how full it is")
    return {
        "kind": "utilization",
        "queue": params.number("queueDepthThreshold", 5.0) or 5.0,
        "kv": params.number("kvCacheUtilThreshold", 0.8, most=1.0) or 0.8,
        "stale_s": params.seconds("metricsStalenessThreshold", 0.2) or 0.2,
    }


def _concurrency_detector(params: Params) -> Made:
    params.missing(("maxTokenConcurrency",), "requests are counted here, not their tokens")
    mode = params.text("mode", params.text("concurrencyMode", "requests"))
    if mode != "requests":
        params.wrong("mode", f"{mode!r} is not done: requests are counted", "write requests")
    params.unneeded(("headroom",), "no endpoint is shut out by it")
    return {
        "detector": {
            "kind": "concurrency",
            "most": params.whole("maxConcurrency", 100, least=1),
        }
    }


def _probabilistic(params: Params) -> Made:
    return {
        "admitter": {
            "power": params.number("power", 5.0),
            "scale": params.number("k", params.number("scale", 300.0)),
        }
    }


def _file_discovery(params: Params) -> Made:
    path = params.text("path", params.text("filePath", None))
    watch = params.flag("watch", params.flag("watchFile", True))
    if not path:
        params.wrong("path", "it has to be named", "write the path of a YAML or JSON file")
    return {"discovery": {"path": path or "", "watch": watch}}


TYPES: Final[Mapping[str, Make]] = {
    "queue-scorer": _kind("scorer", "queue"),
    "kv-cache-utilization-scorer": _kind("scorer", "kv_utilization"),
    "kv-cache-scorer": _kind("scorer", "kv_utilization"),
    "running-requests-size-scorer": _kind("scorer", "running_requests"),
    "running-requests-scorer": _kind("scorer", "running_requests"),
    "lora-affinity-scorer": _kind("scorer", "lora_affinity"),
    "prefix-cache-scorer": _prefix_cache,
    "load-aware-scorer": _load_aware,
    "active-request-scorer": _active_request,
    "token-load-scorer": _token_load,
    "session-affinity-scorer": lambda p: {"scorer": ("session_affinity", _sessions(p))},
    "session-affinity-filter": lambda p: {"filter": ("session_filter", _sessions(p))},
    "no-hit-lru-scorer": _no_hit_lru,
    "context-length-aware": _context_length,
    "latency-scorer": _latency,
    "topology-affinity-scorer": _topology,
    "precise-prefix-cache-scorer": _precise,
    "precise-prefix-cache-producer": _precise_producer,
    "by-label": _label,
    "by-label-selector": _label_selector,
    "label-selector-filter": _label_selector,
    "decode-filter": _role("decode"),
    "prefill-filter": _role("prefill"),
    "encode-filter": _role("encode"),
    "utilization-filter": _utilization_filter,
    "header-based-testing-filter": _marker("testing"),
    "max-score-picker": _picker("max_score"),
    "random-picker": _picker("random"),
    "weighted-random-picker": _picker("weighted_random"),
    "single-profile-handler": _marker("handler", {"kind": "single"}),
    "disagg-profile-handler": _disagg,
    "pd-profile-handler": _disagg,
    "header-profile-handler": _header_profile,
    "data-parallel-profile-handler": _data_parallel,
    "prefill-header-handler": _prefill_headers,
    "disagg-headers-handler": _prefill_headers,
    "always-disagg-pd-decider": _marker("decider", {"kind": "always"}),
    "prefix-based-pd-decider": _prefix_decider,
    "approx-prefix-cache-producer": _prefix_producer,
    "inflight-load-producer": _marker("producer", "in_flight"),
    "session-id-producer": _marker("producer", "session_id"),
    "predicted-latency-producer": _marker("producer", "latency"),
    "token-producer": _marker("producer", "tokens"),
    "tokenizer": _marker("producer", "tokens"),
    "openai-parser": _marker("parser", "json"),
    "anthropic-parser": _marker("parser", "json"),
    "vllmhttp-parser": _marker("parser", "json"),
    "sglanghttp-parser": _marker("parser", "json"),
    "passthrough-parser": _marker("parser", "nothing"),
    "metrics-data-source": _marker("source", "metrics"),
    "models-data-source": _marker("source", "models"),
    "core-metrics-extractor": _marker("extractor", "metrics"),
    "models-data-extractor": _marker("extractor", "models"),
    "k8s-notification-source": _marker("source", "k8s"),
    "endpoint-notification-source": _marker("source", "endpoints"),
    "file-discovery": _file_discovery,
    "utilization-detector": _utilization_detector,
    "concurrency-detector": _concurrency_detector,
    "probabilistic-admitter": _probabilistic,
    "round-robin-fairness-policy": _marker("fairness", "round-robin"),
    "global-strict-fairness-policy": _marker("fairness", "global-strict"),
    "fcfs-ordering-policy": _marker("ordering", "fcfs"),
    "edf-ordering-policy": _marker("ordering", "edf"),
    "slo-deadline-ordering-policy": _marker("ordering", "slo-deadline"),
    "static-usage-limit-policy": _marker("usage_limit"),
}

ANY_PARAMETERS: Final = {
    "token-producer": _ESTIMATED,
    "tokenizer": _ESTIMATED,
    "metrics-data-source": "pages are read at /metrics of each endpoint",
    "models-data-source": "models are not listed: any name goes to any endpoint",
    "core-metrics-extractor": "the names of vLLM, SGLang and TensorRT-LLM are all understood",
    "predicted-latency-producer": "the scorer learns what it predicts by itself",
    "inflight-load-producer": "requests under way are always counted",
    "session-id-producer": "a scorer of sessions reads the headers itself",
}
"""Types whose parameters say how something is fetched that is fetched otherwise here."""

NOT_DONE: Final[Mapping[str, str]] = {
    "header-label-affinity-scorer": "use label_selector filters of profiles chosen by a header",
    "mm-embeddings-cache-scorer": "use prefix-cache-scorer: pictures are part of a prompt's text",
    "mm-embeddings-cache-producer": "use prefix-cache-scorer",
    "encoder-cache-producer": "use prefix-cache-scorer",
    "endpoint-attribute-scorer": "use by-label for what endpoints' labels say",
    "endpoint-attribute-filter": "use by-label for what endpoints' labels say",
    "prefix-cache-affinity-filter": "use prefix-cache-scorer with a great weight",
    "slo-headroom-tier-filter": "use latency-scorer",
    "topology-affinity-filter": "use by-label-selector, or topology-affinity-scorer",
    "burst-prefix-cache-producer": "use approx-prefix-cache-producer",
    "latency-slo-admitter": "use flow control with a time to wait",
    "vllmgrpc-parser": "use vllmhttp-parser: endpoints speak HTTP with JSON",
    "vertexai-parser": "use passthrough-parser",
    "dcgm-data-source": "the utilisation of GPUs is not fetched by the picker",
    "program-aware-fairness-policy": "use round-robin-fairness-policy",
    "always-disagg-multimodal-decider": "prefill servers encode; leave it out",
    "always-disagg-encode-decider": "prefill servers encode; leave it out",
    "encode-header-handler": "prefill servers encode; leave it out",
}
"""Types of theirs that are not done here, and what to write instead."""
