"""vSR's plugins that keep or look up something, as ours: caches, records, memories, sources.

Cosines were chosen for vSR's embedder; those that decide what is told to a model are brought to
the scale of ours. The threshold of the cache stays as it is: there a second stage decides, and a
higher one only finds less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wayside.translate.keeping import KINDS, Keeping
from wayside.translate.learned import EMBEDDING_SCALE
from wayside.translate.reading import Reader
from wayside.translate.servers import read_credential

Rule = dict[str, Any]
_MODES = ("semantic", "exact", "exact_then_semantic")
_SCOPES = ("user", "team", "tenant", "global")
_SAME = "the built-in embedder's scale"


def scaled(cosine: float) -> float:
    """A cosine of vSR's embedder on the scale of ours."""
    return round(cosine * EMBEDDING_SCALE, 4)


def _response_cache(configuration: Reader, keeping: Keeping) -> Rule:
    mode = configuration.choice("mode", _MODES) or "semantic"
    out: Rule = {**keeping.cache, "mode": mode}
    if mode == "exact":
        out.pop("threshold", None)
    semantic = configuration.inner("semantic")
    threshold = semantic.number("similarity_threshold", low=0, high=1)
    older = configuration.number("similarity_threshold", low=0, high=1)
    threshold = older if threshold is None else threshold
    if threshold and mode != "exact":
        out["threshold"] = threshold
        configuration.note("two texts this near share an answer only if a second stage finds no "
                           "difference that matters", "mapped", key="semantic")  # fmt: skip
    if ttl := configuration.number("ttl_seconds", low=0):
        out["ttl_s"] = ttl
    if scope := configuration.choice("scope", _SCOPES):
        out["scope"] = scope
    if namespace := configuration.text("namespace"):
        out["namespace"] = namespace[:100]
    if controls := _controls(configuration.inner("request_controls")):
        out["controls"] = controls
    personalized = configuration.inner("personalized").choice("mode", ("disabled", "exact"))
    if personalized == "exact":
        out["personalized"] = "exact"
    revision = configuration.inner("revision")
    said = [text for key in sorted(revision) if (text := revision.text(key))]
    if said:
        out["revision"] = " ".join(said)[:256]
    return out


def _controls(controls: Reader) -> Rule | None:
    if not controls:
        return None
    if controls.flag("enabled") is False:
        for key in ("header", "allowed", "max_ttl_seconds"):
            controls.set_aside(key, "switched off", "ignored")
        return {"enabled": False}
    out: Rule = {}
    if header := controls.text("header"):
        out["header"] = header.lower()
    if "allowed" in controls:
        out["allowed"] = controls.texts("allowed")
    if most := controls.number("max_ttl_seconds", low=0):
        out["max_ttl_s"] = most
    return out


def _router_replay(configuration: Reader, keeping: Keeping) -> Rule:
    out: Rule = {**keeping.replay}
    for theirs, ours in (("max_records", "max_records"), ("max_body_bytes", "max_body_bytes")):
        if value := configuration.whole(theirs, low=1):
            out[ours] = value
    for theirs in ("request", "response"):
        if configuration.flag(f"capture_{theirs}_body"):
            out[f"{theirs}_body"] = True
    steps = configuration.whole("max_tool_trace_steps")
    if steps is not None:
        out["max_tool_steps"] = min(steps, 10_000) or 10_000  # 0 meant no bound there
    bound = "max_body_bytes bounds arguments and results, too"
    configuration.set_aside("max_tool_trace_bytes", bound, "ignored")
    return out


def _context_compression(configuration: Reader, keeping: Keeping) -> Rule | None:
    configuration.remark("mode")
    out: Rule = {}
    budget = configuration.inner("budget")
    counted = budget.text("trigger_tokens") not in (None, "auto")
    if counted and (trigger := budget.whole("trigger_tokens", low=1)):
        out["trigger_tokens"] = trigger
    for key in ("target_tokens", "reserve_output_tokens"):
        if budget.text(key) not in (None, "auto"):
            budget.note("each text is shortened to its own target", "unsupported", key=key)
    targets = configuration.inner("targets")
    out["tool_outputs"] = _shrink(targets.inner("tool_outputs"), "extractive")
    if (history := _shrink(targets.inner("history"), "preserve")) is not None:
        out["history"] = history
    for key in ("rag", "memory"):
        target = targets.inner(key)
        if (target.text("mode") or "preserve") != "preserve":
            target.note("is never shortened: its plugin has a bound of its own", "unsupported")
        for size in ("min_tokens", "target_tokens"):
            target.set_aside(size, "is never shortened", "ignored")
    scoring = configuration.inner("scoring")
    if (method := scoring.text("method")) not in (None, "bm25"):
        scoring.note(f"{method!r} is not here; BM25 ranks", "unsupported", key="method")
    scoring.set_aside("embedding_model_ref", "BM25 needs no embedder", "ignored")
    recovery = configuration.inner("recovery")
    if recovery.flag("enabled"):
        recovery.leave_out("what was left out cannot be asked for again")
    else:
        recovery.set_aside_all("switched off", "ignored")
    controls = configuration.inner("request_controls")
    if controls.flag("enabled"):
        out["controls"] = [c for c in controls.texts("allowed") if c in ("bypass", "target")]
        if most := controls.whole("max_target_tokens", low=1):
            out["max_target_tokens"] = most
        if (header := controls.text("header")) not in (None, "x-vsr-compression-control"):
            controls.note(f"{header!r}: the header has one name here", "unsupported", key="header")
    else:
        for key in ("header", "allowed", "max_target_tokens"):
            controls.set_aside(key, "switched off", "ignored")
    if configuration.choice("failure_mode", ("fail_open", "fail_closed")) == "fail_closed":
        out["on_error"] = "fail"
    return out if out["tool_outputs"] or "history" in out else None


def _shrink(target: Reader, mode: str) -> Rule | None:
    mode = target.choice("mode", ("extractive", "preserve")) or mode
    sizes = {
        key: value
        for key in ("min_tokens", "target_tokens")
        if (value := target.whole(key, low=1)) is not None
    }
    return sizes if mode == "extractive" else None


def _tool_selection(configuration: Reader, keeping: Keeping) -> Rule | None:
    mode = configuration.choice("mode", ("add", "filter")) or "add"
    out: Rule = {"mode": mode}
    advanced = configuration.inner("advanced_filtering")
    weighs = advanced.flag("enabled") or False
    cosine = configuration.number("similarity_threshold", low=-1, high=1)
    relevant = configuration.number("relevance_threshold", low=-1, high=1)
    chosen = cosine if mode == "add" else relevant
    if chosen is not None:
        out["threshold"] = scaled(chosen)
    if mode == "add":
        if path := configuration.text("tools_db_path"):
            out["file"] = path
            configuration.note("is read when the configuration is", "mapped", key="tools_db_path")
        if top := configuration.whole("top_k", low=1):
            out["top_k"] = top
        configuration.set_aside("relevance_threshold", "is for mode filter", "ignored")
        configuration.set_aside("preserve_count", "is for mode filter", "ignored")
    else:
        if keep := configuration.whole("preserve_count"):
            out["keep"] = keep
        for key in ("tools_db_path", "top_k", "similarity_threshold"):
            configuration.set_aside(key, "is for mode add", "ignored")
    if configuration.flag("fallback_to_empty") is False:
        out["on_error"] = "fail"
    strategy = configuration.choice("strategy", ("default", "weighted", "hybrid_history"))
    inner = advanced.choice("retrieval_strategy", ("default", "weighted", "hybrid_history"))
    if "hybrid_history" in (strategy, inner):
        configuration.note("tools follow no history here; they are weighed", "unsupported")
    if weighs or {"weighted", "hybrid_history"} & {strategy, inner}:
        out |= {"strategy": "weighted", **_weighing(advanced)}
    if weighs:
        advanced.set_aside_all("tools are not weighed by it here")
    else:
        advanced.set_aside_all("switched off", "ignored")
    return out


_WEIGHTS = ("embed", "lexical", "tag", "name", "category")


def _weighing(advanced: Reader) -> Rule:
    out: Rule = {}
    if pool := advanced.whole("candidate_pool_size", low=1):
        out["pool"] = pool
    if words := advanced.whole("min_lexical_overlap"):
        out["min_shared_words"] = words
    if score := advanced.number("min_combined_score", low=0, high=1):
        out["min_score"] = scaled(score)
        advanced.note(f"brought to {_SAME}", "mapped", key="min_combined_score")
    weights = advanced.inner("weights")
    found = {
        key: value for key in _WEIGHTS if (value := weights.number(key, low=0, high=1)) is not None
    }
    if found:
        out["weights"] = {key: found.get(key, 0.0) for key in _WEIGHTS}
    for theirs, ours in (("allow_tools", "allow"), ("block_tools", "block")):
        if names := advanced.texts(theirs):
            out[ours] = names
    return out


def _memory(configuration: Reader, keeping: Keeping) -> Rule:
    given = keeping.memory
    out: Rule = {"store": given["store"]} if "store" in given else {}
    most = configuration.whole("retrieval_limit", high=50)
    if (most := given.get("retrieval_limit") if most is None else most) is not None:
        out["retrieve"] = most
    cosine = configuration.number("similarity_threshold", low=-1, high=1)
    if (cosine := given.get("similarity_threshold") if cosine is None else cosine) is not None:
        out["threshold"] = scaled(cosine)
        configuration.note(f"brought to {_SAME}", "mapped", key="similarity_threshold")
    auto = configuration.flag("auto_store")
    if given.get("auto_store") if auto is None else auto:
        out["store_turns"] = True
    for key in ("hybrid_search", "hybrid_mode"):
        configuration.set_aside(key, "memories are found by meaning alone")
    reflection = configuration.inner("reflection")
    if reflection.flag("enabled") is not False:
        if tokens := reflection.whole("max_inject_tokens", low=1):
            out["max_tokens"] = tokens
        if days := reflection.number("recency_decay_days", low=0):
            out["half_life_days"] = days
        if same := reflection.number("dedup_threshold", low=0, high=1):
            out["same"] = same
        if patterns := reflection.texts("block_patterns"):
            out["block_patterns"] = [f"(?i){pattern}" for pattern in patterns]
        reflection.remark("algorithm")
    configuration.note("users are those that a trusted proxy names (identity.trusted)", "mapped")
    return out


def _fields(details: Reader, rule: Rule, kind: str) -> None:
    """What a plugin says of the collection's fields, which is the store's business here."""
    if kind == "openai_search":
        return
    if field := details.text("content_field"):
        rule["text_field"] = field
    if kind == "milvus" and (expression := details.text("filter_expression")):
        rule["filter"] = expression
    for key in ("metadata_field", "reuse_cache_connection"):
        details.set_aside(key, "metadata and the connection are the store's", "mapped")


_INJECTED = {"tool_role": "tool", "system_prompt": "system"}
_OF_STORE = "names a server; write it under stores, and its name as the plugin's store"


def _rag(configuration: Reader, keeping: Keeping) -> Rule | None:
    backend = configuration.text("backend") or ""
    known = KINDS.get(backend)
    details = configuration.inner("backend_config")
    if known is None:
        configuration.leave_out(f"sources behind {backend or 'no backend'!r} are not supported")
        return None
    store = keeping.search_store(known, configuration)
    out: Rule = {"store": store}
    _fields(details, keeping.stores[store][known], known)
    if name := details.text("collection") or details.text("vector_store_id"):
        out["collection"] = name
    if known in _EMBED_THEMSELVES:
        out["embeds"] = False
    if top := configuration.whole("top_k", low=1, high=100):
        out["top_k"] = top
    for theirs, ours in (
        ("similarity_threshold", "threshold"),
        ("min_confidence_threshold", "min_best"),
    ):
        if (cosine := configuration.number(theirs, low=-1, high=1)) is not None:
            out[ours] = cosine if known in _EMBED_THEMSELVES else scaled(cosine)
    if chars := configuration.whole("max_context_length", low=1):
        out["max_chars"] = chars
    if how := configuration.choice("injection_mode", tuple(_INJECTED)):
        out["inject"] = _INJECTED[how]
    if failing := configuration.choice("on_failure", ("skip", "warn", "block")):
        out["on_failure"] = failing
    for key in ("cache_results", "cache_ttl_seconds"):
        configuration.set_aside(key, "sources are searched anew for each question")
    details.set_aside_all(_OF_STORE, "mapped")
    return out


_EMBED_THEMSELVES = frozenset({"openai_search"})


def _image_gen(configuration: Reader, keeping: Keeping) -> Rule | None:
    backend = configuration.choice("backend", ("openai", "vllm_omni")) or "openai"
    details = configuration.inner("backend_config")
    url, model = details.text("base_url"), details.text("model")
    if not url or not model:
        configuration.leave_out("needs backend_config.base_url and model", "refused")
        return None
    if not url.rstrip("/").endswith("/v1"):
        url = f"{url.rstrip('/')}/v1"
    engine: Rule = {"base_url": url, "model": model}
    credential = read_credential(details, "openai")
    if credential is not None:
        engine["credential"] = credential
    steps = configuration.whole("max_inference_steps", low=1)
    options: Rule = {
        name: value
        for name in ("num_inference_steps", "cfg_scale", "seed")
        if (value := details.number(name)) is not None
    }
    if steps and options.get("num_inference_steps", 0) > steps:
        options["num_inference_steps"] = steps
    for name in ("quality", "style"):
        if said := details.text(name):
            options[name] = said
    if options:
        engine["options"] = options
    seconds = configuration.number("timeout_seconds", low=0) or details.number("timeout_seconds")
    if seconds:
        engine["deadline_ms"] = round(seconds * 1000)
    name = f"pictures of {backend}"
    while name in keeping.engines and keeping.engines[name] != {"openai_images": engine}:
        name += "'"
    keeping.engines[name] = {"openai_images": engine}
    out: Rule = {"engine": name}
    for theirs, ours in (("default_width", "width"), ("default_height", "height")):
        if pixels := configuration.whole(theirs, low=16, high=8192):
            out[ours] = pixels
    if configuration.inner("modality_detection"):
        configuration.inner("modality_detection").leave_out("a decision's signals tell when")
    return out


TRANSLATORS: Mapping[str, Callable[[Reader, Keeping], Rule | None]] = {
    "context_compression": _context_compression,
    "image_gen": _image_gen,
    "memory": _memory,
    "rag": _rag,
    "response_cache": _response_cache,
    "router_replay": _router_replay,
    "tool_selection": _tool_selection,
}
"""Plugin ``type`` -> its settings as ours; ``None`` where nothing is left to do."""
ALIASES = {"semantic_cache": "response_cache"}
