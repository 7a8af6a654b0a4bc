"""Requests and answers of the classification endpoints (spec: vSR 7.1)."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from wayside.gateway.api import Body
from wayside.gateway.guards import PiiAnswer, PiiOptions, SecurityAnswer, SecurityOptions
from wayside.gateway.routing_api import IntentAnswer, Options

Threshold = Annotated[float, Field(ge=0, le=1)]


class PiiRequest(Body):
    """A text that may hold personal data."""

    text: str
    """What is read, all of it."""
    options: PiiOptions = PiiOptions()


class SecurityRequest(Body):
    """A text that may be an attack on a model's instructions."""

    text: str
    """What is read, all of it."""
    options: SecurityOptions = SecurityOptions()


class FactCheckOptions(Body):
    """How sure is sure."""

    confidence_threshold: Threshold = 0.6
    """From this probability on an answer needs its facts checked."""
    return_probabilities: bool = False
    """The probability of every label."""


class FactCheckRequest(Body):
    """A prompt whose answer may have to be right about the world."""

    text: str
    options: FactCheckOptions = FactCheckOptions()


class FeedbackOptions(Body):
    """How sure is sure."""

    confidence_threshold: Threshold = 0.7
    """Below it the answer is marked ``abstained``."""
    return_probabilities: bool = False
    """The probability of every label."""


class FeedbackRequest(Body):
    """What a user says to an answer."""

    text: str
    options: FeedbackOptions = FeedbackOptions()


class CombinedRequest(Body):
    """One text for intent, personal data and security."""

    text: str
    intent_options: Options = Options()
    pii_options: PiiOptions = PiiOptions()
    security_options: SecurityOptions = SecurityOptions()


class BatchOptions(Body):
    """How much of each answer is wanted."""

    return_probabilities: bool = False
    """With ``intent`` and ``all``: the probability of every label."""
    confidence_threshold: Threshold = 0.7
    """Below it a result counts as low confidence."""
    include_explanation: bool = False
    """One line to each result: the two best labels, what was found, or the risk."""


class BatchRequest(Body):
    """Several texts for one task; ``management.max_batch_size`` at most."""

    texts: Annotated[list[str], Field(min_length=1)]
    task_type: Literal["", "intent", "pii", "security", "all"] = "intent"
    """What ``category`` tells: the domain, the kind of personal data, the attack. ``all``: the
    domain, with the other two beside it."""
    options: BatchOptions = BatchOptions()


class NliRequest(Body):
    """Two texts."""

    premise: str
    """What is taken for true."""
    hypothesis: str
    """What may follow from it."""


class FactCheckAnswer(TypedDict):
    needs_fact_check: bool
    label: str
    confidence: float
    probabilities: NotRequired[dict[str, float]]
    processing_time_ms: float


class FeedbackAnswer(TypedDict):
    feedback_type: str
    label: str
    confidence: float
    abstained: bool
    probabilities: NotRequired[dict[str, float]]
    processing_time_ms: float


class CombinedAnswer(TypedDict):
    intent: IntentAnswer
    pii: PiiAnswer
    security: SecurityAnswer
    processing_time_ms: float


class BatchResult(TypedDict):
    category: str
    confidence: float
    processing_time_ms: float
    probabilities: NotRequired[dict[str, float]]
    explanation: NotRequired[str]
    pii: NotRequired[PiiAnswer]
    security: NotRequired[SecurityAnswer]


class Statistics(TypedDict):
    category_distribution: dict[str, int]
    avg_confidence: float
    low_confidence_count: int


class BatchAnswer(TypedDict):
    results: list[BatchResult]
    total_count: int
    processing_time_ms: float
    statistics: Statistics


class NliAnswer(TypedDict):
    label: str
    confidence: float
    entailment_prob: float
    neutral_prob: float
    contradiction_prob: float
    processing_time_ms: float
