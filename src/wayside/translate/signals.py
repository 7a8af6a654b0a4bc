"""vSR's signals, in every spelling its formats used, as ours.

``signals:`` of v0.3 and v0.1, the flat ``*_rules`` lists, and the camelCase of its CRDs name the
same things. A kind that this release does not have is remembered with the reason, so that the
decisions that need it can be left out honestly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

import wayside.signals
from wayside.catalog import catalog, discover
from wayside.translate import learned
from wayside.translate.learned import Models
from wayside.translate.mmlu import DOMAINS, domain_of
from wayside.translate.notes import Severity
from wayside.translate.reading import Reader
from wayside.vocab.errors import ConfigError

discover(wayside.signals)

_MOST_EDITS = 10
"""A fuzzy threshold up to this counts letters; likeness this low would match anything."""

Rule = dict[str, Any]

_LISTS: dict[str, tuple[str, ...]] = {
    "keyword": ("keywords", "keyword_rules"),
    "domain": ("domains", "domain_rules"),
    "language": ("language", "languages", "language_rules"),
    "context": ("context", "context_rules"),
    "structure": ("structure", "structure_rules"),
    "conversation": ("conversation", "conversation_rules"),
    "metadata": ("metadata", "metadata_rules"),
    "embedding": ("embeddings", "embedding_rules"),
    "fact_check": ("fact_check", "fact_check_rules"),
    "user_feedback": ("user_feedbacks", "user_feedback_rules"),
    "reask": ("reasks", "reask_rules"),
    "preference": ("preferences", "preference_rules"),
    "complexity": ("complexity", "complexity_rules"),
    "modality": ("modality", "modality_rules"),
    "authz": ("role_bindings",),
    "jailbreak": ("jailbreak", "jailbreak_rules"),
    "pii": ("pii", "pii_rules"),
    "kb": ("kb", "kb_rules"),
    "event": ("events", "event_rules"),
    "classifier": ("classifiers",),
    "latency": ("latency", "latency_rules"),
    "safety": ("safety",),
    "hallucination": ("hallucination",),
    "input_modality": ("input_modality",),
}
"""Condition ``type`` -> the keys under which its rules are listed."""


@dataclass(slots=True)
class Signals:
    """What the rules of decisions can refer to, and why they cannot refer to the rest."""

    domain_threshold: float | None = None
    models: Models = field(default_factory=Models)
    known: dict[str, dict[str, Rule]] = field(default_factory=dict)
    missing: dict[tuple[str, str], str] = field(default_factory=dict)
    composed: dict[str, Reader] = field(default_factory=dict)
    """Complexity rules that count only where another rule holds, with that rule."""
    composed_used: set[str] = field(default_factory=set)

    def close(self) -> None:
        """Say of composers that no rule of a decision needed that they do nothing."""
        for name, composer in self.composed.items():
            if name not in self.composed_used:
                composer.leave_out("a composer counts in the rules of decisions only")

    def add(self, kind: str, name: str, rule: Rule) -> None:
        self.known.setdefault(kind, {})[name] = rule

    def lost(self, kind: str, name: str) -> str | None:
        """Why ``kind:name`` cannot be used; ``None`` if it can, or if nobody defined it."""
        if _translator(kind) is None and kind not in ("complexity", "projection"):
            return f"needs signal kind {kind}: not supported yet"
        whole = name.partition(":")[0] if kind == "complexity" else name
        return self.missing.get((kind, name)) or self.missing.get((kind, whole))

    def domain(self, name: str) -> bool:
        """Define the domain ``name`` if it is one that the classifier knows by itself."""
        domain = domain_of(name)
        if domain is None:
            return False
        self.add("domain", name, self._domain_rule([domain], {}))
        return True

    def _domain_rule(self, categories: list[str], rule: Rule) -> Rule:
        rule["labels"] = categories
        if self.domain_threshold is not None:
            rule["threshold"] = self.domain_threshold
        return rule


def read_signals(owner: Reader, signals: Signals) -> None:
    """Every list of signals that ``owner`` has."""
    for kind, keys in _LISTS.items():
        translate = _translator(kind)
        for key in keys:
            for rule in owner.each(key):
                name = rule.text("name") or rule.text("role") or ""
                if not name:
                    rule.leave_out("a signal needs a name", "refused")
                elif translate is None:
                    why = f"signal kind {kind} is not supported yet"
                    signals.missing[kind, name] = why
                    rule.leave_out(why)
                elif name in signals.known.get(kind, {}):
                    rule.leave_out(f"a second {kind} signal named {name!r}", "refused")
                elif kind == "complexity":
                    _take_levels(name, rule, signals)
                else:
                    _take(kind, name, rule, translate(rule, signals), signals)


def _translator(kind: str) -> Callable[[Reader, Signals], Rule | str] | None:
    plain, meaning = _TRANSLATORS.get(kind), learned.TRANSLATORS.get(kind)
    if meaning is None:
        return plain
    return lambda rule, signals: meaning(rule, signals.models)


def _take_levels(name: str, rule: Reader, signals: Signals) -> None:
    """vSR's one rule with three outcomes is three rules here: ``name:easy`` and so on."""
    made = learned.complexity(rule, signals.models)
    if isinstance(made, str):
        _take("complexity", name, rule, made, signals)
        return
    if composer := rule.inner("composer"):
        signals.composed[name] = composer
    for level, each in learned.levels(name, made).items():
        _take("complexity", level, rule, each, signals)


def _take(kind: str, name: str, rule: Reader, made: Rule | str, signals: Signals) -> None:
    problem = made if isinstance(made, str) else _problem(kind, name, made)
    if isinstance(made, str) or problem is not None:
        signals.missing[kind, name] = f"needs {kind} {name!r}, which is left out: {problem}"
        severity: Severity = "unsupported" if "not supported yet" in str(problem) else "refused"
        rule.leave_out(f"{problem}; the signal is left out", severity)
    else:
        rule.remark("description")
        signals.add(kind, name, made)


def _problem(kind: str, name: str, made: Rule) -> str | None:
    """What our own signal says against ``made``: its settings are checked by building it."""
    ours = catalog.get("signal", kind)
    if ours is None:
        return f"signal kind {kind} is not supported yet"
    try:
        ours.build({name: ours.settings.model_validate(made)})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        return f"{where}: {what}" if where else what
    except ConfigError as error:
        return str(error.problems[0])
    return None


def read_categories(owner: Reader, signals: Signals) -> None:
    """``categories: [{name, description, mmlu_categories}]`` define domains as ``domains`` do."""
    for category in owner.each("categories"):
        name = category.text("name")
        if not name:
            category.leave_out("a category needs a name", "refused")
        elif name in signals.known.get("domain", {}):
            category.note("domains define it already", "ignored")
        else:
            _take("domain", name, category, _domain(category, signals), signals)


def _keyword(rule: Reader, signals: Signals) -> Rule | str:
    keywords = [k for k in rule.texts("keywords") if k.strip()]
    method = (rule.text("method") or "").lower()
    fuzzy = rule.flag("fuzzy_match") or method == "fuzzy"
    if method not in ("", "regex", "literal", "fuzzy", "bm25", "ngram"):
        return f"no keyword method {method!r}"
    if not keywords:
        return "a keyword signal needs keywords"
    out: Rule = {"keywords": keywords}
    if operator := rule.choice("operator", ("and", "or", "nor")):
        out["operator"] = operator.upper()
    if fuzzy:
        out["method"] = "fuzzy"
        _fuzzy_threshold(rule, out)
    elif method in ("regex", "bm25", "ngram"):
        out["method"] = method
    if rule.flag("case_sensitive"):
        out["case_sensitive"] = True
    own = _THRESHOLDS.get("fuzzy" if fuzzy else method, ())
    for key in own if not fuzzy else ():
        if (value := rule.number(key, low=0)) is not None:
            out[key] = value
    for key in sum(_THRESHOLDS.values(), ()):
        if key not in own:
            rule.set_aside(key, "this method has no such setting", "ignored")
    return out


_THRESHOLDS: dict[str, tuple[str, ...]] = {
    "bm25": ("bm25_threshold",),
    "ngram": ("ngram_threshold", "ngram_arity"),
    "fuzzy": ("fuzzy_threshold",),
}
"""Settings of a keyword rule that only one method has."""


def _fuzzy_threshold(rule: Reader, out: Rule) -> None:
    """Likeness from 0 to 100 in v0.3's reference; a letter or two of difference in its docs."""
    value = rule.number("fuzzy_threshold", low=0, high=100)
    if value is not None and value > _MOST_EDITS:
        out["fuzzy_threshold"] = value
    elif value is not None:
        rule.note(
            f"{value} looks like a number of letters; likeness here is 0 to 100, and our default "
            "is taken",
            "defaulted",
            key="fuzzy_threshold",
        )


def _scored_domain(rule: Reader, signals: Signals) -> Rule | str:
    rule.set_aside("model_scores", "scores per domain do not choose the model yet")
    return _domain(rule, signals)


def _domain(rule: Reader, signals: Signals) -> Rule | str:
    name = rule.text("name") or ""
    wanted = rule.texts("mmlu_categories")
    categories: list[str] = []
    unknown: list[str] = []
    for index, text in enumerate(wanted):
        domain = domain_of(text)
        if domain is None:
            unknown.append(text)
            rule.ledger.add(
                f"{rule.at('mmlu_categories')}[{index}]", "no such MMLU category", "refused"
            )
            continue
        if domain != text:
            rule.ledger.add(
                f"{rule.at('mmlu_categories')}[{index}]", f"is part of {domain!r}", "mapped"
            )
        if domain not in categories:
            categories.append(domain)
    own = domain_of(name)
    if own is not None and not wanted:
        categories = [own]
        if own != name:
            rule.note(f"means {own!r}", "mapped", key="name")
    if not categories:
        return (
            f"domain {name!r} is not one of {', '.join(DOMAINS)}, and lists none of them in "
            "mmlu_categories: it would never match"
        )
    return signals._domain_rule(categories, {})


def _language(rule: Reader, signals: Signals) -> Rule | str:
    name = rule.text("name") or ""
    code = name.lower().replace("_", "-").partition("-")[0]
    if code != name:
        rule.note(f"languages are told apart without regions: {code!r}", "mapped", key="name")
    out: Rule = {"languages": [code]}
    threshold = rule.number("threshold", low=0, high=1)
    if threshold:
        out["threshold"] = threshold
    return out


def _context(rule: Reader, signals: Signals) -> Rule | str:
    out: Rule = {}
    for key in ("min_tokens", "max_tokens"):
        if (value := _tokens(rule, key)) is not None:
            out[key] = value
    return out or "a context signal needs min_tokens or max_tokens"


def _tokens(rule: Reader, key: str) -> int | None:
    """``32K`` is 32,000 tokens and ``1M`` a million, as vSR counts them."""
    text = rule.text(key)
    if text is None:
        return None
    plain = text.strip().upper()
    factor = {"K": 1_000, "M": 1_000_000}.get(plain[-1:], 1)
    digits = plain[:-1] if factor > 1 else plain
    try:
        value = float(digits) * factor
    except ValueError:
        value = -1
    if not 0 <= value < 2**53:
        rule.note("expected tokens such as 8000, 32K or 1M; left out", "refused", key=key)
        return None
    return int(value)


def _structure(rule: Reader, signals: Signals) -> Rule | str:
    return _feature(rule, ("exists", "count", "density", "sequence"), _structure_source)


def _conversation(rule: Reader, signals: Signals) -> Rule | str:
    return _feature(rule, ("exists", "count"), _conversation_source)


def _feature(
    rule: Reader, types: tuple[str, ...], source_of: Callable[[Reader], Rule | str]
) -> Rule | str:
    feature = rule.inner("feature")
    kind = feature.choice("type", types)
    if kind is None:
        return f"feature.type is none of {', '.join(types)}"
    source = source_of(feature.inner("source"))
    if isinstance(source, str):
        return source
    out: Rule = {"feature": {"type": kind, "source": source}}
    if predicate := read_numbers(rule.inner("predicate")):
        out["predicate"] = predicate
    return out


def read_numbers(predicate: Reader) -> dict[str, float]:
    """``{gt, gte, lt, lte, eq}``."""
    out = {}
    for key in ("gt", "gte", "lt", "lte", "eq"):
        if (value := predicate.number(key)) is not None:
            out[key] = value
    return out


def _structure_source(source: Reader) -> Rule | str:
    kind = source.choice("type", ("regex", "keyword_set", "sequence", "text_bytes"))
    out: Rule = {"type": kind}
    if kind == "regex":
        out["pattern"] = source.text("pattern")
        if not out["pattern"]:
            return "a regex source needs a pattern"
    elif kind == "keyword_set":
        out["keywords"] = [k for k in source.texts("keywords") if k]
        if not out["keywords"]:
            return "a keyword_set source needs keywords"
    elif kind == "sequence":
        out["sequences"] = _sequences(source)
        if not out["sequences"]:
            return "a sequence source needs sequences"
    elif kind is None:
        return "source.type is none of regex, keyword_set, sequence, text_bytes"
    case_sensitive = source.flag("case_sensitive")
    if case_sensitive is not None and kind != "text_bytes":
        out["case_sensitive"] = case_sensitive
    return out


def _sequences(source: Reader) -> list[list[str]]:
    value = source.raw("sequences")
    found = []
    for index, item in enumerate(value if isinstance(value, list) else []):
        words = item if isinstance(item, list) else [item]
        if words and all(isinstance(w, str) and w for w in words):
            found.append(list(words))
        else:
            source.ledger.add(
                f"{source.at('sequences')}[{index}]", "a sequence is a list of words", "refused"
            )
    return found


_ROLES = ("user", "assistant", "system", "developer", "tool", "non_user")


def _conversation_source(source: Reader) -> Rule | str:
    kind = source.choice(
        "type",
        (
            "message",
            "tool_definition",
            "assistant_tool_call",
            "assistant_tool_cycle",
            "active_tool_loop",
            "image_content",
        ),
    )
    if kind is None:
        return "no such source.type of a conversation"
    out: Rule = {"type": kind}
    role = source.text("role")
    if role is not None and role not in _ROLES:
        return f"messages of role {role} are not supported yet"
    if role is not None:
        out["role"] = role
    return out


def _metadata(rule: Reader, signals: Signals) -> Rule | str:
    key = rule.text("key")
    if not key:
        return "a metadata signal needs a key"
    predicate = rule.inner("predicate")
    test: Rule = {}
    if (equals := predicate.text("equals")) is not None:
        test["equals"] = equals
    if among := predicate.texts("in"):
        test["in"] = among
    if (exists := predicate.flag("exists")) is not None:
        test["exists"] = exists
    return {"key": key, "predicate": test} if test else "a metadata signal needs a predicate"


_TRANSLATORS: dict[str, Callable[[Reader, Signals], Rule | str]] = {
    "keyword": _keyword,
    "domain": _scored_domain,
    "language": _language,
    "context": _context,
    "structure": _structure,
    "conversation": _conversation,
    "metadata": _metadata,
}
