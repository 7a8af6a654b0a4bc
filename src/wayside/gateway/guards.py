"""What the guards' findings look like in the management API: entities, masks, risk."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from wayside.gateway.api import ApiError, Body, since
from wayside.vocab.ask import Labels, Span, Spans
from wayside.vocab.personal import BUILT_IN, IDENTIFYING, PII_TYPES, unknown_types

EVERY = "ALL"
HIDDEN = "[DETECTED]"
HARMLESS = frozenset(
    {"benign", "safe", "harmless", "legitimate", "normal", "none", "clean", "negative", "no"}
    | {"not_jailbreak", "no_jailbreak", "not_injection", "label_0", "0"}
)
"""What classifiers call a text that harms nothing; every other label is a harm."""
ATTACK = "jailbreak"
"""The label that counts unless others are asked for; where there is none, every harm does."""
SENSITIVITY = {"low": 0.7, "medium": 0.5, "high": 0.3}
"""From which P(attack) on a text is one."""


class PiiOptions(Body):
    """What counts, and how much of it is told."""

    entity_types: Annotated[list[str], Field(max_length=64)] = Field(default_factory=list)
    """Types that count; empty: those that identify someone; ``ALL``: every one."""
    confidence_threshold: float = Field(0.5, ge=0, le=1)
    """Less sure findings are left out."""
    return_positions: bool = False
    """Add ``start_position`` and ``end_position``, in characters."""
    mask_entities: bool = False
    """Add ``masked_value`` to each, and the whole text masked."""
    reveal_entity_text: bool = False
    """Repeat what was found; otherwise ``value`` is ``[DETECTED]``."""


class SecurityOptions(Body):
    """When a text is an attack."""

    confidence_threshold: float | None = Field(None, ge=0, le=1)
    """From which P(attack) on; takes the place of ``sensitivity``."""
    sensitivity: Literal["low", "medium", "high"] = "medium"
    """0.7, 0.5 or 0.3."""
    detection_types: Annotated[list[str], Field(max_length=64)] = Field(default_factory=list)
    """The classifier's labels that count; empty: ``jailbreak``, or every harm it knows if it has
    no such label."""
    include_reasoning: bool = True
    """Whether ``reasoning`` says why."""


class Entity(TypedDict):
    type: str
    value: str
    confidence: float
    start_position: NotRequired[int]
    end_position: NotRequired[int]
    masked_value: NotRequired[str]


class PiiAnswer(TypedDict):
    has_pii: bool
    entities: list[Entity]
    masked_text: NotRequired[str]
    security_recommendation: str
    processing_time_ms: float


class SecurityAnswer(TypedDict):
    is_jailbreak: bool
    risk_score: float
    detection_types: list[str]
    confidence: float
    recommendation: str
    reasoning: NotRequired[str]
    patterns_detected: list[str]
    processing_time_ms: float


def types_wanted(options: PiiOptions, *, built_in: bool) -> frozenset[str] | None:
    """The types that count, or ``None`` for every one. Names nobody reports are refused."""
    asked = [name.upper() for name in options.entity_types]
    if EVERY in asked:
        return None
    wrong = unknown_types(asked, (), BUILT_IN if built_in else "", "options.")
    if wrong:
        found = "; ".join(str(p).replace(".types[", ".entity_types[") for p in wrong)
        raise ApiError(400, "INVALID_INPUT", found)
    return frozenset(asked) or frozenset(IDENTIFYING)


def marked(
    text: str, spans: Spans, options: PiiOptions, wanted: frozenset[str] | None, began: float
) -> PiiAnswer:
    """The answer of ``classify/pii``. Types of another engine that we do not know all count."""
    counted = [
        span
        for span in spans
        if span.score >= options.confidence_threshold and _counts(span, wanted, options)
    ]
    masks = _masks(text, counted)
    entities: list[Entity] = []
    for span, mask in zip(counted, masks, strict=True):
        entity: Entity = {
            "type": span.label,
            "value": text[span.start : span.end] if options.reveal_entity_text else HIDDEN,
            "confidence": round(span.score, 4),
        }
        if options.return_positions:
            entity["start_position"], entity["end_position"] = span.start, span.end
        if options.mask_entities:
            entity["masked_value"] = mask
        entities.append(entity)
    answer: PiiAnswer = {
        "has_pii": bool(entities),
        "entities": entities,
        "security_recommendation": "block" if entities else "allow",
        "processing_time_ms": since(began),
    }
    if options.mask_entities:
        answer["masked_text"] = _masked(text, counted, masks)
    return answer


def judged(labels: Labels, options: SecurityOptions, began: float, code: str) -> SecurityAnswer:
    """The answer of ``classify/security``: ``risk_score`` is P(attack), whichever label won."""
    harms = [(label, p) for label, p in labels if label.lower() not in HARMLESS]
    if len(harms) == len(labels):
        names = ", ".join(label for label, _ in labels[:8])
        raise ApiError(503, code, f"jailbreak: no label of the classifier means harmless: {names}")
    known = {label for label, _ in harms}
    for i, name in enumerate(options.detection_types):
        if name not in known:
            where = f"options.detection_types[{i}]"
            said = f"{where}: no such label; there are: {', '.join(sorted(known))}"
            raise ApiError(400, "INVALID_INPUT", said)
    counted = set(options.detection_types) or {k for k in known if k.lower() == ATTACK} or known
    attacks = [(label, p) for label, p in harms if label in counted]
    threshold = options.confidence_threshold
    if threshold is None:
        threshold = SENSITIVITY[options.sensitivity]
    risk = min(1.0, sum(p for _, p in attacks))
    attack = risk >= threshold
    seen = [attacks[0][0], *(label for label, p in attacks[1:] if p >= threshold)]
    answer: SecurityAnswer = {
        "is_jailbreak": attack,
        "risk_score": round(risk, 4),
        "detection_types": seen if attack else [],
        "confidence": round(risk if attack else 1 - risk, 4),
        "recommendation": "block" if attack else "allow",
        "patterns_detected": [label for label, p in harms if p >= threshold],
        "processing_time_ms": since(began),
    }
    if options.include_reasoning:
        side = "at or above" if attack else "below"
        answer["reasoning"] = f"P(attack) is {risk:.2f}, {side} the threshold {threshold:.2f}."
    return answer


def _counts(span: Span, wanted: frozenset[str] | None, options: PiiOptions) -> bool:
    if wanted is None or span.label in wanted:
        return True
    return not options.entity_types and span.label not in PII_TYPES


def _masks(text: str, spans: list[Span]) -> list[str]:
    """``[PERSON_0]``, ``[PERSON_1]``: equal texts of a type share a mask."""
    numbers: dict[str, dict[str, int]] = defaultdict(dict)
    found = []
    for span in spans:
        of_type = numbers[span.label]
        number = of_type.setdefault(text[span.start : span.end], len(of_type))
        found.append(f"[{span.label}_{number}]")
    return found


def _masked(text: str, spans: list[Span], masks: list[str]) -> str:
    pieces, end = [], 0
    for span, mask in zip(spans, masks, strict=True):
        pieces += [text[end : span.start], mask]
        end = span.end
    return "".join([*pieces, text[end:]])
