"""vSR's signals that read meaning, as ours.

Its thresholds belong to the models they were tuned for. Where our built-in engine answers instead,
cosines are brought to its scale (:data:`EMBEDDING_SCALE`), and guards keep their own defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wayside.translate.knowledge import BASES, METRICS
from wayside.translate.reading import Reader

Rule = dict[str, Any]

EMBEDDING_SCALE = 0.7
"""A cosine of the built-in embedder over one of vSR's default embedder for texts of the same
likeness, as far as the recipes' probes tell: their 0.75 is our 0.53."""

_LEVELS = ("easy", "medium", "hard")
_FEEDBACK = ("satisfied", "need_clarification", "wrong_answer", "want_different")
_MODALITIES = {"AR": "text", "DIFFUSION": "image", "BOTH": "both"}


@dataclass(slots=True)
class Models:
    """What ``global.model_catalog`` says that signals need."""

    own_embedder: bool = False
    """Whether the document brings an embedder of its own, whose thresholds are right as they
    are."""
    soft: float | None = 0.5
    """The least cosine that matches when nothing reaches its threshold; ``None``: switched off."""
    top_k: int = 1
    bases: dict[str, Rule] = field(default_factory=dict)
    """Knowledge bases by name, as settings of the signal ``kb``."""
    metrics: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """``(base, metric)`` -> the two groups that a margin sets against each other."""
    externals: dict[str, Rule] = field(default_factory=dict)
    """Language models by name, as engines that still lack their labels."""
    engines: dict[str, Rule] = field(default_factory=dict)
    """Engines of our settings."""

    def cosine(self, value: float) -> float:
        """A threshold of theirs, on the scale of the embedder that will answer."""
        return value if self.own_embedder else round(value * EMBEDDING_SCALE, 4)

    def base(self, name: str) -> Rule | None:
        """A knowledge base that the document defines, or one that is known by name."""
        return self.bases.get(name) or BASES.get(name)

    def groups(self, base: str, metric: str) -> tuple[str, str] | None:
        return self.metrics.get((base, metric)) or METRICS.get((base, metric))


def embedding(rule: Reader, models: Models) -> Rule | str:
    if (rule.text("query_modality") or "text") != "text":
        return "embeddings of images are not supported yet: no engine reads them"
    examples = rule.texts("candidates") or rule.texts("examples")
    if not examples:
        return "an embedding signal needs candidates"
    out: Rule = {"examples": examples}
    if negatives := rule.texts("negative_candidates"):
        out["negatives"] = negatives
    threshold = rule.number("threshold", low=-1, high=1)
    if threshold is None:
        threshold = rule.number("similarity_threshold", low=-1, high=1)
    if threshold is not None:
        out["threshold"] = models.cosine(threshold)
        if not models.own_embedder:
            why = f"{threshold} is for vSR's embedder; {out['threshold']} for the built-in one"
            rule.note(why, "mapped", key="threshold")
    if how := rule.choice("aggregation_method", ("mean", "max", "any")):
        out["aggregate"] = how
    if models.soft is not None:
        out["soft"] = min(models.cosine(models.soft), out.get("threshold", 0.5))
        if models.top_k:
            out["top_k"] = models.top_k
    return out


def reask(rule: Reader, models: Models) -> Rule | str:
    out: Rule = {}
    if (threshold := rule.number("threshold", low=-1, high=1)) is not None:
        out["threshold"] = models.cosine(threshold)
    if lookback := rule.whole("lookback_turns", low=1, high=16):
        out["lookback"] = lookback
    return out


def preference(rule: Reader, models: Models) -> Rule | str:
    examples = rule.texts("examples")
    if not examples:
        return "a preference without examples needs a language model, which is not supported yet"
    out: Rule = {"examples": examples}
    if (threshold := rule.number("threshold", low=-1, high=1)) is not None:
        out["threshold"] = models.cosine(threshold)
    return out


def complexity(rule: Reader, models: Models) -> Rule | str:
    """The part that all levels share; see :func:`levels`."""
    out: Rule = {}
    for side in ("hard", "easy"):
        inner = rule.inner(side)
        if examples := inner.texts("candidates"):
            out[side] = examples
        inner.set_aside("image_candidates", "not supported yet: no engine reads images")
    if ("hard" in out) != ("easy" in out):
        return "a complexity signal needs candidates for both hard and easy"
    for key in ("hard_above", "easy_below", "threshold"):
        value = rule.number(key, low=-2, high=2)
        if value is not None and "hard" in out:
            out[key] = models.cosine(value)
        elif value is not None:
            rule.note("margins are for candidates; there are none", "ignored", key=key)
    return out


def levels(name: str, rule: Rule) -> dict[str, Rule]:
    """One of our rules for each level, under vSR's ``name:level``."""
    return {f"{name}:{level}": {"level": level, **rule} for level in _LEVELS}


def fact_check(rule: Reader, models: Models) -> Rule | str:
    name = rule.text("name") or ""
    if name not in ("needs_fact_check", "no_fact_check_needed"):
        return f"{name!r} is neither needs_fact_check nor no_fact_check_needed"
    return {"label": name}


def user_feedback(rule: Reader, models: Models) -> Rule | str:
    name = rule.text("name") or ""
    if name not in _FEEDBACK:
        return f"{name!r} is none of {', '.join(_FEEDBACK)}"
    return {"labels": [name]}


def modality(rule: Reader, models: Models) -> Rule | str:
    name = (rule.text("name") or "").upper()
    if name not in _MODALITIES:
        return f"{name!r} is none of {', '.join(_MODALITIES)}"
    return {"output": _MODALITIES[name]}


def jailbreak(rule: Reader, models: Models) -> Rule | str:
    out: Rule = {}
    method = rule.choice("method", ("classifier", "contrastive", "hybrid"))
    patterns = rule.texts("jailbreak_patterns")
    benign = rule.texts("benign_patterns")
    if method in ("contrastive", "hybrid") and patterns:
        out["method"] = method
        out["patterns"] = patterns
        if benign:
            out["benign_patterns"] = benign
    elif method == "contrastive":
        return "method contrastive needs jailbreak_patterns"
    if rule.flag("include_history"):
        out["include_history"] = True
    rule.set_aside("threshold", "is for vSR's detector; the built-in one has its own", "ignored")
    return out


def pii(rule: Reader, models: Models) -> Rule | str:
    out: Rule = {}
    if allowed := rule.texts("pii_types_allowed"):
        out["allowed"] = allowed
    if rule.flag("include_history"):
        out["include_history"] = True
    rule.set_aside("threshold", "is for vSR's detector; the built-in one has its own", "ignored")
    return out


def kb(rule: Reader, models: Models) -> Rule | str:
    name = rule.text("kb") or ""
    base = models.base(name)
    if base is None:
        return f"knowledge base {name!r} is in a file that is not read here: not supported yet"
    if name not in models.bases:
        rule.note(f"its texts are wayside's own for the labels of {name!r}", "mapped", key="kb")
    target = rule.inner("target")
    kind = target.choice("kind", ("label", "group")) or "label"
    out: Rule = {"base": base, "target": {"kind": kind, "value": target.text("value") or ""}}
    if how := rule.choice("match", ("best", "threshold")):
        out["match"] = how
    return out


def kb_metric(base_name: str, metric: str, models: Models) -> Rule | None:
    """The rule of signal ``kb`` whose value is a metric of a knowledge base."""
    base, groups = models.base(base_name), models.groups(base_name, metric)
    if base is None:
        return None
    if groups is not None:
        target = {"kind": "group", "value": groups[0]}
        return {"base": base, "target": target, "value": "group_margin", "against": groups[1]}
    if metric in ("best_score", "best_matched_score"):
        label = next(iter(base["labels"]))
        return {"base": base, "target": {"kind": "label", "value": label}, "value": metric}
    return None


def authz(rule: Reader, models: Models) -> Rule | str:
    rule.remark("role")
    subjects = []
    for subject in rule.each("subjects"):
        kind = subject.choice("kind", ("user", "group"))
        name = subject.text("name")
        if kind and name:
            subjects.append({"kind": kind.capitalize(), "name": name})
        else:
            subject.leave_out("a subject is a kind, User or Group, and a name", "refused")
    return {"subjects": subjects} if subjects else "a role binding needs subjects"


def event(rule: Reader, models: Models) -> Rule | str:
    out: Rule = {
        key: words
        for key in ("event_types", "severities", "action_codes")
        if (words := [w for w in rule.texts(key) if w.strip()])
    }
    if rule.flag("temporal"):
        out["temporal"] = True
    return out or "an event signal needs event_types, severities, action_codes or temporal"


def input_modality(rule: Reader, models: Models) -> Rule | str:
    name = (rule.text("name") or "").lower()
    if name not in ("image", "audio", "text"):
        return f"{name!r} is none of image, audio, text"
    return {"modalities": [name]}


def safety(rule: Reader, models: Models) -> Rule | str:
    out: Rule = {}
    if hazards := rule.texts("hazards") or rule.texts("labels"):
        out["hazards"] = hazards
    if (threshold := rule.number("threshold", low=0, high=1)) is not None:
        out["threshold"] = threshold
    return out


def hallucination(rule: Reader, models: Models) -> Rule | str:
    rule.set_aside("threshold", "is for vSR's detector; the built-in one has its own", "ignored")
    return {}


def classifier(rule: Reader, models: Models) -> Rule | str:
    name = rule.text("name") or ""
    labels = rule.texts("labels")
    kind = (rule.text("type") or "local").lower()
    if kind == "llm":
        model = rule.text("model") or ""
        engine = models.externals.get(model)
        if engine is None:
            return f"no external model {model!r} with an address is defined"
        if not labels:
            return "a classifier by a language model needs labels"
        ((how, settings),) = engine.items()
        made = {**settings, "labels": {label: "" for label in labels}}
        if instructions := rule.text("instructions"):
            made["instructions"] = instructions
        models.engines[f"classifier {name}"] = {how: made}
        return {"engine": f"classifier {name}", "labels": labels[:1], "threshold": 0.5}
    rule.set_aside("use_cpu", "ONNX Runtime decides", "ignored")
    path = rule.text("model_path") or rule.text("model")
    if not path:
        return "a local classifier needs model_path"
    models.engines[f"classifier {name}"] = {"onnx": {"model": path}}
    if not labels:
        return "a local classifier needs labels: what its positive class is called"
    return {"engine": f"classifier {name}", "labels": labels[:1], "threshold": 0.5}


TRANSLATORS: Mapping[str, Callable[[Reader, Models], Rule | str]] = {
    "authz": authz,
    "classifier": classifier,
    "complexity": complexity,
    "embedding": embedding,
    "event": event,
    "fact_check": fact_check,
    "hallucination": hallucination,
    "input_modality": input_modality,
    "jailbreak": jailbreak,
    "kb": kb,
    "modality": modality,
    "pii": pii,
    "preference": preference,
    "reask": reask,
    "safety": safety,
    "user_feedback": user_feedback,
}
"""Condition ``type`` -> how one rule of it becomes ours, or why it cannot."""
