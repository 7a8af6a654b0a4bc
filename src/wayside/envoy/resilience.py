"""What the generated Envoy does about servers that are slow, broken or too busy, from the settings
that the gateway goes by; and what of them an Envoy cannot do, said in words.
"""

from __future__ import annotations

from collections.abc import Iterator

from wayside.envoy.words import Node, seconds, typed
from wayside.settings import EndpointSettings, ModelSettings, RouterSettings
from wayside.settings.resilience import Trouble

MANY = 1_000_000
"""Envoy's default of 1,024 requests per cluster is below what one model server streams."""

_RETRY_ON: dict[Trouble, str] = {
    "connect": "connect-failure,refused-stream",
    "reset": "reset",
    "timeout": "reset",  # which also stands for a server that is silent
    "invalid": "reset",  # and for what is not HTTP; an HTML page is passed on
}


def route_action(model: ModelSettings) -> Node:
    """The part of a route that says how long, and how often."""
    times, hedge = model.timeouts, model.hedge
    found: Node = {
        # Without a limit, a stream may take as long as it goes on.
        "timeout": seconds(times.total_s or 0.0),
        "idle_timeout": seconds(max(times.first_byte_s, times.idle_s)),
    }
    policy = _retry_policy(model)
    if policy is not None:
        found["retry_policy"] = policy
    if policy is not None and hedge is not None and hedge.after_s is not None:
        found["hedge_policy"] = {"hedge_on_per_try_timeout": True}
    return found


def _retry_policy(model: ModelSettings) -> Node | None:
    retries, hedge = model.retries, model.hedge
    hedged = hedge is not None and hedge.after_s is not None
    if retries.attempts == 1 and not hedged:
        return None
    statuses = [int(t) for t in retries.retry_on if t.isdigit()]
    words = [_RETRY_ON[t] for t in retries.retry_on if t in _RETRY_ON]
    if statuses:
        words.append("retriable-status-codes")
    if hedged:
        words.append("gateway-error")
    if not words:
        return None
    # Ends with the answer's head: Envoy lets go of it once it has begun to pass an answer on.
    per_try = model.timeouts.first_byte_s
    if hedge is not None and hedge.after_s is not None:
        per_try = min(per_try, hedge.after_s)
    found: Node = {
        "retry_on": ",".join(dict.fromkeys(",".join(words).split(","))),
        "num_retries": max(1, retries.attempts - 1),
        "per_try_timeout": seconds(per_try),
        "retry_host_predicate": [
            typed(
                "envoy.retry_host_predicates.previous_hosts",
                "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ],
        "host_selection_retry_max_attempts": 3,
        "retry_back_off": {
            "base_interval": seconds(max(0.001, retries.backoff_s)),
            "max_interval": seconds(max(0.001, retries.backoff_s, retries.longest_backoff_s)),
        },
        "rate_limited_retry_back_off": {
            "reset_headers": [{"name": "retry-after", "format": "SECONDS"}],
            "max_interval": seconds(retries.longest_retry_after_s),
        },
    }
    if statuses:
        found["retriable_status_codes"] = statuses
    if any(endpoint.standby for endpoint in model.endpoints):
        # The second attempt goes to those that stand by, before the first ones are left out.
        found["retry_priority"] = typed(
            "envoy.retry_priorities.previous_priorities",
            "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
            update_frequency=1,
        )
    return found


def breakers(model: ModelSettings) -> Node:
    """How much at once. One connection carries one request, so connections are counted."""
    queue, retries = model.queue, model.retries
    caps = [e.max_in_flight for e in model.endpoints if e.weight > 0]
    most = queue.max_in_flight
    if most is None and caps and all(caps):
        most = sum(cap or 0 for cap in caps)
    threshold: Node = {
        "max_connections": most or MANY,
        # A request counts as pending while its connection is made, so none is too few.
        "max_pending_requests": max(1, queue.max_queue) if most else MANY,
        "max_requests": MANY,
        "retry_budget": {
            "budget_percent": {"value": round(100 * retries.budget, 3)},
            "min_retry_concurrency": retries.budget_at_least,
        },
    }
    return {"thresholds": [threshold]}


def no_breakers() -> Node:
    """For the router itself."""
    most = {f"max_{what}": MANY for what in ("connections", "pending_requests", "requests")}
    return {"thresholds": [most]}


def outliers(model: ModelSettings, endpoints: int) -> Node:
    """When a server is left out. Envoy knows one bound for all reasons; where errors are none,
    only servers that cannot be reached are left out, however many."""
    breaker = model.breaker
    share = breaker.error_share
    judged = bool(breaker.errors) or share is not None
    several = endpoints > 1 or model.discover is not None
    found: Node = {
        "split_external_local_origin_errors": True,
        "interval": seconds(min(breaker.window_s, breaker.pause_s)),
        "consecutive_local_origin_failure": breaker.failures,
        "enforcing_consecutive_local_origin_failure": 100,
        "consecutive_5xx": breaker.errors or 5,
        "enforcing_consecutive_5xx": 100 if breaker.errors else 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "base_ejection_time": seconds(breaker.pause_s),
        "max_ejection_time": seconds(max(breaker.pause_s, breaker.longest_pause_s)),
        "max_ejection_percent": int(100 * breaker.most_out) if judged and several else 100,
    }
    if share is not None:
        found |= {
            "enforcing_failure_percentage": 100,
            "failure_percentage_threshold": round(100 * share),
            "failure_percentage_minimum_hosts": 1,
            "failure_percentage_request_volume": breaker.least_requests,
            "interval": seconds(breaker.window_s),
        }
    return found


def with_names(model: ModelSettings) -> ModelSettings:
    """``model`` with the name that its servers are discovered by as one more endpoint: Envoy
    takes each of its addresses for a server, and looks it up again (STRICT_DNS)."""
    dns = model.discover.dns if model.discover is not None else None
    if dns is None:
        return model
    named = EndpointSettings(url=f"{dns.scheme}://{dns.name}:{dns.port}{dns.path}")
    return model.model_copy(update={"endpoints": (*model.endpoints, named)})


def health_checks(model: ModelSettings) -> Node:
    """Active health checks of a cluster. Its least bad server is used only when none is well, as
    in the gateway; by default Envoy would begin with that at half of them."""
    check = model.health_check
    if check is None:
        return {}
    base = model.endpoints[0].address.base_path.removesuffix("/v1")
    one: Node = {
        "timeout": seconds(check.timeout_s),
        "interval": seconds(check.interval_s),
        "no_traffic_interval": seconds(check.interval_s),
        "unhealthy_threshold": check.failures,
        "healthy_threshold": check.successes,
        "http_health_check": {
            "path": base + check.path,
            "expected_statuses": [{"start": 200, "end": 300}],
        },
    }
    return {
        "health_checks": [one],
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
    }


def health_check_at(endpoint: EndpointSettings, model: ModelSettings) -> Node:
    """Whom a check asks, where it is not the port of the endpoint, and by which name."""
    check = model.health_check
    if check is None:
        return {}
    at: Node = {"hostname": endpoint.address.authority}
    if check.port is not None:
        at["port_value"] = check.port
    return {"health_check_config": at}


def not_done(settings: RouterSettings) -> Iterator[str]:
    """What these settings ask for and no Envoy does: the gateway does (``wayside serve``)."""
    for name, model in settings.models.items():
        at = f"models.{name}"
        if model.fallbacks:
            yield f"{at}.fallbacks: Envoy asks no other model than the one that was chosen"
        if model.timeouts.first_token_s is not None:
            yield f"{at}.timeouts.first_token_s: Envoy knows the head of an answer (first_byte_s)"
        if model.hedge is not None and model.hedge.percentile is not None:
            yield f"{at}.hedge.percentile: Envoy hedges after a fixed time (after_s)"
        if model.hedge is not None and model.hedge.after_s is not None:
            yield f"{at}.hedge.share: Envoy bounds hedges by the budget of retries"
        if model.breaker.slow_factor is not None:
            yield f"{at}.breaker.slow_factor: Envoy does not leave servers out for being slow"
        if "timeout_s" in model.queue.model_fields_set:
            yield f"{at}.queue.timeout_s: a request waits in Envoy until its idle timeout"
        if model.discover is not None and model.discover.file is not None:
            yield f"{at}.discover.file: Envoy has the endpoints that it was started with"
        if model.discover is not None and model.discover.kubernetes is not None:
            yield f"{at}.discover.kubernetes: Envoy has the endpoints that it was started with"
        if model.check_models is not None:
            yield f"{at}.check_models: Envoy does not ask servers what they serve"
        if model.health_check is not None and model.health_check.asleep_path is not None:
            yield f"{at}.health_check.asleep_path: Envoy knows a server's health, not its sleep"
        apart = model.disaggregation
        if apart is not None and apart.how == "two_step" and model.retries.attempts > 1:
            yield f"{at}.disaggregation: Envoy tries again with what was read for the first try"
        for i, endpoint in enumerate(model.endpoints):
            if endpoint.timeouts.model_fields_set:
                yield f"{at}.endpoints[{i}].timeouts: Envoy has those of the model for all"
    if settings.batches.enabled:
        yield "batches: /v1/files and /v1/batches are not served behind Envoy"
    if settings.production_stack.enabled:
        yield "production_stack: /engines, /sleep, ?id= and its log line are not there"
    if settings.urgency.header or settings.urgency.groups:
        yield "urgency: requests wait in Envoy in the order in which they came"
    recipes = {"routing": settings.routing} | {
        f"recipes.{name}": recipe for name, recipe in settings.recipes.items()
    }
    for where, recipe in recipes.items():
        for i, decision in enumerate(recipe.decisions):
            if decision.fallbacks:
                yield f"{where}.decisions[{i}].fallbacks: Envoy asks no other model"
            if decision.urgency:
                yield f"{where}.decisions[{i}].urgency: Envoy does not know it"
