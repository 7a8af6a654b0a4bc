"""What the console's data looks like: ``console/src/api/types.ts``, from the side of the server.

A test compares the two, name by name.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict


class Passed(TypedDict):
    """One request that has ended."""

    id: str
    at: float
    requested: str
    signals: list[str]
    decision: str
    algorithm: str
    model: str
    endpoint: str
    status: int
    reason: str
    path: str
    why: str
    total_ms: float
    routing_ms: float
    first_byte_ms: float | None
    prompt_tokens: int
    completion_tokens: int
    cost: float
    attempts: int
    replay: bool


class LiveState(TypedDict):
    """How much passes, once a second."""

    at: float
    in_flight: int
    requests_per_s: float
    errors_per_s: float
    missed: int


class Point(TypedDict):
    """Ten seconds of :class:`Overview`."""

    at: float
    requests: int
    errors: int
    p95_ms: float
    cost: float


class ConfigStanding(TypedDict):
    """Which configuration is in force."""

    path: str
    digest: str
    generation: int
    loaded_at: float
    error: str | None
    needs_restart: list[str]


class Overview(TypedDict):
    """The last fifteen minutes."""

    currency: str
    requests: int
    errors: int
    in_flight: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    routing_p50_ms: float
    routing_p99_ms: float
    cost: float
    saved: float
    cache_hits: int
    series: list[Point]
    last: list[Passed]
    config: ConfigStanding


class MapSignal(TypedDict):
    kind: str
    name: str


class MapDecision(TypedDict):
    name: str
    priority: int
    signals: list[str]
    models: list[str]
    algorithm: str
    plugins: list[str]


class MapRecipe(TypedDict):
    name: str
    signals: list[MapSignal]
    decisions: list[MapDecision]


class MapModel(TypedDict):
    name: str
    endpoints: list[str]
    local: bool


class LineMap(TypedDict):
    """What the picture of the line is drawn from."""

    recipes: list[MapRecipe]
    models: list[MapModel]


class PlayedSignal(TypedDict):
    kind: str
    name: str
    matched: bool
    unknown: bool
    score: float | None
    threshold: float | None
    because: str
    ms: float


class PlayedDecision(TypedDict):
    name: str
    matched: bool
    confidence: float
    priority: int
    chosen: bool
    why: str


class PlayedModel(TypedDict):
    name: str
    chosen: bool
    score: float | None
    allowed: bool
    why: str


class Otherwise(TypedDict):
    """A change, and where the prompt would have gone then."""

    change: str
    decision: str
    model: str


class Played(TypedDict):
    """What was decided about a prompt, and what would have changed that."""

    decision: dict[str, Any]
    model: str
    decided: str
    why: str
    took_ms: float
    signals: list[PlayedSignal]
    decisions: list[PlayedDecision]
    models: list[PlayedModel]
    otherwise: list[Otherwise]


class Answered(TypedDict):
    """What a model really said."""

    text: str
    model: str
    status: int
    headers: dict[str, str]
    total_ms: float
    prompt_tokens: int
    completion_tokens: int
    cost: float


class ModelPrice(TypedDict):
    prompt: float
    completion: float


class ModelReplica(TypedDict):
    endpoint: str
    state: str
    why: str
    in_flight: int
    waiting: float | None
    running: float | None
    kv_use: float | None
    errors: int
    p95_ms: float | None
    scraped_at: float | None


class ModelRow(TypedDict):
    name: str
    provider: str
    local: bool
    price: ModelPrice | None
    context: int | None
    tiers: list[str] | None
    requests: int
    errors: int
    p95_ms: float | None
    tokens: int
    cost: float
    replicas: list[ModelReplica]


class Models(TypedDict):
    """Every configured model."""

    currency: str
    models: list[ModelRow]


class Biggest(TypedDict):
    model: str
    would_cost: float


class CostOfModel(TypedDict):
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost: float
    would_cost: float


class CostOfDecision(TypedDict):
    decision: str
    requests: int
    cost: float
    would_cost: float


class CostPoint(TypedDict):
    at: float
    spent: float
    would_cost: float


class CostElsewhere(TypedDict):
    currency: str
    spent: float


class Costs(TypedDict):
    """What was spent since the start, and what was not."""

    currency: str
    since: float
    spent: float
    biggest: Biggest
    saved: float
    saved_by_cache: float
    by_model: list[CostOfModel]
    by_decision: list[CostOfDecision]
    series: list[CostPoint]
    elsewhere: list[CostElsewhere]


class CacheStore(TypedDict):
    name: str
    kind: str
    mode: str
    entries: int
    bytes: int
    hits: int
    misses: int
    lists: bool
    error: str


class CacheView(TypedDict):
    """The stores that keep answers."""

    stores: list[CacheStore]


class CacheEntry(TypedDict):
    id: str
    partition: str
    decision: str
    model: str
    text: str
    answer: str
    age_s: float
    expires_s: float | None
    bytes: int


class CacheEntries(TypedDict):
    """Some of the answers that a store keeps, the newest first where it knows that."""

    entries: list[CacheEntry]
    looked_at: int
    more: bool


class TierLimit(TypedDict):
    what: str
    amount: float
    window: str


class AccessTier(TypedDict):
    name: str
    level: int
    groups: list[str]
    models: list[str]
    limits: list[TierLimit]


class AccessKey(TypedDict):
    id: str
    name: str
    owner: str
    tier: str
    created: float
    expires: float | None
    last_used: float | None
    revoked: bool


class AccessUsage(TypedDict):
    who: str
    tier: str
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost: float


class Access(TypedDict):
    """Who may ask for what, with which keys, and what they took."""

    tiers: list[AccessTier]
    keys: list[AccessKey]
    usage: list[AccessUsage]
    currency: str


class LabelScore(TypedDict):
    label: str
    precision: float
    recall: float
    f1: float
    count: int


class CurvePoint(TypedDict):
    threshold: float
    precision: float
    recall: float
    f1: float


class Wrong(TypedDict):
    text: str
    label: str
    said: str
    score: float | None


class Evaluation(TypedDict):
    """One run of labelled rows."""

    id: str
    name: str
    of: str
    at: float
    by: str
    state: str
    error: str
    done: int
    total: int
    accuracy: float | None
    macro_f1: float | None
    labels: list[str]
    matrix: list[list[int]]
    by_label: list[LabelScore]
    curve: list[CurvePoint]
    threshold: float | None
    wrong: list[Wrong]
    p50_ms: float | None


class Choices(TypedDict):
    id: str
    labels: list[str]
    scored: bool


class EvaluationChoices(TypedDict):
    """What may be evaluated."""

    of: list[Choices]


class Replays(TypedDict):
    """Records of earlier requests."""

    data: list[dict[str, Any]]
    count: int
    offset: int
    limit: int
    has_more: bool


class Went(TypedDict):
    decision: str
    model: str


class Again(TypedDict):
    """An earlier request, decided once more."""

    before: Went
    after: Played
