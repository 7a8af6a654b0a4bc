"""What is done when a model's servers are slow, broken or too busy: limits, retries, breakers,
hedges and queues. Read by the gateway, and written into the Envoy that we generate.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from wayside.settings.base import Settings
from wayside.vocab.headers import CREDENTIALS, header_name

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Urgency = Annotated[int, Field(ge=-100, le=100)]

Trouble = Literal["connect", "reset", "timeout", "invalid", "429", "500", "502", "503", "504"]
"""What an attempt can fail with before anything of its answer went to the client."""
FallbackOn = Literal["failure", "overload", "context_length"]


class TimeoutSettings(Settings):
    """How long a request to a model may take."""

    connect_s: PositiveFloat = 5.0
    """Until a connection stands, TLS included."""
    first_byte_s: PositiveFloat = 300.0
    """From the request sent to the head of its answer."""
    first_token_s: PositiveFloat | None = None
    """From the request sent to the answer's first data: a stream's first event that is more than
    a comment. Servers send the head of a stream long before it. `first_byte_s` when absent."""
    idle_s: PositiveFloat = 300.0
    """The longest silence inside an answer."""
    total_s: PositiveFloat | None = None
    """From the request to the answer's end, with everything: waiting in the queue, attempts,
    fallbacks. Absent: a stream may take as long as it goes on."""

    @property
    def until_token_s(self) -> float:
        """``first_token_s`` or what stands in for it."""
        return self.first_byte_s if self.first_token_s is None else self.first_token_s


class EndpointTimeoutSettings(Settings):
    """Timeouts of one endpoint, where they differ from its model's.

    Example: ``{first_token_s: 2.5}``
    """

    connect_s: PositiveFloat | None = None
    """Until a connection stands, TLS included."""
    first_byte_s: PositiveFloat | None = None
    """From the request sent to the head of its answer."""
    first_token_s: PositiveFloat | None = None
    """From the request sent to the answer's first data."""
    idle_s: PositiveFloat | None = None
    """The longest silence inside an answer."""

    def over(self, model: TimeoutSettings) -> TimeoutSettings:
        """The model's timeouts with these in their place."""
        return model.model_copy(update=self.model_dump(exclude_none=True))


class RetrySettings(Settings):
    """When a request is sent once more, and how often: only before anything of an answer went to
    the client, to another server where there is one.

    Example: ``{attempts: 2, budget: 0.1}``
    """

    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """How often a request is sent to this model at most; 1: once, never again."""
    retry_on: tuple[Trouble, ...] = (
        "connect",
        "reset",
        "timeout",
        "invalid",
        "429",
        "502",
        "503",
        "504",
    )
    """What is worth another attempt: no connection, a connection that ended before its answer
    began, silence until then, an answer that is no answer, and status codes."""
    budget: Share = 0.2
    """Further attempts over the last `window_s`, as a share of the requests in it. Attempts to
    connect that failed are not counted: nobody was asked."""
    budget_at_least: Count = 10
    """Further attempts that a window may have however few requests it has."""
    window_s: PositiveFloat = 10.0
    """What the budget looks back on."""
    backoff_s: PositiveFloat = 0.025
    """Before the n-th further attempt there is a pause of up to `backoff_s` times 2^(n-1), drawn
    anew each time (full jitter)."""
    longest_backoff_s: PositiveFloat = 1.0
    """Of that pause."""
    longest_retry_after_s: PositiveFloat = 5.0
    """A server that answers 429 or 503 with `Retry-After` is left alone for so long as it says,
    but not for longer than this. Also the most that clients are told."""

    @field_validator("retry_on")
    @classmethod
    def _once_each(cls, value: tuple[Trouble, ...]) -> tuple[Trouble, ...]:
        return tuple(dict.fromkeys(value))


class BreakerSettings(Settings):
    """When a server is left out for a while. After its pause one request tries it.

    Example: ``{errors: 3, slow_factor: 4}``
    """

    failures: PositiveInt = 2
    """Connections that failed, broke or fell silent, in a row."""
    errors: Count = 5
    """Answers with status 500, 502, 503 or 504 in a row; 0: errors are no reason."""
    error_share: Share | None = None
    """Answers of that kind, as a share of the last `window_s`."""
    slow_factor: Annotated[float, Field(gt=1)] | None = None
    """Its usual time to the first token, against the median of the model's others."""
    least_requests: PositiveInt = 20
    """Requests of a window before `error_share` and `slow_factor` are judged."""
    window_s: PositiveFloat = 10.0
    """What `error_share` looks back on."""
    pause_s: PositiveFloat = 1.0
    """Of the first time; each further one in a row doubles it."""
    longest_pause_s: PositiveFloat = 30.0
    """Of those pauses."""
    most_out: Share = 0.5
    """The share of a model's servers that errors and slowness may leave out at the same time.
    Servers that cannot be reached are left out whatever their number."""


class HedgeSettings(Settings):
    """A second attempt beside the first, at another server, when the first is slow to answer.
    The first of the two to begin its answer is taken, the other one is cancelled at once.

    Example: ``{percentile: 95}``
    """

    after_s: PositiveFloat | None = None
    """How long the first attempt has before the second begins."""
    percentile: Annotated[float, Field(gt=0, lt=100)] | None = None
    """Instead: as long as this share of the last 256 answers took to begin, in percent."""
    share: Share = 0.05
    """Second attempts over the last ten seconds, as a share of the requests in them."""

    @model_validator(mode="after")
    def _one_moment(self) -> HedgeSettings:
        if (self.after_s is None) == (self.percentile is None):
            raise ValueError("say when: either after_s (seconds) or percentile (such as 95)")
        return self


class QueueSettings(Settings):
    """How many requests a model is sent at once, and how long others wait for their turn. The
    more urgent go first, of equals the one that came first. Who finds the queue full, or waits
    for too long, is answered 429 with ``Retry-After``.

    Example: ``{max_in_flight: 64, max_queue: 200, timeout_s: 10}``
    """

    max_in_flight: PositiveInt | None = None
    """Requests at once, over all its servers; an endpoint may have one of its own."""
    max_queue: Count = 100
    """Requests that wait. One more takes the place of a less urgent one, or is refused."""
    timeout_s: PositiveFloat = 30.0
    """The longest wait."""


class UrgencySettings(Settings):
    """Whose requests go first where they have to wait, and are refused last.

    A decision's `urgency` says it for what it routes. A header or a group says it only where
    `identity.trusted` is set: otherwise any client could put itself first.

    Example: ``{header: x-request-priority, groups: {batch: -10, paying: 10}}``
    """

    header: str | None = None
    """Carries a whole number from -100 to 100, greater is more urgent. It goes no further."""
    groups: dict[str, Urgency] = Field(default_factory=dict)
    """The urgency of requests of a group (`identity.groups_header`); of several the greatest."""

    @field_validator("header")
    @classmethod
    def _name(cls, value: str | None) -> str | None:
        if value is None:
            return None
        name = header_name(value)
        if name in CREDENTIALS:
            raise ValueError("a header that carries a key cannot say what is urgent")
        return name
