"""vSR's selection algorithms as ours. Most settings have the names that vSR gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

import wayside.selection
from wayside.catalog import catalog, discover
from wayside.translate.learned import Models
from wayside.translate.reading import Reader

discover(wayside.selection)
Rule = dict[str, Any]
Select = str | dict[str, Rule]

_TRAINED = ("knn", "kmeans", "svm", "mlp")
_LOOPER_NUMBERS = (
    "temperature", "max_completion_tokens", "round_timeout_seconds", "min_successful_responses",
    "max_concurrent", "compaction_tokens", "shuffle_seed", "max_responses_per_round",
    "max_steps", "max_parallel",
)  # fmt: skip
_LOOPER_WORDS = (
    "model_distribution", "compaction_strategy", "synthesis_model", "judge_prompt_version",
    "escalation_order", "confidence_method", "token_filter", "mode",
)  # fmt: skip
_LOOPER_FLAGS = ("include_analysis", "include_intermediate_responses", "include_reasoning")


def read_algorithm(
    decision: Reader, candidates: list[Any], models: Mapping[str, Any], foreign: Models
) -> Select:
    """``algorithm``: its name, or ``{name: settings}``. Where it cannot be kept, the first model
    answers, and a note says so.

    Weights without an algorithm are taken as shares, which is what they say. ``models`` are those
    the document defines, or nothing where it is only a part of one; ``foreign`` knows the scale of
    its embedder.
    """
    if "algorithm" not in decision:
        weighed = [c for c in candidates if isinstance(c, dict) and "weight" in c]
        if len(candidates) > 1 and weighed:
            decision.note(
                "no algorithm, but weights: the models share requests by weight (vSR takes the "
                "first)", "mapped", key="modelRefs",
            )  # fmt: skip
            return "weighted"
        return "static"
    algorithm = decision.inner("algorithm")
    kind = (algorithm.text("type") or "static").lower().replace("-", "_")
    ours = catalog.get("selector", kind)
    if ours is None:
        algorithm.leave_out(f"algorithm {kind} is not supported yet; the first model answers")
        return "static"
    own = algorithm.inner(kind)
    if kind == "static":
        algorithm.set_aside("on_error", "static cannot fail", "ignored")
        own.set_aside_all("static has no settings", "ignored")
        return "static"
    outer = algorithm.choice("on_error", ("skip", "fail", "fallback"))
    if kind == "router_dc":
        made = _router_dc(own, foreign)
    else:
        made = _TRANSLATORS.get(kind, _same)(own)
    own.remark("description")
    failing = own.choice("on_error", ("skip", "fail", "fallback")) or outer
    _on_error(made, failing, ours.settings.model_fields, algorithm)
    unknown = [name for name in _named(made) if models and name not in models]
    if unknown:
        names = ", ".join(sorted(set(unknown)))
        why = f"nothing defines {names}; the first model answers instead of {kind}"
        algorithm.leave_out(why, "refused")
        return "static"
    try:
        ours.settings.model_validate(made)
    except ValidationError as error:
        said = error.errors()[0]
        where = ".".join(map(str, said["loc"]))
        why = f"{where}: {said['msg'].removeprefix('Value error, ')}".removeprefix(": ")
        algorithm.leave_out(f"{why}; the first model answers instead of {kind}", "refused")
        return "static"
    return {kind: made} if made else kind


def _on_error(made: Rule, said: str | None, fields: Mapping[str, Any], owner: Reader) -> None:
    """What a failure means. Algorithms of ours that ask nobody fall back to the first model."""
    if said is None:
        return
    if "on_error" not in fields:
        if said == "fail":
            owner.note("falls back to the first model", "unsupported", key="on_error")
        return
    words = getattr(fields["on_error"].annotation, "__args__", ())
    plain = {"fallback": "skip", "skip": "fallback"}.get(said, said)
    made["on_error"] = said if said in words else plain


def _named(made: Rule) -> list[str]:
    """The models that an algorithm's settings name."""
    found = [made.get("model"), made.get("synthesis_model"), made.get("final_model")]
    found.append((made.get("planner") or {}).get("model"))
    for member in made.get("analysis_models", ()):
        found.append(member if isinstance(member, str) else member.get("model"))
    found += [role.get("model") for role in made.get("roles", ())]
    return [name for name in found if name]


def _same(own: Reader) -> Rule:
    """Settings that have the same names there."""
    return {}


def _numbers(own: Reader, *names: str) -> Rule:
    return {name: value for name in names if (value := own.number(name)) is not None}


def _flags(own: Reader, *names: str) -> Rule:
    return {name: value for name in names if (value := own.flag(name)) is not None}


def _words(own: Reader, *names: str) -> Rule:
    return {name: value.lower() if name != "synthesis_model" else value
            for name in names if (value := own.text(name))}  # fmt: skip


def _latency_aware(own: Reader) -> Rule:
    return _numbers(own, "ttft_percentile", "tpot_percentile")


def _multi_factor(own: Reader) -> Rule:
    out = _numbers(own, "latency_percentile")
    if weights := _numbers(own.inner("weights"), "quality", "latency", "cost", "load"):
        out["weights"] = weights
    names = ("max_tpot_ms", "max_ttft_ms", "max_cost_per_1m", "max_inflight")
    if slo := {k: v for k, v in _numbers(own.inner("slo"), *names).items() if v}:
        out["slo"] = slo
    return {**out, **_words(own, "on_no_candidates")}


def _router_dc(own: Reader, foreign: Models) -> Rule:
    out = {name: wanted for name, wanted in (("require_descriptions", True),
                                             ("use_capabilities", False))
           if own.flag(name) is wanted}  # fmt: skip
    made: Rule = {**out}
    if (least := own.number("min_similarity", low=-1, high=1)) is not None:
        made["min_similarity"] = foreign.cosine(least)
        if not foreign.own_embedder:
            why = f"{least} is for vSR's embedder; {made['min_similarity']} for the built-in one"
            own.note(why, "mapped", key="min_similarity")
    same = "the most similar model is taken, which is the same one at any temperature"
    own.set_aside("temperature", same, "ignored")
    own.set_aside("dimension_size", "a vector has the length its engine gives it", "ignored")
    for key in ("use_query_contrastive", "use_model_contrastive"):
        own.set_aside(key, "nothing is learnt while requests are served: train knn or mlp")
    return made


def _automix(own: Reader) -> Rule:
    own.set_aside("use_logprob_verification", "one choice is made; confidence verifies answers")
    return {
        **_numbers(own, "verification_threshold", "max_escalations", "cost_quality_tradeoff",
                   "discount_factor"),
        **_flags(own, "cost_aware_routing"),
    }  # fmt: skip


def _hybrid(own: Reader) -> Rule:
    own.set_aside("normalize_scores", "parts are always brought to one scale", "ignored")
    return _numbers(own, "experience_weight", "router_dc_weight", "automix_weight", "cost_weight",
                    "quality_gap_threshold")  # fmt: skip


def _trained(name: str) -> Callable[[Reader], Rule]:
    def translate(own: Reader) -> Rule:
        own.note(
            f"needs models/model-selection/{name}.selector: make it with "
            f"`wayside train selection --algorithm {name} ROWS.jsonl`; vSR's own trained files "
            "are not read",
            "mapped",
        )
        return _numbers(own, *(("k",) if name == "knn" else ()))

    return translate


def _prompt(own: Reader) -> Rule:
    out = {k: v for k in ("model", "instructions") if (v := own.text(k))}
    return {**out, **_numbers(own, "timeout_seconds")}


def _looper(own: Reader) -> Rule:
    out = {
        **_numbers(own, *_LOOPER_NUMBERS),
        **_words(own, *_LOOPER_WORDS),
        **_flags(own, *_LOOPER_FLAGS),
    }
    for key in ("analysis_template", "synthesis_template", "template"):
        if own.text(key):
            own.note("its words are not taken over; ours are used", "unsupported", key=key)
    return out


def _confidence(own: Reader) -> Rule:
    out = {**_looper(own), **_numbers(own, "threshold", "cost_quality_tradeoff")}
    weights = own.inner("hybrid_weights")
    found = {
        ours: value
        for theirs, ours in (("logprob_weight", "logprob"), ("margin_weight", "margin"))
        if (value := weights.number(theirs, low=0)) is not None
    }
    if found and out.get("confidence_method") == "hybrid":
        out["hybrid_weights"] = found
    if out.get("token_filter") not in (None, "tool_call_args"):
        out["token_filter"] = "all"
    if own.text("verifier_server_url"):
        own.note("an engine verifies (verifier: NAME)", "unsupported", key="verifier_server_url")
    own.set_aside("verifier_timeout_seconds", "is the engine's", "ignored")
    return out


def _remom(own: Reader) -> Rule:
    out = _looper(own)
    schedule = own.raw("breadth_schedule")
    if isinstance(schedule, list):
        out["breadth_schedule"] = schedule
    elif schedule is not None:
        own.note("is no list of numbers", "refused", key="breadth_schedule")
    return out


def _fusion(own: Reader) -> Rule:
    out = _looper(own)
    if model := own.text("model"):
        out["model"] = model
    panel: dict[str, Any] = {name: name for name in own.texts("analysis_models")}
    for override in own.each("analysis_overrides"):
        name = override.text("model")
        if not name or (panel and name not in panel):
            override.leave_out("no model of the panel", "refused")
            continue
        own_numbers = _numbers(override, "temperature", "max_completion_tokens")
        panel[name] = {"model": name, **own_numbers} if own_numbers else name
    if panel:
        out["analysis_models"] = list(panel.values())
    grounding = own.inner("grounding")
    if grounding.flag("enabled"):
        grounding.leave_out("answers are not held against sources before they are fused")
    else:
        grounding.set_aside_all("switched off", "ignored")
    return out


def _workflows(own: Reader) -> Rule:
    out = _looper(own)
    planner = own.inner("planner")
    if model := planner.text("model"):
        out["planner"] = {"model": model, **_numbers(planner, "max_completion_tokens")}
        if said := planner.text("instructions"):
            out["planner"]["instructions"] = said
    if final := own.text("final_model"):
        out["final_model"] = final
    if (heat := out.pop("temperature", None)) is not None:
        own.note(f"{heat:g}: the client's temperature is each step's", "unsupported",
                 key="temperature")  # fmt: skip
    return out


_TRANSLATORS: Mapping[str, Callable[[Reader], Rule]] = {
    "automix": _automix,
    "confidence": _confidence,
    "fusion": _fusion,
    "hybrid": _hybrid,
    "latency_aware": _latency_aware,
    "multi_factor": _multi_factor,
    "prompt": _prompt,
    "ratings": _looper,
    "remom": _remom,
    "workflows": _workflows,
    **{name: _trained(name) for name in _TRAINED},
}
